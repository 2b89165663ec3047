"""Reads of SSM and of IAM that are late: nobody gets a second key, and no secret is lost.

`LONG=1` runs it with 100 users for each lateness; without, with a few for one of them.
"""

import json
import os
import time
from collections import defaultdict

import pytest

from late import Late
from readers import Readers
from waiting import eventually

LONG = os.environ.get("LONG") == "1"
USERS = 100 if LONG else 12

#: By how many seconds parameter reads are late. IAM's are late by as much as the controller believes.
LATENESS = (0.2, 0.5, 1, 3) if LONG else (1,)
IAM_LATENESS = 10

ROTATE_AFTER = 60 if LONG else 20


def published(proxy, world, users):
    """User -> the ids of its current keys as they were written, in turn, repetitions left out."""
    names = {world.parameter_name(user): user for user in users}
    found = defaultdict(list)
    for call in proxy.since(matches=lambda call: call.action == "PutParameter" and call.status == 200):
        key = json.loads(call.parameters["Value"])["current"]["AccessKeyID"]
        turns = found[names[call.parameters["Name"]]]
        if turns[-1:] != [key]:
            turns.append(key)
    return found


def minted(proxy):
    """User -> when its keys were made."""
    found = defaultdict(list)
    for call in proxy.since(matches=lambda call: call.action == "CreateAccessKey" and call.status == 200):
        found[call.user].append(call.at)
    return found


@pytest.mark.parametrize("late", LATENESS)
def test_no_second_key_and_no_lost_secret(world, figure, late):
    account, proxy = world.account, world.proxy()
    users = [world.name(f"u{number:03}") for number in range(USERS)]
    reads = Late(proxy, account, late, IAM_LATENESS)
    life = dict(KEYS__ROTATE_AFTER=f"{ROTATE_AFTER}s", KEYS__DELETE_AFTER=f"{ROTATE_AFTER + 5}s", KEYS__MIN_OVERLAP="4s")
    daemon = world.daemon(proxy, DELETIONS__MAX_COUNT=str(USERS), **life).start()
    readers = Readers(account, overlap=4.0)
    proxy.watch(readers.after)
    for user in users:
        readers.follow(user)
    with readers:
        for user in users:
            world.put(user)
        for user in users:
            eventually(lambda: account.current(user), 60, f"{user} has a key")
        for user in users:
            # The first key is gone: it was rotated, and has expired.
            first = readers.seen[user][0]
            eventually(lambda: first not in account.keys(user), ROTATE_AFTER + 60, f"{user} is rotated")
            eventually(lambda: account.current(user)[0] != first, 5, f"{user} has another key")
        for user in users:
            readers.leave(user)
    for user in users:
        world.delete(user)
    for user in users:
        eventually(lambda: account.assert_gone(user), 120, f"{user} is removed")
    daemon.stop()

    turns, mints = published(proxy, world, users), minted(proxy)
    soon = {
        user: [round(b - a, 1) for a, b in zip(made, made[1:]) if b - a < ROTATE_AFTER - 3] for user, made in mints.items()
    }
    second = {user: gaps for user, gaps in soon.items() if gaps}
    back = {user: keys for user, keys in turns.items() if len(set(keys)) < len(keys)}
    unpublished = {user: len(made) - len(turns[user]) for user, made in mints.items() if len(made) != len(turns[user])}
    total = sum(map(len, mints.values()))
    figure(
        f"late reads ({late} s, IAM {IAM_LATENESS} s): {USERS} users, {total} keys, {readers.looks} uses, {reads.answered} late"
        f" answers; {len(second)} second keys, {len(back)} secrets lost, {len(unpublished)} users with unpublished keys"
    )
    assert reads.answered > USERS, "reads were late"
    assert not second, f"keys made before one was due: {second}"
    assert not back, f"an old document was written over a newer one: {back}"
    assert not unpublished, f"keys that nobody has had: {unpublished}"
    assert total >= 2 * USERS
