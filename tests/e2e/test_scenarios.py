"""The table of scenarios that the simulated account passes, on the emulators, through the real adapters.

What an emulator may answer otherwise stands in tests/emulators/differences.rs, with the reason.
"""

import json
import os
import re
import subprocess

import pytest

from account import Account
from conftest import World
from daemon import ROOT, target
from processes import clean_environment


@pytest.fixture(scope="session")
def runner():
    """The test program that plays the scenarios."""
    build = ["cargo", "test", "--locked", "--test", "emulators", "--no-run", "--message-format=json"]
    built = subprocess.run(
        build,
        cwd=ROOT,
        env=os.environ | {"CARGO_TARGET_DIR": str(target())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert built.returncode == 0, built.stderr
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    made = [m["executable"] for m in messages if m.get("target", {}).get("name") == "emulators" and m.get("executable")]
    assert len(made) == 1, built.stdout
    return made[0]


# Each emulator plays every service here, also those for which the other tests use the other one.
@pytest.mark.parametrize("emulator, service", [("fakecloud", "iam"), ("ministack", "dynamodb")])
def test_the_emulators_agree_with_the_table_of_scenarios(emulator, service, endpoints, runner, tmp_path, figure):
    account = Account(dict.fromkeys(endpoints, endpoints[service]))
    world = World(account, tmp_path, "scenarios")
    environment = account.environment() | {
        "EMULATOR": emulator,
        "PREFIX": world.prefix,
        "POLICY": world.boundary,
        "USERS_TABLE": world.table,
        "STATE_TABLE": world.table + "-controller",
        "RUST_BACKTRACE": "0",
    }
    done = subprocess.run(
        [runner, "--nocapture"],
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    if done.returncode != 0:
        pytest.fail(done.stdout, pytrace=False)
    told = re.search(rf"^{emulator}: \d+ of \d+ lines agree, \d+ differ as listed$", done.stdout, re.MULTILINE)
    assert told, done.stdout
    figure("scenarios: " + told[0])
