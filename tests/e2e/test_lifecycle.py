"""A user's life, from row to removal, as the contract tells it."""

import time

from account import INLINE_POLICY, age
from readers import Readers
from waiting import always, eventually

REFUSED = "InvalidClientTokenId"


def test_a_row_becomes_a_user_whose_key_is_rotated_expired_and_removed_with_it(world):
    account, user = world.account, world.name()
    daemon = world.daemon(KEYS__ROTATE_AFTER="8s", KEYS__DELETE_AFTER="16s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")

    first, first_secret = account.current(user)
    made = account.user(user)
    assert made["Path"] == "/"
    assert account.raw_parameter(user)["Type"] == "SecureString"
    assert account.document(user) == {"current": {"AccessKeyID": first, "SecretAccessKey": first_secret}}
    daemon.wait_state(user, "ready")
    assert first in str(daemon.user(user))

    # Rotation: due at 8 s, not earlier, with both keys in the document.
    eventually(lambda: account.current(user)[0] != first, 20, "a successor is published")
    second, second_secret = account.current(user)
    keys = account.keys(user)
    between = (keys[second]["CreateDate"] - keys[first]["CreateDate"]).total_seconds()
    assert 8 <= between <= 14, f"rotated at an age of {between} s"
    published = account.raw_parameter(user)["LastModifiedDate"].timestamp()
    assert account.document(user)["pending_deletion"] == {"AccessKeyID": first, "SecretAccessKey": first_secret}
    eventually(lambda: world.settled(user), 10, "tags follow the rotation")
    assert account.tags(user)[first] == "pending_deletion"

    # Expiry: at 16 s, and half of the difference after the successor was published.
    eventually(lambda: first not in account.keys(user), 25, "the old key is deleted")
    assert age(keys[first]["CreateDate"]) >= 16
    assert time.time() - published >= 4
    assert account.calls_as(first, first_secret) == REFUSED
    # Just now the second key has reached 8 s as well, so that it may be the pending one already.
    eventually(lambda: first not in str(account.document(user)), 5, "the old key leaves the document")
    eventually(lambda: first not in account.tags(user), 5, "the old key's tag goes")

    # Removal.
    world.delete(user)
    eventually(lambda: account.assert_gone(user), 15, "the user is removed")
    assert account.calls_as(second, second_secret) == REFUSED
    eventually(lambda: daemon.state(user) is None, 10, "/users forgets the user")


def test_removal_takes_everything_that_is_on_the_user(world):
    account, user = world.account, world.name()
    world.daemon().start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    iam, group = account.iam, world.name("group")
    iam.create_login_profile(UserName=user, Password="Correct-Horse-7-Battery")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="inline", PolicyDocument=INLINE_POLICY)
    iam.attach_user_policy(UserName=user, PolicyArn=world.boundary)
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=world.name("mfa"))["VirtualMFADevice"]
    iam.enable_mfa_device(
        UserName=user, SerialNumber=device["SerialNumber"], AuthenticationCode1="123456", AuthenticationCode2="654321"
    )
    iam.create_service_specific_credential(UserName=user, ServiceName="codecommit.amazonaws.com")
    iam.upload_ssh_public_key(
        UserName=user,
        SSHPublicKeyBody="ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 nobody@nowhere",
    )
    iam.upload_signing_certificate(
        UserName=user, CertificateBody="-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----"
    )

    world.delete(user)
    eventually(lambda: account.assert_gone(user), 20, "the user is removed with all that it had")
    assert iam.get_group(GroupName=group)["Users"] == [], "the group stays, without the user"


def test_readers_never_see_current_missing_inactive_or_unknown(world, figure):
    account, user = world.account, world.name()
    world.daemon(KEYS__ROTATE_AFTER="5s", KEYS__DELETE_AFTER="9s", KEYS__MIN_OVERLAP="2s").start()
    world.put(user)
    eventually(lambda: account.current(user), 10, "the first key is published")

    readers = Readers(account, overlap=2, threads=2)
    readers.follow(user)
    seen = readers.seen[user]
    with readers:
        eventually(lambda: len(seen) >= 4 and seen[0] not in account.keys(user), 90, "three rotations and an expiry")
    figure(f"readers: {readers.looks} looks at {len(seen)} keys in turn, {len(readers.wrong)} saw a bad current key")
    readers.leave(user)
    assert readers.looks > 100


def test_users_that_the_function_made_are_adopted_with_their_key_and_rotated_when_due(world):
    account, user = world.account, world.name()
    key, secret = account.function_made_user(user, world.boundary)
    version = account.raw_parameter(user)["Version"]
    world.put(user)
    daemon = world.daemon(KEYS__ROTATE_AFTER="15s", KEYS__DELETE_AFTER="30s").start()

    eventually(lambda: account.tags(user).get("managed-by") == "iam-user-controller", 10, "it is adopted")
    assert account.tags(user)["iam-user-controller:table"] == world.table
    assert account.tags(user)[key] == "current"
    daemon.wait_sweeps(2)
    assert account.raw_parameter(user)["Version"] == version, "the parameter was written for nothing"
    assert account.document(user) == {"current": {"AccessKeyID": key, "SecretAccessKey": secret}}
    assert set(account.keys(user)) == {key}

    eventually(lambda: account.current(user)[0] != key, 30, "it is rotated")
    keys = account.keys(user)
    between = (keys[account.current(user)[0]]["CreateDate"] - keys[key]["CreateDate"]).total_seconds()
    assert 15 <= between <= 20, f"rotated at an age of {between} s"
    eventually(lambda: world.settled(user), 10, "the adopted user looks like one of ours")


def test_a_user_that_is_not_ours_is_a_conflict_and_untouched(world):
    account, admin, other = world.account, world.name("admin"), world.name("other")
    account.iam.create_user(UserName=admin, Tags=[{"Key": "team", "Value": "platform"}])
    key, secret = account.mint(admin)
    before = (account.user(admin), account.keys(admin))
    world.put(admin)
    world.put(other)
    proxy = world.proxy()
    daemon = world.daemon(proxy, KEYS__ROTATE_AFTER="3s", KEYS__DELETE_AFTER="6s").start()

    daemon.wait_state(admin, "conflict")
    eventually(lambda: account.current(other), 10, "another user is served all the same")
    daemon.wait_sweeps(4)
    assert daemon.user(admin)["reason"]
    world.delete(admin)
    daemon.wait_sweeps(3)
    assert (account.user(admin), account.keys(admin)) == before
    assert account.raw_parameter(admin) is None
    assert account.calls_as(key, secret).endswith(f":user/{admin}")
    touched = proxy.since(matches=lambda call: call.mutates and call.concerns(admin, world.parameter_name(admin)))
    assert not touched, list(map(str, touched))


def test_drift_is_mended(world):
    account, user = world.account, world.name()
    daemon = world.daemon().start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    key, _ = account.current(user)

    account.iam.delete_user_permissions_boundary(UserName=user)
    eventually(lambda: account.boundary(user) == world.boundary, 15, "a removed boundary is back")
    wider = account.create_boundary(world.name("wider"))
    account.iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=wider)
    eventually(lambda: account.boundary(user) == world.boundary, 15, "a changed boundary is back")
    account.iam.untag_user(UserName=user, TagKeys=[key])
    eventually(lambda: account.tags(user).get(key) == "current", 15, "the key's tag is back")
    assert account.current(user)[0] == key, "none of this is a reason for a new key"
    eventually(lambda: world.settled(user), 10, "everything is as it was")
    daemon.wait_state(user, "ready")


def test_a_lost_parameter_gets_a_new_key(world):
    account, user = world.account, world.name()
    world.daemon(KEYS__ROTATE_AFTER="30s", KEYS__DELETE_AFTER="40s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    key, secret = account.current(user)
    account.ssm.delete_parameter(Name=world.parameter_name(user))

    # Long before a rotation is due. Its secret was lost with the parameter, so it is a new key.
    new = eventually(lambda: account.current(user), 25, "a key is published again")
    assert new[0] != key
    assert account.calls_as(*new).endswith(f":user/{user}")
    # Consumers may have read the old one, so it has the time that any old key has, and no more.
    assert account.calls_as(key, secret).endswith(f":user/{user}")
    eventually(lambda: key not in account.keys(user), 45, "the old key is deleted")
    eventually(lambda: world.settled(user), 20, "everything is as the contract says")
    assert account.calls_as(key, secret) == REFUSED


def test_a_foreign_key_is_reported_and_left_alone_and_blocks_rotation(world):
    account, user = world.account, world.name()
    daemon = world.daemon(KEYS__ROTATE_AFTER="10s", KEYS__DELETE_AFTER="20s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    key, _ = account.current(user)
    foreign, secret = account.mint(user)

    eventually(lambda: daemon.metric("foreign_keys") == 1, 15, "the foreign key is counted")
    daemon.wait_state(user, "blocked", within=30)
    assert daemon.user(user)["reason"]
    assert foreign in str(daemon.user(user))
    always(
        lambda: set(account.keys(user)) == {key, foreign} and account.current(user)[0] == key,
        during=4,
        what="neither key is touched",
    )
    assert account.calls_as(foreign, secret).endswith(f":user/{user}")

    account.iam.delete_access_key(UserName=user, AccessKeyId=foreign)
    eventually(lambda: account.current(user)[0] != key, 30, "the rotation is made up for")
    eventually(lambda: daemon.metric("foreign_keys") == 0, 15, "the foreign key is no longer counted")


def test_a_row_that_is_back_at_once_makes_a_new_user(world):
    account, user = world.account, world.name()
    daemon = world.daemon().start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    before, (key, secret) = account.user(user), account.current(user)
    # IAM and the stream tell whole seconds: a user is older than a REMOVE only from the next one on.
    time.sleep(2.5)
    world.delete(user)
    world.put(user)

    # For a moment there is none.
    eventually(lambda: (account.user(user) or before)["UserId"] != before["UserId"], 30, "a new user")
    eventually(lambda: world.settled(user), 60, "the new user is complete")
    assert account.current(user)[0] != key
    assert account.calls_as(key, secret) == REFUSED
    user_id = account.user(user)["UserId"]
    daemon.wait_sweeps(3)
    assert account.user(user)["UserId"] == user_id, "it stays"
