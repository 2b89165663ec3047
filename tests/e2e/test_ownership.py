"""Two tables of one name, tags that somebody has forged or copied, and people whom a row or a tag is to hand over."""

import json

import test_runbook
from account import Account
from conftest import World
from removals import assert_nothing_taken
from waiting import eventually

EAGER = {"ORPHANS__SWEEPS": "1", "ORPHANS__MIN_AGE": "1s"}
MADE_UP = "2026-01-01T00:00:00.000Z.bm90LWEtbWFjLWJ1dC1hcy1sb25nLWFzLW9uZS1pcy4"


class Twin(World):
    """A table of the name of another world's, in another Region of the same account."""

    def __init__(self, world, folder):
        folder.mkdir()
        self.name_of_table = world.table
        super().__init__(Account(world.account.endpoints, "eu-west-1"), folder, "twin")

    def create_tables(self, view="KEYS_ONLY"):
        self.table = self.name_of_table
        super().create_tables(view)


def test_two_controllers_with_one_table_name_leave_each_others_users_alone(world, tmp_path, figure):
    here, there = world, Twin(world, tmp_path / "twin")
    try:
        assert here.account.table_arn(here.table) != there.account.table_arn(there.table)
        proxies, daemons, users = {}, {}, {}
        shared = here.name("shared")
        for where in (here, there):
            users[where] = [where.name(f"user-{n}") for n in range(3)]
            proxies[where] = where.proxy()
            daemons[where] = where.daemon(proxies[where], SWEEP__SCHEDULE="* * * * * *", **EAGER).start()
            for user in [*users[where], shared]:
                where.put(user)
            for user in users[where]:
                eventually(lambda: where.settled(user), 30, f"{user} is complete")
            if where is here:
                eventually(lambda: here.settled(shared), 30, "its row was here first")
        daemons[there].wait_state(shared, "conflict")
        assert here.account.table_arn(here.table) in daemons[there].user(shared)["reason"]
        marks = {where: proxies[where].mark() for where in proxies}
        before = {name: here.account.keys(name) for where in users for name in [*users[where], shared]}

        for where in (here, there):
            daemons[where].wait_sweeps(60, within=240)
        for where in (here, there):
            assert not proxies[where].since(marks[where]), list(map(str, proxies[where].since(marks[where])))
            assert daemons[where].metric("orphans") == 0
            assert daemons[where].status()["last_sweep"]["owned_users"] == len(users[where]) + (where is here)
            assert all(where.settled(user) for user in users[where])
        assert {name: here.account.keys(name) for name in before} == before

        # Each removes its own, and only those.
        gone = users[there][0]
        there.delete(gone)
        eventually(lambda: there.account.assert_gone(gone), 40, "its own Region's controller removes it")
        assert not proxies[here].since(marks[here])
        here.delete(shared)
        eventually(lambda: there.settled(shared), 60, "a name that is free again is served where it has a row")
        figure("two Regions, one table name: 60 sweeps of each, 0 changes of the other's 3 users")
    finally:
        there.close()


def replicated(_, status, headers, content):
    """DescribeTable of a global table."""
    answer = json.loads(content)
    replica = {"RegionName": "eu-central-1", "ReplicaStatus": "ACTIVE"}
    answer["Table"]["Replicas"] = [replica, replica | {"RegionName": "ap-south-1"}]
    return status, headers, json.dumps(answer).encode()


def test_a_first_start_on_a_global_table_is_refused(world):
    proxy, user = world.proxy(), world.name()
    of_users_table = lambda c: c.action == "DescribeTable" and c.parameters.get("TableName") == world.table  # noqa: E731
    proxy.rewrite(1, replicated, of_users_table, repeat=True)
    world.put(user)
    daemon = world.daemon(proxy)
    for command in ("run", "sweep"):
        code, out, err = daemon.run(command)
        assert code == 1 and "eu-central-1, ap-south-1" in out + err and "table.allow_replicas" in out + err, (code, out, err)
    code, out, err = daemon.run("check")
    assert code == 1 and "WRONG" in out and "table.allow_replicas" in out, (code, out, err)
    assert not proxy.since() and world.account.user(user) is None
    # Allowed once, it goes on: its users need their keys.
    daemon.settings(IUC_TABLE__ALLOW_REPLICAS="true")
    daemon.start()
    eventually(lambda: world.settled(user), 30, "the user is complete")
    assert daemon.stop() == 0
    daemon.settings(IUC_TABLE__ALLOW_REPLICAS="false")
    daemon.start()
    daemon.wait_sweeps(2)
    said = [line for line in daemon.text().splitlines() if '"ERROR"' in line and "global table" in line]
    assert said and world.settled(user)


def tag(world, name, tags):
    world.account.iam.tag_user(UserName=name, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])


def test_forged_and_copied_tags_hand_nobody_to_a_sweep(lonely, figure):
    # An account of its own: users with forged tags are told by every controller.
    world, account, proxy = lonely, lonely.account, lonely.proxy()
    owned, orphan = world.name("owned"), world.name("orphan")
    daemon = world.daemon(proxy, **EAGER).start()
    world.put(owned)
    eventually(lambda: world.settled(owned), 30, "the user is complete")
    genuine = account.tags(owned)
    ours = {key: value for key, value in genuine.items() if key.startswith(("managed-by", "iam-user-controller:"))}
    forged = {
        "made-up": ours | {"iam-user-controller:seal": MADE_UP},
        "unsealed": {key: value for key, value in ours.items() if not key.endswith("seal")},
        "copied": ours,
        "copied-whole": genuine,
        "break-glass": ours,
    }
    victims = {}
    for what, tags in forged.items():
        victims[what] = world.name(what)
        account.iam.create_user(UserName=victims[what])
        account.mint(victims[what])
        tag(world, victims[what], tags)
    account.give_console_login(victims["break-glass"])
    before = {name: (account.user(name), account.keys(name)) for name in victims.values()}
    mark = proxy.mark()
    # What is truly an orphan goes meanwhile, so that sweeps are seen to work; one with a console login stays.
    account.owned_user(orphan, world.boundary, world.table)
    former = world.name("former")
    account.owned_user(former, world.boundary, world.table)
    account.give_console_login(former)
    eventually(lambda: account.assert_gone(orphan), 40, "an owned user without a row goes")
    daemon.wait_sweeps(5)
    assert {name: (account.user(name), account.keys(name)) for name in victims.values()} == before
    touched = [str(call) for call in proxy.since(mark) if call.user in [*victims.values(), former]]
    assert not touched and len(account.keys(former)) == 1, touched
    assert daemon.status()["last_sweep"]["spared"] == {"no_seal": len(victims), "console_login": 1}
    assert daemon.metric("orphans_spared", reason="no_seal") == len(victims)
    said = [line for line in daemon.text().splitlines() if '"ERROR"' in line and "without a valid seal" in line]
    assert said and all(name in said[-1] for name in victims.values()) and owned not in said[-1], said

    # A row gives them no more than the tags: one says that the key is another's.
    for name in victims.values():
        world.put(name)
    for name in victims.values():
        daemon.wait_state(name, "conflict")
    daemon.wait_sweeps(2)
    assert {name: (account.user(name), account.keys(name)) for name in victims.values()} == before
    # Neither does the whole account as its scope.
    for name in victims.values():
        world.delete(name)
    daemon.wait_sweeps(5)
    assert {name: (account.user(name), account.keys(name)) for name in victims.values()} == before
    assert world.settled(owned)
    figure(f"forged and copied tags: {len(victims)} users, 12 sweeps, 0 touched")


def test_a_row_and_a_tag_hand_out_no_persons_key(world):
    account, proxy = world.account, world.proxy()
    path = f"/{world.prefix}bots/"
    made = {}

    def function_made(rest, path):
        name = made[rest] = world.name(rest)
        account.iam.create_user(UserName=name, Path=path)
        key, secret = account.mint(name)
        tag(world, name, {key: "current"})
        account.put_document(name, {"current": {"AccessKeyID": key, "SecretAccessKey": secret}})
        return name

    account.give_console_login(function_made("login", path))
    account.give_mfa_device(function_made("phone", path))
    function_made("elsewhere", "/staff/")
    function_made("robot", path + "mail/")
    function_made("android", f"/{world.prefix}androids/")
    reasons = {"login": "a console login", "phone": "an MFA device", "elsewhere": "its path /staff/ is neither at nor below"}
    before = {rest: (account.user(made[rest]), account.keys(made[rest])) for rest in reasons}
    for name in made.values():
        world.put(name)
    settings = {"USERS__PATH": path, "USERS__ADOPT_PATHS": f'["/{world.prefix}androids/"]'}
    daemon = world.daemon(proxy, **settings, **EAGER)

    # Known before anything is switched over.
    code, planned, err = daemon.run("plan")
    assert code == 0 and "holds no seal key before the first start" in planned, (planned, err)
    code, checked, err = daemon.run("check")
    assert code == 0, (checked, err)
    for rest, reason in reasons.items():
        [line] = [line for line in checked.splitlines() if made[rest] in line]
        assert line.startswith("note ") and "will not be adopted" in line and reason in line, checked
        assert reason in planned.split(f"! {made[rest]}: conflict")[1].splitlines()[1], planned
    for rest in ("robot", "android"):
        assert f"~ {made[rest]}: adopt" in planned and made[rest] not in checked, planned

    daemon.start()
    for rest, reason in reasons.items():
        daemon.wait_state(made[rest], "conflict")
        assert reason in daemon.user(made[rest])["reason"]
    for rest in ("robot", "android"):
        eventually(lambda: world.settled(made[rest]), 30, f"{rest} is adopted")
    daemon.wait_sweeps(3)
    assert {rest: (account.user(made[rest]), account.keys(made[rest])) for rest in reasons} == before
    code, planned, _ = daemon.run("plan")
    assert code == 0 and "seal key" not in planned and "~ " not in planned, planned
    assert_nothing_taken(proxy)


def test_a_seal_key_that_somebody_ruins_ends_the_program_and_is_never_replaced(world):
    account, state, user = world.account, world.table + "-controller", world.name()
    proxy = world.proxy()
    daemon = world.daemon(proxy, **EAGER).start()
    world.put(user)
    eventually(lambda: world.settled(user), 30, "the user is complete")
    assert daemon.stop() == 0
    key = {"Id": {"S": "seal"}}
    record = account.ddb.get_item(TableName=state, Key=key)["Item"]
    secret = json.loads(record["Body"]["S"])["key"]
    mark = proxy.mark()
    for ruin in ({"Body": {"S": "{}"}}, {"Body": {"S": ""}}, {"Body": {"N": "1"}}):
        account.ddb.put_item(TableName=state, Item=record | ruin)
        code, out, err = daemon.run("run", within=60)
        assert code == 1 and "unreadable" in out + err and "restore it from a backup" in out + err, (code, out, err)
        assert account.ddb.get_item(TableName=state, Key=key)["Item"] == record | ruin, "nobody has written a new one"
        code, out, err = daemon.run("plan")
        assert code == 0 and "could not be read" in out, (out, err)
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
    account.ddb.put_item(TableName=state, Item=record)
    daemon.settings(IUC_LOG__LEVEL="trace")
    daemon.start()
    daemon.wait_sweeps(2)
    for path in ("/status", "/users", f"/users/{user}", "/metrics"):
        daemon.get(path)
    assert world.settled(user)
    # The key is in the state table and in tags' seals, and nowhere that people look.
    assert secret not in daemon.text() and secret.encode() not in daemon.pages


def test_a_table_that_is_moved_takes_its_users_along(world, tmp_path, figure):
    chapter = test_runbook.part("How to move a table")
    old, new = world, Twin(world, tmp_path / "new")
    new.boundary = old.boundary
    try:
        account = old.account
        first = old.daemon().start()
        users = [old.name(f"user-{n}") for n in range(3)] + [old.name("with+sign")]
        for user in users:
            old.put(user, Team={"S": "a b"})
        for user in users:
            eventually(lambda: old.settled(user), 30, f"{user} is complete")
        # Had a person used the user, it would not be moved.
        person = old.name("person")
        old.put(person)
        eventually(lambda: old.settled(person), 30, "the user is complete")
        assert first.stop() == 0
        account.give_console_login(person)
        users_and_person = [*users, person]
        before = {name: (account.user(name)["UserId"], account.keys(name), account.document(name)) for name in users_and_person}

        # Without a word nobody is taken over, and nobody goes.
        names = f"OLD_TABLE={old.table} OLD_REGION=us-east-1 TABLE={new.table} REGION=eu-west-1"
        code, out, err = test_runbook.typed(world, test_runbook.block(chapter, "dynamodb put-item"), instead=names)
        assert code == 0, (out, err)
        rows = {item["UserName"]["S"]: item.get("Team") for item in new.account.ddb.scan(TableName=new.table)["Items"]}
        assert rows == dict.fromkeys(users, {"S": "a b"}) | {person: None}
        code, out, err = test_runbook.typed(world, test_runbook.block(chapter, "ssm put-parameter"), instead=names)
        assert code == 0, (out, err)
        proxy = new.proxy()
        second = new.daemon(proxy, **EAGER)
        code, out, err = second.run("plan")
        assert code == 0 and out.count(": conflict") == len(users_and_person), (out, err)
        assert f"managed from the table {account.table_arn(old.table)}" in out
        second.start()
        for user in users_and_person:
            second.wait_state(user, "conflict")
        second.wait_sweeps(2)
        assert second.stop() == 0 and not proxy.since(), list(map(str, proxy.since()))

        # With it they come along.
        word = test_runbook.block(chapter, "IUC_USERS__ADOPT_FROM") + "\nprintf %s \"$IUC_USERS__ADOPT_FROM\""
        code, out, err = test_runbook.typed(world, word, instead=names)
        assert code == 0 and json.loads(out) == [account.table_arn(old.table)], (out, err)
        second.settings(IUC_USERS__ADOPT_FROM=out)
        code, out, err = second.run("check")
        assert code == 0 and f"{person} will not be adopted" in out and users[0] not in out, (out, err)
        code, out, err = second.run("plan")
        assert code == 0 and all(f"~ {user}: adopt\n" in out for user in users) and "mint" not in out, (out, err)
        second.start()
        for user in users:
            eventually(lambda: new.settled(user), 30, f"{user} is taken over")
        second.wait_state(person, "conflict")
        second.wait_sweeps(2)
        after = {name: (account.user(name)["UserId"], account.keys(name), account.document(name)) for name in users_and_person}
        assert after == before, "no key is changed"
        made = [call.action for call in proxy.since() if call.user in users_and_person]
        assert made == ["TagUser"] * len(users), made

        # The old one's controller has lost them, should somebody start it; and the word is not needed any more.
        assert second.stop() == 0
        second.settings(IUC_USERS__ADOPT_FROM="[]")
        code, out, err = second.run("plan")
        assert code == 0 and "No changes" in out, (out, err)
        other = old.proxy()
        third = old.daemon(other, **EAGER).start()
        for user in users:
            third.wait_state(user, "conflict")
        third.wait_sweeps(2)
        assert not other.since() and all(new.settled(user) for user in users)
        figure(f"a table that moved: {len(users)} users along with it, {len(made)} calls, no key changed")
    finally:
        new.close()
