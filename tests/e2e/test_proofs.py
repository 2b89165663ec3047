"""A new key is proven before it is published: more than once, each time on a connection of its own."""

import time

from waiting import always, eventually

ROTATES = {"KEYS__ROTATE_AFTER": "4s", "KEYS__DELETE_AFTER": "1h", "SWEEP__SCHEDULE": "*/2 * * * * *"}


def proofs_of(proxy, key):
    return proxy.since(matches=lambda call: call.action == "GetCallerIdentity" and call.signed_by == key)


def is_proof(call):
    return call.action == "GetCallerIdentity" and call.signed_by != "test"


def publications(proxy, key):
    return proxy.since(matches=lambda call: call.action == "PutParameter" and key in call.parameters["Value"])


def successor(account, user, first):
    """The key that was minted after this one, once it is there."""
    return next(iter(set(account.keys(user)) - {first}), None)


def test_a_first_key_is_accepted_three_times_in_a_row_on_fresh_connections(world, figure):
    account, user, proxy = world.account, world.name(), world.proxy()
    # One host accepts it, the next one does not know it yet.
    proxy.answer(2, 403, "InvalidClientTokenId", is_proof)
    world.daemon(proxy, KEYS__VERIFY_FOR="15s").start()
    world.put(user)
    eventually(lambda: account.raw_parameter(user), 15, "the key is published")
    key = account.current(user)[0]
    proofs = proofs_of(proxy, key)
    published = publications(proxy, key)[0]
    before = [call for call in proofs if call.at < published.at]
    assert [call.status for call in before] == [200, None, 200, 200, 200], "three in a row after the refusal"
    assert len({call.connection for call in before}) == len(before), "a connection was used again"
    figure(f"first key: {len(before)} proofs on {len({call.connection for call in before})} connections")
    assert world.settled(user)


def test_a_rotation_is_proven_over_verify_for_and_a_refusal_begins_anew(world, figure):
    account, user, proxy = world.account, world.name(), world.proxy()
    world.daemon(proxy, KEYS__VERIFY_FOR="3s", **ROTATES).start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the first key is published")
    first = account.current(user)[0]
    refusal = proxy.answer(6, 403, "InvalidClientTokenId", is_proof)
    key = eventually(lambda: successor(account, user, first), 15, "a successor is minted")
    eventually(lambda: account.current(user)[0] == key, 20, "it is published")
    published = publications(proxy, key)[0]
    proofs = [call for call in proofs_of(proxy, key) if call.at < published.at]
    assert refusal.fired.is_set() and len({call.connection for call in proofs}) == len(proofs)
    refused = max((index for index, call in enumerate(proofs) if call.status != 200), default=-1)
    in_a_row = proofs[refused + 1 :]
    assert len(in_a_row) >= 3
    assert in_a_row[-1].at - in_a_row[0].at >= 2.9, "it was not proven for keys.verify_for"
    figure(f"rotation: {len(proofs)} proofs, the last {len(in_a_row)} over {in_a_row[-1].at - in_a_row[0].at:.1f} s")


def test_the_reason_says_why_a_proof_failed(world):
    account, user, proxy = world.account, world.name(), world.proxy()
    proxy.answer(3, 403, "SignatureDoesNotMatch", is_proof, repeat=True)
    daemon = world.daemon(proxy, KEYS__VERIFY_TIMEOUT="3s").start()
    world.put(user)
    daemon.wait_state(user, "pending")
    eventually(lambda: "SignatureDoesNotMatch" in daemon.user(user).get("reason", ""), 5, "the code is told")
    daemon.wait_state(user, "failed", within=15)
    reason = daemon.user(user)["reason"]
    assert "keys.verify_timeout" in reason and "SignatureDoesNotMatch" in reason, reason
    assert account.raw_parameter(user) is None


def test_a_controller_that_stops_publishes_a_rotation_that_was_accepted_three_times(world):
    account, user, proxy = world.account, world.name(), world.proxy()
    daemon = world.daemon(proxy, KEYS__VERIFY_FOR="30s", LEASE__TTL="15s", **ROTATES).start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the first key is published")
    first = account.current(user)[0]
    key = eventually(lambda: successor(account, user, first), 15, "a successor is minted")
    eventually(lambda: len(proofs_of(proxy, key)) >= 3, 10, "it is accepted three times")
    always(lambda: account.current(user)[0] == first, 2, "it is proven for keys.verify_for")
    begin = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin < 8, "it waited for keys.verify_for"
    assert account.current(user)[0] == key and world.settled(user)


def test_a_controller_that_stops_deletes_a_key_that_is_not_accepted(world):
    account, user, proxy = world.account, world.name(), world.proxy()
    daemon = world.daemon(proxy, SHUTDOWN__GRACE="10s", LEASE__TTL="15s", **ROTATES).start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the first key is published")
    first = account.current(user)
    proxy.answer(1, 403, "InvalidClientTokenId", is_proof, repeat=True)
    eventually(lambda: successor(account, user, first[0]), 15, "a successor is minted")
    begin = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin < 12
    assert set(account.keys(user)) == {first[0]}, "a key whose secret is lost lives on"
    assert account.current(user) == first


def test_a_sweep_does_not_wait_for_a_rotation_to_be_proven(world, figure):
    account, user, proxy = world.account, world.name(), world.proxy()
    daemon = world.daemon(proxy, KEYS__ROTATE_AFTER="12s", KEYS__DELETE_AFTER="1h", KEYS__VERIFY_FOR="30s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the first key is published")
    first = account.current(user)[0]
    assert daemon.stop() == 0
    time.sleep(12)
    begin = time.monotonic()
    code, out, err = daemon.run("sweep", "--json")
    took = time.monotonic() - begin
    assert code == 0, err
    key = account.current(user)[0]
    assert key != first, "the sweep has rotated nothing"
    assert len([call for call in proofs_of(proxy, key) if call.status == 200]) >= 3
    # It waits for 11 s until every change of the service can be seen.
    assert took < 25, f"the sweep took {took:.0f} s"
    figure(f"sweep with a rotation under keys.verify_for = 30s: {took:.1f} s")
