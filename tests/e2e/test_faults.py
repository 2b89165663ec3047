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
#: The record of a removal in the state table.
RECORD = ("dynamodb:PutItem", "dynamodb:DeleteItem")


@dataclass(frozen=True)
class Point:
    """A call about one user: by its place among the changes of IAM and SSM, else by its name."""

    call: str
    place: int | None = None

    def __str__(self):
        return f"change {self.place}, {self.call}" if self.place else self.call


def points(kind):
    changes = [Point(call, place) for place, call in enumerate(kind.calls, 1)]
    others = LOOK + PROOF * kind.mints() + (LEFTOVERS + RECORD) * (kind is Remove)
    return changes + [Point(call) for call in others]


class Strike:
    """One fault of one user's life."""

    def __init__(self, fault, point, proxy, user):
        self.point, self._proxy, self._user = point, proxy, user
        self.service = point.call.split(":")[0]
        # The SDK repeats reads, twice; of three in a row the program hears.
        places = [point.place] if point.place else [1, 2, 3]
        self._rules = [FAULTS[fault](proxy, place, self) for place in places]

    def is_met_by(self, call):
        is_one = mutating(call) if self.point.place else str(call) == self.point.call
        return is_one and self._is_about_it(call)

    def _is_about_it(self, call):
        if call.service == "sts":
            return self._proxy.minted.get(call.signed_by) == self._user
        if call.service == "dynamodb":
            key = call.parameters.get("Key") or call.parameters["Item"]
            return {"S": self._user} == key.get("UserName") or {"S": f"removal/{self._user}"} == key.get("Id")
        return call.concerns(self._user, parameter_name(self._user))

    def has_happened(self):
        return all(rule.fired.is_set() for rule in self._rules)


def changes_of(proxy, user):
    return proxy.since(matches=lambda call: mutating(call) and call.concerns(user, parameter_name(user)))


def minting(call):
    """The time with which a call says that a mint begins, if it does."""
    sent = call.parameters
    tags = {sent[name]: sent[name.removesuffix("Key") + "Value"] for name in sent if name.endswith(".Key")}
    begun = tags.get("iam-user-controller:minting")
    return begun if begun != "none" else None


def assert_minted_once(kind, fault, point, changes):
    """CreateAccessKey is sent once for each mint, and a mint only begins anew when the fault hit its key."""
    asked, made, begun = [], 0, None
    for call in changes:
        begun = minting(call) or begun
        if call.action == "CreateAccessKey":
            asked.append(begun)
            made += call.status == 200
    is_hit = point.call == "iam:CreateAccessKey"
    assert len(asked) == kind.mints() + is_hit, f"CreateAccessKey was sent in the mints of {asked}"
    assert made == kind.mints() + (is_hit and fault == "answer lost"), f"{made} keys were made"
    # Only an answer that says that there is no key is a reason to ask again in the same mint.
    assert fault == "throttled" or len(set(asked)) == len(asked), f"sent twice in a mint: {asked}"


def suffer(kind, fault, world, readers):
    """Faults of one kind, each in a life of its own: what went wrong."""
    proxy = world.proxy()
    proxy.watch(readers.after)
    # Removing them all is not what is tried here.
    # Nobody takes over here: a lease that a busy machine loses would only make keys be minted anew.
    daemon = world.daemon(proxy, DELETIONS__MAX_COUNT=1000, LEASE__TTL="15s", **kind.settings)
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
            eventually(chapter.done, left, "it settles", every=0.3)
            assert_minted_once(kind, fault, point, changes_of(proxy, chapter.user))
            if kind.has_readers:
                readers.leave(chapter.user)
        except Exception:
            calls = ", ".join(map(str, changes_of(proxy, chapter.user)))
            wrong.append(f"{fault}, {point}, {chapter.user}:\n{traceback.format_exc(limit=-2)}calls: {calls}")
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
    faults = len(FAULTS) * len(points(kind))
    figure(
        f"{kind.__name__}: {faults} faults, {len(FAULTS)} kinds at {len(points(kind))} calls, {faults - len(wrong)} "
        f"survived; readers used a key {readers.looks} times"
    )
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong)
