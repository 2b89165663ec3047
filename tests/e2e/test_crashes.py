"""kill -9 before and after the effect of every mutating call, then a restart: everything settles.

The number of calls is not assumed: each chapter of a user's life is lived once without a fault, to
count them. Then, for every call, it is lived twice more, each time in a world of its own, all at the
same time, and the proxy that sees the call kills the controller there.
"""

import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from account import INLINE_POLICY
from waiting import eventually

# A mint whose secret is lost is recognised only when IAM can no longer be late in telling of it.
SETTLES = 90

OWNED = {"managed-by": "iam-user-controller", "iam-user-controller:minting": "none"}


def owned_user(world, user):
    """A user as the controller leaves it, made by hand, so that the proxy sees none of it: its key."""
    key, secret = world.account.function_made_user(user, world.boundary)
    tags = OWNED | {"iam-user-controller:table": world.table}
    world.account.iam.tag_user(UserName=user, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    assert world.settled(user)
    return key, secret


class Create:
    """From a row to a complete user."""

    settings = {}

    def prepare(self, world, user):
        pass

    def trigger(self, world, user):
        world.put(user)

    def between(self, world, user):
        """What must hold while the controller is down."""
        found = world.account.user(user)
        assert found is None or world.account.boundary(user) == world.boundary, "a user without its boundary"
        current = world.account.current(user)
        assert current is None or world.account.calls_as(*current) == found["Arn"], "a published key does not work"

    def done(self, world, user):
        assert set(world.account.document(user) or {}) == {"current"}
        return world.settled(user)


class Rotate:
    """From an old key to a published successor beside it."""

    settings = {"KEYS__ROTATE_AFTER": "5s", "KEYS__DELETE_AFTER": "1h"}

    def prepare(self, world, user):
        self.first = owned_user(world, user)
        world.put(user)
        time.sleep(5)

    def trigger(self, world, user):
        pass

    def between(self, world, user):
        account = world.account
        assert account.calls_as(*account.current(user)) == account.user(user)["Arn"], "`current` does not work"

    def done(self, world, user):
        document = world.account.document(user)
        assert document["current"]["AccessKeyID"] != self.first[0], "not rotated"
        assert document["pending_deletion"]["AccessKeyID"] == self.first[0], "the key that consumers used is gone"
        return world.settled(user)


class Expire(Rotate):
    """From two keys to one."""

    settings = {"KEYS__ROTATE_AFTER": "20s", "KEYS__DELETE_AFTER": "21s", "KEYS__MIN_OVERLAP": "1s"}

    def prepare(self, world, user):
        old, old_secret = self.first = owned_user(world, user)
        # Late enough that it is not due for rotation itself while the test looks.
        time.sleep(15)
        key, secret = world.account.mint(user)
        world.account.put_document(
            user,
            {
                "current": {"AccessKeyID": key, "SecretAccessKey": secret},
                "pending_deletion": {"AccessKeyID": old, "SecretAccessKey": old_secret},
            },
        )
        world.account.iam.tag_user(
            UserName=user, Tags=[{"Key": key, "Value": "current"}, {"Key": old, "Value": "pending_deletion"}]
        )
        assert world.settled(user)
        world.put(user)

    def done(self, world, user):
        account = world.account
        assert self.first[0] not in account.keys(user), "the old key is there"
        assert self.first[0] not in str(account.document(user)), "the old key is in the document"
        return world.settled(user)


class Remove(Create):
    """From a row's removal to nothing left."""

    def prepare(self, world, user):
        self.first = owned_user(world, user)
        world.account.mint(user)
        world.account.iam.put_user_policy(
            UserName=user, PolicyName="inline", PolicyDocument=INLINE_POLICY
        )
        world.account.iam.create_login_profile(UserName=user, Password="Correct-Horse-7-Battery")
        world.put(user)
        # Times are told in whole seconds: the row goes clearly after the user was made.
        time.sleep(2)

    def trigger(self, world, user):
        world.delete(user)

    def between(self, world, user):
        pass

    def done(self, world, user):
        assert world.account.calls_as(*self.first) == "InvalidClientTokenId", "a removed user's key works"
        return world.account.assert_gone(user)


def live(chapter, world, fault):
    """One life: the mutating calls that it took. `fault`: None or (k, "before" or "after")."""
    user, proxy = world.name(), world.proxy()
    daemon = world.daemon(proxy, **chapter.settings)
    chapter.prepare(world, user)
    rule = None
    if fault:
        kth, side = fault
        rule = getattr(proxy, side)(kth, daemon.kill)
    daemon.start(ready=False)
    if type(chapter).trigger is not Rotate.trigger:
        daemon.wait_ready()
        chapter.trigger(world, user)
    if rule:
        eventually(rule.fired.is_set, 60, f"call {kth} is made; so far: {[str(c) for c in proxy.since()]}")
        assert daemon.process.exit_code() == -9
        chapter.between(world, user)
        daemon.start()
    try:
        eventually(lambda: chapter.done(world, user), SETTLES, "it settles")
    except AssertionError as error:
        raise AssertionError(f"{error}; calls: {[str(c) for c in proxy.since()]}") from None
    calls = proxy.since()
    if chapter.settings.get("KEYS__DELETE_AFTER") != "21s":
        daemon.wait_sweeps(2)
        assert proxy.since() == calls, f"it is not silent: {[str(c) for c in proxy.since()[len(calls):]]}"
    assert daemon.stop() == 0
    return calls


@pytest.mark.parametrize("kind", [Create, Rotate, Expire, Remove])
def test_a_kill_at_any_call_is_survived(kind, worlds, figure):
    calls = live(kind(), worlds(), None)
    faults = [(k, side) for k in range(1, len(calls) + 1) for side in ("before", "after")]

    def outcome(fault, world):
        try:
            live(kind(), world, fault)
        except Exception:
            return f"killed {fault[1]} call {fault[0]} ({calls[fault[0] - 1]}), {world.prefix}:\n{traceback.format_exc(limit=-2)}"

    with ThreadPoolExecutor(len(faults)) as pool:
        failed = [text for text in pool.map(outcome, faults, [worlds() for _ in faults]) if text]
    told = ", ".join(map(str, calls))
    figure(f"{kind.__name__}: {len(faults)} kills, {len(faults) - len(failed)} survived; calls: {told}")
    assert not failed, f"{len(failed)} of {len(faults)}:\n" + "\n".join(failed)
