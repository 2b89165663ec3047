"""SIGTERM in the middle of reading: the end comes soon, and with it the checkpoints."""

import time

import pytest

from checkpoints import finished, position
from proxy import Proxy
from streams import NEVER
from waiting import eventually


@pytest.fixture
def stream(world, streams):
    return streams.stream(world.stream_arn())


def stop(daemon):
    """SIGTERM: how long the end took."""
    begin = time.monotonic()
    assert daemon.stop(within=20) == 0
    return time.monotonic() - begin


def test_during_a_batch_what_is_done_is_stored_and_the_rest_is_done_later(world, streams, stream, figure):
    proxy = world.proxy()
    proxy.endpoints |= streams.endpoints
    shard = stream.shard()
    users = [world.name(f"user-{n:02}") for n in range(40)]
    daemon = world.daemon(proxy, SWEEP__SCHEDULE=NEVER, EXECUTOR__CONCURRENCY=2).start()
    proxy.delay(1, 0.02, lambda call: call.action == "CreateUser", repeat=True)
    for user in users:
        world.put(user)
    with streams.lock:
        sequences = [stream.write(shard, user, "INSERT") for user in users]
    eventually(lambda: world.account.raw_parameter(users[7]), 20, "some are done")
    took = stop(daemon)
    done = [n for n, user in enumerate(users) if world.account.user(user)]
    assert 7 in done and len(done) < len(users), f"stopped not in the middle: {len(done)}"
    for n in done:
        assert world.settled(users[n]), "a user was left half done"
    low = next(n for n in range(len(users)) if n not in done)
    assert position(world, shard) == sequences[low - 1], "the checkpoint is not where the work ended"
    figure(f"SIGTERM during a batch: {len(done)} of {len(users)} users done, end after {took * 1000:.0f} ms")
    proxy.heal()
    daemon.settings(IUC_EXECUTOR__CONCURRENCY="16")
    streams.manners.new_reader(finished(world))
    daemon.start()
    for user in users:
        eventually(lambda: world.settled(user), 30, f"{user} is complete")
    minted = [call.user for call in proxy.since(matches=lambda call: call.action == "CreateAccessKey")]
    assert sorted(minted) == users, "a key was minted twice"
    eventually(lambda: position(world, shard) == sequences[-1], 10, "the checkpoint follows")
    streams.manners.check()


@pytest.mark.parametrize("action", ["GetRecords", "DescribeStream", "GetShardIterator"])
def test_at_a_shards_end_and_while_its_child_is_looked_for(action, world, streams, stream, figure):
    """The call under way has no answer yet when the signal comes."""
    between = Proxy(streams.endpoints)
    shard, user = stream.shard(), world.name()
    daemon = world.daemon(between, SWEEP__SCHEDULE=NEVER).start()
    try:
        world.put(user)
        sequence = stream.write(shard, user, "INSERT")
        eventually(lambda: world.settled(user), 20, "the first user is complete")
        other = world.name("other")
        world.put(other)
        held = between.delay(1, 4, lambda call: call.action == action)
        with streams.lock:
            shard.ends_with_records = True
            child = stream.shard(shard)
            last = stream.write(child, other, "INSERT")
        eventually(lambda: held.call, 10, f"{action} is under way", every=0.01)
        took = stop(daemon)
        assert not held.fired.is_set(), "the call had its answer before the end"
        assert took < 3
        figure(f"SIGTERM while {action} is under way: end after {took * 1000:.0f} ms")
        assert position(world, shard) == sequence, "the checkpoint is not stored"
        assert world.account.user(other) is None
        streams.manners.new_reader(finished(world))
        daemon.start()
        eventually(lambda: world.settled(other), 20, "the child's record is handled")
        eventually(lambda: position(world, child) == last, 10, "the child's checkpoint is stored")
        streams.manners.check()
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        between.stop()


def test_before_the_stream_is_open(world, streams, stream):
    stream.shard()
    streams.break_calls(1.0)
    daemon = world.daemon(streams, SWEEP__SCHEDULE=NEVER).start(ready=False)
    eventually(lambda: len(streams.asked("DescribeStream")) > 2, 10, "it tries to open the stream")
    assert daemon.get("/readyz")[0] == 503
    assert stop(daemon) < 3
