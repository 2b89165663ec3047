"""How the program stops while it has a key in hand."""

import signal
import socket
import threading
import time

from waiting import eventually


def unknown_key(call):
    """The proof of a new key, which IAM needs seconds to spread."""
    return call.action == "GetCallerIdentity" and call.signed_by != "test"


def test_a_key_that_is_not_proven_yet_is_published_before_the_end(world):
    account, user = world.account, world.name()
    proxy = world.proxy()
    proxy.answer(1, 403, "InvalidClientTokenId", unknown_key, repeat=True)
    daemon = world.daemon(proxy, LEASE__TTL="15s").start()
    world.put(user)
    eventually(lambda: account.keys(user), 10, "a key is minted")
    eventually(lambda: proxy.since(matches=unknown_key), 10, "its proof is refused")
    assert account.raw_parameter(user) is None, "published before it was proven"
    healing = threading.Timer(4, proxy.heal)
    healing.start()
    assert daemon.stop() == 0
    healing.join()
    assert world.settled(user), "the key in hand was lost"
    assert len(proxy.since(matches=lambda call: call.action == "CreateAccessKey")) == 1


def test_a_key_that_is_not_proven_within_the_grace_is_made_good_for_by_the_next_start(world):
    account, user = world.account, world.name()
    proxy = world.proxy()
    proxy.answer(1, 403, "InvalidClientTokenId", unknown_key, repeat=True)
    daemon = world.daemon(proxy, SHUTDOWN__GRACE="1s", LEASE__TTL="15s").start()
    world.put(user)
    lost = eventually(lambda: account.keys(user), 10, "a key is minted")
    begin = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin < 6
    assert account.raw_parameter(user) is None
    proxy.heal()
    daemon.start()
    eventually(lambda: world.settled(user), 90, "the user gets another key")
    assert not set(lost) & set(account.keys(user)), "a key whose secret is lost lives on"


def test_a_key_that_is_never_accepted_is_deleted_and_the_old_one_stays(world):
    account, user = world.account, world.name()
    proxy = world.proxy()
    daemon = world.daemon(proxy, KEYS__ROTATE_AFTER="6s", KEYS__DELETE_AFTER="1h", KEYS__VERIFY_TIMEOUT="3s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the first key is published")
    first = account.current(user)
    proxy.answer(1, 403, "InvalidClientTokenId", unknown_key, repeat=True)
    eventually(lambda: len(account.keys(user)) == 2, 15, "a successor is minted")
    eventually(lambda: set(account.keys(user)) == {first[0]}, 15, "it is deleted again")
    assert account.current(user) == first
    daemon.wait_state(user, "failed")
    assert "keys.verify_timeout" in daemon.user(user)["reason"]
    assert account.calls_as(*first).endswith(f":user/{user}")


def test_a_second_signal_ends_at_once(world):
    user = world.name()
    proxy = world.proxy()
    proxy.answer(1, 403, "InvalidClientTokenId", unknown_key, repeat=True)
    daemon = world.daemon(proxy).start()
    world.put(user)
    eventually(lambda: proxy.since(matches=unknown_key), 10, "a key is in hand")
    daemon.process.signal(signal.SIGTERM)
    eventually(lambda: daemon.get("/readyz")[0] == 503, 5, "readiness is withdrawn")
    assert daemon.process.exit_code() is None, "it finishes the user in hand"
    begin = time.monotonic()
    daemon.process.signal(signal.SIGINT)
    assert daemon.process.wait(3) not in (0, -9)
    assert time.monotonic() - begin < 2


def test_a_client_that_never_finishes_its_request_does_not_keep_it_running(world):
    daemon = world.daemon().start()
    with socket.create_connection(("127.0.0.1", daemon.port)) as half, socket.create_connection(
        ("127.0.0.1", daemon.port)
    ) as idle:
        half.sendall(b"GET /status HTTP/1.1\r\nHost: lo")
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        begin = time.monotonic()
        assert daemon.stop(within=10) == 0
        assert time.monotonic() - begin < 5
