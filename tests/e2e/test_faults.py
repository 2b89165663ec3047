"""One fault at each call about a user, of each kind: everything settles, and nothing is minted twice.

A chapter of a user's life is lived by as many users as it has calls, all of them looked after by one
controller, and the proxy breaks another call of each. There is a world for each kind of fault, so that
an account that is throttled is throttled as a whole. The controller is never restarted.
"""

import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from account import parameter_name
from chapters import CHAPTERS, Remove
from proxy import mutating
from readers import Readers
from waiting import eventually

# As in test_crashes: CreateAccessKey without an answer may have made a key.
SETTLES = 90

#: What services call their own failures and their limits.
FAILURE = {"iam": "ServiceFailure", "sts": "InternalFailure"}
THROTTLING = {"iam": "Throttling", "sts": "Throttling"}

FAULTS = {
    "answer lost": lambda proxy, kth, at: proxy.after(kth, None, at.is_met_by),
    "connection closed": lambda proxy, kth, at: proxy.before(kth, None, at.is_met_by),
    "500": lambda proxy, kth, at: proxy.answer(
        kth, 500, FAILURE.get(at.service, "InternalServerError"), at.is_met_by
    ),
    "503": lambda proxy, kth, at: proxy.answer(kth, 503, "ServiceUnavailable", at.is_met_by),
    "throttled": lambda proxy, kth, at: proxy.answer(
        kth, 400, THROTTLING.get(at.service, "ThrottlingException"), at.is_met_by
    ),
}

#: The reads of every look.
LOOK = ("dynamodb:GetItem", "iam:GetUser", "iam:ListAccessKeys", "ssm:GetParameter")
PROOF = ("sts:GetCallerIdentity",)
#: What stands in the way of DeleteUser.
LEFTOVERS = (
    "iam:GetLoginProfile",
    "iam:ListMFADevices",
    "iam:ListSSHPublicKeys",
    "iam:ListSigningCertificates",
    "iam:ListServiceSpecificCredentials",
    "iam:ListGroupsForUser",
    "iam:ListUserPolicies",
    "iam:ListAttachedUserPolicies",
)


@dataclass(frozen=True)
class Point:
    """A call about one user, by its place among the changes or, for a read, by its name."""

    call: str
    place: int | None = None

    def __str__(self):
        return f"change {self.place}, {self.call}" if self.place else self.call


def points(kind):
    changes = [Point(call, place) for place, call in enumerate(kind.calls, 1)]
    reads = LOOK + PROOF * kind.mints() + LEFTOVERS * (kind is Remove)
    return changes + [Point(call) for call in reads]


class Strike:
    """One fault of one user's life."""

    def __init__(self, fault, point, proxy, user):
        self.point, self._proxy, self._user = point, proxy, user
        self.service = point.call.split(":")[0]
        # The SDK repeats reads, twice. Three in a row reach the program.
        places = [point.place] if point.place else [1, 2, 3]
        self._rules = [FAULTS[fault](proxy, place, self) for place in places]

    def is_met_by(self, call):
        if self.point.place:
            return mutating(call) and call.concerns(self._user, parameter_name(self._user))
        return str(call) == self.point.call and self._is_about_it(call)

    def _is_about_it(self, call):
        if call.service == "sts":
            return self._proxy.minted.get(call.signed_by) == self._user
        if call.service == "dynamodb":
            return call.parameters["Key"].get("UserName") == {"S": self._user}
        return call.concerns(self._user, parameter_name(self._user))

    def has_happened(self):
        return all(rule.fired.is_set() for rule in self._rules)


def mints(proxy, user):
    """How often a key was asked for, and how often one was made."""
    asked = proxy.since(matches=lambda call: call.action == "CreateAccessKey" and call.user == user)
    return len(asked), len([call for call in asked if call.status == 200])


def suffer(kind, fault, world, readers):
    """Faults of one kind, each in a life of its own: how many, and what went wrong."""
    proxy = world.proxy()
    proxy.watch(readers.after)
    # Removing them all is not what is tried here.
    daemon = world.daemon(proxy, DELETIONS__MAX_COUNT=1000, **kind.settings)
    lives = {point: kind(world, world.name(f"user-{n:02}")) for n, point in enumerate(points(kind))}
    for chapter in lives.values():
        chapter.begin()
    time.sleep(kind.age)
    for chapter in lives.values():
        chapter.ripen()
        if kind.has_readers:
            readers.follow(chapter.user)
    if kind.is_triggered:
        daemon.start()
    strikes = {point: Strike(fault, point, proxy, chapter.user) for point, chapter in lives.items()}
    for chapter in lives.values():
        chapter.trigger()
    if not kind.is_triggered:
        daemon.start()

    wrong = []
    begin = time.monotonic()
    for point, chapter in lives.items():
        try:
            left = max(1, begin + SETTLES - time.monotonic())
            eventually(strikes[point].has_happened, left, "the fault happens")
            eventually(chapter.done, left, "it settles")
            is_mint = point.call == "iam:CreateAccessKey"
            asked = kind.mints() + is_mint
            made = kind.mints() + (is_mint and fault == "answer lost")
            assert mints(proxy, chapter.user) == (asked, made), "keys asked for, and made"
            if kind.has_readers:
                readers.leave(chapter.user)
        except Exception:
            calls = proxy.since(matches=lambda c: mutating(c) and c.concerns(chapter.user, parameter_name(chapter.user)))
            wrong.append(
                f"{fault}, {point}, {chapter.user}:\n{traceback.format_exc(limit=-2)}calls: {[str(c) for c in calls]}"
            )
    mark = proxy.mark()
    daemon.wait_sweeps(2)
    if not wrong and proxy.since(mark):
        wrong.append(f"{fault}: it is not silent: {[f'{c} {c.user}' for c in proxy.since(mark)]}")
    if daemon.stop() != 0:
        wrong.append(f"{fault}: it does not end well")
    return wrong


@pytest.mark.parametrize("kind", CHAPTERS)
def test_a_fault_at_any_call_is_survived_without_a_restart(kind, account, worlds, figure):
    with Readers(account) as readers, ThreadPoolExecutor(len(FAULTS)) as pool:
        wrong = pool.map(lambda fault, world: suffer(kind, fault, world, readers), FAULTS, [worlds() for _ in FAULTS])
        wrong = [text for texts in wrong for text in texts]
    figure(
        f"{kind.__name__}: {len(FAULTS)} kinds of faults at {len(points(kind))} calls, {len(wrong)} went wrong, "
        f"{readers.looks} looks by readers"
    )
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong)
