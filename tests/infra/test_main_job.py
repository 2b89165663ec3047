"""The module and the program together: apply, run the built program as the applied role with the
outputs as its environment, a row becomes a user with a published key, the row goes and so does the
user, destroy.

The emulator plays ECS's credential endpoint for the role, and evaluates every call of the program to
IAM, STS, KMS and DynamoDB against the role's applied policies (`--iam soft`: what they deny is done
all the same, and told). It does not evaluate calls to Parameter Store; test_policies.py does.
"""

import json
import re
import shutil
import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError

import emulators
from daemon import Daemon
from examples import ACCOUNT, COMMON, REGION, UNPROTECTED, client, endpoint, what_is_there
from terraform_cli import Terraform, copy_of_module
from waiting import eventually

ROLE = "iam-user-controller-task"

#: Calls that AWS would allow and the emulator says it would not, each for a reason of its own. The
#: evaluators of test_policies.py, to which requests are described as AWS describes them, allow both.
GAPS = {
    # It does not tell policies which boundary a CreateUser asks for.
    ("iam:CreateUser", "assumed-role"),
    # It forgets the user in this request's resource.
    ("iam:ListServiceSpecificCredentials", "assumed-role"),
    # AWS lets everybody ask who they are, without any policy.
    ("sts:GetCallerIdentity", "user"),
}


@pytest.fixture
def cloud(tmp_path):
    def start(port):
        command = [str(emulators.FAKECLOUD), "--addr", f"127.0.0.1:{port}", "--region", REGION, "--log-level", "warn"]
        command += ["--verify-sigv4", "--iam", "soft"]
        command += ["--credentials-role-arn", f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"]
        return command, {}

    emulator = emulators.Emulator(start, "/_fakecloud/health", tmp_path)
    yield emulator
    emulator.stop()


def denials(emulator):
    """(action, kind of principal) of everything that policies denied so far."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", emulator.process.text())
    pattern = r"IAM policy evaluation denied request .*? action=(\S+) .*? principal=arn:aws:\w+::\d+:([\w-]+)/"
    return set(re.findall(pattern, text))


def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError:
        return True
    return False


def test_apply_run_put_read_remove_destroy(cloud, tmp_path):
    url = cloud.url
    copy = copy_of_module()
    folder = copy / "examples" / "minimal"
    (folder / "override.tf").write_text(UNPROTECTED)
    terraform = Terraform(folder, COMMON, endpoint(url))
    terraform.apply()
    settings = terraform.outputs()["environment"]

    credentials = f"{url}/_fakecloud/credentials"
    daemon = Daemon(settings | {"AWS_ENDPOINT_URL": url, "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials}, tmp_path / "daemon.log")
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]:
        del daemon.environment[name]
    daemon.settings(AWS_REGION=REGION, AWS_DEFAULT_REGION=REGION)
    try:
        code, said, errors = daemon.run("check")
        assert code == 0 and f"assumed-role/{ROLE}" in said, said + errors
        daemon.start()
        assert daemon.run("health")[0] == 0

        iam, ssm, dynamodb = client("iam", url), client("ssm", url), client("dynamodb", url)
        table, parameter = settings["IUC_TABLE__NAME"], "/iam_users/mail-relay_keys"
        dynamodb.put_item(TableName=table, Item={"UserName": {"S": "mail-relay"}})
        eventually(lambda: not refused(ssm.get_parameter, Name=parameter), 30, "the key is published")
        eventually(lambda: daemon.status()["users"]["ready"] == 1, 30, "the user is ready")

        document = json.loads(ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"])
        (described,) = ssm.describe_parameters()["Parameters"]
        assert described["Type"] == "SecureString" and described["KeyId"] == settings["IUC_PARAMETERS__KMS_KEY_ID"]
        key = document["current"]
        own = boto3.client(
            "sts", endpoint_url=url, region_name=REGION,
            aws_access_key_id=key["AccessKeyID"], aws_secret_access_key=key["SecretAccessKey"],
        )  # fmt: skip
        assert own.get_caller_identity()["Arn"].endswith(":user/mail-relay")
        user = iam.get_user(UserName="mail-relay")["User"]
        assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == settings["IUC_USERS__PERMISSIONS_BOUNDARY"]
        tags = {tag["Key"]: tag["Value"] for tag in user["Tags"]}
        assert tags["managed-by"] == "iam-user-controller" and tags["iam-user-controller:table"] == table

        dynamodb.delete_item(TableName=table, Key={"UserName": {"S": "mail-relay"}})
        eventually(lambda: iam.list_users()["Users"] == [], 30, "the user goes with its row")
        eventually(lambda: ssm.describe_parameters()["Parameters"] == [], 30, "and so does its parameter")
        assert denials(cloud) <= GAPS

        # What the emulator would have said to a thief. Soft mode lets it happen, so it comes last.
        thief = role_session(credentials).client("iam", endpoint_url=url, region_name=REGION)
        thief.create_role(RoleName="mine", AssumeRolePolicyDocument="{}")
        assert denials(cloud) - GAPS == {("iam:CreateRole", "assumed-role")}
        iam.delete_role(RoleName="mine")
        assert daemon.stop() == 0
    except AssertionError as error:
        raise AssertionError(f"{error}\n--- the program\n{daemon.text()[-4000:]}\n--- the emulator\n{cloud.process.tail()}") from error
    finally:
        daemon.kill()

    terraform.destroy()
    assert {what: names for what, names in what_is_there(url).items() if names} == {}
    shutil.rmtree(copy.parent)


def role_session(credentials):
    """A session with the role's credentials, as ECS hands them to a task."""
    with urllib.request.urlopen(credentials, timeout=10) as answer:
        given = json.load(answer)
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    )
