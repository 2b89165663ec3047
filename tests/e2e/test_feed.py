"""Following a stream whose shards split, hide, end and fail: nothing is missed, and the manners hold."""

import random
import re
import statistics
import threading
import time

import pytest

from checkpoints import finished, position
from streams import NEVER
from waiting import eventually

FAILING = 1 / 3
IN_A_ROW = 5


class Tale:
    """A tree of shards that grows, and what was written into it.

    Most records are of names that IAM does not accept: handling one costs no call, and the log tells of
    it. The others are of users with rows.
    """

    def __init__(self, world, stream, seed=0):
        self.world, self.stream, self.random = world, stream, random.Random(seed)
        #: Open shards, each with the users whose records it gets.
        self.open = {}
        self.names, self.users = set(), []

    def root(self):
        shard = self.stream.shard()
        self.open[shard] = []
        return shard

    def add_user(self, shard):
        user = self.world.name(f"user-{len(self.users)}")
        self.users.append(user)
        self.open[shard].append(user)
        self.world.put(user)
        self.stream.write(shard, user, "INSERT")

    def write(self, shard, count):
        for _ in range(count):
            if self.open[shard] and self.random.random() < 0.2:
                self.stream.write(shard, self.random.choice(self.open[shard]))
            else:
                name = f"not a name {len(self.names)}"
                self.names.add(name)
                self.stream.write(shard, name)

    def split(self, shard, into=1, hidden=0.0):
        """The shard ends; others go on. Its users are divided among them."""
        users = self.open.pop(shard)
        shard.ends_with_records = self.random.random() < 0.5
        children = [self.stream.shard(shard, self.random.random() * hidden) for _ in range(into)]
        for child in children:
            self.open[child] = []
        for user in users:
            self.open[self.random.choice(children)].append(user)
        return children

    def remove_user(self, user):
        shard = next(shard for shard, users in self.open.items() if user in users)
        self.users.remove(user)
        self.world.delete(user)
        self.stream.write(shard, user, "REMOVE")

    def known(self, daemon):
        """How many of the written names have come through."""
        return len(self.names & set(re.findall(r'"user":"(not a name \d+)"', daemon.text())))

    def told(self, daemon):
        """For `eventually`: every record is handled."""
        assert self.known(daemon) == len(self.names), f"{self.known(daemon)} of {len(self.names)} names"
        return True

    def caught_up(self, daemon):
        """For `eventually`, when no calls fail: nothing is behind."""
        assert daemon.metric("stream_open_shards") == len(self.open)
        return daemon.metric("stream_lag_seconds") == 0


@pytest.mark.parametrize("seed, children", list(enumerate(["known", "unknown", "overlooked", "known"])))
def test_every_change_in_a_tree_that_splits_is_handled(seed, children, world, streams, figure):
    stream = streams.stream(world.stream_arn(), shards_per_page=7)
    stream.filter = children
    tale = Tale(world, stream, seed)
    streams.page_size, streams.empty_share = (1, 2, 5, 1_000)[seed], 0.2

    def grow(shards):
        while len(stream.shards) < shards:
            shard = tale.random.choice(list(tale.open))
            tale.write(shard, tale.random.randrange(4))
            if tale.random.random() < 0.4:
                tale.split(shard, tale.random.choice([1, 1, 2]), hidden=1.5)
            yield

    for _ in range(3):
        shard = tale.root()
        tale.add_user(shard)
        tale.add_user(shard)
    list(grow(8))
    streams.break_calls(FAILING, seed, in_a_row=IN_A_ROW)
    daemon = world.daemon(streams, SWEEP__SCHEDULE=NEVER).start(ready=False)
    begin = time.monotonic()
    daemon.wait_ready(60)
    for _ in grow(20):
        time.sleep(0.05)
    for user in tale.users:
        eventually(lambda: world.settled(user), 60, f"{user} is complete")
    # Times are told in whole seconds: rows go clearly after their users were made.
    time.sleep(1.1)
    gone = tale.users[:2]
    for user in gone:
        tale.remove_user(user)
    for shard in list(tale.open):
        tale.split(shard, hidden=1.0)
    eventually(lambda: tale.told(daemon), 90, "every change is handled", every=0.25)
    for user in gone:
        eventually(lambda: world.account.assert_gone(user), 20, f"{user} is gone")
    for user in tale.users:
        assert world.settled(user)
    took = time.monotonic() - begin
    broken = sum(call.outcome != "ok" for call in streams.calls) / len(streams.calls)
    figure(f"tree {seed}: {len(stream.shards)} shards, {took:.1f} s, {broken:.0%} of {len(streams.calls)} calls failed")
    streams.break_calls(0)
    eventually(lambda: tale.caught_up(daemon), 30, "the feed is caught up")
    assert daemon.metric("stream_gaps_total") == 0, re.findall(".*missing from the stream.*", daemon.text())
    streams.manners.check()
    assert daemon.stop() == 0


def test_seven_hundred_shards_with_a_third_of_all_calls_failing(world, streams, figure):
    stream = streams.stream(world.stream_arn())
    tale = Tale(world, stream)
    for line in range(100):
        shard = tale.root()
        if line < 10:
            tale.add_user(shard)
        for _ in range(6):
            tale.write(shard, 2)
            [shard] = tale.split(shard)
        tale.write(shard, 2)
    assert len(stream.shards) == 700
    streams.break_calls(FAILING, in_a_row=IN_A_ROW)
    daemon = world.daemon(streams, SWEEP__SCHEDULE=NEVER).start(ready=False)
    begin = time.monotonic()
    daemon.wait_ready(90)
    opened = time.monotonic() - begin
    known, since, longest = 0, time.monotonic(), 0.0
    while known < len(tale.names):
        time.sleep(0.5)
        now, before = time.monotonic(), known
        known = tale.known(daemon)
        longest = max(longest, now - since)
        if known > before:
            since = now
        # Between two pages of a shard the reader waits for up to 3 s.
        assert now - since < 25, f"no progress for 25 s at {known} of {len(tale.names)}"
        assert now - begin < 150, f"{known} of {len(tale.names)} after 150 s"
    took = time.monotonic() - begin
    streams.break_calls(0)
    eventually(lambda: tale.caught_up(daemon), 30, "the feed is caught up")
    for user in tale.users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    figure(
        f"700 shards, a third of {len(streams.calls)} calls failing: open after {opened:.1f} s, "
        f"read after {took:.1f} s; longest without progress {longest:.1f} s"
    )
    streams.manners.check()
    assert daemon.stop() == 0


@pytest.mark.parametrize("token", ["empty", "repeated"])
def test_a_listing_that_ends_strangely_is_a_listing(token, world, streams):
    """Three pages; the last one has a token that leads nowhere."""
    stream = streams.stream(world.stream_arn(), shards_per_page=2)
    stream.filter, stream.last_token = "unknown", token
    tale = Tale(world, stream)
    for _ in range(5):
        tale.write(tale.root(), 1)
    daemon = world.daemon(streams, SWEEP__SCHEDULE=NEVER).start()
    eventually(lambda: tale.told(daemon), 20, "every shard is read")
    for shard in list(tale.open):
        [child] = tale.split(shard)
        tale.write(child, 1)
    eventually(lambda: tale.told(daemon), 20, "every child is read")
    assert daemon.metric("stream_gaps_total") == 0
    assert len(streams.asked("DescribeStream")) < 40, "it never gets to the end of the list"
    streams.manners.check()
    assert daemon.stop() == 0


def test_records_done_around_one_in_flight_have_no_second_effect_after_kill_9(world, streams):
    stream = streams.stream(world.stream_arn())
    shard = stream.shard()
    proxy = world.proxy()
    proxy.endpoints |= streams.endpoints
    users = [world.name(f"user-{n}") for n in (1, 2, 3)]
    killed = threading.Event()
    held = proxy.before(1, killed.wait, lambda call: call.action == "CreateUser" and call.user == users[1])
    daemon = world.daemon(proxy, SWEEP__SCHEDULE=NEVER).start()
    for user in users:
        world.put(user)
    sequences = [stream.write(shard, user, "INSERT") for user in users]
    eventually(lambda: held.call, 10, "user 2 is in flight")
    for user in (users[0], users[2]):
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    eventually(lambda: position(world, shard) == sequences[0], 10, "the checkpoint stands before record 2")
    daemon.kill()
    killed.set()
    proxy.heal()
    assert world.account.user(users[1]) is None
    streams.manners.new_reader()
    mark = proxy.mark()
    daemon.start()
    eventually(lambda: world.settled(users[1]), 20, "user 2 is complete")
    eventually(lambda: position(world, shard) == sequences[2], 10, "the checkpoint has passed record 3")
    calls = proxy.since(mark)
    others = [str(call) for call in calls if not call.concerns(users[1], world.parameter_name(users[1]))]
    assert calls and not others, f"a second effect: {others}"
    assert streams.asked("GetShardIterator")[-1].parameters["SequenceNumber"] == sequences[0]
    streams.manners.check()
    assert daemon.stop() == 0


def test_of_two_replicas_one_reads_and_the_other_goes_on_from_there(world, streams):
    stream = streams.stream(world.stream_arn())
    tale = Tale(world, stream)
    shards = [tale.root(), tale.root()]
    leader, standby = (world.daemon(streams, SWEEP__SCHEDULE=NEVER).start() for _ in range(2))
    for shard in shards:
        tale.write(shard, 5)
    eventually(lambda: tale.told(leader), 10, "the leader reads")
    [child] = tale.split(shards[0])
    eventually(lambda: streams.asked("GetRecords", child), 10, "it goes on to the child")
    eventually(lambda: finished(world) == {(stream.arn, shards[0].id)}, 10, "the end of a shard is stored")
    eventually(lambda: position(world, shards[1]) == shards[1].records[-1][0], 10, "so is the place in the other")
    assert tale.known(standby) == 0
    leader.kill()
    streams.manners.new_reader(finished(world))
    mark = len(streams.calls)
    before = len(tale.names)
    for shard in tale.open:
        tale.write(shard, 5)
    eventually(lambda: standby.metric("leader") == 1, 20, "the standby leads")
    eventually(lambda: tale.known(standby) == len(tale.names) - before, 10, "it reads what is new, and only that")
    read = {call.shard for call in streams.calls[mark:] if call.action == "GetRecords"}
    assert read == {shard.id for shard in tale.open}
    streams.manners.check()
    assert standby.stop() == 0


@pytest.mark.timing
@pytest.mark.parametrize("poll", ["250ms", "1s"])
def test_the_first_record_after_a_split_is_handled_within_a_second(poll, world, streams, figure):
    stream = streams.stream(world.stream_arn())
    shard = stream.shard()
    settings = {"STREAM__POLL_INTERVAL": poll, "STREAM__IDLE_INTERVAL": "1s", "SWEEP__SCHEDULE": NEVER}
    daemon = world.daemon(streams, **settings).start()
    took = []
    for number in range(10):
        # Not in step with the polls.
        time.sleep(0.3 + 0.17 * (number % 6))
        with streams.lock:
            child = stream.shard(shard)
            stream.write(child, f"not a name {number}")
            shard = child
        begin = time.monotonic()
        eventually(lambda: daemon.user(f"not a name {number}"), 10, "the child's record is handled", every=0.01)
        took.append(time.monotonic() - begin)
    median = statistics.median(took)
    figure(
        f"split to the child's first record, polls every {poll}: median {median * 1000:.0f} ms, "
        f"worst {max(took) * 1000:.0f} ms of {len(took)}"
    )
    streams.manners.check()
    assert median <= 1
