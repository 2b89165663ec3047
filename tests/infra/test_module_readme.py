"""The tables in terraform/README.md are what variables.tf and outputs.tf say."""

import re

import pytest

from terraform_cli import MODULE

MARK = "<!-- The rest is written by a test from variables.tf and outputs.tf. -->\n"


def blocks(file, kind):
    return re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', (MODULE / file).read_text(), re.M | re.S)


def attribute(body, name):
    match = re.search(rf"^  {name} += (.*)$", body, re.M)
    return match[1].strip() if match else None


def tables():
    lines = ["", "## Inputs", "", "| name | what | type | default |", "|---|---|---|---|"]
    for name, body in blocks("variables.tf", "variable"):
        default = attribute(body, "default")
        kind = attribute(body, "type").split("(")[0] if "object" in attribute(body, "type") else attribute(body, "type")
        description = attribute(body, "description")[1:-1].replace("|", "\\|")
        lines.append(f"| `{name}` | {description} | {kind} | {'required' if default is None else f'`{default}`'} |")
    lines += ["", "## Outputs", "", "| name | what |", "|---|---|"]
    lines += [f"| `{name}` | {attribute(body, 'description')[1:-1]} |" for name, body in blocks("outputs.tf", "output")]
    return "\n".join([*lines, ""])


def test_the_tables_are_up_to_date():
    readme = MODULE / "README.md"
    text = readme.read_text()
    assert MARK in text
    wanted = text[: text.index(MARK)] + MARK + tables()
    if text != wanted:
        readme.write_text(wanted)
        pytest.fail("terraform/README.md has been written anew: look at the change and commit it")
