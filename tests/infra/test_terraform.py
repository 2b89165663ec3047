"""The module without an account: format, validity, its own tests, and what checkov thinks of it."""

import json
import re
import shutil

import pytest

from examples import VARIABLES, live
from terraform_cli import MODULE, Terraform, copy_of_module, environment
from tools import ROOT, run, tool


@pytest.fixture(scope="module")
def module():
    copy = copy_of_module()
    yield copy
    shutil.rmtree(copy.parent)


def test_the_code_is_formatted():
    run("terraform", "fmt", "-check", "-diff", "-recursive", MODULE, env=environment())


@pytest.mark.parametrize("folder", [".", *(f"examples/{name}" for name in sorted(VARIABLES))])
def test_the_code_is_valid(module, folder):
    Terraform(module / folder)("validate")


def test_the_modules_own_tests_pass(module):
    said = Terraform(module)("test").stdout
    passed, failed = map(int, re.search(r"(\d+) passed, (\d+) failed", said).groups())
    assert passed >= 28 and failed == 0, said


def test_every_variable_and_output_is_described():
    for file, kind in [("variables.tf", "variable"), ("outputs.tf", "output")]:
        blocks = re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', (MODULE / file).read_text(), re.M | re.S)
        assert len(blocks) > 10
        for name, body in blocks:
            assert re.search(r'^  description = ".{15,}"$', body, re.M), name
            assert kind == "output" or re.search(r"^  type +=", body, re.M), name


def checkov(*arguments):
    said = run(tool("checkov"), *arguments, "--config-file", MODULE / ".checkov.yaml", "--skip-download", "--compact", "-o", "json")
    result = json.loads(said[said.index("{") :])
    assert result["summary"]["failed"] == 0 and result["summary"]["parsing_errors"] == 0
    return result["summary"]["passed"]


@pytest.mark.parametrize("example", [None, *sorted(VARIABLES)])
def test_checkov_finds_nothing_in_the_code(tmp_path, example):
    # One example at a time: checkov looks at a module once, as its first caller calls it.
    shutil.copytree(MODULE, tmp_path / "m", ignore=shutil.ignore_patterns("examples", "tests", ".terraform*"))
    if example:
        shutil.copytree(
            MODULE / "examples" / example, tmp_path / "m/examples" / example, ignore=shutil.ignore_patterns(".terraform*")
        )
    assert checkov("--directory", tmp_path / "m", "--framework", "terraform") > 40


@pytest.mark.parametrize("example", sorted(VARIABLES))
def test_checkov_finds_nothing_in_the_plan(tmp_path, example):
    # The plan has every value filled in, so that checkov sees what a default comes to.
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(live(example).planned))
    assert checkov("--file", plan, "--framework", "terraform_plan") > 40


def test_every_setting_of_the_program_can_be_set():
    """config/default.toml names all settings; the module ties or offers each of them."""
    names, section = set(), ""
    for line in (ROOT / "config" / "default.toml").read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"(?:# )?([a-z_]+) = ", line):
            names.add(f"IUC_{section}__{match[1]}".upper() if section else f"IUC_{match[1]}".upper())
    assert len(names) > 25

    tied = set(re.findall(r"^    (IUC_\w+)", (MODULE / "settings.tf").read_text(), re.M))
    variable = re.search(r'variable "settings" {.*?^}', (MODULE / "variables.tf").read_text(), re.M | re.S)[0]
    offered = set()
    for section, body in re.findall(r"^    (\w+) = optional\(object\({(.*?)}\)", variable, re.M | re.S):
        offered |= {f"IUC_{section}__{key}".upper() for key in re.findall(r"(\w+) +=", body)}
    assert not tied & offered
    assert tied | offered == names


def test_the_role_is_made_of_the_programs_own_list():
    """terraform/actions.json is the list in src/aws/actions.rs."""
    rust = (ROOT / "src/aws/actions.rs").read_text()
    table = re.search(r"pub const ACTIONS: &\[Action\] = &\[\n(.*?)^\];", rust, re.M | re.S)[1]
    in_program = set()
    for kind, arguments in re.findall(r"^    (\w+)\((.*)\),$", table, re.M):
        words = [word.strip().strip('"') for word in arguments.split(",")]
        if kind == "through_ssm":
            words = ["kms", words[0], "Encrypt", "KmsKey"]
        service, action, feature, resource = words
        snake = [re.sub(r"(?<!^)(?=[A-Z])", "_", word).lower() for word in (feature, resource)]
        in_program.add((service, action, *snake, kind == "change"))
    assert len(in_program) > 40

    in_module = json.loads((MODULE / "actions.json").read_text())
    keys = ("service", "action", "feature", "resource", "mutating")
    assert {tuple(action[key] for key in keys) for action in in_module} == in_program
