"""What meets somebody who sets the program up: what is missing or wrong is said once, whole, and with its remedy."""

import itertools
import json
import re
import resource
import socket
import time

import pytest

from waiting import eventually

#: Every service at one endpoint that refuses connections.
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "IUC_LOG__LEVEL": "info"}


def only(**variables):
    """No endpoint of a service alone but those given."""
    names = ("IAM", "STS", "SSM", "KMS", "DYNAMODB", "DYNAMODB_STREAMS")
    return {f"AWS_ENDPOINT_URL_{name}": "" for name in names} | variables


def said_twice(line, words=4):
    """Words in a row that a line has twice."""
    all_words = re.findall(r"[\w:./-]+", line)
    rows = [" ".join(all_words[at : at + words]) for at in range(len(all_words) - words + 1)]
    return sorted({row for row in rows if rows.count(row) > 1})


# -- variables -----------------------------------------------------------------------------------


def test_an_empty_variable_counts_as_unset(world):
    endpoints = world.account.endpoints
    daemon = world.daemon()
    empty = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    code, out, err = daemon.run("check", **dict.fromkeys(empty, ""))
    assert code == 0, (out, err)
    assert "arn:aws:dynamodb:us-east-1:" in out, "the Region is AWS_DEFAULT_REGION"
    # An endpoint for one service that is empty leaves the one for all.
    daemon.settings(AWS_ENDPOINT_URL=endpoints["iam"], AWS_ENDPOINT_URL_IAM="", AWS_ENDPOINT_URL_STS=" ")
    user = world.name()
    world.put(user)
    daemon.start()
    eventually(lambda: world.settled(user), 20, "the service works with it")
    assert daemon.stop() == 0 and "panic" not in daemon.text()


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_region_that_is_missing_or_wrong_is_named(world, command):
    for settings, wanted in [
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "AWS_REGION is empty; set it, as in AWS_REGION=eu-central-1"),
        ({"AWS_REGION": "eu central"}, 'the AWS Region "eu central" is not one'),
    ]:
        code, out, err = world.daemon().run(command, **settings)
        assert code == 1 and wanted in (out + err).replace('\\"', '"'), (out, err)
        assert "ENDPOINT" not in out + err and len((out + err).splitlines()) == 1, (out, err)


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_endpoint_that_is_no_url_is_named_with_its_variable(world, command):
    for url in ("localhost:4566", "/", "ftp://host"):
        code, out, err = world.daemon().run(command, AWS_ENDPOINT_URL_SSM=url)
        said = out + err
        assert code == 1 and "the endpoint of SSM is not a URL" in said and "AWS_ENDPOINT_URL_SSM" in said, said
        assert url in said and len(said.splitlines()) == 1, said
    code, out, err = world.daemon().run(command, **only(AWS_ENDPOINT_URL="foo"))
    said = out + err
    assert code == 1 and "the endpoint of IAM is not a URL" in said and len(said.splitlines()) == 1, said


# -- errors --------------------------------------------------------------------------------------


SETUPS = {
    "no credentials": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    "a container's credentials that are not there": {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/role",
    },
    "connection refused": only(**NOWHERE),
    "no such host": only(AWS_ENDPOINT_URL="http://no-such-host.invalid"),
    "another protocol": only(AWS_ENDPOINT_URL="https://127.0.0.1:PORT"),
    "a key that AWS does not know": {"AWS_ACCESS_KEY_ID": "AKIANOSUCHKEY1234567", "AWS_SECRET_ACCESS_KEY": "x"},
    "no users table": {"IUC_TABLE__NAME": "no-such-table"},
    "no state table": {"IUC_STATE__TABLE": "no-such-table"},
    "an address that is another's": {"IUC_HTTP__LISTEN": "192.0.2.1:8080"},
}


@pytest.mark.parametrize("setup", SETUPS)
def test_no_error_says_a_thing_twice_or_ends_in_the_middle_of_a_word(world, setup):
    port = world.account.endpoints["iam"].rpartition(":")[2]
    settings = {name: value.replace("PORT", port) for name, value in SETUPS[setup].items()}
    for command in (["check"], ["plan"], ["sweep"], ["deletions", "status"]):
        _, out, err = world.daemon().run(*command, **settings, within=120)
        for line in (out + err).splitlines():
            line = json.loads(line).get("error", "") if line.startswith("{") else line
            assert not said_twice(line), (command, said_twice(line), line)
            assert line.count("(") == line.count(")") and "credenti)" not in line, (command, line)
        if setup == "no credentials" and command == ["check"]:
            assert "no credentials were found" in out and "AWS_ACCESS_KEY_ID" in out, out


def test_the_last_error_of_the_service_is_one_line_of_its_log(world):
    other = world.name("orders")
    world.account.create_users_table(other)
    for settings in ({"IUC_TABLE__NAME": "no-such-table"}, {"IUC_STATE__TABLE": other}, {"IUC_HTTP__LISTEN": "192.0.2.1:80"}):
        code, out, err = world.daemon().run("run", **settings)
        assert code == 1 and err == "", (out, err)
        lines = [json.loads(line) for line in out.splitlines()]
        last = lines.pop()
        assert (last["level"], last["message"]) == ("ERROR", "the program ends") and last["error"], last
        assert not [line for line in lines if line["level"] == "ERROR"], out
        # With the log switched off nobody would know.
        code, out, err = world.daemon().run("run", **settings, IUC_LOG__LEVEL="off")
        assert code == 1 and out == "" and last["error"] in err, (out, err)


def test_a_pause_in_the_log_is_rounded(world):
    user = world.name()
    proxy = world.proxy()
    daemon = world.daemon(proxy).start()
    proxy.answer(1, 500, "InternalFailure", lambda call: call.action == "CreateUser")
    world.put(user)
    eventually(lambda: world.settled(user), 30, "the user is complete")
    lines = [json.loads(line) for line in daemon.text().splitlines() if '"retry_in"' in line]
    assert lines, "a look failed"
    for line in lines:
        assert re.fullmatch(r"\d+ms|\d+(\.\d)?s|\d+m( \d+s)?", line["retry_in"]), line


def test_every_line_of_the_log_names_the_table(world):
    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), pairs
        return dict(pairs)

    user = world.name()
    world.put(user)
    daemon = world.daemon().start()
    eventually(lambda: world.settled(user), 20, "the user is complete")
    assert daemon.stop() == 0
    for line in daemon.text().splitlines():
        assert json.loads(line, object_pairs_hook=unique)["table"] == world.table, line
    code, out, err = world.daemon(LOG__FORMAT="text").run("run", IUC_STATE__TABLE="no-such-table")
    assert code == 1 and all(line.endswith(f" table={world.table}") for line in out.splitlines()), out


# -- pages ---------------------------------------------------------------------------------------


def asked(port, host, target="/healthz", version="1.1"):
    """The status of an answer to a request with this Host."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        header = f"Host: {host}\r\n" if host is not None else ""
        client.sendall(f"GET {target} HTTP/{version}\r\n{header}Connection: close\r\n\r\n".encode())
        answer = b""
        while chunk := client.recv(65_536):
            answer += chunk
    return int(answer.split(b" ")[1]), answer.partition(b"\r\n\r\n")[2].decode()


def test_on_loopback_a_page_of_another_host_reads_nothing(world):
    daemon = world.daemon().start()
    for host in ("localhost", f"localhost:{daemon.port}", f"127.0.0.1:{daemon.port}", f"[::1]:{daemon.port}", "LOCALHOST"):
        assert asked(daemon.port, host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{daemon.port}", "127.0.0.1.evil.example", "10.0.0.1"):
        for target in ("/users", "/status", "/healthz"):
            status, body = asked(daemon.port, host, target)
            assert status == 421 and "is not this host" in body and world.prefix not in body, (host, status, body)
    assert asked(daemon.port, "localhost", "http://evil.example/users")[0] == 421
    assert asked(daemon.port, None, version="1.0")[0] == 421
    code, out, err = daemon.run("health")
    assert code == 0, (out, err)
    # Where others may ask, the name is theirs to choose.
    daemon.stop()
    daemon.settings(IUC_HTTP__LISTEN=f"0.0.0.0:{daemon.port}")
    daemon.start()
    assert asked(daemon.port, "controller.internal")[0] == 200


def test_two_thousand_slow_clients_do_not_silence_the_health_check(world, figure):
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As many file descriptors as a container often has.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, most))
    daemon = world.daemon().start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, 4_096), most))
    slow, took = [], []

    def health():
        began = time.monotonic()
        assert asked(daemon.port, "localhost")[0] == 200
        took.append(time.monotonic() - began)

    try:
        for number in range(2_000):
            client = socket.create_connection(("127.0.0.1", daemon.port), timeout=5)
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
            slow.append(client)
            if number % 100 == 99:
                health()
        until = time.monotonic() + 8
        for client in itertools.cycle(slow):
            if time.monotonic() > until:
                break
            # A byte now and then does not keep a connection.
            try:
                client.sendall(b"h")
            except OSError:
                pass
            if client is slow[0] or client is slow[1_000]:
                health()
            time.sleep(0.001)
        gone = 0
        for client in slow:
            client.settimeout(0.2)
            try:
                gone += client.recv(100) == b"" or client.recv(100) == b""
            except TimeoutError:
                pass
            except OSError:
                gone += 1
        assert gone == len(slow), f"{len(slow) - gone} are kept though they sent no request within 5 s"
    finally:
        for client in slow:
            client.close()
    figure(f"2,000 half-sent requests: /healthz within {max(took) * 1000:.0f} ms at most, asked {len(took)} times")
    assert max(took) < 1, sorted(took)[-5:]
    warned = [line for line in daemon.text().splitlines() if "waited longest without a request" in line]
    assert len(warned) == 1 and '"WARN"' in warned[0], warned
    eventually(lambda: "there is room for connections to the pages again" in daemon.text(), 5, "it ends")
    assert daemon.stop() == 0
