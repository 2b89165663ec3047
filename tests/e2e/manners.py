"""How a reader of DynamoDB Streams has to behave, checked while it reads."""

from collections import Counter, defaultdict

#: AWS: 5 GetRecords a second and shard, 10 DescribeStream a second.
POLLS_A_SECOND = 5
LISTINGS_A_SECOND = 10

#: What a busy machine may bring two requests closer together than they were sent, in seconds.
JITTER = 0.25


class Manners:
    """Everything that the reader has done wrong, in sentences."""

    def __init__(self):
        self.faults = []
        self._polls = defaultdict(list)
        self._listings = []
        self._polling = Counter()
        self._given = defaultdict(set)
        self._ended = set()
        self._finished = set()

    def new_reader(self, finished=()):
        """Another process reads from now on; `finished`: (stream, shard) whose end is stored."""
        self._ended.clear()
        self._polling.clear()
        self._finished = set(finished)

    def trust(self, stream, shard, sequence):
        """The test has put this sequence number before the reader."""
        self._given[stream.arn, shard.id].add(sequence)

    def listing(self, at):
        self._listings.append(at)

    def iterator(self, stream, shard, kind, sequence):
        if kind not in ("TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"):
            self.faults.append(f"{shard.id}: {kind} is not a durable position")
        if kind == "AFTER_SEQUENCE_NUMBER" and sequence not in self._given[stream.arn, shard.id]:
            self.faults.append(f"{shard.id}: read on after {sequence}, which was never read")
        self._after_all_before_it(stream, shard)

    def poll_begins(self, stream, shard, at):
        self._polls[stream.arn, shard.id].append(at)
        self._polling[stream.arn, shard.id] += 1
        if self._polling[stream.arn, shard.id] > 1:
            self.faults.append(f"{shard.id}: two GetRecords at once")
        self._after_all_before_it(stream, shard)

    def poll_ends(self, stream, shard):
        place = stream.arn, shard.id
        self._polling[place] = max(0, self._polling[place] - 1)

    def given(self, stream, shard, records, last):
        """A page that has reached the reader."""
        self._given[stream.arn, shard.id].update(sequence for sequence, *_ in records)
        if last:
            self._ended.add((stream.arn, shard.id))

    def ended(self, stream, shard):
        """Whether the reader has read a shard to its end."""
        return (stream.arn, shard.id) in self._ended

    def _after_all_before_it(self, stream, shard):
        for before in stream.ancestors(shard):
            place = (stream.arn, before.id)
            if place not in self._ended and place not in self._finished:
                self.faults.append(f"{shard.id}: read before {before.id}, its ancestor, was read to the end")

    def check(self):
        for (_, shard), polls in self._polls.items():
            _rate(f"GetRecords of {shard}", polls, POLLS_A_SECOND, self.faults)
        _rate("DescribeStream", self._listings, LISTINGS_A_SECOND, self.faults)
        assert not self.faults, f"{len(self.faults)} faults of the reader, the first: {self.faults[:5]}"


def _rate(what, moments, limit, faults):
    """At most `limit` in any second, but for the jitter, which a longer span evens out."""
    moments = sorted(moments)
    for seconds in (1, 4):
        count = limit * seconds
        for first, beyond in zip(moments, moments[count:]):
            if beyond - first < seconds - JITTER:
                faults.append(f"{count + 1} {what} within {beyond - first:.3f} s")
                break
