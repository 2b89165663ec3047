"""Shows iam-user-controller at work, on an AWS emulator on this machine.

Everything that is shown was seen from outside: by asking AWS (its emulator) about users, keys and
parameters, and by calls signed with the published keys. Nothing is taken from the controller's own
word. Started by `make demo`. DEMO_SECONDS=n: ends by itself when all has been seen, at the latest
after n seconds, with exit code 0 if and only if all has been seen.
"""

import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import emulators  # noqa: E402
from account import Account, parameter_name  # noqa: E402
from daemon import Daemon  # noqa: E402

TABLE = "mail-users"
USERS = ["mail-relay", "newsletter", "jane@example.org"]
LEAVES = "newsletter"
ROTATE_AFTER, DELETE_AFTER = 15, 30

INTRODUCTION = f"""
iam-user-controller keeps the IAM users of an AWS account as a DynamoDB table says. A row is added:
the user is made, with a permissions boundary, and an access key for it is put where programs read
it, an SSM parameter. The key is replaced before it gets old; the one before it goes on working
until everybody has had time to change. The row is removed: user, keys and parameter go.

All of that happens below in about {DELETE_AFTER + 10} seconds: one second stands for one day, so a key gets its
successor after {ROTATE_AFTER} s and is deleted after {DELETE_AFTER} s. AWS is an emulator on this machine. What you
read was seen from outside, by asking it, not by believing the controller.
"""

MILESTONES = {
    "created": "IAM user created, with permissions boundary",
    "published": "working access key published",
    "rotated": "key replaced, with the old one still working",
    "expired": "old key deleted",
    "removed": "user, keys and parameter removed with the row",
}


class Show:
    """The lines on the screen, and which milestones have been seen for whom."""

    def __init__(self):
        self.begin = time.monotonic()
        self.seen = {milestone: set() for milestone in MILESTONES}
        self.width = max(map(len, USERS)) + 2

    def line(self, user, text):
        print(f"{time.monotonic() - self.begin:6.1f} s  {user:<{self.width}}{text}", flush=True)

    def milestone(self, name, user, text):
        self.seen[name].add(user)
        self.line(user, text)

    def wanted(self, milestone):
        return {LEAVES} if milestone == "removed" else set(USERS)

    def complete(self):
        return all(self.seen[milestone] >= self.wanted(milestone) for milestone in MILESTONES)

    def summary(self):
        print("\nSeen from outside:")
        for milestone, text in MILESTONES.items():
            wanted, seen = self.wanted(milestone), self.seen[milestone] & self.wanted(milestone)
            print(f"  {'yes' if seen == wanted else 'NO '}  {text} ({len(seen)} of {len(wanted)} users)")


def short(key):
    """Key ids are no secrets, but long."""
    return f"{key[:4]}..{key[-4:]}"


class Watch:
    """One user, looked at again and again."""

    def __init__(self, account, show, user):
        self.account, self.show, self.user = account, show, user
        self.exists = False
        #: Keys that were published: id -> secret. Never printed.
        self.secrets = {}
        self.current = None
        self.pending = set()

    def look(self):
        found = self.account.user(self.user)
        if not found:
            return self._gone() if self.exists else None
        if not self.exists:
            self._created(found)
        document = self.account.document(self.user) or {}
        for member in document.values():
            self.secrets[member["AccessKeyID"]] = member["SecretAccessKey"]
        current = document.get("current", {}).get("AccessKeyID")
        if current and current != self.current:
            self._published(current)
        for key in sorted(self.pending - set(self.account.keys(self.user))):
            self._deleted(key)

    def _works(self, key):
        """Whether AWS accepts a call signed with the key, and says that it is this user's."""
        return self.account.calls_as(key, self.secrets[key]).endswith(":user/" + self.user)

    def _created(self, found):
        self.exists = True
        boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
        if boundary:
            self.show.milestone("created", self.user, f"IAM user created, limited by {boundary.rsplit(':', 1)[1]}")
        else:
            self.show.line(self.user, "IAM user created WITHOUT a permissions boundary")

    def _published(self, key):
        where = f"in {parameter_name(self.user)}" if self.current is None else "in its place"
        if not self._works(key):
            return self.show.line(self.user, f"key {short(key)} published, but AWS REFUSES it")
        before, self.current = self.current, key
        if before is None:
            text = f"key {short(key)} published {where}; a call signed with it works"
            return self.show.milestone("published", self.user, text)
        self.pending.add(before)
        if self._works(before):
            text = f"key replaced: {short(key)} is published and works; {short(before)} works for a while yet"
            self.show.milestone("rotated", self.user, text)
        else:
            self.show.line(self.user, f"key replaced by {short(key)}, but {short(before)} works NO LONGER")

    def _deleted(self, key):
        self.pending.discard(key)
        if self._works(key):
            return self.show.line(self.user, f"old key {short(key)} deleted, but it STILL works")
        text = f"old key {short(key)} deleted; a call signed with it is refused"
        self.show.milestone("expired", self.user, text)

    def _gone(self):
        if self.account.raw_parameter(self.user) or any(self._works(key) for key in self.secrets):
            return
        self.exists, self.current = False, None
        self.pending.clear()
        self.show.milestone("removed", self.user, "IAM user, keys and parameter are gone")


class Demo:
    """The emulator, the tables, the controller."""

    def __init__(self, folder):
        self.emulator = emulators.ministack(folder)
        self.daemon = None
        services = ("iam", "sts", "ssm", "kms", "dynamodb", "dynamodbstreams")
        self.account = Account({service: self.emulator.url for service in services})
        self.account.create_users_table(TABLE)
        self.account.create_state_table(TABLE + "-controller")
        settings = {
            "IUC_TABLE__NAME": TABLE,
            "IUC_USERS__PERMISSIONS_BOUNDARY": self.account.create_boundary("mail-only"),
            "IUC_KEYS__ROTATE_AFTER": f"{ROTATE_AFTER}s",
            "IUC_KEYS__DELETE_AFTER": f"{DELETE_AFTER}s",
            "IUC_SWEEP__SCHEDULE": "*/2 * * * * *",
            "IUC_SWEEP__FULL_EVERY": "2s",
            "IUC_LOG__FORMAT": "text",
        }
        self.daemon = Daemon(settings | self.account.environment(), folder / "controller.log")

    def stop(self):
        try:
            if self.daemon and self.daemon.process and self.daemon.process.exit_code() is None:
                self.daemon.stop(within=10)
        except AssertionError:
            self.daemon.kill()
        finally:
            self.emulator.stop()


def watch(demo, show, until, stay):
    account = demo.account
    watches = []
    for user in USERS:
        account.put_row(TABLE, user)
        show.line(user, "row added to the table")
        watches.append(Watch(account, show, user))
    leaving = told = False
    while time.monotonic() < until:
        if demo.daemon.process.exit_code() is not None:
            raise RuntimeError("the controller has ended")
        for each in watches:
            each.look()
        if not leaving and show.seen["expired"] >= set(USERS):
            account.delete_row(TABLE, LEAVES)
            show.line(LEAVES, "row removed from the table")
            leaving = True
        if show.complete():
            if not stay:
                return
            if not told:
                told = True
                farewell(demo, show)
        time.sleep(0.1)


def farewell(demo, show):
    show.summary()
    print(
        f"""
It goes on until you press Ctrl-C. Meanwhile:
  curl {url(demo, '/status')}    curl {url(demo, '/users')}
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test aws --region us-east-1 --endpoint-url {demo.emulator.url} \\
    dynamodb put-item --table-name {TABLE} --item '{{"UserName": {{"S": "you"}}}}'
""",
        flush=True,
    )


def url(demo, path):
    return f"http://127.0.0.1:{demo.daemon.port}{path}"


def main():
    seconds = os.environ.get("DEMO_SECONDS", "")
    if seconds and not (seconds.isdigit() and int(seconds)):
        sys.exit("DEMO_SECONDS must be a number of seconds")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(1))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="iam-user-controller-demo-"))
    demo = None
    good = False
    try:
        print(INTRODUCTION)
        print("Starting the emulator and the controller ...", flush=True)
        demo = Demo(folder)
        demo.daemon.start()
        print(f"Ready. Its own view, any time: {url(demo, '/status')} and {url(demo, '/users')}")
        print(f"Its log: {demo.daemon.output}\n")
        show = Show()
        until = show.begin + int(seconds) if seconds else threading.TIMEOUT_MAX
        watch(demo, show, until, stay=not seconds)
        show.summary()
        good = show.complete()
        if not good:
            print(f"\nNot all of it happened within {seconds} s.")
    except KeyboardInterrupt:
        good = not seconds
        print("\nStopping.")
    except (AssertionError, RuntimeError) as error:
        print(f"\nThe demo failed: {error}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if demo:
            if not good and demo.daemon and demo.daemon.process:
                print(f"\nThe end of the controller's log:\n{demo.daemon.process.tail(30)}")
            demo.stop()
        shutil.rmtree(folder, ignore_errors=True)
        print("Controller and emulator stopped, temporary files removed.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
