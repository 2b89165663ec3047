"""A REMOVE record: it revokes what existed then, nothing later, and it is not forgotten."""

import time

import pytest

from checkpoints import position, stored
from proxy import mutating
from streams import NEVER
from waiting import eventually

DAY = 86_400


@pytest.fixture
def shard(world, streams):
    return streams.stream(world.stream_arn()).shard()


def follow(world, streams, proxy, **settings):
    """A daemon whose sweeps delete nobody, so that only records can."""
    proxy.endpoints |= streams.endpoints
    return world.daemon(proxy, SWEEP__SCHEDULE=NEVER, ORPHANS__ACTION="report", **settings).start()


def test_a_replay_of_a_day_touches_nobody_who_came_later(world, streams, shard):
    account, proxy = world.account, world.proxy()
    stream = streams.streams[world.stream_arn()]
    users = [world.name(rest) for rest in ("kept", "rowless")]
    with streams.lock:
        for user in users:
            for hours in (23, 20, 2):
                stream.write(shard, user, "INSERT", created=time.time() - hours * 3600)
                stream.write(shard, user, "REMOVE", created=time.time() - hours * 3600 + 60)
        first = stream.write(shard, "not a name", created=time.time() - 3600)
    for user in users:
        world.put(user)
    daemon = follow(world, streams, proxy)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    eventually(lambda: position(world, shard) == first, 20, "the first reading is over")
    before = {user: (account.user(user)["UserId"], account.current(user)) for user in users}
    assert daemon.stop() == 0
    world.delete(users[1])
    # All of it again: the positions are lost.
    for id in stored(world):
        if id.startswith("checkpoint/"):
            account.ddb.delete_item(TableName=world.table + "-controller", Key={"Id": {"S": id}})
    streams.manners.new_reader()
    mark = proxy.mark()
    daemon.start()
    eventually(lambda: position(world, shard) == first, 20, "the second reading is over")
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
    assert before == {user: (account.user(user)["UserId"], account.current(user)) for user in users}
    streams.manners.check()


def test_a_removal_revokes_what_existed_then_also_when_the_row_is_back(world, streams, shard):
    account, user = world.account, world.name()
    stream = streams.streams[world.stream_arn()]
    daemon = follow(world, streams, world.proxy())
    world.put(user)
    stream.write(shard, user, "INSERT")
    eventually(lambda: world.settled(user), 20, "it is complete")
    first, key = account.user(user)["UserId"], account.current(user)
    # Times are told in whole seconds.
    time.sleep(1.1)
    with streams.lock:
        stream.write(shard, user, "REMOVE")
        stream.write(shard, user, "INSERT")
    eventually(lambda: account.calls_as(*key) == "InvalidClientTokenId", 20, "the old key is revoked")
    eventually(lambda: world.settled(user), 20, "it is complete again")
    assert account.user(user)["UserId"] != first
    assert daemon.stop() == 0


#: A refusal is tried again after moments, and the record waits for it. A change that may have happened
#: is not looked at again before IAM must show it; meanwhile the obligation is stored.
@pytest.mark.parametrize("when, answer", [("in backoff", (403, "AccessDenied")), ("parked", (500, "ServiceFailure"))])
def test_a_removal_that_fails_survives_kill_9(when, answer, world, streams, shard):
    account, user, proxy = world.account, world.name(), world.proxy()
    stream = streams.streams[world.stream_arn()]
    daemon = follow(world, streams, proxy)
    world.put(user)
    written = stream.write(shard, user, "INSERT")
    eventually(lambda: world.settled(user), 20, "it is complete")
    eventually(lambda: position(world, shard) == written, 10, "its record is passed")
    key = account.current(user)
    time.sleep(1.1)
    refused = lambda call: mutating(call) and call.user == user  # noqa: E731
    proxy.answer(1, *answer, refused, repeat=True)
    mark = proxy.mark()
    world.delete(user)
    removed = stream.write(shard, user, "REMOVE")
    if when == "parked":
        eventually(lambda: position(world, shard) == removed, 60, "the checkpoint passes the record")
        assert f"removal/{user}" in stored(world), "nothing remembers the removal"
    else:
        eventually(lambda: proxy.since(mark, refused), 20, "it has failed", every=0.01)
        # Less than the pause before the next look, and enough for a checkpoint to be written.
        time.sleep(0.2)
        assert position(world, shard) == written, "the checkpoint has passed what is not done"
    daemon.kill()
    assert account.calls_as(*key) != "InvalidClientTokenId", "the test has no removal to speak of"
    proxy.heal()
    streams.manners.new_reader()
    daemon.start()
    eventually(lambda: account.assert_gone(user), 20, "it is gone")
    assert account.calls_as(*key) == "InvalidClientTokenId"
    eventually(lambda: f"removal/{user}" not in stored(world), 10, "the removal is forgotten")
    eventually(lambda: position(world, shard) == removed, 10, "the record is passed")
    streams.manners.check()
