"""`deletions resume` lets go what the operator has seen, and nothing that was added since."""

import os
import pty
import re
import select
import time

import pytest

from daemon import binary
from waiting import eventually

DIGEST = re.compile(r"deletions resume ([0-9a-f]{8})$", re.MULTILINE)


def holding(world, count=4):
    """A leader that holds the deletions of so many users."""
    account = world.account
    daemon = world.daemon(DELETIONS__MAX_COUNT="0", DELETIONS__MAX_PERCENT="0").start()
    users = [world.name(f"user-{n}") for n in range(count)]
    for user in [*users, world.name("stays")]:
        world.put(user)
    for user in [*users, world.name("stays")]:
        eventually(lambda: world.settled(user), 30, f"{user} is complete")
    time.sleep(1.1)
    remove(world, daemon, users)
    assert all(account.user(user) for user in users)
    return daemon, users


def remove(world, daemon, users):
    held = (daemon.status()["deletions"] or {"held": 0})["held"]
    for user in users:
        world.delete(user)
    eventually(lambda: daemon.status()["deletions"]["held"] == held + len(users), 30, "they are held")
    # What is merely wanted is stored a second later.
    time.sleep(2.5)


def shown(daemon):
    """(names, digest) of what `deletions status` shows."""
    code, out, err = daemon.run("deletions", "status")
    assert code == 3, (code, out, err)
    names = {line.strip() for line in out.splitlines() if line.startswith("  ")}
    return names, DIGEST.search(out)[1]


def test_a_name_that_was_added_since_is_refused_and_shown(world):
    account = world.account
    daemon, users = holding(world)
    late = world.name("late")
    world.put(late)
    eventually(lambda: world.settled(late), 20, "another one is complete")
    time.sleep(1.1)
    names, digest = shown(daemon)
    assert names == set(users)
    assert daemon.status()["deletions"]["digest"] == digest

    remove(world, daemon, [late])
    code, out, err = daemon.run("deletions", "resume", digest)
    assert code == 1 and late in err and not any(user in out + err for user in users), (code, out, err)
    assert all(account.user(user) for user in [*users, late]), "somebody was deleted all the same"

    # One leaves the list: its row is back.
    names, digest = shown(daemon)
    assert names == {*users, late}
    world.put(users[0])
    eventually(lambda: daemon.status()["deletions"]["held"] == len(users), 20, "it is not held any more")
    code, out, err = daemon.run("deletions", "resume", digest)
    assert code == 0 and f"{len(users)} users" in out and users[0] not in out, (code, out, err)
    for user in [*users[1:], late]:
        eventually(lambda: account.assert_gone(user), 60, f"{user} goes")
    assert world.settled(users[0]) and world.settled(world.name("stays"))
    eventually(lambda: daemon.run("deletions", "status")[0] == 0, 20, "nothing is held any more")


def test_without_a_leader_the_command_checks_it_itself(world):
    account = world.account
    daemon, users = holding(world)
    _, digest = shown(daemon)
    assert daemon.stop() == 0
    wrong = f"{int(digest, 16) - 1:08x}"
    code, out, err = daemon.run("deletions", "resume", wrong)
    assert code == 1 and len([user for user in users if user in err]) == 1, (code, out, err)
    code, out, err = daemon.run("deletions", "resume", digest)
    assert code == 0 and all(user in out for user in users), (code, out, err)
    assert all(account.user(user) for user in users), "the leader deletes, not the command"
    daemon.start()
    for user in users:
        eventually(lambda: account.assert_gone(user), 60, f"{user} goes")


def test_what_to_resume_has_to_be_said(world):
    daemon, users = holding(world, count=2)
    code, out, err = daemon.run("deletions", "resume")
    assert code == 2 and "--all" in err and "deletions status" in err, (code, out, err)
    code, out, err = daemon.run("deletions", "resume", "nonsense")
    assert code == 2, (code, out, err)
    assert all(world.account.user(user) for user in users)
    code, out, err = daemon.run("deletions", "resume", "--all")
    assert code == 0 and "2 users" in out and all(user in out for user in users), (code, out, err)
    for user in users:
        eventually(lambda: world.account.assert_gone(user), 60, f"{user} goes")


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_asks(answer, world):
    account = world.account
    daemon, users = holding(world, count=2)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(binary()), [str(binary()), "deletions", "resume"], daemon.environment)
    said = b""
    try:
        deadline = time.monotonic() + 30
        while b"[y/N]" not in said and time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 65536)
        os.write(terminal, answer.encode() + b"\n")
        while True:
            try:
                more = os.read(terminal, 65536)
            except OSError:
                break
            if not more:
                break
            said += more
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert all(user.encode() in said for user in users), said
    if answer == "y":
        for user in users:
            eventually(lambda: account.assert_gone(user), 60, f"{user} goes")
    else:
        daemon.wait_sweeps(2)
        assert all(account.user(user) for user in users) and daemon.metric("deletions_held") == 2
