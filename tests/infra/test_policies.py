"""The policies that were applied, asked about every call that the program makes and about abuses.

Nothing here reads the Terraform code: the policies are those that the account had after the apply.
"""

import json
import pathlib

import pytest

import emulators
from examples import live
from policy_cases import (
    ACCOUNT,
    IAM,
    Deployment,
    abuses,
    abuses_of_a_narrow_deployment,
    abuses_of_every_scope,
    adoption,
    needed,
    sweeps_of_the_account,
    users_may,
    users_may_not,
)
from simulators import iam_simulate, simulate_custom_policy

ROOT = pathlib.Path(__file__).resolve().parents[2]
TASK = f"{IAM}:role/iam-user-controller-task"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    started = emulators.fakecloud(tmp_path_factory.mktemp("simulator"))
    yield started.url
    started.stop()


def deployment(name):
    environment = live(name).outputs["environment"]
    return Deployment(
        example=name,
        table=environment["IUC_TABLE__NAME"],
        state_table=environment["IUC_STATE__TABLE"],
        boundary=environment["IUC_USERS__PERMISSIONS_BOUNDARY"],
        path=environment["IUC_USERS__PATH"],
        kms_key=environment.get("IUC_PARAMETERS__KMS_KEY_ID"),
        tables_key=live(name).table_after.get("SSEDescription", {}).get("KMSMasterKeyArn") if name == "complete" else None,
    )


def verdicts(emulator, requests, policies, boundary=None, principal=TASK):
    """One verdict for each request, on which both evaluators agree."""
    requests = list(requests)
    ours = iam_simulate(requests, policies, boundary, principal, ACCOUNT)
    theirs = simulate_custom_policy(emulator, requests, policies, boundary, principal)
    disagreements = [
        f"{r.action} ({r.what}): {a} / {b}" for r, a, b in zip(requests, ours, theirs, strict=True) if a != b
    ]
    assert not disagreements, "\n".join(disagreements)
    return list(zip(requests, ours, strict=True))


def assert_all(pairs, *expected):
    wrong = [f"{r.action} on {r.resource} ({r.what}): {v}" for r, v in pairs if v not in expected]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["minimal", "complete"])
def test_everything_that_the_program_needs_is_allowed(emulator, name):
    policies = live(name).task_policies.values()
    pairs = verdicts(emulator, needed(deployment(name)), policies)
    assert_all(pairs, "allowed")

    listed = {f"{a['service']}:{a['action']}" for a in json.loads((ROOT / "terraform/actions.json").read_text())}
    asked = {r.action for r, _ in pairs}
    assert asked == listed, asked ^ listed


def test_adoption_is_allowed_where_it_is_on(emulator):
    for name in ["minimal", "migration"]:
        requests = list(adoption(deployment(name)))
        expected = "explicitDeny" if name == "migration" else "allowed"  # migration begins as a dry run
        assert_all(verdicts(emulator, requests, live(name).task_policies.values()), expected)


@pytest.mark.parametrize("name", ["minimal", "complete"])
def test_abuses_are_denied(emulator, name):
    d = deployment(name)
    requests = list(abuses(d)) + (list(abuses_of_a_narrow_deployment(d)) if name == "complete" else [])
    assert len(requests) >= 30
    assert_all(verdicts(emulator, requests, live(name).task_policies.values()), "implicitDeny", "explicitDeny")


#: Abuses that stay denied when somebody gives the role a wider policy: the explicit refusals. What
#: is missing here only ever was not allowed.
STANDING = {
    "create a user without a boundary",
    "create a user with another boundary",
    "put a wider boundary on",
    "take the boundary off",
    "take a role's boundary off",
    "attach a policy",
    "write an inline policy",
    "add to a group",
    "attach a policy to a group",
    "give a console password",
    "change a console password",
    "rename a user out of its path",
    "give a git password",
    "give an SSH key",
    "give a certificate",
    "write another version of the boundary",
    "go back to an older boundary",
    "delete the boundary",
    "create a role",
    "attach a policy to its own role",
    "write into its own role",
    "trust somebody else",
    "pass a role on",
    "become another role",
    "mint a key for a user that nobody owns",
    "mint a key for another table's user",
    "mint a key for another tool's user",
    "mint a key with half of the labels",
    "take down a user that nobody owns",
    "take down a user of others",
    "take down another table's user",
    "take down a user with half of another table's labels",
    "take down the user of a table whose name differs in case",
    "untag a user of others",
    "put the boundary on a user of others",
    "hand an owned user to another tool",
    "put the boundary on a user that nobody owns",
    "hand an owned user to another table",
    "disown a user",
    "disown a user among other things",
    "untag a user that nobody owns",
    "write a row",
    "change a row",
    "delete a row",
    "write many rows",
    "drop the users table",
    "stop the stream",
}


@pytest.mark.parametrize("name", ["minimal", "complete"])
def test_refusals_stand_when_the_role_is_given_everything(emulator, name):
    requests = [r for r in abuses(deployment(name)) if r.what in STANDING]
    assert {r.what for r in requests} == STANDING
    pairs = verdicts(emulator, requests, [*live(name).task_policies.values(), EVERYTHING])
    assert_all(pairs, "explicitDeny")


def test_the_scope_of_the_account_reaches_nobody_whom_another_table_owns(emulator):
    d, policies = deployment("account"), list(live("account").task_policies.values())
    assert_all(verdicts(emulator, [*needed(d), *sweeps_of_the_account(d)], policies), "allowed")
    assert_all(verdicts(emulator, abuses_of_every_scope(d), [*policies, EVERYTHING]), "explicitDeny")
    # All else that is denied elsewhere is denied here, and stays so when the role is given everything.
    swept = {"take down a user that nobody owns", "take down a user of others"}
    others = [r for r in abuses(d) if r.what not in swept or r.context.get("aws:ResourceTag/iam-user-controller:table") == "other"]
    assert_all(verdicts(emulator, others, policies), "implicitDeny", "explicitDeny")
    standing = [r for r in others if r.what in STANDING]
    assert_all(verdicts(emulator, standing, [*policies, EVERYTHING]), "explicitDeny")


def test_a_dry_run_can_look_and_cannot_change(emulator):
    d = deployment("migration")
    listed = json.loads((ROOT / "terraform/actions.json").read_text())
    state = f"/{d.state_table}"
    changing = {f"{a['service']}:{a['action']}" for a in listed if a["mutating"]}
    pairs = verdicts(emulator, needed(d), live("migration").task_policies.values())
    for request, verdict in pairs:
        own_state = request.resource.endswith(state)
        assert verdict == ("allowed" if own_state or request.action not in changing else "explicitDeny"), request


def test_the_boundary_lets_users_do_what_they_are_for_and_nothing_else(emulator):
    d, boundary = deployment("minimal"), live("minimal").boundary
    user = d.user("mail-relay")
    assert_all(verdicts(emulator, users_may(d), [EVERYTHING], boundary, user), "allowed")
    assert_all(verdicts(emulator, users_may_not(d), [EVERYTHING], boundary, user), "implicitDeny", "explicitDeny")


def test_a_given_document_is_the_boundary(emulator):
    assert live("complete").boundary["Statement"][0]["Sid"] == "SendMailOfOneDomain"


def test_only_ecs_of_this_account_becomes_the_role():
    (statement,) = live("minimal").trust["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert statement["Condition"]["ArnLike"] == {"aws:SourceArn": f"arn:aws:ecs:eu-west-1:{ACCOUNT}:*"}


def test_the_documented_verdicts_are_these(emulator):
    """deploy/policy-verdicts.md is written from the same requests, so that it cannot go stale."""
    d, wide = deployment("complete"), deployment("account")
    lines = [
        "# What the task role can do, and what it cannot",
        "",
        "Written by a test from the policies of `terraform/examples/complete` as an account had them after an",
        "apply, by two evaluators that agree. `explicitDeny`: refused also when the role is given a wider policy.",
        "",
    ]
    policies = {one.example: list(live(one.example).task_policies.values()) for one in (d, wide)}
    parts = {
        "Needed": (d, list(needed(d))),
        "Abuses": (d, [*abuses(d), *abuses_of_a_narrow_deployment(d)]),
        '`terraform/examples/minimal` with `orphans_scope = "account"`': (wide, [*sweeps_of_the_account(wide), *abuses_of_every_scope(wide)]),
    }
    for title, (asked, requests) in parts.items():
        lines += [f"## {title}", "", "| what | action | on | verdict |", "|---|---|---|---|"]
        for r, verdict in verdicts(emulator, requests, policies[asked.example]):
            place = r.resource.replace(d.kms_key, "the parameters' key").replace(d.tables_key, "the tables' key").replace(f":{ACCOUNT}:", "::").removeprefix("arn:aws:")
            lines.append(f"| {r.what} | `{r.action}` | `{place}` | {verdict} |")
        lines.append("")
    written = "\n".join(lines)
    page = ROOT / "deploy" / "policy-verdicts.md"
    if not page.exists() or page.read_text() != written:
        page.write_text(written)
        pytest.fail(f"{page.name} was not as it should be and has been written anew: look at the change and commit it")
