"""What a sweep costs, and what it notices, when IAM's list shows everything that AWS documents."""

import truths
from waiting import eventually


def test_a_sweep_looks_only_at_whom_the_list_shows_changed(world):
    account, iam = world.account, world.account.iam
    users = [world.name(f"user-{n}") for n in range(5)]
    for user in users:
        account.owned_user(user, world.boundary, world.table)
        world.put(user)
    proxy = world.proxy()
    truths.show_boundaries(proxy, account)
    daemon = world.daemon(proxy, SWEEP__FULL_EVERY="1h").start()
    # The rows' own records have been handled.
    eventually(lambda: daemon.metric("users", state="ready") == len(users), 20, "all are ready")
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 20, "the feed has caught up")
    daemon.wait_sweeps(2)

    looks_of = lambda mark: {call.user for call in proxy.since(mark, lambda call: call.action == "ListAccessKeys")}  # noqa: E731
    mark = proxy.mark()
    daemon.wait_sweeps(3)
    assert looks_of(mark) == set() and daemon.status()["last_sweep"]["looked_at"] == 0
    assert not proxy.since(mark), "nothing has changed"
    about_users = {str(call) for call in proxy.since(mark, lambda call: call.service in ("iam", "ssm"))}
    assert about_users == {"iam:GetAccountAuthorizationDetails"}, about_users

    wider = account.create_boundary(world.name("wider"))
    key, _ = account.current(users[2])
    mark = proxy.mark()
    iam.delete_user_permissions_boundary(UserName=users[0])
    iam.put_user_permissions_boundary(UserName=users[1], PermissionsBoundary=wider)
    iam.untag_user(UserName=users[2], TagKeys=[key])
    for user in users[:3]:
        eventually(lambda: world.settled(user), 20, f"{user} is as it was")
    daemon.wait_sweeps(3)
    assert looks_of(mark) == set(users[:3])
    assert all(world.settled(user) for user in users)
