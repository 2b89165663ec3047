"""What is told of users: by the log, one line for each change; by /users, their keys and ages; and when it is stuck."""

import json
import time

from waiting import eventually


def changes(daemon, user):
    """action -> the line of the log that tells of it."""
    whole = daemon.text().rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return {line["action"]: line for line in lines if line.get("message") == "changed" and line["user"] == user}


def test_every_change_of_a_key_is_told_with_its_id(world):
    user = world.name()
    daemon = world.daemon(KEYS__ROTATE_AFTER="15s", KEYS__DELETE_AFTER="20s", KEYS__MIN_OVERLAP="2s").start()
    world.put(user)
    eventually(lambda: world.settled(user), 8, "the user is complete")
    [first] = world.account.keys(user)
    told = changes(daemon, user)
    for action in ("create_key", "publish", "tag_keys"):
        assert told[action]["key"] == first, told[action]
        assert told[action]["request_id"] and told[action]["rule"] and told[action]["why"] and told[action]["trigger"]
    assert "key" not in told["create_user"]

    [shown] = daemon.user(user)["keys"]
    made = world.account.keys(user)[first]["CreateDate"].timestamp()
    assert shown["id"] == first and abs(shown["age_seconds"] - (time.time() - made)) < 3, shown
    assert json.loads(daemon.get("/users")[1])["users"][user]["keys"][0]["age_seconds"] >= shown["age_seconds"]

    eventually(lambda: first not in world.account.keys(user), 60, "the key was rotated and deleted")
    eventually(lambda: "untag_keys" in changes(daemon, user), 10, "its tag is gone")
    told = changes(daemon, user)
    for action in ("delete_key", "forget_key", "untag_keys"):
        assert told[action]["key"] == first, told[action]


def test_a_boundary_whose_policy_is_gone_is_told_and_not_asked_for_again_and_again(world):
    user, adopted = world.name(), world.name("adopted")
    proxy = world.proxy()
    daemon = world.daemon(proxy, SWEEP__SCHEDULE="0 0 0 1 1 *").start()
    asks = ("CreateUser", "PutUserPermissionsBoundary")
    proxy.answer(1, 404, "NoSuchEntity", lambda call: call.action in asks, repeat=True)
    world.account.owned_user(adopted, None, world.table)
    for name in (user, adopted):
        world.put(name)
    for name in (user, adopted):
        eventually(lambda: daemon.state(name) == "failed", 10, f"{name} is told")
        assert "NoSuchEntity" in daemon.user(name)["reason"]
        assert any(name in line and '"WARN"' in line for line in daemon.text().splitlines())
    mark = proxy.mark()
    time.sleep(10)
    for action in asks:
        calls = proxy.since(mark, lambda call: call.action == action)
        assert len(calls) <= 6, f"{len(calls)} times {action} in 10 s"
    proxy.heal()
    for name in (user, adopted):
        eventually(lambda: world.settled(name), 60, f"{name} is complete once there is the policy")


def test_a_user_that_iam_goes_on_refusing_to_delete_is_told(world):
    """For something that the lists do not show; what appears meanwhile is listed anew, without a word."""
    user = world.name()
    proxy = world.proxy()
    daemon = world.daemon(proxy, SWEEP__SCHEDULE="0 0 0 1 1 *").start()
    world.put(user)
    eventually(lambda: world.settled(user), 20, "the user is complete")
    refused = proxy.answer(1, 409, "DeleteConflict", lambda call: call.action == "DeleteUser", repeat=True)
    world.delete(user)
    eventually(refused.fired.is_set, 20, "its deletion is refused")
    assert daemon.state(user) == "deleting"
    eventually(lambda: daemon.state(user) == "failed", 40, "it is told")
    assert "DeleteConflict" in daemon.user(user)["reason"]
    proxy.heal()
    eventually(lambda: world.account.assert_gone(user), 40, "it goes as soon as IAM lets it")
