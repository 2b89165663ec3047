"""The first hour after the function: what the stream still tells of its days takes nobody's keys."""

import json
import time

from proxy import mutating
from waiting import eventually

TOLD = "rows were removed before the first start"


def test_removals_of_the_functions_days_revoke_nothing(world):
    account, proxy = world.account, world.proxy()
    users = [world.name(f"user-{n}") for n in range(3)]
    gone, stays = world.name("gone"), world.name("stays")
    keys = {user: account.function_made_user(user, world.boundary) for user in (*users, gone, stays)}
    for user in (*users, gone, stays):
        world.put(user)
    # A pipeline replaces rows by removing them and writing them again.
    for user in users:
        world.delete(user)
        world.put(user)
    world.delete(gone)
    ids = {user: account.user(user)["UserId"] for user in keys}
    time.sleep(2)
    daemon = world.daemon(proxy).start()
    for user in (*users, stays):
        eventually(lambda: world.settled(user), 30, f"{user} is adopted")
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 20, "all of it has been read")
    daemon.wait_sweeps(3)
    for user in (*users, stays):
        assert account.user(user)["UserId"] == ids[user], f"{user} was deleted and created anew"
        assert account.current(user) == keys[user], f"{user} has another key"
    # Nobody has adopted this one; without a row it is the function's still.
    assert account.user(gone)["UserId"] == ids[gone] and set(account.keys(gone)) == {keys[gone][0]}
    taken = proxy.since(matches=lambda call: mutating(call) and call.action.startswith(("Delete", "Update", "Create")))
    assert not taken, list(map(str, taken))
    assert daemon.metric("stream_removals_before_first_start_total") == 4
    eventually(lambda: TOLD in daemon.text(), 20, "it is told")
    said = [json.loads(line) for line in daemon.text().splitlines() if TOLD in line]
    assert len(said) == 1 and said[0]["level"] == "WARN", said
    assert said[0]["records"] == 4 and set(said[0]["names"].split()) == {*users, gone}, said

    # From now on a removal revokes what existed then, also when the row is back.
    time.sleep(1.1)
    world.delete(users[0])
    world.put(users[0])
    eventually(lambda: account.calls_as(*keys[users[0]]) == "InvalidClientTokenId", 30, "the old key is revoked")
    eventually(lambda: world.settled(users[0]), 30, "it is complete again")
    assert daemon.stop() == 0

    # And after a restart, also what was removed before it.
    time.sleep(1.1)
    world.delete(users[1])
    world.put(users[1])
    daemon.start()
    eventually(lambda: account.calls_as(*keys[users[1]]) == "InvalidClientTokenId", 30, "the old key is revoked")
    eventually(lambda: world.settled(users[1]), 30, "it is complete again")
    assert account.current(users[2]) == keys[users[2]] and account.current(stays) == keys[stays]


def test_a_user_of_ours_whose_row_went_before_the_state_table_was_made_is_left_to_sweeps(world):
    """The state table was lost and is made anew: what the stream tells is no evidence, sweeps find the orphan."""
    account = world.account
    daemon = world.daemon().start()
    goes, back, stays = (world.name(name) for name in ("goes", "back", "stays"))
    for user in (goes, back, stays):
        world.put(user)
    for user in (goes, back, stays):
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    key = account.current(back)
    assert daemon.stop() == 0
    world.delete(goes)
    world.delete(back)
    world.put(back)
    time.sleep(2)
    for item in account.ddb.scan(TableName=world.table + "-controller")["Items"]:
        # The seal key is restored from a backup; nothing else is.
        if item["Id"]["S"] != "seal":
            account.ddb.delete_item(TableName=world.table + "-controller", Key={"Id": item["Id"]})
    daemon.start()
    eventually(lambda: account.assert_gone(goes), 40, "a sweep finds the orphan")
    daemon.wait_sweeps(2)
    assert account.current(back) == key, "a row that is back keeps its keys"
    assert world.settled(back) and world.settled(stays)
