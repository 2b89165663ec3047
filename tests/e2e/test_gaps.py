"""What the stream can no longer tell is counted by cause, told once, and mended by a sweep at once."""

import json
import re

import pytest

from checkpoints import checkpoints, finished, position
from streams import NEVER
from waiting import always, eventually

CAUSES = {
    "trimmed", "shard_gone", "parent_unfinished", "new_stream", "stream_disabled", "table_recreated",
    "foreign_checkpoint", "future_checkpoint", "opened_late",
}  # fmt: skip

#: How a line tells what was lost, from when to when.
SPAN = re.compile(r"changes between (an unknown time|20\S+Z) and 20\S+Z may be missing from the stream, sweeping")


class Reader:
    """A world with one shard whose only user is complete, and a daemon that follows it."""

    def __init__(self, world, streams):
        self.world, self.streams = world, streams
        self.stream = streams.stream(world.stream_arn())
        self.shard = self.stream.shard()
        self.daemon = world.daemon(streams, SWEEP__SCHEDULE=NEVER)
        self.number = 0
        self.daemon.start()
        self.change(self.shard)
        eventually(lambda: position(world, self.shard), 10, "a checkpoint is stored")

    def row(self):
        """A row of which no record tells."""
        self.number += 1
        user = self.world.name(f"user-{self.number}")
        self.world.put(user)
        return user

    def change(self, shard, stream=None):
        """A row and its record come through."""
        user = self.row()
        (stream or self.stream).write(shard, user, "INSERT")
        eventually(lambda: self.world.settled(user), 20, f"{user} is complete")

    def gaps(self):
        """cause -> count, without the zeros."""
        counts = {cause: self.daemon.metric("stream_gaps_total", cause=cause) for cause in CAUSES}
        assert self.daemon.metric("stream_gaps_total") == sum(counts.values()), "a cause that is not known here"
        return {cause: count for cause, count in counts.items() if count}

    def lines(self):
        """The log's lines about gaps, and those about sweeps, of the last process: causes and "swept"."""
        lines = [json.loads(line) for line in self.daemon.text().splitlines() if line.startswith("{")]
        begun = max(n for n, line in enumerate(lines) if line["message"] == "connected")
        told = []
        for line in lines[begun:]:
            if "missing from the stream" in line["message"]:
                assert line["level"] == "ERROR" and SPAN.match(line["message"]), line
                told.append(line["cause"])
            if line["message"] == "swept":
                told.append("swept")
        return told

    def expect(self, *causes, lost=()):
        """Exactly these gaps, each told in one line; a sweep after them finds what was lost."""
        eventually(lambda: self.gaps() == {cause: causes.count(cause) for cause in causes}, 20, f"{causes}")
        eventually(lambda: self.lines()[-1] == "swept", 10, "a sweep follows the gap")
        assert sorted(line for line in self.lines() if line != "swept") == sorted(causes)
        for user in lost:
            eventually(lambda: self.world.settled(user), 20, f"{user}, which no record tells of, is complete")

    def stop(self):
        assert self.daemon.stop() == 0

    def restart(self):
        self.streams.manners.new_reader(finished(self.world))
        self.daemon.start()

    def end(self):
        self.streams.manners.check()
        assert self.daemon.get("/healthz")[0] == 200
        self.stop()


@pytest.fixture
def reader(world, streams):
    return Reader(world, streams)


def test_records_that_went_under_a_running_reader(reader):
    with reader.streams.lock:
        lost = reader.row()
        reader.stream.write(reader.shard, lost)
        reader.stream.trim(reader.shard)
    reader.expect("trimmed", lost=[lost])
    reader.change(reader.shard)
    reader.end()


def test_a_checkpoint_that_was_trimmed_while_the_reader_was_down(reader):
    reader.stop()
    lost = reader.row()
    for _ in range(2):
        reader.stream.write(reader.shard, lost)
    reader.stream.trim(reader.shard, kept=1)
    reader.restart()
    reader.expect("trimmed", lost=[lost])
    reader.change(reader.shard)
    reader.end()


def test_a_shard_that_is_gone_before_it_was_read_to_its_end(reader):
    with reader.streams.lock:
        reader.stream.remove(reader.shard)
        other = reader.stream.shard()
        lost = reader.row()
    reader.expect("shard_gone", lost=[lost])
    reader.change(other)
    reader.end()


def test_a_shard_whose_parent_was_never_read(reader):
    reader.stream.filter = "unknown"
    with reader.streams.lock:
        unseen = reader.stream.shard()
        lost = reader.row()
        reader.stream.write(unseen, lost)
        child = reader.stream.shard(unseen)
        reader.stream.remove(unseen)
        # An end makes it list the shards.
        next = reader.stream.shard(reader.shard)
    reader.expect("parent_unfinished", lost=[lost])
    reader.change(child)
    reader.change(next)
    reader.end()


def switch(world, on):
    world.account.ddb.update_table(
        TableName=world.table,
        StreamSpecification={"StreamEnabled": on} | ({"StreamViewType": "KEYS_ONLY"} if on else {}),
    )


@pytest.mark.parametrize("children", ["known", "unknown"])
def test_a_stream_that_is_switched_off_and_on_while_it_is_read(children, reader):
    world = reader.world
    reader.stream.filter = children
    # The listings at the start are over, and the next one would come in a minute.
    eventually(lambda: len(reader.streams.asked("DescribeStream")) >= 2, 10, "it lists the shards")
    last = reader.row()
    with reader.streams.lock:
        switch(world, False)
        reader.stream.write(reader.shard, last)
        reader.stream.disable()
    reader.expect("stream_disabled")
    eventually(lambda: world.settled(last), 10, "the old stream is read to its end")
    lost = reader.row()
    with reader.streams.lock:
        switch(world, True)
        stream = reader.streams.stream(world.stream_arn())
        shard = stream.shard()
    assert stream.arn != reader.stream.arn
    reader.expect("stream_disabled", "new_stream", lost=[lost])
    reader.change(shard, stream)
    eventually(
        lambda: {arn for arn, _ in checkpoints(world)} == {stream.arn}, 10, "the old stream's checkpoints are gone"
    )
    reader.end()


def test_a_new_stream_that_took_the_old_ones_place_while_the_reader_was_down(reader):
    world = reader.world
    reader.stop()
    last = reader.row()
    reader.stream.write(reader.shard, last)
    reader.stream.disable()
    switch(world, False)
    lost = reader.row()
    switch(world, True)
    stream = reader.streams.stream(world.stream_arn())
    shard = stream.shard()
    reader.restart()
    reader.expect("new_stream", lost=[last, lost])
    reader.change(shard, stream)
    assert reader.streams.manners.ended(reader.stream, reader.shard), "the old stream is read to its end"
    reader.end()


def test_a_table_that_was_made_anew(reader):
    world = reader.world
    reader.stop()
    users = [world.name("user-1")]
    world.account.ddb.delete_table(TableName=world.table)
    world.account.create_users_table(world.table)
    stream = reader.streams.stream(world.stream_arn())
    shard = stream.shard()
    reader.stream.disable()
    reader.restart()
    reader.expect("table_recreated")
    reader.change(shard, stream)
    eventually(lambda: reader.daemon.metric("deletions_held") > 0, 10, "the users without a row are held")
    assert world.settled(users[0]), "nobody is deleted because the table is new"
    reader.end()


def forge(world, arn, shard, sequence):
    """A checkpoint as the controller would have written it, for another place."""
    body = next(iter(checkpoints(world).values())) | {"stream": arn, "shard": shard, "sequence": sequence}
    item = {"Id": {"S": f"checkpoint/{arn}/{shard}"}, "Body": {"S": json.dumps(body)}, "Token": {"N": "1"}}
    world.account.ddb.put_item(TableName=world.table + "-controller", Item=item)


def test_a_checkpoint_of_another_tables_stream(reader):
    world = reader.world
    reader.stop()
    table, label = reader.stream.arn.split("/stream/")
    forge(world, f"{table}-other/stream/{label}", "shardId-1", "1")
    reader.restart()
    reader.expect("foreign_checkpoint")
    reader.change(reader.shard)
    eventually(lambda: {arn for arn, _ in checkpoints(world)} == {reader.stream.arn}, 10, "it is deleted")
    reader.end()


@pytest.mark.parametrize("where", ["stream", "shard"])
def test_a_checkpoint_from_the_future(where, reader):
    world = reader.world
    reader.stop()
    lost = reader.row()
    if where == "stream":
        forge(world, reader.stream.arn.split("/stream/")[0] + "/stream/2999-01-01T00:00:00.000", "shardId-1", "1")
    else:
        forge(world, reader.stream.arn, reader.shard.id, "9" * 40)
        reader.streams.manners.trust(reader.stream, reader.shard, "9" * 40)
    reader.restart()
    reader.expect("future_checkpoint", lost=[lost])
    reader.change(reader.shard)
    reader.end()


def test_a_checkpoint_that_cannot_be_read(reader):
    world = reader.world
    reader.stop()
    item = {"Id": {"S": f"checkpoint/{reader.stream.arn}/{reader.shard.id}"}, "Body": {"S": "{"}, "Token": {"N": "1"}}
    world.account.ddb.put_item(TableName=world.table + "-controller", Item=item)
    lost = reader.row()
    reader.restart()
    reader.expect("foreign_checkpoint", lost=[lost])
    reader.change(reader.shard)
    eventually(lambda: position(world, reader.shard), 10, "a good one takes its place")
    reader.end()


def test_iterators_that_expire_and_shards_that_are_empty_for_long_are_no_gaps(reader):
    before = len(reader.streams.calls)
    for _ in range(5):
        reader.streams.expire_iterators()
        reader.change(reader.shard)
    assert any(call.outcome == "ExpiredIteratorException" for call in reader.streams.calls[before:])
    always(lambda: not reader.gaps(), 1, "no gap is told")
    reader.end()
