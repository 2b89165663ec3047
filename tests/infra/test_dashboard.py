"""The dashboard and the alerts on a real Prometheus that scrapes two running replicas.

Every panel's queries, as they are in the dashboard, must return data. DASHBOARD_PICTURE=file.svg draws
what they returned; DASHBOARD_SECONDS=300 watches longer than the test needs.
"""

import json
import os
import pathlib
import re
import time

import pytest

import emulators
from account import Account
from daemon import Daemon
from picture import drawing, named
from prometheus import Prometheus
from tools import ROOT
from waiting import eventually

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
SECONDS = float(os.environ.get("DASHBOARD_SECONDS", 40))
TABLE = "iam-users"

#: A month of a key's life in a minute, so that a short watch sees all of it.
SETTINGS = {
    "IUC_TABLE__NAME": TABLE,
    "IUC_KEYS__ROTATE_AFTER": "20s",
    "IUC_KEYS__DELETE_AFTER": "40s",
    "IUC_KEYS__MIN_OVERLAP": "5s",
    "IUC_SWEEP__SCHEDULE": "*/4 * * * * *",
    "IUC_SWEEP__FULL_EVERY": "4s",
    "IUC_STREAM__POLL_INTERVAL": "200ms",
    "IUC_ORPHANS__MIN_AGE": "1s",
    "IUC_ORPHANS__ACTION": "report",
    # Rows go faster here than a brake for real life lets users go.
    "IUC_DELETIONS__MAX_COUNT": "1000",
    "IUC_LEASE__TTL": "3s",
}


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulators")
    users, rows = emulators.fakecloud(folder), emulators.ministack(folder)
    iam = dict.fromkeys(["iam", "sts", "ssm", "kms"], users.url)
    yield Account(iam | dict.fromkeys(["dynamodb", "dynamodbstreams"], rows.url))
    users.stop()
    rows.stop()


@pytest.fixture(scope="module")
def watched(account, tmp_path_factory):
    """(Prometheus, start, end) of a while in which something of everything happened."""
    folder = tmp_path_factory.mktemp("watched")
    account.create_users_table(TABLE)
    account.create_state_table(f"{TABLE}-controller")
    boundary = account.create_boundary("boundary")
    environment = account.environment() | SETTINGS | {"IUC_USERS__PERMISSIONS_BOUNDARY": boundary}
    replicas = [Daemon(environment, folder / f"replica-{number}.log") for number in (1, 2)]
    for replica in replicas:
        replica.start()
    prometheus = Prometheus(folder, [f"127.0.0.1:{replica.port}" for replica in replicas])
    try:
        eventually(lambda: prometheus.targets_up() == 2, 30, "both replicas are scraped")
        begun = time.time()
        something_of_everything(account, SECONDS)
        yield prometheus, begun, time.time()
    finally:
        prometheus.stop()
        for replica in replicas:
            replica.kill()


def something_of_everything(account, seconds):
    """Rows come and go all the while; some names are not the controller's, some are nobody's."""
    account.iam.create_user(UserName="administrator")
    account.put_row(TABLE, "administrator")
    account.put_row(TABLE, "not a name")
    tags = {"managed-by": "iam-user-controller", "iam-user-controller:table": TABLE}
    account.iam.create_user(UserName="orphan", Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    end, number = time.time() + seconds, 0
    while time.time() < end:
        account.put_row(TABLE, f"mailer-{number}")
        if number >= 12:
            account.delete_row(TABLE, f"mailer-{number - 12}")
        if number == 4:
            eventually(lambda: account.user("mailer-0"), 30, "the first user is there")
            eventually(lambda: account.keys("mailer-0"), 30, "and has a key")
            account.mint("mailer-0")
        number += 1
        time.sleep(2)


def queries(panel):
    for target in panel["targets"]:
        yield target["expr"].replace("$job", ".*").replace("$__rate_interval", "10s"), target.get("legendFormat", "")


def test_every_panel_has_data(watched):
    prometheus, start, end = watched
    step = max(1, round((end - start) / 120))
    data, empty = {}, []
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            continue
        data[panel["id"]] = []
        for query, legend in queries(panel):
            found = prometheus.over(query, start, end, step)
            data[panel["id"]] += [(labels, named(legend, labels), values) for labels, values in found]
            if not found:
                empty.append(f"{panel['title']}: {query}")
    assert not empty, "\n".join(empty)
    if os.environ.get("DASHBOARD_PICTURE"):
        pathlib.Path(os.environ["DASHBOARD_PICTURE"]).write_text(drawing(DASHBOARD, data, start, end))


def test_every_metric_of_alerts_and_dashboard_is_there_with_its_labels(watched):
    prometheus, start, end = watched
    text = json.dumps(DASHBOARD) + (ROOT / "deploy/prometheus/rules.yml").read_text()
    names = set(re.findall(r"iam_user_controller_\w+", text))
    assert len(names) > 15
    missing = [name for name in sorted(names) if not prometheus.over(name, start, end, 5)]
    assert not missing, missing

    # A label value that the program never uses would make an alert that never fires.
    for metric, label, pattern in re.findall(r'(iam_user_controller_\w+)\{[^}]*?(\w+)=~?\\?"([\w|]+)\\?"', text):
        for value in pattern.split("|"):
            wanted = f'{metric}{{{label}="{value}"}}'
            assert prometheus.over(wanted, start, end, 5), f"{wanted} was never seen"


def test_alerts_are_evaluated_and_two_healthy_replicas_raise_none_that_is_critical(watched):
    prometheus, _, _ = watched
    rules = prometheus.rules()
    assert len(rules) > 10
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    critical = [r["name"] for r in rules if r["state"] == "firing" and r["labels"]["severity"] == "critical"]
    assert critical == []
