"""Four fifths of the rows go by mistake, and come back: hardly anybody has noticed.

The bar is 5,000 users, of which 4,000 lose their rows within a minute; this is a tenth of it, at the
same pace, which emulators create in a time that a test may take. The brake's settings are the defaults.
"""

import time

from removals import assert_nothing_taken
from waiting import eventually

USERS, MISTAKE = 500, 400
MAX_COUNT = 10

#: Between two batches of 25 rows that go: 4,000 in a minute.
PACE = 25 / (4_000 / 60)


def batches(things):
    """DynamoDB takes 25 in a batch."""
    return [things[n : n + 25] for n in range(0, len(things), 25)]


def change_rows(world, users, request, pause=0.0):
    for batch in batches(users):
        time.sleep(pause)
        answer = world.account.ddb.batch_write_item(RequestItems={world.table: [request(user) for user in batch]})
        assert not answer["UnprocessedItems"]


def put_rows(world, users):
    change_rows(world, users, lambda user: {"PutRequest": {"Item": {"UserName": {"S": user}}}})


def delete_rows(world, users):
    change_rows(world, users, lambda user: {"DeleteRequest": {"Key": {"UserName": {"S": user}}}}, pause=PACE)


def parameters(world):
    """Name of every parameter -> its version."""
    found = {}
    for page in world.account.ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 50}):
        mine = (one for one in page["Parameters"] if one["Name"].startswith(f"/iam_users/{world.prefix}"))
        found.update({one["Name"]: one["Version"] for one in mine})
    return found


def everybody(world):
    """Name -> UserId of all users of this world."""
    pages = world.account.iam.get_paginator("list_users").paginate()
    return {user["UserName"]: user["UserId"] for page in pages for user in page["Users"] if user["UserName"].startswith(world.prefix)}


def wait_a_sweep(daemon):
    """A sweep that began after this call."""
    daemon.wait_sweeps(2, within=60)


def test_four_fifths_of_the_rows_deleted_by_mistake_and_restored_cost_ten_users_at_most(world, figure):
    users = [world.name(f"user-{n:03}") for n in range(USERS)]
    daemon = world.daemon(
        SWEEP__SCHEDULE="*/3 * * * * *", SWEEP__FULL_EVERY="1h", LEASE__TTL="15s", LOG__LEVEL="info"
    ).start()
    begin = time.monotonic()
    put_rows(world, users)
    eventually(lambda: daemon.metric("users", state="ready") == USERS, 180, "all users are made", every=0.5)
    made = time.monotonic() - begin
    before, versions = everybody(world), parameters(world)
    assert set(before) == set(users) and len(versions) == USERS

    # Times are told in whole seconds: the rows go clearly after the users were made.
    time.sleep(2)
    begin, mistake = time.monotonic(), users[:MISTAKE]
    delete_rows(world, mistake)
    deleted = time.monotonic() - begin
    eventually(lambda: daemon.metric("deletions_held"), 60, "deletions are held", every=0.2)
    held_after = time.monotonic() - begin
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 60, "all that was removed has been read", every=0.2)
    wait_a_sweep(daemon)
    alive, held = everybody(world), daemon.metric("deletions_held")
    died = set(before) - set(alive)
    assert len(died) <= MAX_COUNT, f"{len(died)} users were deleted"
    assert held == MISTAKE - len(died)
    holds = daemon.status()["deletions"]["holds"]
    assert [hold["cause"] for hold in holds] == ["budget"], holds
    assert all(alive[user] == before[user] for user in alive), "somebody is another user now"
    kept = {name: version for name, version in versions.items() if name in set(map(world.parameter_name, alive))}
    assert parameters(world) == kept, "somebody's parameter was touched"
    for user in [*(u for u in mistake if u in alive)][:: MISTAKE // 20]:
        assert world.settled(user)

    # Sweeps come while the looks at those who are back are still under way.
    put_rows(world, mistake)
    eventually(lambda: daemon.metric("users", state="ready") == USERS, 120, "all are ready", every=0.5)
    eventually(lambda: daemon.metric("deletions_held") == 0, 60, "nobody is held any more", every=0.2)
    wait_a_sweep(daemon)
    code, out, err = daemon.run("deletions", "resume")
    assert code == 0 and "Nothing was held" in out, (out, err)
    wait_a_sweep(daemon)
    after = everybody(world)
    assert set(after) == set(users)
    replaced = [user for user in alive if after[user] != alive[user]]
    assert not replaced, f"{len(replaced)} who were held are other users now: {replaced[:3]}"
    again = parameters(world)
    assert {name: again[name] for name in kept} == kept, "somebody's parameter was touched"
    figure(
        f"{USERS} users made in {made:.0f} s; {MISTAKE} rows deleted in {deleted:.1f} s: held after {held_after:.1f} s, "
        f"{len(died)} deleted (max_count {MAX_COUNT}), {int(held)} kept their keys; nothing happened after resume"
    )


def test_a_sweep_between_the_rows_return_and_the_looks_at_them_costs_nobody(world):
    """The sweep sees all rows back at once; the users are looked at one by one, some of them later."""
    proxy, users = world.proxy(), [world.name(f"user-{n:02}") for n in range(24)]
    daemon = world.daemon(proxy, SWEEP__FULL_EVERY="1h", EXECUTOR__CONCURRENCY="2").start()
    put_rows(world, users)
    eventually(lambda: daemon.metric("users", state="ready") == len(users), 60, "all users are made", every=0.2)
    before, mistake = everybody(world), users[:20]
    time.sleep(2)
    delete_rows(world, mistake)
    eventually(lambda: daemon.metric("deletions_held") == len(mistake), 60, "all of them are held", every=0.1)
    daemon.wait_sweeps(2)
    mark = proxy.mark()
    # Each look begins with a read of the row.
    reads = lambda call: call.action == "GetItem" and call.parameters["TableName"] == world.table  # noqa: E731
    proxy.delay(1, 0.3, reads, repeat=True)
    put_rows(world, mistake)
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 60, "every record is handled")
    eventually(lambda: daemon.metric("deletions_held") == 0, 60, "nobody is held any more")
    daemon.wait_sweeps(3)
    looks = proxy.since(mark, reads)
    assert len(looks) >= len(mistake), "they were not all looked at"
    sweeps = proxy.since(mark, lambda call: call.action == "GetAccountAuthorizationDetails")
    assert any(looks[0].at < sweep.at < looks[-1].at for sweep in sweeps), "no sweep came in between"
    assert_nothing_taken(proxy, mark)
    assert everybody(world) == before
