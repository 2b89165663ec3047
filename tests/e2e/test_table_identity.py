"""The users table is gone, is another one, or is yesterday's: everybody lives, and the reason is shown."""

from removals import assert_nothing_taken
from waiting import eventually

EAGER = {"ORPHANS__SWEEPS": "1", "ORPHANS__MIN_AGE": "1s"}


def complete(world, daemon, count):
    users = [world.name(f"user-{n}") for n in range(count)]
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
        daemon.wait_state(user, "ready")
    return users


def causes(daemon):
    return [hold["cause"] for hold in (daemon.status()["deletions"] or {"holds": []})["holds"]]


def test_a_table_that_is_dropped_and_then_restored_from_yesterday_costs_nobody_his_keys(world):
    account, proxy = world.account, world.proxy()
    daemon = world.daemon(proxy, **EAGER).start()
    users = complete(world, daemon, 5)
    yesterday, since = users[:3], users[3:]
    mark = proxy.mark()

    account.ddb.delete_table(TableName=world.table)
    eventually(lambda: "does not exist" in (daemon.status()["sweep_failure"] or ""), 20, "/status says why nothing is swept")
    tries = daemon.text().count("a sweep failed; it deleted nobody")
    eventually(lambda: daemon.text().count("a sweep failed; it deleted nobody") >= tries + 2, 30, "further sweeps fail")
    assert daemon.get("/healthz")[0] == 200
    assert daemon.stop() == 0
    code, out, err = daemon.run("run")
    assert code == 1 and world.table in err and "does not exist" in err, (code, out, err)
    assert all(world.settled(user) for user in users)

    # Dropped and created anew, empty.
    account.create_users_table(world.table)
    daemon.start()
    eventually(lambda: causes(daemon) == ["table_identity", "empty_table"], 20, "both reasons are shown")
    daemon.wait_sweeps(2)
    assert all(world.settled(user) for user in users)

    # Restored from a backup of yesterday, while the controller runs.
    account.ddb.delete_table(TableName=world.table)
    account.create_users_table(world.table)
    for user in yesterday:
        world.put(user)
    eventually(lambda: daemon.metric("deletions_held") == len(since), 30, "those without a row are held")
    assert causes(daemon) == ["table_identity"]
    daemon.wait_sweeps(2)
    code, out, _ = daemon.run("deletions", "status")
    assert code == 0 and "table_identity" in out and all(user in out for user in since), out
    said = [line for line in daemon.text().splitlines() if '"ERROR"' in line and "deletions are held" in line]
    assert said and all(user in said[-1] for user in since), said
    new = world.name("new")
    world.put(new)
    eventually(lambda: world.settled(new), 30, "everything else goes on")
    assert_nothing_taken(proxy, mark)

    # The missing rows are put back; there is nothing left to resume but the belief in the table.
    for user in since:
        world.put(user)
    eventually(lambda: daemon.status()["deletions"]["held"] == 0, 20, "nobody is held any more")
    assert daemon.metric("deletions_held") == 1, "but deletions are"
    code, out, err = daemon.run("deletions", "resume")
    assert code == 0 and "Nothing was held" in out, (out, err)
    eventually(lambda: causes(daemon) == [], 20, "the table is believed")
    daemon.wait_sweeps(3)
    assert_nothing_taken(proxy, mark)
    assert all(world.settled(user) for user in [*users, new])


def test_the_name_of_another_table_that_exists_changes_nobody(worlds):
    world, other = worlds(), worlds()
    account, proxy = world.account, world.proxy()
    daemon = world.daemon(proxy, **EAGER).start()
    users = complete(world, daemon, 3)
    assert daemon.stop() == 0
    mark = proxy.mark()

    # With the state of the right one: the memory of it tells.
    other.put(users[0])
    wrong = world.daemon(proxy, TABLE__NAME=other.table, STATE__TABLE=world.table + "-controller", **EAGER).start()
    eventually(lambda: causes(wrong) == ["table_identity"], 20, "the reason is shown")
    wrong.wait_state(users[0], "conflict")
    assert world.table in wrong.user(users[0])["reason"], "it says where the user belongs"
    wrong.wait_sweeps(3)
    assert wrong.stop() == 0

    # With a state of its own: nobody is owned from there.
    wrong = world.daemon(proxy, TABLE__NAME=other.table, **EAGER).start()
    wrong.wait_state(users[0], "conflict")
    wrong.wait_sweeps(3)
    assert wrong.status()["last_sweep"]["owned_users"] == 0 and wrong.metric("orphans") == 0
    assert wrong.stop() == 0

    # A table of another kind is refused.
    code, out, err = daemon.run("run", IUC_TABLE__NAME=world.table + "-controller", IUC_STATE__TABLE=other.table + "-controller")
    assert code == 1 and "UserName" in err, (code, out, err)
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
    assert all(world.settled(user) for user in users)
    daemon.start()
    eventually(lambda: causes(daemon) == [], 20, "the right table ends the hold by itself")
    daemon.wait_sweeps(2)
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
