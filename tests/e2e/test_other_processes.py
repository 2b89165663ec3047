"""A second process that the first one does not know: other settings, another state table, the same name."""

import shutil
import subprocess
import threading
import time

from daemon import binary
from processes import Process
from proxy import mutating
from waiting import always, eventually


def complete(world, daemon, *names):
    users = [world.name(name) for name in names]
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    return users


def ids_and_keys(world, users):
    return {user: (world.account.user(user)["UserId"], world.account.current(user)) for user in users}


def test_a_sweep_with_another_state_table_is_refused_and_the_key_in_hand_lives_on(world):
    account, user, other_state = world.account, world.name(), world.table + "-other"
    account.create_state_table(other_state)
    proxy, others = world.proxy(), world.proxy()
    daemon = world.daemon(proxy, LEASE__TTL="15s").start()
    slow = proxy.delay(1, 4, matches=lambda call: call.action == "PutParameter")
    world.put(user)
    minted = eventually(lambda: account.keys(user), 10, "a key is in hand")
    wrong = world.daemon(others, STATE__TABLE=other_state)
    code, out, err = wrong.run("sweep")
    assert code == 2, (code, out, err)
    assert other_state in err and "has never led" in err and "--first" in err, err
    code, out, err = wrong.run("deletions", "resume", "--all")
    assert code == 2 and other_state in err and "has never led" in err, (code, out, err)
    code, out, err = wrong.run("deletions", "status")
    assert code == 2 and other_state in err and "has never led" in err, (code, out, err)
    assert not others.since(), list(map(str, others.since()))
    assert slow.call is not None and list(account.keys(user)) == list(minted)
    eventually(lambda: world.settled(user), 20, "the service publishes the key that it had in hand")
    assert set(account.keys(user)) == set(minted)
    assert daemon.stop() == 0


def test_a_sweep_with_only_the_tables_name_is_refused_with_each_difference(world):
    account = world.account
    proxy = world.proxy()
    daemon = world.daemon(KEYS__ROTATE_AFTER="14d").start()
    (user,) = complete(world, daemon, "user")
    before = ids_and_keys(world, [user])

    # Beside the service, the leader does it, by its own settings.
    bare = world.daemon(proxy)
    for name in [name for name in bare.environment if name.startswith("IUC_")]:
        if name not in ("IUC_TABLE__NAME", "IUC_LEASE__TTL"):
            del bare.environment[name]
    code, out, err = bare.run("sweep")
    assert code == 0, (code, out, err)
    assert not proxy.since(), list(map(str, proxy.since()))

    # Without it, it would create a user without a boundary.
    assert daemon.stop() == 0
    new = world.name("new")
    world.put(new)
    for command in (["sweep"], ["sweep", "--first"], ["deletions", "resume", "--all"]):
        code, out, err = bare.run(*command)
        assert code == 2, (command, code, out, err)
        for told in (
            f"users.permissions_boundary: the last leader had {world.boundary}, this process has unset",
            "keys.rotate_after: the last leader had 14d, this process has 15d",
            "orphans.min_age: the last leader had 1s, this process has 15m",
        ):
            assert told in err, err
        assert "keys.verify_timeout" not in err, "what is the same is not told"
    assert account.user(new) is None and not proxy.since(), list(map(str, proxy.since()))

    # A service starts all the same: that is how settings change. It says what has changed, once.
    daemon.settings(IUC_KEYS__ROTATE_AFTER="13d")
    daemon.start()
    said = [line for line in daemon.text().splitlines() if "settings have changed" in line]
    # The overlap follows the ages.
    assert len(said) == 2 and all('"WARN"' in line for line in said), said
    assert "keys.min_overlap: " in said[0], said
    assert "keys.rotate_after: the last leader had 14d, this process has 13d" in said[1], said
    eventually(lambda: world.settled(new), 20, "the service makes the new user")
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.text().count("settings have changed") == 2
    assert ids_and_keys(world, [user]) == before
    assert daemon.stop() == 0
    code, out, err = daemon.run("sweep")
    assert code == 0, (code, out, err)


def test_a_sweep_for_another_table_is_refused_by_the_leader(worlds):
    world, other = worlds(), worlds()
    daemon = world.daemon().start()
    wrong = other.daemon(STATE__TABLE=world.table + "-controller")
    code, out, err = wrong.run("sweep")
    assert code == 2 and f"table/{world.table}" in err and f"table/{other.table}" in err, (code, out, err)
    code, out, err = wrong.run("deletions", "resume", "--all")
    assert code == 2 and f"table/{world.table}" in err, (code, out, err)
    assert daemon.stop() == 0


def namespaced(environment, output):
    """The service as process 1 of its own namespace, as in a container."""
    unshare = shutil.which("unshare")
    assert unshare, "util-linux is missing"
    ways = [[unshare, "--pid", "--fork", "--kill-child"], [unshare, "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]]
    works = next(way for way in ways if subprocess.run([*way, "true"], capture_output=True).returncode == 0)
    return Process([*works, str(binary()), "run"], environment, output)


def test_two_replicas_of_one_hostname_and_process_id_never_both_lead(world):
    """Each writes a lease's record that was the same to the letter, and took the other's for its own."""
    first, second = (world.proxy() for _ in range(2))
    daemons = [world.daemon(proxy) for proxy in (first, second)]
    takes_lease = lambda call: call.action == "PutItem" and call.parameters.get("Item", {}).get("Id") == {"S": "lease"}  # noqa: E731
    second_leads = threading.Event()
    held_back = first.hold(1, second_leads, matches=takes_lease)
    daemons[0].process = namespaced(daemons[0].environment, daemons[0].output)
    eventually(lambda: any(map(takes_lease, first.calls)), 20, "the first one writes the lease")
    daemons[1].process = namespaced(daemons[1].environment, daemons[1].output)
    eventually(lambda: daemons[1].metric("leader") == 1, 20, "the second one was faster")
    second_leads.set()
    eventually(lambda: daemons[0].get("/status")[0] and daemons[0].status()["role"] == "standby", 20, "the first one stands by")
    assert daemons[0].status()["leader"] == daemons[1].status()["leader"], "they have different names"
    always(lambda: daemons[0].metric("leader") == 0 and daemons[1].metric("leader") == 1, during=5, what="one leads")
    world.put(world.name())
    eventually(lambda: world.settled(world.name()), 20, "it works")
    assert len(second.since(matches=lambda call: call.action == "CreateAccessKey")) == 1
    assert not first.since(matches=mutating)


def test_a_service_with_a_state_table_that_has_never_led_changes_nothing_until_told_first(world):
    account = world.account
    daemon = world.daemon().start()
    users = complete(world, daemon, "one", "two")
    before = ids_and_keys(world, users)
    assert daemon.stop() == 0

    # The state table was lost, and is made anew.
    proxy, state = world.proxy(), world.table + "-controller"
    account.ddb.delete_table(TableName=state)
    account.create_state_table(state)
    world.delete(users[1])
    world.put(users[1])
    world.put(world.name("new"))
    late = world.daemon(proxy).start(ready=False)
    eventually(lambda: "never led" in late.get("/readyz")[1], 20, "it says why it is not ready")
    assert late.get("/readyz")[0] == 503 and late.get("/healthz")[0] == 200
    for text in (late.get("/readyz")[1], late.status()["waits_for"]):
        assert state in text and "2 users" in text and "sweep --first" in text, text
    said = [line for line in late.text().splitlines() if '"ERROR"' in line and "never led" in line]
    assert len(said) == 1 and users[0] in said[0], said
    code, out, err = late.run("sweep")
    assert code == 2 and "sweep --first" in err, (code, out, err)
    code, out, err = late.run("deletions", "resume", "--all")
    assert code == 2 and "never led" in err, (code, out, err)
    time.sleep(3)
    assert not proxy.since(), list(map(str, proxy.since()))

    code, out, err = late.run("sweep", "--first")
    assert code == 0, (code, out, err)
    late.wait_ready()
    assert late.status()["waits_for"] is None
    users.append(world.name("new"))
    for user in users:
        eventually(lambda: world.settled(user), 30, f"{user} is complete")
    late.wait_sweeps(3)
    assert ids_and_keys(world, users[:2]) == before, "nobody lost a key"
    assert late.stop() == 0
    late.start()
    assert late.stop() == 0


def test_a_sweep_of_its_own_begins_with_first(world):
    user = world.name()
    world.put(user)
    daemon = world.daemon()
    code, out, err = daemon.run("sweep")
    assert code == 2 and "has never led" in err, (code, out, err)
    assert world.account.user(user) is None
    code, out, err = daemon.run("sweep", "--first")
    assert code == 0, (code, out, err)
    assert world.settled(user)
    code, out, err = daemon.run("sweep")
    assert code == 0, (code, out, err)
