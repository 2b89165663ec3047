"""Prometheus rules, dashboard, runbook and terragrunt unit: each agrees with what it is about."""

import json
import re
import shutil

import pytest
import yaml

from terraform_cli import MODULE, Terraform, copy_of_module
from tools import ROOT, run, tool

DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text())


# --- alerts -------------------------------------------------------------------------------------


def test_prometheus_takes_the_configuration_and_the_rules():
    run(tool("promtool"), "check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_every_alert_fires_and_stays_silent_where_it_should():
    assert "SUCCESS" in run(tool("promtool"), "test", "rules", "rules_test.yml", cwd=DEPLOY / "prometheus")

    fires, silent = set(), set()
    for test in yaml.safe_load((DEPLOY / "prometheus/rules_test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case["exp_alerts"] else silent).add(case["alertname"])
    names = {rule["alert"] for rule in RULES}
    assert fires == names and silent == names


def test_every_alert_and_alarm_has_its_part_of_the_runbook():
    headings = re.findall(r"^## (\w+)$", (DEPLOY / "runbook.md").read_text(), re.M)
    assert headings == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"deploy/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in ("critical", "warning")
    for named in re.findall(r"Runbook: (\w+)", (MODULE / "alarms.tf").read_text()):
        assert named in headings


# --- dashboard ----------------------------------------------------------------------------------


def queries():
    """(panel, query) of every panel, with Grafana's variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$job", ".*").replace("$__rate_interval", "1m")


def test_every_query_of_the_dashboard_is_promql(tmp_path):
    # promtool has no command that only parses, but it parses rules.
    rules = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(queries())]
    assert len(rules) >= 20
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(tool("promtool"), "check", "rules", file)


def test_panels_have_a_place_a_unit_and_words():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".") and panel["fieldConfig"]["defaults"]["unit"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_that_a_panel_names_exists():
    names = {rule["alert"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        for text in re.findall(r"Alerts? ([\w, ]+)\.", panel.get("description", "")):
            assert set(text.split(", ")) <= names, panel["title"]


# --- terragrunt ---------------------------------------------------------------------------------


UNIT = DEPLOY / "terragrunt/iam-user-controller/terragrunt.hcl"
GIVEN = {
    "CONTROLLER_IMAGE": "registry.example/iam-user-controller:1.0.0",
    "CONTROLLER_USERS_TABLE": "users-of-production",
    "CONTROLLER_VPC_ID": "vpc-1",
    "CONTROLLER_SUBNET_IDS": '["subnet-1","subnet-2"]',
}
ALSO_GIVEN = GIVEN | {
    "CONTROLLER_PROTECTED_USERS": '["admin-*"]',
    "CONTROLLER_SETTINGS": '{"keys":{"rotate_after":"10d"},"deletions":{"max_count":3}}',
    "CONTROLLER_CREATE_KMS_KEY": "false",
    "CONTROLLER_KMS_KEY_ARN": "arn:aws:kms:eu-west-1:111122223333:key/x",
    "CONTROLLER_DRY_RUN": "true",
    "CONTROLLER_SERVICE_DISCOVERY": '{"namespace_id":"ns-1"}',
}


def inputs_of_the_unit(environment):
    """The unit's inputs as Terraform would write them: terragrunt's get_env is put in here, all else
    (functions, conditions) is left to Terraform, whose language it is."""
    text = UNIT.read_text()
    body = re.search(r"^inputs = {\n(.*?)^}", text, re.M | re.S)[1]

    def value(match):
        name, default = match[1], match[2]
        assert name in environment or default is not None, f"{name} must be given"
        return json.dumps(environment[name]) if name in environment else default

    return re.sub(r'get_env\("(\w+)"(?:, ("(?:[^"\\]|\\.)*"))?\)', value, body)


def test_the_unit_has_an_input_for_each_variable():
    variables = set(re.findall(r'^variable "(\w+)"', (MODULE / "variables.tf").read_text(), re.M))
    inputs = set(re.findall(r"^  (\w+) +=", inputs_of_the_unit(GIVEN), re.M))
    assert inputs == variables


@pytest.mark.parametrize("given", [GIVEN, ALSO_GIVEN], ids=["required", "more"])
def test_the_units_inputs_make_a_plan(given):
    copy = copy_of_module()
    try:
        unit = copy.parent / "unit"
        unit.mkdir()
        (unit / "main.tf").write_text(
            'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
            f'module "unit" {{\n  source = "../module"\n{inputs_of_the_unit(given)}}}\n'
            'output "environment" {\n  value = module.unit.environment\n}\n'
        )
        expected = {
            'output.environment.IUC_TABLE__NAME == "users-of-production"',
            'output.environment.IUC_ORPHANS__SCOPE == "owned"',
        }
        if "CONTROLLER_SETTINGS" in given:
            expected |= {
                'output.environment.IUC_KEYS__ROTATE_AFTER == "10d"',
                'output.environment.IUC_DELETIONS__MAX_COUNT == "3"',
                'output.environment.IUC_DRY_RUN == "true"',
                r'output.environment.IUC_ORPHANS__PROTECT == "[\"admin-*\"]"',
                'output.environment.IUC_PARAMETERS__KMS_KEY_ID == "arn:aws:kms:eu-west-1:111122223333:key/x"',
            }
        mocks = re.search(r'^mock_provider "aws" {\n.*?^}', (MODULE / "tests/defaults.tftest.hcl").read_text(), re.M | re.S)
        asserts = "".join(
            f"  assert {{\n    condition = {condition}\n    error_message = {json.dumps(condition)}\n  }}\n"
            for condition in sorted(expected)
        )
        (unit / "unit.tftest.hcl").write_text(f'{mocks[0]}\nrun "unit" {{\n{asserts}}}\n')
        assert "1 passed, 0 failed" in Terraform(unit)("test").stdout
    finally:
        shutil.rmtree(copy.parent)
