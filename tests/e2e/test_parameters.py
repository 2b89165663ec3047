"""What SSM does with parameters, and what others write into them: nobody loses a key by it."""

import json

from waiting import always, eventually


def about(world, user, *actions):
    """Calls about the user's parameter."""
    name = world.parameter_name(user)

    def matches(call):
        named = call.parameters.get("Name") or call.parameters.get("ParameterFilters", [{}])[0].get("Values", [None])[0]
        return call.action in actions and named == name

    return matches


def keys_made(proxy, user):
    return len(proxy.since(matches=lambda call: call.action == "CreateAccessKey" and call.user == user and call.status == 200))


def test_a_rotation_of_a_user_with_an_advanced_parameter_costs_no_key(world, figure):
    account, proxy, user = world.account, world.proxy(), world.name()
    daemon = world.daemon(proxy).start()
    world.put(user)
    eventually(lambda: world.settled(user), 20, f"{user} is complete")
    first = account.current(user)[0]
    account.ssm.put_parameter(
        Name=world.parameter_name(user), Type="SecureString", Overwrite=True, Tier="Advanced",
        Value=account.raw_parameter(user)["Value"],
    )
    # AWS refuses to make it a standard one, which the emulator does not.
    standard = about(world, user, "PutParameter")
    proxy.answer(1, 400, "ValidationException", lambda call: standard(call) and "Tier" not in call.parameters, repeat=True)
    daemon.stop()
    daemon.settings(IUC_KEYS__ROTATE_AFTER="8s", IUC_KEYS__DELETE_AFTER="16s", IUC_KEYS__MIN_OVERLAP="3s")
    daemon.start()
    eventually(lambda: account.current(user)[0] != first, 60, f"{user} is rotated")
    eventually(lambda: first not in account.keys(user), 60, f"the old key of {user} expires")
    made, published = keys_made(proxy, user), proxy.since(matches=standard)
    tiers = [call.parameters.get("Tier") for call in published if call.status == 200][1:]
    asked = len(proxy.since(matches=about(world, user, "DescribeParameters")))
    figure(f"advanced parameter: {made} keys made, {len(tiers)} writes with its tier, asked for it {asked} times")
    assert tiers and set(tiers) == {"Advanced"}
    assert asked == 1, "the tier is remembered"
    ids = {json.loads(call.parameters["Value"])["current"]["AccessKeyID"] for call in published if call.status == 200}
    assert made == len(ids), "each key that was made was published"


def test_a_disabled_kms_key_concerns_only_its_users_and_they_can_be_removed(world):
    account, proxy = world.account, world.proxy()
    locked, removed, free, new = (world.name(rest) for rest in ("locked", "removed", "free", "new"))
    daemon = world.daemon(proxy).start()
    for user in (locked, removed, free):
        world.put(user)
    for user in (locked, removed, free):
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    # SSM says InvalidKeyId, with KMS's code in the message.
    for user, actions in ((locked, ("GetParameter", "PutParameter")), (removed, ("GetParameter",)), (new, ("PutParameter",))):
        proxy.answer(1, 400, "InvalidKeyId", about(world, user, *actions), repeat=True)
    mark = proxy.mark()
    daemon.wait_state(locked, "blocked", within=30)
    assert "kms_key_unusable" in daemon.user(locked)["reason"] and "InvalidKeyId" in daemon.user(locked)["reason"]
    world.put(new)
    daemon.wait_state(new, "failed", within=30)
    assert "kms_key_unusable" in daemon.user(new)["reason"], daemon.user(new)
    world.delete(removed)
    eventually(lambda: account.assert_gone(removed), 30, "what cannot be read can be removed")
    daemon.wait_sweeps(2)
    assert keys_made(proxy, new) == 1, "not one key after another"
    assert daemon.state(free) == "ready" and world.settled(free) and world.settled(locked)
    assert not [call for call in proxy.since(mark) if call.concerns(locked, world.parameter_name(locked))]
    assert daemon.get("/healthz")[0] == 200
    proxy.heal()
    daemon.stop()
    daemon.start()
    for user in (locked, new):
        eventually(lambda: world.settled(user), 60, f"{user} is complete")


def test_a_document_that_cannot_be_read_is_not_written_over(world):
    account, proxy, user = world.account, world.proxy(), world.name()
    daemon = world.daemon(proxy).start()
    world.put(user)
    eventually(lambda: world.settled(user), 20, f"{user} is complete")
    key, secret = account.current(user)
    name, text = world.parameter_name(user), account.raw_parameter(user)["Value"]
    mark = proxy.mark()
    account.ssm.put_parameter(Name=name, Type="SecureString", Overwrite=True, Value=text[:-1])
    daemon.wait_state(user, "blocked", within=30)
    assert key in daemon.user(user)["reason"] and "delete the parameter" in daemon.user(user)["reason"]
    daemon.wait_sweeps(2)
    assert not proxy.since(mark), f"changed: {list(map(str, proxy.since(mark)))}"
    assert account.calls_as(key, secret).endswith(user), "its key works"
    account.ssm.put_parameter(Name=name, Type="SecureString", Overwrite=True, Value=text)
    daemon.wait_state(user, "ready", within=30)
    assert not proxy.since(mark), "nothing was to be done"


def test_members_of_others_move_with_their_key_and_an_empty_member_is_no_key(world):
    account, user = world.account, world.name()
    daemon = world.daemon(KEYS__ROTATE_AFTER="12s", KEYS__DELETE_AFTER="40s", KEYS__MIN_OVERLAP="3s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 20, f"{user} is complete")
    document = account.document(user)
    document["current"]["SesSmtpPassword"] = {"eu-west-1": "derived"}
    document |= {"pending_deletion": {}, "note": "ours"}
    account.put_document(user, document)
    old = document["current"]
    eventually(lambda: account.current(user)[0] != old["AccessKeyID"], 40, f"{user} is rotated")
    rotated = account.document(user)
    assert rotated["pending_deletion"] == old and rotated["note"] == "ours", "they are kept, and go where their key goes"
    assert set(rotated["current"]) == {"AccessKeyID", "SecretAccessKey"}
    daemon.wait_state(user, "ready", within=20)


def test_a_row_that_is_back_waits_until_the_parameter_may_be_made_anew(world, figure):
    account, proxy, user = world.account, world.proxy(), world.name()
    world.daemon(proxy).start()
    world.put(user)
    eventually(lambda: world.settled(user), 20, f"{user} is complete")
    world.delete(user)
    eventually(lambda: account.assert_gone(user), 20, f"{user} is gone")
    gone = proxy.since(matches=about(world, user, "DeleteParameter"))[-1].at
    world.put(user)
    always(lambda: account.user(user) is None, 5, "it waits")
    eventually(lambda: world.settled(user), 40, f"{user} is complete again")
    made = proxy.since(matches=about(world, user, "PutParameter"))[-1].at
    figure(f"row back: its parameter was made anew {made - gone:.1f} s after its deletion")
    assert made - gone >= 30
    assert keys_made(proxy, user) == 2, "one for each life"
