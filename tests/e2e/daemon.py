"""The built program as a child process, seen through its exit code, its output and its HTTP pages."""

import http.client
import json
import os
import pathlib
import re
import signal
from urllib.parse import quote

from processes import Process, clean_environment, free_port
from waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]


def target():
    """Where cargo builds, as the Makefile has it."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or cache / "iam-user-controller" / "target")


def binary():
    """The release binary that `make build` made."""
    path = pathlib.Path(os.environ.get("IAM_USER_CONTROLLER") or target() / "release" / "iam-user-controller")
    assert path.is_file(), f"{path} is missing: run `make build` first"
    return path


class Daemon:
    """One configuration of the program, which can be started again and again."""

    def __init__(self, environment, output):
        """`environment`: the endpoints and IUC_ settings; `output` gets what all its processes say."""
        self.port = free_port()
        self.environment = clean_environment(environment | {"IUC_HTTP__LISTEN": f"127.0.0.1:{self.port}"})
        self.output = output
        self.process = None
        self.pages = b""

    # -- the process -----------------------------------------------------------------------------

    def start(self, ready=True):
        assert self.process is None or self.process.exit_code() is not None, "it runs already"
        self.process = Process([str(binary()), "run"], self.environment, self.output)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, within=30):
        def is_ready():
            code = self.process.exit_code()
            if code is not None:
                raise RuntimeError(f"ended with {code} before it was ready:\n{self.process.tail()}")
            return self.get("/readyz")[0] == 200

        eventually(is_ready, within, "/readyz answers 200")

    def stop(self, within=25):
        """SIGTERM; the exit code."""
        self.process.signal(signal.SIGTERM)
        return self.process.wait(within)

    def kill(self):
        """kill -9"""
        if self.process:
            self.process.kill()

    def settings(self, **changed):
        """Other settings from the next start on."""
        self.environment |= changed

    def run(self, *arguments, within=60, **settings):
        """Runs another command of the program with the same settings: (exit code, stdout, stderr)."""
        import subprocess

        done = subprocess.run(
            [str(binary()), *arguments],
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within,
        )
        with open(self.output, "ab") as sink:
            sink.write(done.stdout + done.stderr)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def text(self):
        with open(self.output, "rb") as source:
            return source.read().decode(errors="replace")

    # -- its pages -------------------------------------------------------------------------------

    def get(self, path):
        """(status, body); status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()
        self.pages += body
        return answer.status, body.decode()

    def json(self, path):
        status, body = self.get(path)
        assert status == 200, f"{path}: {status} {body}"
        return json.loads(body)

    def status(self):
        return self.json("/status")

    def user(self, name):
        """What /users/{name} says; `{}` when it knows no such user."""
        status, body = self.get("/users/" + quote(name, safe=""))
        return json.loads(body) if status == 200 else {}

    def state(self, name):
        return self.user(name).get("state")

    def wait_state(self, name, state, within=20):
        eventually(
            lambda: self.state(name) == state,
            within,
            f"/users/{name} says {state}; it says {self.user(name)}",
        )

    def metric(self, name, **labels):
        """The sum of a metric's values whose labels match; `None` without such a metric."""
        found = None
        for line in self.get("/metrics")[1].splitlines():
            match = re.fullmatch(r"iam_user_controller_(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                has = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if all(has.get(label) == value for label, value in labels.items()):
                    found = (found or 0.0) + float(match[3])
        return found

    def wait_sweeps(self, count=2, within=40):
        """Waits until so many further sweeps have ended well. After two, one began after this call."""
        for _ in range(count):
            last = self.metric("sweep_last_success_timestamp_seconds")
            eventually(
                lambda: self.metric("sweep_last_success_timestamp_seconds") not in (None, last),
                within,
                "a sweep ends",
            )
