"""A scripted DynamoDB Streams: HTTP and JSON 1.0, as the SDK speaks it.

No emulator splits shards, trims, or fails. This endpoint does what a test tells it to: it holds
streams (see `shards`) under the names that the table has for them, can break a share of all calls,
notes what it was asked, and checks how the reader behaves (see `manners`).
"""

import itertools
import json
import math
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from manners import Manners
from shards import Stream

#: A sweep's schedule: none comes to the feed's help but the one at the start.
NEVER = "0 0 0 1 1 *"

#: How calls break: (HTTP status, code), or what happens to the connection.
ANY_CALL = [
    (400, "ThrottlingException"),
    (400, "LimitExceededException"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
    "dropped before",
    "dropped after",
]
POLLS = [(400, "ProvisionedThroughputExceededException"), (400, "ExpiredIteratorException")]


@dataclass
class Asked:
    """One call."""

    action: str
    shard: str | None
    parameters: dict
    at: float = field(default_factory=time.monotonic)
    #: "ok", a code, or what happened to the connection.
    outcome: str = "ok"
    records: int = 0


class Refusal(Exception):
    """An AWS error as the answer."""

    def __init__(self, code, status=400):
        super().__init__(code)
        self.code, self.status = code, status


class Streams:
    """Starts listening at once; `endpoints` can be given to `World.daemon` in place of a proxy."""

    def __init__(self):
        self.lock = threading.RLock()
        self.streams = {}
        self.calls = []
        self.manners = Manners()
        #: Records on a page, at most; AWS: 1,000.
        self.page_size = 1_000
        #: The share of GetRecords that bring an empty page and an iterator that goes on.
        self.empty_share = 0.0
        self._random = random.Random(0)
        self._broken_share, self._broken_shard, self._broken_in_a_row = 0.0, None, math.inf
        #: Shard, or `None` for listings: how many calls have failed since the last page.
        self._failures = Counter()
        self._iterators = {}
        self._numbers = itertools.count(1)
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.endpoints = {"dynamodbstreams": self.url}

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    # -- the script --------------------------------------------------------------------------------

    def stream(self, arn, **options):
        """A stream without shards under this name."""
        with self.lock:
            self.streams[arn] = Stream(arn, self.lock, **options)
        return self.streams[arn]

    def break_calls(self, share, seed=0, shard=None, in_a_row=math.inf):
        """This share of all calls (or of those about a shard) fails from now on, in every way that there is.

        `in_a_row`: of the calls about one shard, at most so many fail between two pages. The reader waits
        twice as long after each, so that without a bound a test of its speed is one of luck.
        """
        with self.lock:
            self._random.seed(seed)
            self._broken_share, self._broken_shard = share, shard and shard.id
            self._broken_in_a_row = in_a_row
            self._failures.clear()

    def expire_iterators(self):
        with self.lock:
            self._iterators = dict.fromkeys(self._iterators)

    def asked(self, action, shard=None, outcome=None):
        with self.lock:
            return [
                call
                for call in self.calls
                if call.action == action
                and (shard is None or call.shard == shard.id)
                and (outcome is None or call.outcome == outcome)
            ]

    # -- the calls ---------------------------------------------------------------------------------

    def fate(self, call):
        """How a call is to break, or `None`."""
        with self.lock:
            about = self._broken_shard in (None, call.shard)
            enough = self._failures[call.shard] >= self._broken_in_a_row
            if not about or enough or self._random.random() >= self._broken_share:
                if call.action != "GetShardIterator":
                    self._failures[call.shard] = 0
                return None
            self._failures[call.shard] += 1
            return self._random.choice(ANY_CALL + (POLLS if call.action == "GetRecords" else []))

    def describe_stream(self, call, asked):
        self.manners.listing(call.at)
        stream = self._stream(asked["StreamArn"])
        shards = [shard for shard in stream.shards.values() if shard.is_visible]
        wanted = asked.get("ShardFilter")
        if wanted and stream.filter == "unknown":
            raise Refusal("ValidationException")
        if wanted and stream.filter == "known":
            assert wanted["Type"] == "CHILD_SHARDS", wanted
            shards = [shard for shard in shards if shard.parent == wanted["ShardId"]]
        after = asked.get("ExclusiveStartShardId")
        rest = [shard for shard in shards if after is None or shard.id > after]
        page = rest[: stream.shards_per_page]
        described = {
            "StreamArn": stream.arn,
            "StreamStatus": stream.status,
            "StreamViewType": "KEYS_ONLY",
            "Shards": [shard.description() for shard in page],
        }
        if len(rest) > len(page):
            described["LastEvaluatedShardId"] = page[-1].id
        elif stream.last_token == "empty":
            described["LastEvaluatedShardId"] = ""
        elif stream.last_token == "repeated" and not wanted:
            described["LastEvaluatedShardId"] = after or page[-1].id
        return {"StreamDescription": described}, None

    def get_shard_iterator(self, call, asked):
        stream = self._stream(asked["StreamArn"])
        shard = self._shard(stream, asked["ShardId"])
        kind, sequence = asked["ShardIteratorType"], asked.get("SequenceNumber")
        self.manners.iterator(stream, shard, kind, sequence)
        if kind == "TRIM_HORIZON":
            place = shard.trimmed
        else:
            places = [place for place, (known, *_) in enumerate(shard.records, 1) if known == sequence]
            if not places:
                raise Refusal("ValidationException")
            place = places[0]
            if place < shard.trimmed:
                raise Refusal("TrimmedDataAccessException")
        return {"ShardIterator": self._iterator(stream, shard, place)}, None

    def get_records(self, call, asked):
        known = self._iterators.get(asked["ShardIterator"])
        if known is None:
            raise Refusal("ExpiredIteratorException")
        arn, id, place = known
        stream = self._stream(arn)
        shard = self._shard(stream, id)
        if place < shard.trimmed:
            raise Refusal("TrimmedDataAccessException")
        page = shard.records[place : place + min(self.page_size, asked.get("Limit", 1_000))]
        if self._random.random() < self.empty_share:
            page = []
        place += len(page)
        at_end = shard.closed and place == len(shard.records)
        last = at_end and (shard.ends_with_records or not page)
        answer = {"Records": [_record(*record) for record in page]}
        if not last:
            answer["NextShardIterator"] = self._iterator(stream, shard, place)
        call.records = len(page)
        return answer, lambda: self.manners.given(stream, shard, page, last)

    def place_of(self, iterator):
        """Stream and shard of an iterator, expired or not; its name tells them."""
        arn, id, _ = iterator.rsplit("|", 2)
        return self.streams.get(arn), id

    def _stream(self, arn):
        if arn not in self.streams:
            raise Refusal("ResourceNotFoundException")
        return self.streams[arn]

    def _shard(self, stream, id):
        if id not in stream.shards or not stream.shards[id].is_visible:
            raise Refusal("ResourceNotFoundException")
        return stream.shards[id]

    def _iterator(self, stream, shard, place):
        name = f"{stream.arn}|{shard.id}|{next(self._numbers)}"
        self._iterators[name] = (stream.arn, shard.id, place)
        return name


def _record(sequence, kind, name, created):
    return {
        "eventID": sequence,
        "eventName": kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": created,
            "Keys": {"UserName": {"S": name}},
            "SequenceNumber": sequence,
            "SizeBytes": len(name),
            "StreamViewType": "KEYS_ONLY",
        },
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, streams):
        self.streams = streams
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request, client_address):
        """The reader was killed: it sees, and wants, nothing more."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        service, action = self.headers["X-Amz-Target"].split(".")
        assert service == "DynamoDBStreams_20120810", service
        streams = self.server.streams
        iterator = asked.get("ShardIterator")
        stream, shard = streams.place_of(iterator) if iterator else (None, asked.get("ShardId"))
        call = Asked(action, shard, asked)
        polled = stream and stream.shards.get(shard)
        with streams.lock:
            streams.calls.append(call)
            if polled:
                streams.manners.poll_begins(stream, polled, call.at)
        try:
            self._answer(streams, call, asked)
        finally:
            with streams.lock:
                if polled:
                    streams.manners.poll_ends(stream, polled)

    def _answer(self, streams, call, asked):
        fate = streams.fate(call)
        if fate == "dropped before":
            return self._drop(call, fate)
        if fate and fate != "dropped after":
            return self._refuse(call, fate[1], fate[0])
        do = {
            "DescribeStream": streams.describe_stream,
            "GetShardIterator": streams.get_shard_iterator,
            "GetRecords": streams.get_records,
        }[call.action]
        try:
            with streams.lock:
                answer, arrived = do(call, asked)
                if fate is None and arrived:
                    # Before it is sent: whoever has read it may ask for the next thing at once.
                    arrived()
        except Refusal as refusal:
            return self._refuse(call, refusal.code, refusal.status)
        if fate:
            return self._drop(call, fate)
        self._reply(200, answer)

    def _refuse(self, call, code, status):
        call.outcome = code
        self._reply(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "scripted"})

    def _reply(self, status, answer):
        content = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
        self.send_header("x-amzn-RequestId", "SCRIPTED")
        self.end_headers()
        self.wfile.write(content)

    def _drop(self, call, fate):
        call.outcome = fate
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def log_message(self, *_):
        pass
