"""AWS has found a key in public and says so by a policy of its own: when that appears, keys are replaced at once.

Only then. A policy that was there before, or that only has the name, is no reason to take a key away.
"""

import json
import time

import pytest

from account import INLINE_POLICY
from waiting import eventually

NAME = "AWSCompromisedKeyQuarantineV2"
QUARANTINE = f"arn:aws:iam::aws:policy/{NAME}"
RECORD = "quarantine"


def known(world, *users):
    """For `eventually`: sweeps have seen these users without the policy, and say so in the state table."""
    item = world.account.ddb.get_item(
        TableName=world.table + "-controller", Key={"Id": {"S": RECORD}}, ConsistentRead=True
    )
    seen = json.loads(item["Item"]["Body"]["S"])["clean"] if "Item" in item else []
    return all(world.account.user(user)["UserId"] in seen for user in users)


def quarantine(world, user):
    world.account.iam.attach_user_policy(UserName=user, PolicyArn=QUARANTINE)


def errors(daemon, user):
    """What was said at level error of the user's quarantine."""
    lines = [json.loads(line) for line in daemon.text().splitlines() if line.startswith("{") and '"ERROR"' in line]
    return [line for line in lines if line.get("user") == user and "quarantine" in line["message"]]


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
    eventually(lambda: known(world, user, other), 40, "they were seen without the policy")

    quarantine(world, user)
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
    [said] = errors(daemon, user)
    assert "found in public" in said["message"], said
    # AWS's policy limits the new key too, until a person detaches it.
    daemon.wait_state(user, "blocked")
    detach = f"aws iam detach-user-policy --user-name {user} --policy-arn {QUARANTINE}"
    assert detach in daemon.user(user)["reason"] and said["detach"] == detach
    eventually(lambda: daemon.metric("quarantined_users") == 1, 20, "the sweep that has seen it ends")
    assert daemon.status()["last_sweep"]["quarantined"] == 1

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
    actions = [call.action for call in proxy.since(mark) if call.concerns(user, world.parameter_name(user))]
    figure(f"quarantined keys replaced after {took:.1f} s, by {', '.join(actions)}")

    # A person detaches it; when it appears again, it says something new.
    account.iam.detach_user_policy(UserName=user, PolicyArn=QUARANTINE)
    daemon.wait_state(user, "ready", 60)
    quarantine(world, user)
    eventually(lambda: account.current(user)[0] != current[0], 60, "its key is replaced once more")
    eventually(lambda: set(account.keys(user)) == {account.current(user)[0]}, 30, "and the old one is deleted")
    assert len(errors(daemon, user)) == 2


def test_a_policy_that_was_there_before_replaces_no_key_and_is_told(world):
    account = world.account
    user, lost = world.name("before"), world.name("lost")
    for name in (user, lost):
        account.function_made_user(name, world.boundary)
        world.put(name)
    quarantine(world, user)
    proxy = world.proxy()
    daemon = world.daemon(proxy).start()
    key = account.current(user)[0]
    daemon.wait_state(user, "blocked")
    replace = f"aws iam delete-access-key --user-name {user} --access-key-id {key}"
    detach = f"aws iam detach-user-policy --user-name {user} --policy-arn {QUARANTINE}"
    reason = daemon.user(user)["reason"]
    assert replace in reason and detach in reason, reason
    [said] = errors(daemon, user)
    assert said["replace"] == replace and said["detach"] == detach, said

    # The record of who was seen is lost while another user is quarantined: it is as if for the first time.
    eventually(lambda: known(world, lost), 40, "it was seen without the policy")
    daemon.stop()
    account.ddb.delete_item(TableName=world.table + "-controller", Key={"Id": {"S": RECORD}})
    quarantine(world, lost)
    daemon.start()
    daemon.wait_state(lost, "blocked")
    time.sleep(20)
    daemon.wait_sweeps(2)
    assert not [call for call in proxy.since(0) if call.action in ("CreateAccessKey", "DeleteAccessKey")]
    assert len(errors(daemon, lost)) == 1 and len(errors(daemon, user)) == 2, "once for each first sight"

    # The commands do what they say.
    account.iam.delete_access_key(UserName=user, AccessKeyId=key)
    eventually(lambda: account.current(user)[0] != key, 60, "a new key is minted")
    account.iam.detach_user_policy(UserName=user, PolicyArn=QUARANTINE)
    daemon.wait_state(user, "ready", 60)
    assert world.settled(user)


@pytest.mark.parametrize("reports", [False, True], ids=["a policy of that name", "keys.compromised is report"])
def test_no_key_is_replaced(world, reports):
    account, user = world.account, world.name()
    world.put(user)
    proxy = world.proxy()
    daemon = world.daemon(proxy, KEYS__COMPROMISED="report" if reports else "replace").start()
    eventually(lambda: world.settled(user), 20, "it is complete")
    eventually(lambda: known(world, user), 40, "it was seen without the policy")
    policy = QUARANTINE
    if not reports:
        # A path keeps it apart from another test's policy of that name.
        path = f"/{world.prefix}x/"
        made = account.iam.create_policy(PolicyName=NAME, Path=path, PolicyDocument=INLINE_POLICY)
        policy = made["Policy"]["Arn"]
    before, mark = account.document(user), proxy.mark()
    account.iam.attach_user_policy(UserName=user, PolicyArn=policy)
    daemon.wait_sweeps(4)
    assert account.document(user) == before and not proxy.since(mark), list(map(str, proxy.since(mark)))
    if reports:
        daemon.wait_state(user, "blocked")
        assert 'keys.compromised is "report"' in daemon.user(user)["reason"] and len(errors(daemon, user)) == 1
    else:
        assert daemon.state(user) == "ready" and not errors(daemon, user) and not daemon.metric("quarantined_users")
