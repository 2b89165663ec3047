"""AWS has found a key in public and says so by a policy: the user is reported, its keys are replaced at once."""

import time

from waiting import eventually

QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2"


def test_the_keys_of_a_quarantined_user_are_replaced_at_once_and_without_overlap(world, figure):
    account, user, other = world.account, world.name("found"), world.name("other")
    proxy = world.proxy()
    # Neither a rotation nor an expiry is due for a month.
    daemon = world.daemon(proxy, KEYS__ROTATE_AFTER="3s", KEYS__DELETE_AFTER="30d").start()
    for name in (user, other):
        world.put(name)
    for name in (user, other):
        eventually(lambda: "pending_deletion" in (account.document(name) or {}), 20, f"{name} has two keys")
    daemon.stop()
    daemon.settings(IUC_KEYS__ROTATE_AFTER="15d")
    daemon.start()
    for name in (user, other):
        eventually(lambda: world.settled(name), 20, f"{name} is complete")
    before, untouched = account.document(user), account.document(other)
    assert len(account.keys(user)) == 2

    account.iam.attach_user_policy(UserName=user, PolicyArn=QUARANTINE)
    begin, mark = time.monotonic(), proxy.mark()
    current = eventually(
        lambda: account.current(user) if account.current(user)[0] not in str(before) else None, 60, "another key is published"
    )
    eventually(lambda: set(account.keys(user)) == {current[0]}, 30, "the old ones are deleted")
    took = time.monotonic() - begin
    for member in before.values():
        assert account.calls_as(member["AccessKeyID"], member["SecretAccessKey"]) == "InvalidClientTokenId"
    eventually(lambda: world.settled(user), 20, "the user is complete")
    assert set(account.document(user)) == {"current"}
    said = [line for line in daemon.text().splitlines() if '"ERROR"' in line and "found in public" in line]
    assert len(said) == 1 and user in said[0], said

    # Once: the keys that replace them are not the ones that were found.
    calls = proxy.mark()
    daemon.wait_sweeps(3)
    daemon.stop()
    daemon.start()
    daemon.wait_sweeps(3)
    assert not proxy.since(calls), list(map(str, proxy.since(calls)))
    assert account.document(other) == untouched
    # Nor when the user was nobody's for a sweep, and is adopted.
    replaced = account.document(user)
    account.iam.untag_user(UserName=user, TagKeys=["managed-by"])
    eventually(lambda: world.settled(user), 30, "the user is adopted")
    daemon.wait_sweeps(3)
    assert account.document(user) == replaced and world.settled(user)
    # The policy is AWS's word to people; it stays until they take it off.
    attached = account.iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [QUARANTINE]
    actions = [call.action for call in proxy.since(mark) if call.concerns(user, world.parameter_name(user))]
    figure(f"quarantined keys replaced after {took:.1f} s, by {', '.join(actions)}")
