"""What the controller has stored in its state table about the stream."""

import json


def stored(world):
    """Every record of the state table: id -> body."""
    pages = world.account.ddb.get_paginator("scan").paginate(
        TableName=world.table + "-controller", ConsistentRead=True
    )
    return {item["Id"]["S"]: _body(item) for page in pages for item in page["Items"]}


def _body(item):
    """What a test has spoilt on purpose is an empty body."""
    try:
        return json.loads(item["Body"]["S"])
    except ValueError:
        return {}


def checkpoints(world):
    """(stream, shard) -> checkpoint."""
    bodies = [body for id, body in stored(world).items() if id.startswith("checkpoint/")]
    return {(body["stream"], body["shard"]): body for body in bodies if body.get("kind") == "shard"}


def position(world, shard):
    """The sequence number up to which a shard is handled, or `None`."""
    found = [body for (_, id), body in checkpoints(world).items() if id == shard.id]
    return found[0]["sequence"] if found else None


def finished(world):
    """The shards whose end is stored: (stream, shard)."""
    return {place for place, body in checkpoints(world).items() if body["finished"]}
