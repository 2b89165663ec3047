"""Fixtures: the emulators of this run, and a world of its own for every test.

Tests share the emulators (each pytest-xdist worker has its own pair) but neither tables nor users:
a world has its own users table, and user names begin with a prefix of its own. `orphans.scope`
is `owned` in all of them, so that no controller sees another test's users as its business.
"""

import itertools
import pathlib
import re
import uuid

import pytest

import emulators
from account import Account, parameter_name
from daemon import Daemon
from proxy import Proxy
from streams import Streams

#: Short lives, quick looks. Each test changes what it is about.
SETTINGS = {
    "IUC_STREAM__POLL_INTERVAL": "100ms",
    "IUC_STREAM__IDLE_INTERVAL": "400ms",
    "IUC_SWEEP__SCHEDULE": "*/2 * * * * *",
    "IUC_SWEEP__FULL_EVERY": "1s",
    "IUC_ORPHANS__MIN_AGE": "1s",
    # Longer than a busy test machine stops a process for; short enough to wait for after each kill.
    "IUC_LEASE__TTL": "8s",
    "IUC_LOG__LEVEL": "debug",
}


@pytest.fixture(scope="session")
def endpoints(tmp_path_factory):
    """service -> URL."""
    folder = tmp_path_factory.mktemp("emulators")
    users, rows = emulators.fakecloud(folder), emulators.ministack(folder)
    yield {
        "iam": users.url,
        "sts": users.url,
        "ssm": users.url,
        "kms": users.url,
        "dynamodb": rows.url,
        "dynamodbstreams": rows.url,
    }
    users.stop()
    rows.stop()


@pytest.fixture(scope="session")
def account(endpoints):
    return Account(endpoints)


class World:
    """A users table, a state table, a boundary, and the controllers that a test starts on them."""

    def __init__(self, account, folder, label):
        self.account = account
        self.folder = folder
        self.prefix = f"{label}-{uuid.uuid4().hex[:6]}-"
        self.table = f"users-{self.prefix}x"
        self.boundary = account.create_boundary(f"boundary-{self.prefix}x")
        self._daemons, self._proxies = [], []
        self._numbers = itertools.count(1)
        self.create_tables()

    def create_tables(self, view="KEYS_ONLY"):
        self.account.create_users_table(self.table, view)
        self.account.create_state_table(self.table + "-controller")

    def name(self, rest="user"):
        """A user name that no other test uses."""
        return self.prefix + rest

    def put(self, user, **attributes):
        self.account.put_row(self.table, user, **attributes)

    def delete(self, user):
        self.account.delete_row(self.table, user)

    def stream_arn(self):
        return self.account.ddb.describe_table(TableName=self.table)["Table"]["LatestStreamArn"]

    def proxy(self, *services):
        """A recording proxy to all services, or to those named."""
        proxy = Proxy({service: url for service, url in self.account.endpoints.items() if not services or service in services})
        self._proxies.append(proxy)
        return proxy

    def daemon(self, proxy=None, **settings):
        """A controller for this world's table, not started yet. Settings as KEYS__ROTATE_AFTER="5s"."""
        environment = SETTINGS | {
            "IUC_TABLE__NAME": self.table,
            "IUC_USERS__PERMISSIONS_BOUNDARY": self.boundary,
        }
        environment |= {"IUC_" + name: str(value) for name, value in settings.items()}
        environment |= self.account.environment(proxy.endpoints if proxy else None)
        daemon = Daemon(environment, self.folder / f"daemon-{next(self._numbers)}.log")
        self._daemons.append(daemon)
        return daemon

    def settled(self, user):
        """For `eventually`: everything about the user is as the contract says."""
        return self.account.assert_settled(user, self.table, self.boundary)

    def parameter_name(self, user):
        return parameter_name(user)

    def report(self):
        """The end of what every controller said, for a failed test."""
        return "\n".join(f"--- {d.output.name}\n{d.process.tail(80)}" for d in self._daemons if d.process)

    def close(self):
        for daemon in self._daemons:
            daemon.kill()
        for proxy in self._proxies:
            proxy.stop()
        self._proxies.clear()


@pytest.fixture
def worlds(account, tmp_path, request):
    """Makes any number of worlds."""
    made = []

    def make():
        folder = pathlib.Path(tmp_path) / f"world-{len(made) + 1}"
        folder.mkdir()
        label = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:20].strip("-")
        made.append(World(account, folder, label))
        return made[-1]

    request.node.worlds = made
    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(worlds):
    return worlds()


@pytest.fixture
def lonely(endpoints, tmp_path, request):
    """A world in an account that nobody else uses, with an emulator of its own for IAM and SSM."""
    users = emulators.fakecloud(tmp_path)
    account = Account({service: users.url for service in endpoints} | {s: endpoints[s] for s in ("dynamodb", "dynamodbstreams")})
    world = World(account, tmp_path, "lonely")
    request.node.worlds = [world]
    yield world
    world.close()
    users.stop()


@pytest.fixture
def streams():
    """A scripted DynamoDB Streams, to be given to a daemon in place of a proxy."""
    endpoint = Streams()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def figure(record_property):
    """Notes a measured number, to be told at the end of the run."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter):
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    figures = [text for report in reports if report.when == "call" for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for world in getattr(item, "worlds", []):
            report.sections.append(("controller", world.report()))
    return report
