"""Each example of the module through its whole life, once a session: applied to an empty account,
planned again, read back from the account, destroyed. Tests look at what was seen on the way.
"""

import functools
import json
import shutil
import tempfile
import pathlib
from dataclasses import dataclass, field

import boto3
from botocore.config import Config

import emulators
from terraform_cli import Terraform, copy_of_module

REGION = "eu-west-1"
ACCOUNT = "123456789012"  # fakecloud's
COMMON = {"image": "registry.example/iam-user-controller:1.0.0", "vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"]}
FUNCTION_TABLE = "functions-users"
FUNCTION_BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/functions-boundary"

VARIABLES = {
    "minimal": {},
    "complete": {
        "deletion_protection": False,
        "prometheus_security_group_id": "sg-prometheus",
        "ecr_repository_arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/iam-user-controller",
    },
    "migration": {
        "deletion_protection": False,
        "function_table_name": FUNCTION_TABLE,
        "function_boundary_arn": FUNCTION_BOUNDARY,
    },
}

#: Examples with a setting that none of them shows: name -> (example, override of its configuration).
VARIANTS = {
    "account": (
        "minimal",
        'module "iam_user_controller" {\n'
        '  orphans_scope       = "account"\n'
        '  protected_users     = ["break-glass"]\n'
        "  deletion_protection = false\n"
        "}\n",
    ),
}

#: What an operator does before a destroy.
UNPROTECTED = 'module "iam_user_controller" {\n  deletion_protection = false\n}\n'


@dataclass
class Life:
    """What was seen of an example."""

    name: str
    planned: dict = field(default_factory=dict)
    second_plan: str = ""
    outputs: dict = field(default_factory=dict)
    task_policies: dict = field(default_factory=dict)
    boundary: dict = field(default_factory=dict)
    trust: dict = field(default_factory=dict)
    task_definition: dict = field(default_factory=dict)
    table_before: dict = field(default_factory=dict)
    table_after: dict = field(default_factory=dict)
    rows_after: list = field(default_factory=list)
    protected: str = ""
    left_over: dict = field(default_factory=dict)


def endpoint(url):
    """Environment that leads Terraform and the SDKs to the emulator."""
    return {"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}


def client(service, url):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )


def managed_policy(iam, arn):
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def attached_policies(iam, role):
    """Every policy of a role, as the account has it."""
    documents = {}
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        documents[policy["PolicyName"]] = managed_policy(iam, policy["PolicyArn"])
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        documents[name] = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return documents


def _describe(dynamodb, table):
    return dynamodb.describe_table(TableName=table)["Table"]


def what_is_there(url):
    """Everything in the account that the module could have left behind."""
    iam = client("iam", url)
    return {
        "tables": client("dynamodb", url).list_tables()["TableNames"],
        "roles": [r["RoleName"] for r in iam.list_roles()["Roles"] if "iam-user-controller" in r["RoleName"]],
        "policies": [
            p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"] if p["Arn"] != FUNCTION_BOUNDARY
        ],
        "log groups": [g["logGroupName"] for g in client("logs", url).describe_log_groups()["logGroups"]],
        "alarms": [a["AlarmName"] for a in client("cloudwatch", url).describe_alarms()["MetricAlarms"]],
        "aliases": [
            a["AliasName"]
            for a in client("kms", url).list_aliases()["Aliases"]
            if not a["AliasName"].startswith("alias/aws/")
        ],
        "services": [
            s
            for cluster in client("ecs", url).list_clusters()["clusterArns"]
            for s in client("ecs", url).list_services(cluster=cluster)["serviceArns"]
        ],
    }


def _make_what_the_function_left(url):
    client("iam", url).create_policy(
        PolicyName="functions-boundary",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*"}]}
        ),
    )
    dynamodb = client("dynamodb", url)
    dynamodb.create_table(
        TableName=FUNCTION_TABLE,
        AttributeDefinitions=[{"AttributeName": "UserName", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "UserName", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.put_item(TableName=FUNCTION_TABLE, Item={"UserName": {"S": "mail-relay"}, "Owner": {"S": "platform"}})


@functools.cache
def live(name):
    """The life of an example, or of a variant of one. A failure on the way fails every test that asks."""
    seen = Life(name)
    example, override = VARIANTS.get(name, (name, None))
    work = pathlib.Path(tempfile.mkdtemp(prefix="emulator-"))
    emulator = emulators.fakecloud(work)
    copy = copy_of_module()
    try:
        url = emulator.url
        if name == "migration":
            _make_what_the_function_left(url)
            seen.table_before = _describe(client("dynamodb", url), FUNCTION_TABLE)
        folder = copy / "examples" / example
        if override:
            (folder / "override.tf").write_text(override)
        terraform = Terraform(folder, COMMON | VARIABLES[example], endpoint(url))
        seen.planned = terraform.plan_json()
        terraform("apply", "the.plan")
        seen.outputs = terraform.outputs()
        seen.second_plan = terraform.second_plan()

        iam = client("iam", url)
        seen.task_policies = attached_policies(iam, "iam-user-controller-task")
        seen.trust = iam.get_role(RoleName="iam-user-controller-task")["Role"]["AssumeRolePolicyDocument"]
        seen.boundary = managed_policy(iam, seen.outputs["environment"]["IUC_USERS__PERMISSIONS_BOUNDARY"])
        seen.task_definition = client("ecs", url).describe_task_definition(taskDefinition="iam-user-controller")[
            "taskDefinition"
        ]
        table = seen.outputs["environment"]["IUC_TABLE__NAME"]
        seen.table_after = _describe(client("dynamodb", url), table)
        seen.rows_after = client("dynamodb", url).scan(TableName=table)["Items"]

        if name == "minimal":
            state_table = "-target=module.iam_user_controller.aws_dynamodb_table.state"
            seen.protected = terraform("destroy", "-auto-approve", state_table, expect=(1,)).stderr
            (folder / "override.tf").write_text(UNPROTECTED)
            terraform.apply()
        terraform.destroy()
        seen.left_over = {what: names for what, names in what_is_there(url).items() if names}
    finally:
        emulator.stop()
        shutil.rmtree(copy.parent)
        shutil.rmtree(work)
    return seen
