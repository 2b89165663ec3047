"""What a user costs, counted at the proxy: mutating calls to IAM and SSM."""

from collections import Counter

from waiting import eventually


def actions(calls):
    return [str(call) for call in calls]


def test_a_new_user_costs_four_calls_a_rotation_four_an_untouched_user_none(world, figure):
    account = world.account
    users = [world.name(f"user-{n}") for n in range(5)]
    proxy = world.proxy()
    daemon = world.daemon(proxy, KEYS__ROTATE_AFTER="20s", KEYS__DELETE_AFTER="60s").start()
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 15, f"{user} is complete")
    created = proxy.mark()

    daemon.wait_sweeps(3)
    assert actions(proxy.since(created)) == [], "a further sweep changes nothing"

    firsts = {user: account.current(user)[0] for user in users}
    for user in users:
        eventually(lambda: account.current(user)[0] != firsts[user], 40, f"{user} is rotated")
        eventually(lambda: world.settled(user), 10, f"{user} is complete")
    rotated = proxy.mark()
    daemon.wait_sweeps(3)
    assert actions(proxy.since(rotated)) == [], "a further sweep changes nothing"

    for user in users:
        about = [c for c in proxy.since() if c.concerns(user, world.parameter_name(user))]
        creation = actions(c for c in about if c in proxy.calls[:created])
        rotation = actions(c for c in about if c not in proxy.calls[:created])
        assert creation == ["iam:CreateUser", "iam:CreateAccessKey", "ssm:PutParameter", "iam:TagUser"]
        assert rotation == ["iam:TagUser", "iam:CreateAccessKey", "ssm:PutParameter", "iam:TagUser"]
    figure(f"calls: {len(creation)} for a new user, {len(rotation)} for a rotation, 0 for an untouched user")
    assert Counter(actions(proxy.since()))["iam:CreateAccessKey"] == 2 * len(users)


def test_no_user_ever_exists_without_boundary_and_ownership(world):
    user = world.name()
    proxy = world.proxy()
    world.daemon(proxy).start()
    world.put(user)
    eventually(lambda: world.settled(user), 10, "the new user is complete")
    [creation] = proxy.since(matches=lambda call: call.action == "CreateUser")
    sent = creation.parameters
    assert sent["PermissionsBoundary"] == world.boundary
    tags = {sent[f"Tags.member.{n}.Key"]: sent[f"Tags.member.{n}.Value"] for n in (1, 2, 3)}
    assert tags["managed-by"] == "iam-user-controller"
    assert tags["iam-user-controller:table"] == world.table
    assert tags["iam-user-controller:minting"] not in ("", "none")
    [publication] = proxy.since(matches=lambda call: call.action == "PutParameter")
    key = world.account.current(user)[0]
    proof = [c for c in proxy.calls if c.action == "GetCallerIdentity" and c.signed_by == key and c.status == 200]
    assert proof and proof[0].at < publication.at, "published before it was proven"


def test_throttling_lost_connections_and_server_errors_are_survived(world):
    account = world.account
    users = [world.name(f"user-{n}") for n in range(6)]
    proxy = world.proxy()
    mutates = lambda call: call.service in ("iam", "ssm") and call.mutates  # noqa: E731
    reads = lambda call: call.service in ("iam", "ssm") and not call.mutates  # noqa: E731
    rules = [
        proxy.answer(2, 400, "Throttling", lambda c: c.service == "iam" and c.mutates),
        proxy.answer(1, 400, "ThrottlingException", lambda c: c.action == "PutParameter"),
        proxy.answer(7, 503, "ServiceUnavailable", mutates),
        proxy.answer(9, 500, "InternalFailure", mutates),
        proxy.after(11, None, mutates),
        proxy.before(13, None, mutates),
        proxy.before(3, None, reads),
        proxy.answer(8, 503, "ServiceUnavailable", reads),
        proxy.before(4, None, lambda c: c.action == "GetRecords"),
        proxy.answer(8, 400, "ExpiredIteratorException", lambda c: c.action == "GetRecords"),
    ]
    daemon = world.daemon(proxy).start()
    for user in users:
        world.put(user)
    for user in users:
        eventually(lambda: world.settled(user), 90, f"{user} is complete")
    eventually(lambda: all(rule.fired.is_set() for rule in rules), 30, "every fault has happened")
    for user in users:
        daemon.wait_state(user, "ready")
    for user in users:
        world.delete(user)
    for user in users:
        eventually(lambda: account.assert_gone(user), 60, f"{user} is gone")


def test_every_write_of_a_parameter_names_the_configured_kms_key(world):
    account, user = world.account, world.name()
    kms_key = account.kms.create_key()["KeyMetadata"]["Arn"]
    proxy = world.proxy()
    world.daemon(proxy, PARAMETERS__KMS_KEY_ID=kms_key, KEYS__ROTATE_AFTER="4s", KEYS__DELETE_AFTER="8s").start()
    world.put(user)
    first = eventually(lambda: account.current(user), 15, "the first key is published")
    eventually(lambda: first[0] not in account.keys(user), 30, "it is rotated and expired")
    eventually(lambda: first[0] not in str(account.document(user)), 10, "it leaves the document")
    writes = proxy.since(matches=lambda call: call.action == "PutParameter")
    assert len(writes) >= 3
    for call in writes:
        sent = call.parameters
        assert (sent["KeyId"], sent["Type"], sent["Overwrite"]) == (kms_key, "SecureString", True)
        assert "Tags" not in sent, "SSM refuses Tags with Overwrite"
