"""The guard of deploy/guard, applied to an emulated organization and asked which principal may write which tags."""

import json
import re
import shutil

import pytest

import emulators
from examples import client, endpoint
from guard_cases import (
    CONTROLLER,
    FUNCTION,
    IMPOSTORS,
    OPERATOR,
    SOMEBODY,
    STATE_TABLE,
    claims,
    forgeries,
    forgeries_of_key_tags,
    harmless,
    ways_into_the_state,
)
from policy_cases import ACCOUNT, IAM
from simulators import iam_simulate, iam_simulate_many
from terraform_cli import Terraform, environment
from test_policies import EVERYTHING, assert_all, verdicts
from tools import ROOT, run

GUARD = ROOT / "deploy" / "guard"
VARIABLES = {
    "controller_role_arns": [CONTROLLER],
    "function_role_arns": [FUNCTION],
    "operator_arns": [f"{IAM}:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_BreakGlass_*"],
    "state_table_arns": [STATE_TABLE],
}
EVERY_CASE = [*forgeries(), *forgeries_of_key_tags(), *ways_into_the_state()]
ONE_OF_EACH = list({(r.what, r.action): r for r in EVERY_CASE}.values())


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    started = emulators.fakecloud(tmp_path_factory.mktemp("guard"))
    yield started.url
    started.stop()


@pytest.fixture(scope="module")
def applied(emulator, tmp_path_factory):
    """(the managed policy, the service control policy) as the account had them after an apply."""
    organizations, iam = client("organizations", emulator), client("iam", emulator)
    organizations.create_organization(FeatureSet="ALL")
    (root,) = organizations.list_roots()["Roots"]
    folder = tmp_path_factory.mktemp("terraform") / "guard"
    shutil.copytree(GUARD, folder, ignore=shutil.ignore_patterns(".terraform*"))
    terraform = Terraform(folder, VARIABLES | {"organization_targets": [root["Id"]]}, endpoint(emulator))
    terraform.apply()
    outputs = terraform.outputs()
    assert terraform.second_plan() == ""

    version = iam.get_policy(PolicyArn=outputs["policy_arn"])["Policy"]["DefaultVersionId"]
    managed = iam.get_policy_version(PolicyArn=outputs["policy_arn"], VersionId=version)["PolicyVersion"]["Document"]
    control = organizations.describe_policy(PolicyId=outputs["organization_policy_id"])["Policy"]
    attached = organizations.list_targets_for_policy(PolicyId=outputs["organization_policy_id"])["Targets"]
    assert [target["TargetId"] for target in attached] == [root["Id"]]
    assert control["PolicySummary"]["Type"] == "SERVICE_CONTROL_POLICY"

    terraform.destroy()
    assert iam.list_policies(Scope="Local")["Policies"] == []
    return managed, json.loads(control["Content"])


def asked(emulator, guard, principal, requests):
    """Verdicts on a principal that may do everything but for the guard."""
    return verdicts(emulator, [_by(principal, r) for r in requests], [EVERYTHING, guard], None, principal)


def _by(principal, request):
    """AWS sends the ARN of the role with its path, also for a session, whose own ARN has none."""
    return type(request)(request.what, request.action, request.resource, {"aws:PrincipalArn": principal} | request.context)


def test_both_policies_are_one_document(applied):
    managed, control = applied
    assert managed == control


def test_no_other_principal_can_forge_a_tag_or_open_the_state(emulator, applied):
    assert_all(asked(emulator, applied[0], SOMEBODY, EVERY_CASE), "explicitDeny")
    for principal in IMPOSTORS:
        assert_all(asked(emulator, applied[0], principal, ONE_OF_EACH), "explicitDeny")


@pytest.mark.parametrize("key", ["Managed-By", "MANAGED-BY"])
def test_a_claim_in_capitals_is_one(applied, key):
    # The emulator compares the names of condition keys with regard to case. AWS does not.
    requests = [_by(SOMEBODY, r) for r in claims(key)]
    policies = [EVERYTHING, applied[0]]
    assert iam_simulate(requests, policies, None, SOMEBODY, ACCOUNT) == ["explicitDeny"] * 2


@pytest.mark.parametrize("principal", [CONTROLLER, FUNCTION, OPERATOR])
def test_the_named_principals_can(emulator, applied, principal):
    assert_all(asked(emulator, applied[0], principal, ONE_OF_EACH), "allowed")


@pytest.mark.parametrize("principal", [SOMEBODY, CONTROLLER])
def test_the_guard_leaves_all_else_alone(emulator, applied, principal):
    assert_all(asked(emulator, applied[0], principal, harmless()), "allowed")


def weaker_guards(guard):
    """(what is missing, the rest): each statement, and each action, key and pattern of one."""
    for statement in guard["Statement"]:
        others = [other for other in guard["Statement"] if other is not statement]
        yield statement["Sid"], others
        for action in statement["Action"]:
            actions = [other for other in statement["Action"] if other != action]
            yield f"{statement['Sid']}: {action}", [*others, statement | {"Action": actions}]
        for operator in [name for name in statement["Condition"] if name.startswith("ForAnyValue:")]:
            listed = statement["Condition"][operator]["aws:TagKeys"]
            for key in listed:
                fewer = {operator: {"aws:TagKeys": [other for other in listed if other != key]}}
                yield f"{statement['Sid']}: {key}", [*others, statement | {"Condition": statement["Condition"] | fewer}]


def test_each_part_of_the_guard_would_be_missed(applied):
    requests = [_by(SOMEBODY, r) for r in EVERY_CASE]
    weaker = list(weaker_guards(applied[0]))
    assert len(weaker) > 40
    batches = [(requests, [EVERYTHING, {"Version": "2012-10-17", "Statement": rest}]) for _, rest in weaker]
    answers = iam_simulate_many(batches, None, SOMEBODY, ACCOUNT)
    assert [what for (what, _), verdicts in zip(weaker, answers, strict=True) if "allowed" not in verdicts] == []


def test_the_guard_knows_every_tag_of_the_program():
    sources = (path.read_text() for path in (ROOT / "src/core").rglob("*.rs"))
    tags = {tag for text in sources for tag in re.findall(r'"(iam-user-controller:[a-z-]+)"', text)}
    listed = re.search(r"own_tags = \[(.*?)\]", (GUARD / "main.tf").read_text(), re.S)[1]
    assert len(tags) >= 2
    assert tags <= set(re.findall(r'"([^"]+)"', listed)), tags


def test_a_wildcard_or_a_session_is_no_name_of_a_role(tmp_path):
    folder = tmp_path / "guard"
    shutil.copytree(GUARD, folder, ignore=shutil.ignore_patterns(".terraform*"))
    sessions = {"controller_role_arns": [f"arn:aws:sts::{ACCOUNT}:assumed-role/iam-user-controller-task/x"]}
    terraform = Terraform(folder, sessions)
    assert "never compared" in " ".join(terraform("plan", expect=(1,)).stderr.split())


def test_the_code_is_formatted():
    run("terraform", "fmt", "-check", "-diff", GUARD, env=environment())


def test_the_document_for_those_without_terraform_is_the_applied_one(applied):
    """deploy/guard/guard.json is what an apply makes of the names in it."""
    written = json.dumps(applied[0], indent=2) + "\n"
    page = GUARD / "guard.json"
    if not page.exists() or page.read_text() != written:
        page.write_text(written)
        pytest.fail(f"{page.name} was not as it should be and has been written again: look at the change and commit it")
