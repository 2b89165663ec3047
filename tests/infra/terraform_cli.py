"""Terraform against an emulator, in a copy of the module, so that the checkout stays clean."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from processes import clean_environment

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULE = ROOT / "terraform"

#: Where Terraform itself would look, and where machines without a registry tend to keep one.
_MIRRORS = [
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/opt/*",
    "/usr/share/terraform-providers",
]


def plugin_folder():
    """A local mirror of the AWS provider; `None` where the registry has to be asked."""
    if os.environ.get("TF_PLUGIN_DIR"):
        return pathlib.Path(os.environ["TF_PLUGIN_DIR"])
    for pattern in _MIRRORS:
        pattern = pathlib.Path(pattern).expanduser()
        for folder in sorted(pathlib.Path("/").glob(str(pattern).lstrip("/"))):
            if (folder / "registry.terraform.io" / "hashicorp" / "aws").is_dir():
                return folder
    return None


def environment(extra=None):
    variables = clean_environment({"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"} | (extra or {}))
    # A setting that points to nothing makes every command complain.
    if not pathlib.Path(variables.get("TF_CLI_CONFIG_FILE", "/")).is_file():
        variables["TF_CLI_CONFIG_FILE"] = os.devnull
    return variables


class Terraform:
    """One root module, in a folder of its own."""

    def __init__(self, folder, variables=None, extra=None):
        assert shutil.which("terraform"), "terraform is missing: the module cannot be tested without it"
        self.folder = folder
        self.environment = environment(extra)
        if variables is not None:
            (folder / "test.auto.tfvars.json").write_text(json.dumps(variables))
        arguments = ["-plugin-dir", str(plugin_folder())] if plugin_folder() else []
        self("init", "-backend=false" if variables is None else "-reconfigure", *arguments)

    def __call__(self, *arguments, expect=(0,)):
        done = subprocess.run(
            ["terraform", arguments[0], "-no-color", *arguments[1:]],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode in expect, f"terraform {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def apply(self):
        return self("apply", "-auto-approve").stdout

    def destroy(self):
        return self("destroy", "-auto-approve").stdout

    def second_plan(self):
        """What a plan after an apply would change; empty when nothing."""
        done = self("plan", "-detailed-exitcode", expect=(0, 2))
        return "" if done.returncode == 0 else done.stdout

    def plan_json(self):
        self("plan", "-out=the.plan")
        return json.loads(self("show", "-json", "the.plan").stdout)

    def outputs(self):
        return {name: value["value"] for name, value in json.loads(self("output", "-json").stdout).items()}


def copy_of_module():
    """The module with its examples in a temporary folder, without anything that earlier runs left."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="terraform-"))
    shutil.copytree(
        MODULE, folder / "module", ignore=shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*")
    )
    return folder / "module"
