"""The sentences of deploy/runbook.md that somebody types at night, typed."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import boto3

from waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNBOOK = (ROOT / "deploy" / "runbook.md").read_text()


def part(title):
    """One alert's part of the runbook, or what stands before the first."""
    return RUNBOOK.partition(f"## {title}\n")[2].partition("\n## ")[0]


def block(text, word):
    """The commands of the one code block that holds a word."""
    blocks = [b for b in re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE) if word in b]
    assert len(blocks) == 1, (word, blocks)
    return blocks[0]


def inline(text, word):
    """The one command in a sentence that holds a word."""
    found = [command for command in re.findall(r"`([^`\n]+)`", text) if word in command]
    assert len(found) == 1, (word, found)
    return found[0]


FIRST = block(RUNBOOK.partition("\n## ")[0], "CLUSTER=")


def typed(world, commands, instead="", within=300):
    """Types them into bash, after what the runbook says to set first; (exit code, stdout, stderr)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= world.account.environment() | {
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": world.account.endpoints["iam"],
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_PAGER": "",
        "NO_PROXY": "*",
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = f"{FIRST}\nTABLE={world.table} STATE={world.table}-controller LOGS=/ecs/{world.prefix}x\n{instead}\n{commands}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within
    )
    return done.returncode, done.stdout, done.stderr


def test_check_tries_each_permission_that_the_runbook_names(world):
    sentence = next(line for line in part("AwsDenied").splitlines() if "command `check`" in line)
    named = re.findall(r"`((?:iam|ssm|dynamodb):\w+)`", sentence)
    assert len(named) >= 4, sentence
    proxy = world.proxy()
    code, out, err = world.daemon(proxy).run("check")
    assert code == 0, (out, err)
    for action in named:
        assert f"{action} is allowed" in out, (action, out)
    # "reading both tables, writing the state table", and nothing else that changes.
    calls = {(call.action, call.parameters.get("TableName")) for call in proxy.since(matches=lambda call: True)}
    for table in (world.table, world.table + "-controller"):
        assert ("Scan", table) in calls, calls
    assert ("PutItem", world.table + "-controller") in calls, calls


def test_the_simulation_of_a_denial_shows_what_denies(world):
    commands = block(part("AwsDenied"), "simulate-principal-policy")
    iam, role = world.account.iam, world.name("role")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust | {"Version": "2012-10-17"}))["Role"]["Arn"]
    account = arn.split(":")[4]
    mine = f"arn:aws:iam::{account}:user/iam-user-controller/*"
    allowed = {"Effect": "Allow", "Action": "iam:CreateAccessKey", "Resource": mine}
    document = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=json.dumps(document))
    # The task definition is ECS's business; what is simulated is the runbook's.
    lines = [line for line in commands.splitlines() if "describe-task-definition" not in line]
    commands = "\n".join(lines).replace("111122223333", account)

    def simulated(commands):
        code, out, err = typed(world, commands, instead=f"ROLE={arn}")
        assert code == 0, (out, err)
        return json.loads(out)

    assert [line[:2] for line in simulated(commands)] == [["iam:CreateAccessKey", "allowed"]]
    # As the runbook says: without the resource it looks denied.
    bare = commands.replace('--resource-arns "$RESOURCE"', "")
    assert bare != commands and simulated(bare)[0][1] == "implicitDeny"
    document["Statement"].append({"Effect": "Deny", "Action": "iam:*", "Resource": "*"})
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=json.dumps(document))
    assert simulated(commands)[0][1] == "explicitDeny"


def test_the_log_shows_what_went_wrong_with_either_version_of_the_cli(world):
    commands = block(RUNBOOK.partition("\n## ")[0], "running:runningCount").splitlines()
    command = next(line for line in commands if line.startswith("logs "))
    logs = boto3.client(
        "logs", region_name="us-east-1", endpoint_url=world.account.endpoints["iam"],
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    group = f"/ecs/{world.prefix}x"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    lines = [json.dumps({"level": level, "message": level.lower()}) for level in ("INFO", "WARN", "ERROR")]
    now = int(time.time() * 1000)
    events = [{"timestamp": now - 5_000 + n, "message": line} for n, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    code, out, err = typed(world, command)
    assert code == 0, (out, err)
    assert [json.loads(line)["level"] for line in out.splitlines()] == ["WARN", "ERROR"], out
    # Of a one-off task: everything.
    [follow] = [line for line in block(RUNBOOK.partition("\n## ")[0], "run-task").splitlines() if line.startswith("logs ")]
    code, out, err = typed(world, follow)
    assert code == 0 and len(out.splitlines()) == 3, (out, err)
    assert "aws logs tail $LOGS" not in RUNBOOK


def test_the_rows_of_a_restored_table_are_copied_back(world):
    account, restored = world.account, world.table + "-restored"
    commands = block(part("DeletionsHeld"), "put-item")
    account.create_users_table(restored)
    for name, team in (("a", "x"), ("b+c@d", "y"), ("stays", "old")):
        account.put_row(restored, name, Team={"S": team})
    account.put_row(world.table, "stays", Team={"S": "new"})
    _, out, err = typed(world, commands)
    items = account.ddb.scan(TableName=world.table)["Items"]
    rows = {item["UserName"]["S"]: item["Team"]["S"] for item in items}
    assert rows == {"a": "x", "b+c@d": "y", "stays": "new"}, (rows, out, err)
    assert err.count("ConditionalCheckFailedException") == 1, err


def test_plan_names_who_is_in_conflict(world):
    assert inline(part("UserConflicts"), "conflict") == "! NAME: conflict"
    user = world.name()
    world.account.iam.create_user(UserName=user)
    world.put(user)
    code, out, err = world.daemon().run("plan")
    assert code == 0, (out, err)
    lines = [line.strip() for line in out.splitlines()]
    assert f"! {user}: conflict" in lines, out
    assert lines[lines.index(f"! {user}: conflict") + 1], "below it stands why"


def test_the_record_of_the_lease_stays_until_it_is_taken_over(world):
    command = inline(part("NoLeader"), "get-item")

    def record():
        code, out, err = typed(world, command)
        assert code == 0, (out, err)
        return json.loads(out)["Item"]

    daemon = world.daemon(LEASE__TTL="2s").start()
    daemon.kill()
    left = record()
    assert int(left["Token"]["N"]) >= 1
    time.sleep(4)
    assert record() == left, "two lease.ttl later it is as it was"
    world.daemon(LEASE__TTL="2s").start()
    eventually(lambda: int(record()["Token"]["N"]) > int(left["Token"]["N"]), 20, "it is taken over under a higher token")
