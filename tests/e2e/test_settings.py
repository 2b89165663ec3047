"""What the settings about users, keys and names change."""

import json

from account import Account
from conftest import World
from waiting import always, eventually

EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def test_adopt_never_touches_nobody(world):
    account, user = world.account, world.name()
    account.function_made_user(user, world.boundary)
    before = (account.user(user), account.keys(user), account.raw_parameter(user)["Version"])
    world.put(user)
    daemon = world.daemon(USERS__ADOPT="never", KEYS__ROTATE_AFTER="2s", KEYS__DELETE_AFTER="4s").start()
    daemon.wait_state(user, "conflict")
    daemon.wait_sweeps(3)
    assert (account.user(user), account.keys(user), account.raw_parameter(user)["Version"]) == before


def test_adopt_always_takes_a_user_over_and_reports_its_key_as_foreign(world):
    account, user = world.account, world.name()
    account.iam.create_user(UserName=user, Tags=[{"Key": "team", "Value": "platform"}])
    key, secret = account.mint(user)
    world.put(user)
    daemon = world.daemon(USERS__ADOPT="always").start()
    current = eventually(lambda: account.current(user), 60, "it has a published key")
    assert current[0] != key
    daemon.wait_state(user, "ready")
    assert account.boundary(user) == world.boundary
    tags = account.tags(user)
    assert (tags["managed-by"], tags["team"], tags[current[0]]) == ("iam-user-controller", "platform", "current")
    assert key not in tags and account.calls_as(key, secret).endswith(f":user/{user}"), "its key is touched"
    eventually(lambda: daemon.metric("foreign_keys") == 1, 10, "its key is counted as foreign")


def test_a_foreign_key_is_revoked_when_told_so(world):
    account, user = world.account, world.name()
    daemon = world.daemon(KEYS__FOREIGN="revoke").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    current = account.current(user)
    foreign = account.mint(user)
    eventually(
        lambda: account.keys(user).get(foreign[0], {"Status": "Inactive"})["Status"] == "Inactive",
        60,
        "the foreign key is deactivated",
    )
    eventually(lambda: foreign[0] not in account.keys(user), 60, "it is deleted a sweep later")
    assert account.current(user) == current
    eventually(lambda: world.settled(user), 20, "the user is as it was")
    daemon.wait_state(user, "ready")
    eventually(lambda: daemon.metric("foreign_keys") == 0, 10, "no foreign key is counted any more")


def test_no_page_names_a_user_unless_told_so(world):
    account = world.account
    users = [world.name(f"needle-{n}") for n in range(5)]
    proxy = world.proxy()
    daemon = world.daemon(
        proxy, HTTP__EXPOSE_USERS="false", DELETIONS__MAX_COUNT="1", DELETIONS__MAX_PERCENT="1"
    ).start()
    world.put(world.name("needle with a space"))
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    for user in users[1:]:
        world.delete(user)
    eventually(lambda: daemon.metric("deletions_held"), 30, "deletions are held")
    for path in ("/users", f"/users/{users[0]}", "/users/nobody"):
        assert daemon.get(path)[0] == 404, path
    for path in ("/status", "/metrics", "/readyz", "/healthz"):
        daemon.get(path)
    assert b"needle" not in daemon.pages
    # An operator at the command line is told.
    code, out, _ = daemon.run("deletions", "status")
    assert code == 0 and "needle" in out


def test_another_table_of_the_same_name_holds_deletions(world):
    account = world.account
    stays, goes = world.name("stays"), world.name("goes")
    daemon = world.daemon(ORPHANS__SWEEPS="1").start()
    for user in (stays, goes):
        world.put(user)
    for user in (stays, goes):
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    daemon.stop()
    account.ddb.delete_table(TableName=world.table)
    account.create_users_table(world.table)
    world.put(stays)
    daemon.start()
    eventually(lambda: daemon.metric("deletions_held"), 20, "deletions are held")
    daemon.wait_sweeps(2)
    assert world.settled(goes) and world.settled(stays)
    assert "table_identity" in str(daemon.status()["deletions"])
    assert daemon.run("deletions", "resume")[0] == 0
    eventually(lambda: account.assert_gone(goes), 30, "the orphan is deleted")
    always(lambda: world.settled(stays), during=2, what="the other one stays")


def test_rows_that_come_and_go_quickly_settle(world):
    """The last word of the table counts, whatever came before it."""
    account = world.account
    users = [world.name(f"user-{n}") for n in range(8)]
    daemon = world.daemon(DELETIONS__MAX_COUNT="1000").start()
    for turn in range(12):
        for n, user in enumerate(users):
            if (turn + n) % 3 == 0:
                world.delete(user)
            else:
                world.put(user)
    for n, user in enumerate(users):
        (world.put if n % 2 else world.delete)(user)
    for n, user in enumerate(users):
        if n % 2:
            eventually(lambda: world.settled(user), 90, f"{user} is complete")
            daemon.wait_state(user, "ready", within=60)
        else:
            eventually(lambda: account.assert_gone(user), 90, f"{user} is gone")
            eventually(lambda: daemon.state(user) is None, 60, f"{user} is forgotten")
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 30, "every record is handled")


def test_the_user_that_the_controller_runs_as_is_never_managed(endpoints, tmp_path):
    # One emulator for everything: what has the rows has to know the user's key as well.
    account = Account(dict.fromkeys(endpoints, endpoints["dynamodb"]))
    world = World(account, tmp_path, "own")
    try:
        me, other = world.name("controller"), world.name("other")
        account.iam.create_user(UserName=me)
        account.iam.put_user_policy(UserName=me, PolicyName="everything", PolicyDocument=EVERYTHING)
        key, secret = account.mint(me)
        account.put_document(me, {"current": {"AccessKeyID": key, "SecretAccessKey": secret}})
        tags = {"managed-by": "iam-user-controller", "iam-user-controller:table": world.table, key: "current"}
        account.iam.tag_user(UserName=me, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        world.put(me)
        world.put(other)
        daemon = world.daemon(ORPHANS__SWEEPS="1", KEYS__ROTATE_AFTER="3s", KEYS__DELETE_AFTER="6s")
        daemon.settings(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
        daemon.start()
        daemon.wait_state(me, "conflict")
        eventually(lambda: account.current(other), 20, "another user is served all the same")
        world.delete(me)
        daemon.wait_sweeps(6)
        assert account.user(me) and set(account.keys(me)) == {key}
        assert account.current(me) == (key, secret)
    finally:
        world.close()
