"""What the scripted streams hold: shards in a tree, and the records in them.

Tests write, split and take away; `streams` answers from it. All of it is guarded by the lock of the
endpoint that it belongs to.
"""

import itertools
import time

#: Sequence numbers are decimal strings that are compared as numbers. These begin with 21 digits and
#: soon have 22, so that a reader that compares them as text goes wrong.
FIRST_SEQUENCE = 999_999_999_999_999_999_995

KINDS = ("INSERT", "MODIFY", "REMOVE")


class Shard:
    """One shard: its records, and what has become of it."""

    def __init__(self, id, parent):
        self.id = id
        self.parent = parent
        #: (sequence, kind, name, created)
        self.records = []
        self.closed = False
        #: Nobody is told of it before this moment of the monotonic clock.
        self.visible_at = 0.0
        #: So many of the oldest records are no longer kept.
        self.trimmed = 0
        #: It is no longer there at all.
        self.gone = False
        #: Whether its last records come together with the end, or before it.
        self.ends_with_records = True

    @property
    def is_visible(self):
        return not self.gone and time.monotonic() >= self.visible_at

    def description(self):
        kept = self.records[self.trimmed :]
        numbers = {"StartingSequenceNumber": kept[0][0] if kept else str(FIRST_SEQUENCE - 1)}
        if self.closed:
            numbers["EndingSequenceNumber"] = self.records[-1][0] if self.records else str(FIRST_SEQUENCE - 1)
        told = {"ShardId": self.id, "SequenceNumberRange": numbers}
        return told | ({"ParentShardId": self.parent} if self.parent else {})


class Stream:
    """One stream of a table."""

    def __init__(self, arn, lock, shards_per_page=100):
        self.arn = arn
        self.lock = lock
        self.status = "ENABLED"
        self.shards = {}
        self.shards_per_page = shards_per_page
        #: What a question with CHILD_SHARDS meets: "known", "unknown" or "overlooked".
        self.filter = "known"
        #: What the last page of shards ends with instead of nothing: None, "empty" or "repeated".
        self.last_token = None
        self._sequences = itertools.count(FIRST_SEQUENCE)
        self._ids = itertools.count(1)

    def shard(self, parent=None, visible_after=0.0):
        """A new shard. Its parent gets no more records."""
        with self.lock:
            # As in AWS, ids sort by the time of their making.
            id = f"shardId-{next(self._ids):020}-{len(self.shards):08x}"
            self.shards[id] = shard = Shard(id, parent and parent.id)
            shard.visible_at = time.monotonic() + visible_after if visible_after else 0.0
            if parent:
                parent.closed = True
                shard.visible_at = max(shard.visible_at, parent.visible_at)
        return shard

    def write(self, shard, name, kind="MODIFY", created=None):
        """A record; its sequence number."""
        assert kind in KINDS and not shard.closed
        with self.lock:
            sequence = str(next(self._sequences))
            shard.records.append((sequence, kind, name, int(time.time() if created is None else created)))
        return sequence

    def trim(self, shard, kept=0):
        """Only the newest records are kept."""
        with self.lock:
            shard.trimmed = len(shard.records) - kept

    def close(self, shard):
        with self.lock:
            shard.closed = True

    def remove(self, shard):
        """The shard is gone, with all that was in it."""
        with self.lock:
            shard.gone = True

    def disable(self):
        """Switched off: all shards end, none follow."""
        with self.lock:
            self.status = "DISABLED"
            for shard in self.shards.values():
                shard.closed = True

    def ancestors(self, shard):
        """The shards before a shard, as far as they can still be read."""
        while shard.parent in self.shards:
            shard = self.shards[shard.parent]
            if shard.gone:
                return
            yield shard
