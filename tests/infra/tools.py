"""The tools that tests/infra/install puts in place."""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "iam-user-controller"


def tool(name):
    """Its path. One that is missing fails the test: a check that was not made is not a check."""
    path = CACHE / "infra" / "bin" / name
    found = path if path.is_file() else shutil.which(name)
    assert found, f"{name} is missing: run tests/infra/install"
    return str(found)


def run(*command, within=600, **options):
    """What it says when it ends well; fails with all that it said otherwise."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
        **options,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}"
    return done.stdout
