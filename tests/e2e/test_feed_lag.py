"""The lag is true, the health tells a stuck reader, checkpoints are few, and a burst is no storm."""

import time
from collections import Counter, defaultdict

import pytest

from checkpoints import position
from proxy import Proxy
from streams import NEVER
from waiting import always, eventually

SETTINGS = {"SWEEP__SCHEDULE": NEVER}


@pytest.fixture
def stream(world, streams):
    return streams.stream(world.stream_arn())


def lag(daemon):
    return daemon.metric("stream_lag_seconds")


def test_the_lag_is_zero_when_caught_up_and_rises_with_what_is_not_handled(world, streams, stream):
    proxy, user = world.proxy(), world.name()
    proxy.endpoints |= streams.endpoints
    shard = stream.shard()
    old = stream.write(shard, "not a name", created=time.time() - 5 * 3600)
    daemon = world.daemon(proxy, **SETTINGS).start()
    eventually(lambda: position(world, shard) == old, 10, "the only record, hours old, is handled")
    eventually(lambda: lag(daemon) == 0, 10, "it is caught up")
    always(lambda: lag(daemon) == 0, 3, "no lag while idle")
    # A user that cannot be made yet: its record is not handled.
    proxy.answer(1, 500, "ServiceFailure", lambda call: call.action == "CreateUser", repeat=True)
    world.put(user)
    begin = time.time()
    stream.write(shard, user, "INSERT")
    stream.write(shard, "another that is not a name")
    for seconds in (2, 4):
        eventually(lambda: lag(daemon) >= seconds, seconds + 2, "the lag rises")
        assert lag(daemon) <= time.time() - begin + 1.5
    assert position(world, shard) == old
    proxy.heal()
    eventually(lambda: world.settled(user), 20, "the user is complete")
    eventually(lambda: lag(daemon) == 0, 5, "it is caught up again")
    streams.manners.check()


def test_one_shard_that_cannot_be_read_lags_is_told_after_a_minute_and_recovers(world, streams, stream, figure):
    stuck, idle = stream.shard(), stream.shard()
    daemon = world.daemon(streams, **SETTINGS).start()
    eventually(lambda: lag(daemon) == 0 and streams.asked("GetRecords", idle, "ok"), 10, "it reads")
    begin = time.monotonic()
    streams.break_calls(1.0, shard=stuck)
    eventually(lambda: lag(daemon) > 8, 20, "the lag rises")
    assert daemon.get("/healthz")[0] == 200, "a few failing calls are no reason to restart it"
    since = lambda: time.monotonic() - begin  # noqa: E731
    eventually(lambda: daemon.get("/healthz")[0] == 503, 80 - since(), "it is told to be stuck", every=0.2)
    told = since()
    assert told >= 59, f"told after {told:.0f} s already"
    assert lag(daemon) >= 55
    answer = daemon.get("/healthz")[1]
    assert stuck.id in answer and idle.id not in answer, answer
    assert daemon.run("health")[0] == 1
    streams.break_calls(0)
    name = "not a name, written into the silence"
    stream.write(stuck, name)
    eventually(lambda: daemon.get("/healthz")[0] == 200, 20, "it recovers")
    eventually(lambda: daemon.user(name), 20, "it reads on")
    eventually(lambda: lag(daemon) == 0, 5, "it is caught up")
    figure(f"stuck: /healthz 503 after {told:.1f} s, 200 again {since() - told:.1f} s later")
    assert daemon.metric("stream_gaps_total") == 0
    streams.manners.check()


def test_a_checkpoint_is_written_at_most_once_a_second(world, streams, stream, figure):
    table = Proxy({"dynamodb": world.account.endpoints["dynamodb"]})
    table.endpoints |= streams.endpoints
    shards = [stream.shard(), stream.shard()]
    daemon = world.daemon(table, **SETTINGS).start()
    try:
        end = time.monotonic() + 8
        written = 0
        while time.monotonic() < end:
            for shard in shards:
                last = stream.write(shard, f"not a name {written}")
                written += 1
            time.sleep(0.02)
        eventually(lambda: position(world, shards[1]) == last, 10, "the last checkpoint is written")
        writes = defaultdict(list)
        for call in table.since(matches=lambda call: call.action == "PutItem"):
            id = call.parameters["Item"]["Id"]["S"]
            if id.startswith("checkpoint/") and "/shardId-" in id:
                writes[id.rsplit("/", 1)[1]].append(call.at)
        figure(f"{written} records in 8 s: {[len(writes[shard.id]) for shard in shards]} checkpoints of 2 shards")
        for shard in shards:
            moments = writes[shard.id]
            assert 6 <= len(moments) <= 14, f"{len(moments)} checkpoints in some 10 s"
            closest = min(later - earlier for earlier, later in zip(moments, moments[1:]))
            assert closest > 0.8, f"two checkpoints {closest:.3f} s apart"
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        table.stop()


def resident(daemon):
    """Memory of the process in MB."""
    with open(f"/proc/{daemon.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def test_ten_thousand_records_in_one_burst(world, streams, stream, figure):
    table = Proxy({"dynamodb": world.account.endpoints["dynamodb"]})
    table.endpoints |= streams.endpoints
    users = [world.name(f"user-{n:03}") for n in range(500)]
    shard = stream.shard()
    daemon = world.daemon(table, LEASE__TTL="15s", LOG__LEVEL="info", **SETTINGS).start()

    def burst():
        """Looks per user, the time it took, and the memory after it."""
        mark, begin = table.mark(), time.monotonic()
        with streams.lock:
            for number in range(10_000):
                last = stream.write(shard, users[number * 7 % 500], "MODIFY")
        eventually(lambda: lag(daemon) > 0, 10, "the burst is seen")
        eventually(lambda: position(world, shard) == last, 120, "every record is handled", every=0.2)
        took = time.monotonic() - begin
        eventually(lambda: lag(daemon) == 0, 10, "it is caught up")
        reads = table.since(mark, lambda call: call.action == "GetItem" and "UserName" in call.parameters["Key"])
        return Counter(call.parameters["Key"]["UserName"]["S"] for call in reads), took, resident(daemon)

    try:
        for user in users:
            world.put(user)
        before = resident(daemon)
        bursts = [burst() for _ in range(3)]
        for looks, took, memory in bursts:
            figure(
                f"10,000 records, 500 users: {sum(looks.values())} looks, at most {max(looks.values())} a user, "
                f"{took:.1f} s; {memory:.1f} MB"
            )
            assert set(looks) == set(users)
            assert sum(looks.values()) <= 2 * len(users), looks.most_common(3)
            # The records of each user lie in all ten pages of the burst.
            assert max(looks.values()) <= 3, looks.most_common(3)
        assert max(bursts[0][0].values()) <= 2, "the users that the first burst has made were looked at again and again"
        first, second, third = (memory for _, _, memory in bursts)
        figure(f"resident memory: {before:.1f} MB before, {first:.1f}, {second:.1f} and {third:.1f} MB after bursts")
        assert third < first + 8, "memory grows with every burst"
        assert third < before + 60
        for user in users[::50]:
            assert world.settled(user)
        streams.manners.check()
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        table.stop()
