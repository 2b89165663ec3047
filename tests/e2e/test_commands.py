"""The commands of the program, their exit codes, and how it stops."""

import json
import time

from account import age
from waiting import eventually


def test_all_configuration_faults_are_told_at_once(world):
    daemon = world.daemon()
    code, out, err = daemon.run(
        "run",
        IUC_TABLE__NAME="",
        IUC_KEYS__ROTATE_AFTER="banana",
        IUC_SWEEP__SCHEDULE="never",
        IUC_ORPHANS__SCOPE="everything",
        IUC_EXECUTOR__CONCURRENCY="0",
        IUC_NOT__THERE="1",
        IUC_KEYS__COLOUR="red",
    )
    assert code == 2, (code, out, err)
    said = (out + err).lower()
    for key in (
        "table.name",
        "keys.rotate_after",
        "sweep.schedule",
        "orphans.scope",
        "executor.concurrency",
    ):
        assert key in said, f"{key} is not named in:\n{out}{err}"
    for value in ("banana", "never", "everything", "IUC_KEYS__ROTATE_AFTER".lower()):
        assert value in said, f"{value} is not named in:\n{out}{err}"
    # What is no setting has no key: the variable is named as it was written.
    for variable in ("iuc_not__there", "iuc_keys__colour"):
        assert variable in said, f"{variable} is not named in:\n{out}{err}"


def test_impossible_combinations_are_refused(world):
    daemon = world.daemon()
    for settings, key in [
        ({"IUC_KEYS__ROTATE_AFTER": "30d", "IUC_KEYS__DELETE_AFTER": "15d"}, "keys.delete_after"),
        ({"IUC_KEYS__MIN_OVERLAP": "20d", "IUC_KEYS__ROTATE_AFTER": "15d", "IUC_KEYS__DELETE_AFTER": "30d"}, "keys.min_overlap"),
        ({"IUC_ORPHANS__SCOPE": "account"}, "orphans.protect"),
        ({"IUC_PARAMETERS__NAME": "/iam_users/keys"}, "parameters.name"),
        ({"IUC_HTTP__LISTEN": "everywhere"}, "http.listen"),
    ]:
        code, out, err = daemon.run("run", **settings)
        assert code == 2 and key in out + err, (settings, code, out, err)


def test_a_wrong_command_line_is_exit_code_2(world):
    daemon = world.daemon()
    assert daemon.run("walk")[0] == 2
    assert daemon.run("plan", "--colour")[0] == 2
    code, out, _ = daemon.run("--version")
    assert code == 0 and "iam-user-controller" in out
    code, out, _ = daemon.run("--help")
    assert code == 0
    for command in ("run", "plan", "sweep", "check", "deletions", "health"):
        assert command in out


def test_the_configuration_file_is_read_and_the_environment_wins(world, tmp_path):
    file = tmp_path / "controller.toml"
    file.write_text(f'[table]\nname = "{world.table}"\n\n[keys]\nrotate_after = "apple"\ndelete_after = "pear"\n')
    daemon = world.daemon()
    del daemon.environment["IUC_TABLE__NAME"]
    for way in (["--config", str(file)], []):
        code, out, err = daemon.run("plan", *way, IUC_KEYS__ROTATE_AFTER="15d", IUC_CONFIG=str(file))
        assert code == 2
        assert "pear" in out + err and "controller.toml" in out + err, (out, err)
        assert "apple" not in out + err
    assert daemon.run("plan", "--config", "/nowhere.toml")[0] == 2


def test_plan_tells_what_a_sweep_then_does(world):
    account, new, known = world.account, world.name("new"), world.name("known")
    key, _ = account.function_made_user(known, world.boundary)
    world.put(known)
    world.put(new)
    daemon = world.daemon()

    code, out, err = daemon.run("plan")
    assert code == 0, err
    assert new in out and known in out
    assert daemon.run("plan", "--detailed-exitcode")[0] == 2
    code, out, err = daemon.run("plan", "--json", "--detailed-exitcode")
    assert code == 2
    assert new in str(json.loads(out)), out
    code, out, _ = daemon.run("plan", "--user", new)
    assert code == 0 and new in out and known not in out
    assert account.user(new) is None and "managed-by" not in account.tags(known), "plan changed something"

    code, out, err = daemon.run("sweep", within=90)
    assert code == 0, err
    assert world.settled(new) and world.settled(known)
    assert account.current(known)[0] == key

    code, out, err = daemon.run("plan", "--detailed-exitcode")
    assert code == 0, (out, err)
    code, out, _ = daemon.run("plan", "--json", "--detailed-exitcode")
    assert code == 0
    json.loads(out)
    code, out, _ = daemon.run("sweep", "--json", within=90)
    assert code == 0
    json.loads(out)


def test_plan_for_one_user_says_what_the_whole_plan_says(world):
    account, orphan = world.account, world.name("orphan")
    account.owned_user(orphan, world.boundary, world.table)
    daemon = world.daemon()
    time.sleep(2)
    of_all = json.loads(daemon.run("plan", "--json")[1])
    code, out, err = daemon.run("plan", "--user", orphan, "--json", "--detailed-exitcode")
    assert code == 2, (out, err)
    of_one = json.loads(out)
    assert of_one["users"] == [user for user in of_all["users"] if user["name"] == orphan]
    assert of_one["users"][0]["action"] == "delete_user"
    code, out, err = daemon.run("plan", "--user", world.name("nobody"), "--detailed-exitcode")
    assert code == 0 and "No changes" in out, (out, err)


def test_a_sweep_on_its_own_does_what_is_due_although_another_led_before(world):
    account, user = world.account, world.name()
    daemon = world.daemon(KEYS__ROTATE_AFTER="20s", KEYS__DELETE_AFTER="30d", SWEEP__SCHEDULE="0 0 0 1 1 *").start()
    world.put(user)
    eventually(lambda: world.settled(user), 4, "the user is complete")
    assert daemon.stop() == 0
    first = account.current(user)
    time.sleep(max(0, 21 - age(account.keys(user)[first[0]]["CreateDate"])))
    code, out, err = daemon.run("sweep", within=60)
    assert code == 0, (out, err)
    assert account.current(user)[0] != first[0], "its key was due"
    assert world.settled(user)


def test_a_sweep_of_which_a_look_failed_has_failed(world):
    user, other = world.name(), world.name("other")
    proxy = world.proxy()
    daemon = world.daemon(proxy)
    for name in (user, other):
        world.put(name)
    proxy.answer(1, 500, "ServiceFailure", lambda call: call.action == "CreateUser" and call.user == user, repeat=True)
    code, out, err = daemon.run("sweep", within=60)
    assert code == 1 and "1 looks failed" in out and user in err, (code, out, err)
    assert world.settled(other)
    code, out, err = daemon.run("sweep", "--json", within=60)
    assert code == 1 and json.loads(out)["failed"] == 1, (code, out, err)
    proxy.heal()
    code, out, err = daemon.run("sweep", within=60)
    assert code == 0, (code, out, err)
    assert world.settled(user)


def test_plan_and_sweep_fail_with_1_when_aws_does_not_answer(world):
    daemon = world.daemon()
    nowhere = {"AWS_ENDPOINT_URL_IAM": "http://127.0.0.1:1"}
    assert daemon.run("plan", "--detailed-exitcode", within=120, **nowhere)[0] == 1
    assert daemon.run("sweep", within=120, **nowhere)[0] == 1


def test_dry_run_changes_nothing(world):
    user = world.name()
    world.put(user)
    proxy = world.proxy()
    daemon = world.daemon(proxy, DRY_RUN="true").start()
    eventually(lambda: daemon.state(user), 15, "/users shows the user")
    assert daemon.user(user)["reason"], "it says what would be done"
    daemon.wait_sweeps(2)
    code, out, err = daemon.run("sweep", "--json")
    assert code == 0 and json.loads(out)["rows"] == 1, (out, err)
    code, out, err = daemon.run("deletions", "resume")
    assert code == 1 and "dry_run" in err, (out, err)
    # Not even the state table: no lease, no checkpoint, no command.
    written = proxy.since(matches=lambda call: call.mutates and call.action != "GetCallerIdentity")
    assert not written, list(map(str, written))
    assert world.account.user(user) is None
    assert daemon.status()["role"] == "observer"
    assert "would change" in daemon.text() and user in daemon.text()
    assert daemon.stop() == 0


def test_check_says_what_is_wrong_and_how_to_mend_it(world):
    account = world.account
    proxy = world.proxy()
    daemon = world.daemon(proxy)
    code, out, err = daemon.run("check")
    assert code == 0, (out, err)
    proxy.answer(1, 403, "AccessDenied", lambda call: call.action == "ListAccessKeys", repeat=True)
    no_stream = world.name("no-stream")
    account.ddb.create_table(
        TableName=no_stream,
        KeySchema=[{"AttributeName": "UserName", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "UserName", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for settings, named in [
        ({"IUC_TABLE__NAME": "there-is-none"}, ["there-is-none"]),
        ({"IUC_TABLE__NAME": no_stream}, [no_stream, "update-table", "StreamEnabled=true"]),
        ({"IUC_STATE__TABLE": "no-state"}, ["no-state", "create-table"]),
        ({"IUC_TABLE__NAME": world.table + "-controller"}, ["UserName"]),
        ({}, ["iam:ListAccessKeys"]),
        ({"AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:1"}, ["ssm:GetParameter"]),
    ]:
        code, out, err = daemon.run("check", within=120, **settings)
        assert code == 1, (settings, out, err)
        for word in named:
            assert word in out + err, (settings, out, err)


def test_run_ends_with_1_when_a_table_is_missing(world):
    daemon = world.daemon()
    for settings, named in [
        ({"IUC_TABLE__NAME": "there-is-none"}, "there-is-none"),
        ({"IUC_STATE__TABLE": "no-state"}, "no-state"),
    ]:
        code, out, err = daemon.run("run", within=60, **settings)
        assert code == 1 and named in err, (settings, code, out, err)


def test_the_leader_answers_the_commands_of_operators(world):
    account, user = world.account, world.name()
    proxy = world.proxy()
    daemon = world.daemon(proxy, SWEEP__SCHEDULE="0 0 0 1 1 *", SWEEP__FULL_EVERY="24h", LEASE__TTL="15s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    token = daemon.status()["token"]
    before = daemon.status()["last_sweep"]["started"]
    account.iam.delete_user_permissions_boundary(UserName=user)
    code, out, err = daemon.run("sweep", "--json", within=60)
    assert code == 0, (out, err)
    assert json.loads(out)["rows"] == 1
    assert daemon.status()["last_sweep"]["started"] != before, "the leader swept"
    eventually(lambda: account.boundary(user) == world.boundary, 15, "it has mended what it found")
    code, out, err = daemon.run("sweep", within=60)
    assert code == 0 and "1 rows" in out, (out, err)
    code, out, err = daemon.run("deletions", "resume")
    assert code == 0 and "Nothing was held" in out, (out, err)
    code, out, err = daemon.run("deletions", "status")
    assert code == 0 and "not held" in out, (out, err)
    assert daemon.status()["token"] == token, "the lease never changed hands"

    # Without a leader the commands do the work themselves.
    assert daemon.stop() == 0
    code, out, err = daemon.run("deletions", "resume")
    assert code == 0 and "Nothing was held" in out, (out, err)
    code, out, err = daemon.run("sweep", "--json", within=60)
    assert code == 0 and json.loads(out)["rows"] == 1, (out, err)


def test_health_asks_the_running_service(world):
    daemon = world.daemon()
    assert daemon.run("health")[0] == 1
    daemon.start()
    assert daemon.run("health")[0] == 0
    assert daemon.get("/healthz")[0] == 200
    assert daemon.get("/nothing-here")[0] == 404
    daemon.stop()
    assert daemon.run("health")[0] == 1


def test_sigterm_finishes_the_user_in_hand(world):
    account, user = world.account, world.name()
    proxy = world.proxy()
    # The call is given up when the lease ends, so that has to be later.
    daemon = world.daemon(proxy, LEASE__TTL="15s").start()
    slow = proxy.delay(1, 3, matches=lambda call: call.action == "PutParameter")
    world.put(user)
    eventually(lambda: account.keys(user), 10, "a key is minted")
    begin = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin < 20
    assert slow.fired.is_set()
    assert world.settled(user), "the user in hand was left half-done"
    assert daemon.get("/healthz")[0] == 0

    # The lease was given back: another instance leads at once, and the record is not handled twice.
    mark = proxy.mark()
    begin = time.monotonic()
    daemon.start()
    assert time.monotonic() - begin < 10
    daemon.wait_sweeps(2)
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
    assert daemon.stop() == 0


def test_users_are_named_only_on_loopback_unless_told_otherwise(world):
    daemon = world.daemon(HTTP__EXPOSE_USERS="false").start()
    assert daemon.get("/users")[0] == 404
    assert daemon.get("/users/x")[0] == 404
    assert daemon.get("/status")[0] == 200
    metrics = daemon.get("/metrics")[1]
    names = {line.split("{")[0].split(" ")[0] for line in metrics.splitlines() if line and not line.startswith("#")}
    wrong = {name for name in names if not name.startswith("iam_user_controller_")}
    assert names and not wrong, wrong
