"""Every way to be wrong about the table: nobody who has a row is deleted, and the reason is shown.

All of it with the most eager settings that there are: a single sweep is enough, and a user of one
second is old enough. An orphan is there each time, so that it shows that nobody at all is deleted
while the evidence is not complete, and that deletions go on when it is.
"""

import pytest

import lies
from removals import assert_nothing_taken
from waiting import eventually


def reading(world, action, *, page=None):
    """Reads of the users table; `page`: whether they ask for a further page."""
    return lambda call: (
        call.action == action
        and call.parameters.get("TableName") == world.table
        and page in (None, "ExclusiveStartKey" in call.parameters)
    )


def listing(page=None):
    """Lists of the account; `page`: the marker that they ask with."""
    return lambda call: call.action == "GetAccountAuthorizationDetails" and page in (None, call.parameters.get("Marker", ""))


def throttled(action):
    code = "ProvisionedThroughputExceededException"
    return lambda world, proxy: proxy.answer(1, 400, code, reading(world, action), repeat=True)


def half_a_scan(world, proxy):
    proxy.rewrite(1, lies.first_half, reading(world, "Scan", page=False), repeat=True)
    proxy.answer(1, 400, "InternalServerError", reading(world, "Scan", page=True), repeat=True)


def an_empty_scan(world, proxy):
    proxy.rewrite(1, lies.items(lambda _: []), reading(world, "Scan"), repeat=True)


def three_pages(world, proxy):
    proxy.rewrite(1, lies.page_of_users(0, of=3), listing(""), repeat=True)
    proxy.rewrite(1, lies.page_of_users(1, of=3), listing("page-1"), repeat=True)
    proxy.answer(1, 403, "AccessDenied", listing("page-2"), repeat=True)


def no_parameter_store(world, proxy):
    proxy.before(1, None, lambda call: call.service == "ssm", repeat=True)


def no_kms(world, proxy):
    proxy.answer(1, 400, "AccessDeniedException", lambda call: call.service == "ssm", repeat=True)


def sweep_failure(*words):
    """Shown by /status and by a line of the log."""

    def shown(daemon, _):
        said = daemon.status()["sweep_failure"] or ""
        return all(word in said for word in words) and "a sweep failed; it deleted nobody" in daemon.text()

    return shown


def hold(cause):
    """Shown by /status and by the metric, also while nobody is due yet."""
    return lambda daemon, _: cause in str(daemon.status()["deletions"]["holds"]) and daemon.metric("deletions_held") >= 1


def failing_user(*words):
    """Shown by /users, by the metric, and by a line of the log."""

    def shown(daemon, user):
        about = daemon.user(user)
        told = about.get("state") == "failed" and all(word in about["reason"] for word in words)
        return told and daemon.metric("users", state="failed") and "a look failed" in daemon.text()

    return shown


#: Way to be wrong -> how it comes about, how its reason is shown.
WAYS = {
    "throttled scan": (throttled("Scan"), sweep_failure("dynamodb:Scan", "throttled")),
    "throttled re-read": (throttled("GetItem"), sweep_failure("dynamodb:GetItem", "throttled")),
    "half a scan": (half_a_scan, sweep_failure("dynamodb:Scan")),
    "empty scan": (an_empty_scan, hold("empty_table")),
    "third page of IAM's list": (three_pages, sweep_failure("iam:GetAccountAuthorizationDetails", "denied")),
    "SSM down": (no_parameter_store, failing_user("ssm:GetParameter")),
    "KMS denied": (no_kms, failing_user("ssm:GetParameter", "denied")),
}


@pytest.mark.parametrize("way", WAYS)
def test_without_complete_evidence_nobody_is_deleted(way, world):
    begin, shown = WAYS[way]
    account, proxy = world.account, world.proxy()
    users, orphan = [world.name(f"user-{n}") for n in range(4)], world.name("orphan")
    daemon = world.daemon(proxy, ORPHANS__SWEEPS="1", ORPHANS__MIN_AGE="1s").start()
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    begin(world, proxy)
    mark = proxy.mark()
    account.owned_user(orphan, world.boundary, world.table)
    eventually(lambda: shown(daemon, users[0]), 30, f"the reason is shown: {daemon.status()}")
    eventually(lambda: len(proxy.since(mark, listing())) >= 4, 30, "further sweeps are tried")
    assert_nothing_taken(proxy, mark)
    assert not proxy.since(mark), f"changed: {list(map(str, proxy.since(mark)))}"
    assert account.user(orphan) and all(world.settled(user) for user in users)
    assert daemon.get("/healthz")[0] == 200, "no reason for a restart"

    proxy.heal()
    eventually(lambda: account.assert_gone(orphan), 60, "the orphan goes, now that the evidence is complete")
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is as before")
        daemon.wait_state(user, "ready", within=60)
    eventually(lambda: daemon.status()["sweep_failure"] is None, 20, "no failure is shown any more")
    eventually(lambda: not daemon.status()["deletions"]["holds"], 20, "no hold is shown any more")


def test_what_a_scan_misses_is_read_again_before_anybody_is_deleted(world):
    """Rows that were written while the scan ran may be missing in it."""
    account, proxy = world.account, world.proxy()
    users, orphan = [world.name(f"user-{n}") for n in range(4)], world.name("orphan")
    daemon = world.daemon(proxy, ORPHANS__SWEEPS="1", ORPHANS__MIN_AGE="1s").start()
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    missed = set(users[:2])
    rewritten = lies.items(lambda rows: [row for row in rows if row["UserName"]["S"] not in missed])
    proxy.rewrite(1, rewritten, reading(world, "Scan"), repeat=True)
    mark = proxy.mark()
    eventually(lambda: daemon.metric("orphans") == 2, 20, "the metric shows what the scans missed")

    def read_again():
        return {call.parameters["Key"]["UserName"]["S"] for call in proxy.since(mark, reading(world, "GetItem"))}

    eventually(lambda: missed <= read_again(), 20, "they are old enough to be deleted, and so are read again")
    daemon.wait_sweeps(3)
    assert_nothing_taken(proxy, mark)
    assert all(world.settled(user) for user in users)

    # Of three orphans of the same scan, only the one goes that has no row.
    account.owned_user(orphan, world.boundary, world.table)
    eventually(lambda: account.assert_gone(orphan), 30, "the real orphan goes")
    daemon.wait_sweeps(2)
    assert all(world.settled(user) for user in users)
