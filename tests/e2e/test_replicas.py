"""Two replicas: one leads, the other stands by and takes over."""

import signal
import time

import pytest

from waiting import eventually


def mints(proxy, user):
    return len(proxy.since(matches=lambda call: call.action == "CreateAccessKey" and call.user == user))


def pair(world, proxy, **settings):
    """A leader, and a standby that is ready to take over."""
    leader = world.daemon(proxy, **settings).start()
    standby = world.daemon(proxy, **settings).start()
    assert leader.status()["role"] == "leader"
    assert standby.status()["role"] == "standby"
    assert (leader.metric("leader"), standby.metric("leader")) == (1, 0)
    return leader, standby


@pytest.mark.timing
def test_a_standby_takes_over_within_a_second_of_a_clean_stop_and_nothing_is_minted_twice(world, figure):
    proxy = world.proxy()
    leader, standby = pair(world, proxy, LEASE__TTL="15s")
    users = [world.name(f"user-{n:02}") for n in range(20)]
    for n, user in enumerate(users):
        world.put(user)
        if n == 10:
            begin = time.monotonic()
            assert leader.stop() == 0, "it finishes the users in hand first"
            stopped = time.monotonic()
            eventually(lambda: standby.metric("leader") == 1, 20, "the standby leads", every=0.02)
            took = time.monotonic() - stopped
        time.sleep(0.05)
    for user in users:
        eventually(lambda: world.settled(user), 40, f"{user} is complete")
    assert {user: mints(proxy, user) for user in users} == dict.fromkeys(users, 1)
    mark = proxy.mark()
    standby.wait_sweeps(2)
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
    figure(f"SIGTERM to end: {(stopped - begin) * 1000:.0f} ms; end to the other's lead: {took * 1000:.0f} ms")
    assert took <= 1


@pytest.mark.timing
def test_a_standby_takes_over_when_the_leader_is_killed(world, figure):
    proxy = world.proxy()
    ttl = 3
    leader, standby = pair(world, proxy, LEASE__TTL=f"{ttl}s")
    users = [world.name(f"user-{n}") for n in range(4)]
    for user in users[:2]:
        world.put(user)
    for user in users[:2]:
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    leader.kill()
    begin = time.monotonic()
    for user in users[2:]:
        world.put(user)
    eventually(lambda: standby.metric("leader") == 1, 20, "the standby leads", every=0.02)
    took = time.monotonic() - begin
    for user in users:
        eventually(lambda: world.settled(user), 40, f"{user} is complete")
    assert {user: mints(proxy, user) for user in users} == dict.fromkeys(users, 1)
    figure(f"kill -9 to the other's lead: {took * 1000:.0f} ms with a lease of {ttl} s")
    assert took <= ttl + 1


def test_a_leader_that_was_paused_changes_nothing_when_it_wakes(world):
    """Its lease went to the other one while it stood still, perhaps in the middle of something."""
    proxy = world.proxy()
    leader, standby = pair(world, proxy, LEASE__TTL="2s")
    users = [world.name(f"user-{n}") for n in range(6)]
    for user in users[:3]:
        world.put(user)
    eventually(lambda: proxy.since(matches=lambda call: call.action == "CreateAccessKey"), 20, "a mint is under way")
    leader.process.signal(signal.SIGSTOP)
    try:
        eventually(lambda: standby.metric("leader") == 1, 10, "the standby leads")
        for user in users[3:]:
            world.put(user)
        for user in users:
            eventually(lambda: world.settled(user), 90, f"{user} is complete")
        mark = proxy.mark()
    finally:
        leader.process.signal(signal.SIGCONT)
    eventually(lambda: leader.status()["role"] == "standby", 20, "the one that was paused stands by")
    standby.wait_sweeps(3)
    assert not proxy.since(mark), list(map(str, proxy.since(mark)))
    assert [replica.metric("leader") for replica in (leader, standby)] == [0, 1]
    assert leader.get("/healthz")[0] == 200 and leader.get("/readyz")[0] == 200

    # And back again.
    assert standby.stop() == 0
    eventually(lambda: leader.metric("leader") == 1, 10, "it leads again")
    world.put(world.name("late"))
    eventually(lambda: world.settled(world.name("late")), 20, "it works")
