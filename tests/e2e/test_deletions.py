"""Nobody is deleted by accident."""

import json
import time

from chapters import Adopt
from waiting import always, eventually


def test_the_brake_holds_a_mass_deletion_until_an_operator_resumes_it(world):
    account = world.account
    users = [world.name(f"user-{n:02}") for n in range(20)]
    stays = world.name("stays")
    daemon = world.daemon().start()
    for user in [*users, stays]:
        world.put(user)
    for user in [*users, stays]:
        eventually(lambda: world.settled(user), 60, f"{user} is complete")

    def alive():
        return [user for user in users if account.user(user)]

    for user in users:
        world.delete(user)
    eventually(lambda: "held" in json.dumps(daemon.status()) and daemon.metric("deletions_held"), 20, "deletions are held")
    daemon.wait_sweeps(3)
    left = alive()
    assert len(left) >= 10, f"{20 - len(left)} users were deleted"
    for user in left:
        key, secret = account.current(user)
        assert account.calls_as(key, secret).endswith(f":user/{user}"), f"{user} lost its key"

    # Everything else goes on, and a row that is back is no longer to be deleted.
    new = world.name("new")
    world.put(new)
    eventually(lambda: world.settled(new), 20, "a new user is made while deletions are held")
    assert world.settled(stays)
    saved = left[0]
    code, out, err = daemon.run("deletions", "status")
    assert code == 0 and "held" in (out + err).lower(), (code, out, err)

    # It is not forgotten by a restart.
    daemon.stop()
    daemon.start()
    daemon.wait_sweeps(2)
    assert set(alive()) == set(left)
    eventually(lambda: daemon.metric("deletions_held"), 20, "the brake was lost with the process")

    code, out, err = daemon.run("deletions", "resume")
    assert code == 0, (code, out, err)
    eventually(lambda: not alive(), 60, "the rest is deleted")
    for user in users:
        assert account.raw_parameter(user) is None
    eventually(lambda: not daemon.metric("deletions_held"), 20, "nothing is held any more")
    assert world.settled(stays) and account.user(saved) is None


def test_an_empty_table_without_remove_records_deletes_nobody(world):
    account = world.account
    users = [world.name(f"user-{n}") for n in range(3)]
    daemon = world.daemon(ORPHANS__SWEEPS="1").start()
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    daemon.stop()

    # With the stream off, the deletions leave no record behind.
    account.ddb.update_table(TableName=world.table, StreamSpecification={"StreamEnabled": False})
    for user in users:
        world.delete(user)
    account.ddb.update_table(
        TableName=world.table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    )
    daemon.start()
    eventually(lambda: daemon.metric("deletions_held"), 20, "deletions are held")
    daemon.wait_sweeps(3)
    for user in users:
        assert world.settled(user)

    # A single row makes the scan evidence again, and the others orphans.
    world.put(users[0])
    daemon.run("deletions", "resume")
    for user in users[1:]:
        eventually(lambda: account.assert_gone(user), 40, f"{user} is gone")
    assert world.settled(users[0])


def test_an_orphan_is_deleted_only_when_old_enough_and_seen_twice(world):
    account = world.account
    orphan, stays = world.name("orphan"), world.name("stays")
    daemon = world.daemon().start()
    for user in (orphan, stays):
        world.put(user)
    for user in (orphan, stays):
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    daemon.stop()
    account.ddb.update_table(TableName=world.table, StreamSpecification={"StreamEnabled": False})
    world.delete(orphan)
    account.ddb.update_table(
        TableName=world.table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    )
    daemon.settings(IUC_ORPHANS__MIN_AGE="1h")
    daemon.start()
    daemon.wait_sweeps(4)
    assert world.settled(orphan)
    eventually(lambda: daemon.metric("orphans") == 1, 10, "the orphan is counted")
    daemon.stop()
    daemon.settings(IUC_ORPHANS__MIN_AGE="1s", IUC_ORPHANS__PROTECT=f'["{world.prefix}orph*"]')
    daemon.start()
    daemon.wait_sweeps(4)
    assert world.settled(orphan), "a protected name"
    daemon.stop()
    daemon.settings(IUC_ORPHANS__PROTECT="[]")
    daemon.start()
    eventually(lambda: account.assert_gone(orphan), 30, "the orphan is gone")
    always(lambda: world.settled(stays), during=2, what="the other one stays")


def test_an_orphans_parameter_goes_although_its_deletion_was_hard_to_record(world):
    """Once the user is gone, only the record of its deletion leads to its parameter."""
    account = world.account
    stays, orphan = (Adopt(world, world.name(name)) for name in ("stays", "orphan"))
    stays.begin()
    orphan.owned()
    proxy = world.proxy()
    daemon = world.daemon(proxy)
    records = lambda call: call.action == "PutItem" and "removal/" in str(call.parameters)  # noqa: E731
    refused = proxy.answer(1, 503, "ServiceUnavailable", records)
    killed = proxy.before(1, daemon.kill, lambda call: call.action == "DeleteParameter")
    daemon.start()
    eventually(killed.fired.is_set, 40, "the user is gone, and its parameter is not")
    assert refused.fired.is_set(), "its record was refused once"
    assert account.user(orphan.user) is None and account.document(orphan.user)
    daemon.start()
    eventually(lambda: account.assert_gone(orphan.user), 40, "the parameter goes, too")
    assert world.settled(stays.user)


def test_a_resumption_that_nobody_waits_for_any_more_is_no_licence(world):
    """Left behind by somebody who gave up; the next leader finds it, and other deletions than that one saw."""
    account, state = world.account, world.table + "-controller"
    orphan = world.name("orphan")
    daemon = world.daemon(ORPHANS__SWEEPS="1")
    account.owned_user(orphan, world.boundary, world.table)
    daemon.start()
    eventually(lambda: orphan in daemon.status()["deletions"]["names"], 20, "the table is empty: it is held")
    daemon.stop()
    stale = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3_600))
    body = json.dumps({"id": "left", "kind": "resume", "at": stale})
    account.ddb.put_item(TableName=state, Item={"Id": {"S": "command"}, "Body": {"S": body}, "Token": {"N": "0"}})
    daemon.start()
    daemon.wait_sweeps(3)
    assert "Item" not in account.ddb.get_item(TableName=state, Key={"Id": {"S": "command"}}), "it is removed"
    assert "has resumed deletions" not in daemon.text() and "nobody waits for this command" in daemon.text()
    assert daemon.metric("deletions_held") and world.settled(orphan)
    code, out, err = daemon.run("deletions", "resume")
    assert code == 0 and orphan in out, (code, out, err)
    eventually(lambda: account.assert_gone(orphan), 30, "it goes when somebody says so now")
