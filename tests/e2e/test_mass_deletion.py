"""Four fifths of the rows go by mistake, and come back: hardly anybody has noticed.

At the full size of an account, and in real time: 5,000 users, of which 4,000 lose their rows within a
minute; the rows are back five minutes later. The brake's settings are the defaults.
"""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import truths
from proxy import mutating
from readers import Readers
from removals import assert_nothing_taken
from waiting import eventually

USERS, MISTAKE = 5_000, 4_000
MAX_COUNT = 10

#: From the last row that goes to the first that is back.
RESTORED_AFTER = 300

#: The first rows go one by one, so that some users go before anybody can know what this will be.
ONE_BY_ONE, SLOWLY = 5, 0.5

#: Between the beginnings of two batches of 25 rows that go: 4,000 in less than a minute.
PACE = 0.34

#: Of boto3's threads: its clients have 32 connections.
HANDS = 16


def batches(things):
    """DynamoDB takes 25 in a batch."""
    return [things[n : n + 25] for n in range(0, len(things), 25)]


def change_rows(world, users, request, pace=0.0):
    begin = time.monotonic()
    for number, batch in enumerate(batches(users)):
        time.sleep(max(0, begin + number * pace - time.monotonic()))
        answer = world.account.ddb.batch_write_item(RequestItems={world.table: [request(user) for user in batch]})
        assert not answer["UnprocessedItems"]
    return time.monotonic() - begin


def put_rows(world, users):
    return change_rows(world, users, lambda user: {"PutRequest": {"Item": {"UserName": {"S": user}}}})


def delete_rows(world, users):
    return change_rows(world, users, lambda user: {"DeleteRequest": {"Key": {"UserName": {"S": user}}}}, pace=PACE)


def of_each(users, ask):
    """User -> what `ask(user)` says."""
    with ThreadPoolExecutor(HANDS) as hands:
        return dict(zip(users, hands.map(ask, users), strict=True))


def make_owned(world, users):
    """Users as the controller leaves them, and their rows: user -> (id, secret) of its key."""
    keys = of_each(users, lambda user: world.account.owned_user(user, world.boundary, world.table))
    put_rows(world, users)
    return keys


def everybody(world):
    """Name -> UserId of all users of this world."""
    pages = world.account.iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1_000})
    return {user["UserName"]: user["UserId"] for page in pages for user in page["Users"] if user["UserName"].startswith(world.prefix)}


def use_keys_until(world, deadline, users):
    """Reads and uses the published keys of these users, in a random order, while there is time: how many."""
    used = 0
    for user in random.sample(users, len(users)):
        if time.monotonic() > deadline:
            break
        answer = world.account.calls_as(*world.account.current(user))
        assert answer.endswith(f":user/{user}"), f"{user}: its key is answered {answer}"
        used += 1
    return used


def wait_a_sweep(daemon):
    """A sweep that began after this call."""
    daemon.wait_sweeps(2, within=60)


@pytest.mark.timing
def test_four_thousand_of_five_thousand_rows_deleted_by_mistake_and_restored_cost_ten_users_at_most(lonely, figure):
    world, account = lonely, lonely.account
    users = [world.name(f"user-{n:04}") for n in range(USERS)]
    proxy = world.proxy("iam", "ssm")
    truths.show_boundaries(proxy, account)
    begin = time.monotonic()
    keys = make_owned(world, users)
    made = time.monotonic() - begin
    before = everybody(world)
    versions = of_each(users, lambda user: account.raw_parameter(user)["Version"])
    assert set(before) == set(users)

    begin = time.monotonic()
    daemon = world.daemon(
        proxy, SWEEP__SCHEDULE="*/10 * * * * *", SWEEP__FULL_EVERY="1h", LEASE__TTL="15s", LOG__LEVEL="info"
    ).start(ready=False)
    daemon.wait_ready(within=120)
    eventually(lambda: daemon.metric("users", state="ready") == USERS, 60, "everybody is known", every=0.5)
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 60, "the rows' records have been read", every=0.5)
    known = time.monotonic() - begin
    wait_a_sweep(daemon)
    looked_at = daemon.status()["last_sweep"]["looked_at"]
    assert looked_at < USERS / 100, f"a quiet sweep looked at {looked_at}"
    assert not proxy.since(), "users as the controller leaves them were changed"

    # Times are told in whole seconds: the rows go clearly after the users were made.
    time.sleep(2)
    begin, mistake, mark = time.monotonic(), users[:MISTAKE], proxy.mark()
    with Readers(account, threads=2) as readers:
        for user in [*mistake[::200], *users[MISTAKE::200]]:
            readers.follow(user)
        for user in mistake[:ONE_BY_ONE]:
            world.delete(user)
            time.sleep(SLOWLY)
        delete_rows(world, mistake[ONE_BY_ONE:])
        deleted_in = time.monotonic() - begin
        restore_at = time.monotonic() + RESTORED_AFTER
        assert daemon.metric("deletions_held"), "a minute of it, and nothing is held"
        eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 30, "all that was removed has been read", every=0.5)
        judged = time.monotonic() - begin
        wait_a_sweep(daemon)
        alive, held = everybody(world), daemon.metric("deletions_held")
        died = set(before) - set(alive)
        assert len(died) <= MAX_COUNT, f"{len(died)} users were deleted"
        assert held == MISTAKE - len(died)
        holds = daemon.status()["deletions"]["holds"]
        assert [hold["cause"] for hold in holds] == ["budget"], holds

        code, out, err = daemon.run("deletions", "status")
        told = {line.strip() for line in out.splitlines() if line.startswith("  ")}
        assert code == 0 and told == set(mistake) - died, (len(told), err)
        said = [json.loads(line) for line in daemon.text().splitlines() if '"deletions are held' in line]
        assert said and all(line["level"] == "ERROR" for line in said), said
        assert all(len(line["names"].split()) + line["unnamed"] == line["held"] for line in said), said

        # Meanwhile everything else goes on.
        new = world.name("new")
        world.put(new)
        eventually(lambda: world.settled(new), 60, "a new user is made while deletions are held")
        used = use_keys_until(world, restore_at, [user for user in mistake if user in alive])
        daemon.wait_sweeps(1, within=60)
        time.sleep(max(0, restore_at - time.monotonic()))
        assert set(everybody(world)) == {*alive, new} and daemon.metric("deletions_held") == held

        # Sweeps come while the looks at those who are back are still under way.
        begin = time.monotonic()
        put_rows(world, mistake)
        eventually(lambda: daemon.metric("users", state="ready") == USERS + 1, 120, "all are ready", every=0.5)
        eventually(lambda: daemon.metric("deletions_held") == 0, 60, "nobody is held any more", every=0.2)
        ready = time.monotonic() - begin
        wait_a_sweep(daemon)
        resumed = proxy.mark()
        code, out, err = daemon.run("deletions", "resume")
        assert code == 0 and "Nothing was held" in out, (out, err)
        wait_a_sweep(daemon)
        assert not proxy.since(resumed), "something happened after the resumption"

        wrong = {user: found for user, found in readers.wrong.items() if user not in died}
        assert not wrong, wrong
        looks = readers.looks
    # Nobody else was touched, not even for a moment, and everybody has the key from before.
    changed = {call.user or call.parameters["Name"] for call in proxy.since(mark)}
    expected = {name for user in {*died, new} for name in (user, world.parameter_name(user))}
    assert changed <= expected, f"changed: {sorted(changed - expected)[:5]}"
    deletions = proxy.since(mark, lambda call: mutating(call) and call.action == "DeleteUser")
    assert len(deletions) == len(died)
    after = everybody(world)
    assert set(after) == {*users, new}
    assert {user: after[user] for user in alive} == alive
    assert all(after[user] != before[user] for user in died)
    kept = [user for user in users if user in alive]
    assert of_each(kept, account.current) == {user: keys[user] for user in kept}
    assert of_each(kept, lambda user: account.raw_parameter(user)["Version"]) == {user: versions[user] for user in kept}
    for user in [*died, *kept[::100]]:
        assert world.settled(user)
    figure(
        f"{USERS} users made in {made:.0f} s and known in {known:.0f} s; {MISTAKE} rows deleted in {deleted_in:.0f} s, "
        f"judged after {judged:.0f} s: {len(died)} deleted (max_count {MAX_COUNT}), {int(held)} held for {RESTORED_AFTER} s with "
        f"their keys ({used} of them used, {looks} looks of readers at all times); all ready {ready:.0f} s after the rows' return; "
        "nothing happened after resume"
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
