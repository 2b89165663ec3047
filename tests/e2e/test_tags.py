"""Tags of others, and tags that cannot be written: neither keeps a user from having its keys rotated."""

from waiting import eventually

#: IAM allows so many tags a user.
MOST = 50


def rotates(world, user, first):
    """For `eventually`: a successor of `first` is published, and works."""
    account = world.account
    current = account.current(user)
    return current and current[0] != first and account.calls_as(*current) == account.user(user)["Arn"]


def test_a_tag_of_somebody_else_is_not_taken_for_a_keys(world):
    account, user = world.account, world.name()
    others = {"deployment_status": "current", "DeploymentStatus42": "pending_deletion"}
    tags = [{"Key": key, "Value": value} for key, value in others.items()]
    account.function_made_user(user, world.boundary, tags)
    world.put(user)
    daemon = world.daemon().start()
    daemon.wait_state(user, "ready")
    daemon.wait_sweeps(2)
    assert account.tags(user).items() >= others.items() and account.tags(user)["managed-by"] == "iam-user-controller"


def test_a_user_rotates_although_aws_never_lets_its_tags_be_removed(world):
    account, user = world.account, world.name()
    first, _ = account.function_made_user(user, world.boundary)
    # The tag of a key that is long gone.
    account.iam.tag_user(UserName=user, Tags=[{"Key": "AKIAGONEGONEGONEGONE", "Value": "pending_deletion"}])
    world.put(user)
    proxy = world.proxy()
    denied = proxy.answer(1, 403, "AccessDenied", lambda call: call.action == "UntagUser", repeat=True)
    daemon = world.daemon(proxy, KEYS__ROTATE_AFTER="8s", KEYS__DELETE_AFTER="12s", KEYS__MIN_OVERLAP="2s").start()
    eventually(lambda: denied.fired.is_set(), 30, "the removal of the tag is denied")
    eventually(lambda: rotates(world, user, first), 60, "a new key is published")
    second = account.current(user)[0]
    eventually(lambda: first not in account.keys(user), 60, "the first key is deleted")
    eventually(lambda: rotates(world, user, second), 90, "and once more")
    assert "AccessDenied" in daemon.text()


def test_a_user_with_as_many_tags_as_iam_allows_rotates(world):
    account, user = world.account, world.name()
    first, _ = account.owned_user(user, world.boundary, world.table)
    room = MOST - len(account.tags(user))
    account.iam.tag_user(UserName=user, Tags=[{"Key": f"team-{n}", "Value": "x"} for n in range(room)])
    world.put(user)
    daemon = world.daemon(KEYS__ROTATE_AFTER="5s", KEYS__DELETE_AFTER="40s", KEYS__MIN_OVERLAP="1s").start()
    eventually(lambda: rotates(world, user, first), 60, "a new key is published")
    second = account.current(user)[0]
    eventually(lambda: account.tags(user)[first] == "pending_deletion", 20, "the tag that it has is right")
    assert account.tags(user)["iam-user-controller:minting"] == "none" and second not in account.tags(user)
    assert first in account.keys(user), "consumers still use the old key"
    # The tag of the first key makes room when that key is gone.
    eventually(lambda: account.tags(user).get(account.current(user)[0]) == "current", 90, "the new key has its tag")
    assert len(account.tags(user)) <= MOST and first not in account.keys(user)
    assert "LimitExceeded" not in daemon.text(), "nothing is asked for that IAM must refuse"
