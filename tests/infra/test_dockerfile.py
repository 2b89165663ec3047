"""The Dockerfile, as linters see it. Building it is test_image.py's."""

import json
import re

from terraform_cli import MODULE
from tools import ROOT, run, tool

DOCKERFILE = ROOT / "Dockerfile"


def test_hadolint_finds_nothing():
    assert run(tool("hadolint"), DOCKERFILE) == ""


def test_checkov_finds_nothing():
    said = run(
        tool("checkov"), "--file", DOCKERFILE, "--framework", "dockerfile", "--config-file", MODULE / ".checkov.yaml",
        "--skip-download", "--compact", "-o", "json",
    )  # fmt: skip
    assert json.loads(said[said.index("{") :])["summary"]["failed"] == 0


def test_both_bases_are_arguments_with_full_versions():
    text = DOCKERFILE.read_text()
    bases = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.M))
    assert re.fullmatch(r"rust:\d+\.\d+\.\d+-slim-bookworm", bases["BUILD_IMAGE"])
    assert re.fullmatch(r"debian:bookworm-\d{8}-slim", bases["RUNTIME_IMAGE"])
    assert re.findall(r"^FROM (\S+)", text, re.M) == ["${BUILD_IMAGE}", "${RUNTIME_IMAGE}"]

    oldest = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    version = re.search(r"\d+\.\d+\.\d+", bases["BUILD_IMAGE"])[0]
    assert [int(n) for n in version.split(".")] >= [int(n) for n in oldest.split(".")]


def test_the_image_runs_as_the_task_definition_says():
    text, service = DOCKERFILE.read_text(), (MODULE / "service.tf").read_text()
    user = re.search(r"^USER (\S+)$", text, re.M)[1]
    assert f'user                   = "{user}"' in service
    health = re.search(r"^    CMD (\[.*\])$", text, re.M)[1]
    assert json.dumps(["CMD", *json.loads(health)]) in service
