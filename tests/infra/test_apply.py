"""The module's examples, applied to an emulated account and removed again."""

import pytest

from examples import FUNCTION_TABLE, VARIABLES, live

EXAMPLES = sorted(VARIABLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_applied_example_plans_no_change(name):
    assert live(name).second_plan == ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_destroy_leaves_nothing(name):
    assert live(name).left_over == {}


def test_tables_are_protected_from_a_destroy():
    assert "protected against deletion" in live("minimal").protected


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_task_runs_as_nobody_with_the_outputs_as_environment(name):
    seen = live(name)
    (container,) = seen.task_definition["containerDefinitions"]
    assert container["user"] == "65532:65532"
    assert container["readonlyRootFilesystem"] is True
    assert container["healthCheck"]["command"] == ["CMD", "/usr/local/bin/iam-user-controller", "health"]
    grace = int(seen.outputs["environment"]["IUC_SHUTDOWN__GRACE"].removesuffix("s"))
    assert container["stopTimeout"] > grace
    assert {e["name"]: e["value"] for e in container["environment"]} == seen.outputs["environment"]
    assert "SECRET" not in str(container["environment"]).upper()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_users_table_has_what_the_controller_needs(name):
    table = live(name).table_after
    assert table["KeySchema"] == [{"AttributeName": "UserName", "KeyType": "HASH"}]
    assert table["StreamSpecification"]["StreamEnabled"] is True


def test_migration_imports_the_functions_table_and_recreates_nothing():
    seen = live("migration")
    changes = {c["address"]: c["change"] for c in seen.planned["resource_changes"]}
    table = changes["module.iam_user_controller.aws_dynamodb_table.users[0]"]
    assert table["importing"]["id"] == FUNCTION_TABLE
    assert table["actions"] == ["update"]
    assert not any("delete" in change["actions"] for change in changes.values())

    assert seen.table_after["TableId"] == seen.table_before["TableId"]
    assert seen.table_after["LatestStreamArn"] == seen.table_before["LatestStreamArn"]
    assert seen.rows_after == [{"UserName": {"S": "mail-relay"}, "Owner": {"S": "platform"}}]
    assert seen.outputs["environment"]["IUC_DRY_RUN"] == "true"
