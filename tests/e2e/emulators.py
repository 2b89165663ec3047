"""The AWS emulators that tests and demo run against, each on a free port of the loopback interface.

ministack plays DynamoDB and its streams (and, for the demo, everything); fakecloud plays IAM, STS,
SSM and KMS, where it is the stricter of the two.

Both are told to verify signatures, so that "AWS accepted a call signed with this key" means
something. With ministack that is AUTH=true. With fakecloud it is --verify-sigv4 *without*
`--iam strict`: strict mode refuses GetCallerIdentity to users without a policy, which AWS never does.

Neither knows that IAM's names are unique without regard to case, nor is either eventually consistent.
"""

import http.client
import os
import pathlib
import sys

from processes import Process, clean_environment, free_port
from waiting import eventually

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "iam-user-controller"
FAKECLOUD = CACHE / "tools" / "bin" / "fakecloud"


class Emulator:
    """A running emulator."""

    def __init__(self, start, health, folder):
        """`start(port)` gives command and environment. A port may be lost to somebody else: try again."""
        self.name = None
        for attempt in range(3):
            self.port = free_port()
            command, environment = start(self.port)
            self.name = pathlib.Path(command[0]).name
            self.process = Process(command, clean_environment(environment), folder / f"{self.name}-{self.port}.log")
            eventually(
                lambda: self.process.exit_code() is not None or self._answers(health),
                within=60,
                what=f"{self.name} answers",
            )
            if self.process.exit_code() is None:
                return
        raise AssertionError(f"{self.name} does not start:\n{self.process.tail()}")

    def _answers(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.kill()


def ministack(folder):
    def start(port):
        command = [str(pathlib.Path(sys.executable).with_name("ministack"))]
        return command, {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AUTH": "true", "LOG_LEVEL": "WARNING"}

    return Emulator(start, "/_ministack/health", folder)


def fakecloud(folder):
    def start(port):
        return [str(FAKECLOUD), "--addr", f"127.0.0.1:{port}", "--verify-sigv4", "--log-level", "error"], {}

    return Emulator(start, "/_fakecloud/health", folder)
