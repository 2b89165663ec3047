"""Child processes that never outlive their parent's interest in them."""

import atexit
import itertools
import os
import random
import signal
import socket
import subprocess

_RUNNING = set()


# Below those that Linux gives to outgoing connections, which might have a port before its listener
# has. Workers of pytest-xdist have ranges of their own, and every run begins somewhere else in them.
_RANGE = 2_000
_FIRST = 10_000 + _RANGE * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10)
_NEXT = itertools.count(random.randrange(_RANGE))


def free_port():
    """A port of the loopback interface that nobody listens on, and that no other call has given yet."""
    for _ in range(_RANGE):
        port = _FIRST + next(_NEXT) % _RANGE
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")


def clean_environment(extra):
    """This process's environment without anything that could lead to a real AWS account."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "IUC_")) and not name.lower().endswith("_proxy")
    }
    return kept | {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        # Both emulators take this pair for the account's root.
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    } | extra


class Process:
    """A program in its own process group, its output in a file."""

    def __init__(self, command, environment, output):
        self.output = output
        with open(output, "ab") as sink:
            self._child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _RUNNING.add(self)

    @property
    def pid(self):
        return self._child.pid

    def exit_code(self):
        """`None` while it runs; negative: the signal that ended it."""
        return self._child.poll()

    def signal(self, number):
        if self.exit_code() is None:
            os.kill(self.pid, number)

    def wait(self, seconds):
        """Its exit code; fails when it does not end in time."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.tail()}") from None
        _RUNNING.discard(self)
        return code

    def kill(self):
        """Ends the whole group at once, as `kill -9` does."""
        if self.exit_code() is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._child.wait()
        _RUNNING.discard(self)

    def text(self):
        with open(self.output, "rb") as source:
            return source.read().decode(errors="replace")

    def tail(self, lines=60):
        return "\n".join(self.text().splitlines()[-lines:])


@atexit.register
def _leave_nothing_behind():
    for process in list(_RUNNING):
        process.kill()
