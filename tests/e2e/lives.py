"""What the proxy's record tells of the lives of users: which keys were minted and published in each."""

import json
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Life:
    """From one CreateUser to the next."""

    minted: int = 0
    published: list = field(default_factory=list)


def lives(proxy, world):
    """User -> its lives, in turn. Only calls that took effect count."""
    users, found = {}, {}
    for call in proxy.since(matches=lambda call: call.mutates and call.status == 200):
        if call.action == "CreateUser":
            found.setdefault(call.user, []).append(Life())
            users[world.parameter_name(call.user)] = call.user
        elif call.action == "CreateAccessKey":
            found[call.user][-1].minted += 1
        elif call.action == "PutParameter":
            key = json.loads(call.parameters["Value"])["current"]["AccessKeyID"]
            life = found[users[call.parameters["Name"]]][-1]
            if key not in life.published:
                life.published.append(key)
    return found


def assert_nobody_minted_twice(proxy, world, rows):
    """No life has had two published keys, nor any user more lives than its row. A key whose secret
    was lost with its process is none that anybody has had; counts those."""
    found = lives(proxy, world)
    twice = {user: life for user, all_lives in found.items() for life in all_lives if len(life.published) > 1}
    assert not twice, f"published two keys: {twice}"
    too_many = {user: len(all_lives) for user, all_lives in found.items() if len(all_lives) > rows[user].inserts}
    assert not too_many, f"created more often than inserted: {too_many}"
    return Counter(
        lost=sum(life.minted - len(life.published) for all_lives in found.values() for life in all_lives),
        lives=sum(map(len, found.values())),
    )
