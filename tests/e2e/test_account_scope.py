"""`orphans.scope = "account"`: every user without a row may be an orphan, and some never are.

An account of its own: with this scope the controller would take the users of other tests for orphans.
"""

import lies
from removals import takes_away
from waiting import eventually


def test_people_and_protected_names_live_in_the_scope_of_the_account(lonely):
    world, account = lonely, lonely.account
    served, robot = world.name("served"), world.name("robot")
    person, former, keep = world.name("person"), world.name("former"), world.name("keep-me")
    for name in (robot, person, keep):
        account.iam.create_user(UserName=name)
        account.mint(name)
    account.iam.create_login_profile(UserName=person, Password="Correct-Horse-7-Battery")
    # Made by the controller, and given a password since: its console login protects it from nothing.
    account.owned_user(former, world.boundary, world.table)
    account.iam.create_login_profile(UserName=former, Password="Correct-Horse-7-Battery")
    before = {name: (account.user(name), account.keys(name)) for name in (person, keep)}
    world.put(served)
    proxy = world.proxy()
    daemon = world.daemon(
        proxy, ORPHANS__SCOPE="account", ORPHANS__PROTECT=f'["{world.prefix}keep-*"]', ORPHANS__SWEEPS="2", ORPHANS__MIN_AGE="1s"
    ).start()
    eventually(lambda: world.settled(served), 20, "the one with a row is served")
    for name in (robot, former):
        eventually(lambda: account.assert_gone(name), 40, f"{name} has no row, and goes")
    daemon.wait_sweeps(4)
    assert {name: (account.user(name), account.keys(name)) for name in before} == before
    taken_from = {call.user for call in proxy.since(matches=takes_away) if call.service == "iam"}
    assert taken_from == {robot, former}, taken_from
    assert world.settled(served)

    # It is told who is spared, and why.
    assert {reason: daemon.metric("orphans_spared", reason=reason) for reason in ("protected", "console_login")} == {
        "protected": 1,
        "console_login": 1,
    }
    assert daemon.status()["last_sweep"]["spared"] == {"protected": 1, "console_login": 1}
    code, out, err = daemon.run("plan")
    assert code == 0 and person not in out, (out, err)

    # A password that is taken away leaves a user like any other.
    account.iam.delete_login_profile(UserName=person)
    eventually(lambda: account.assert_gone(person), 40, "nobody's console user any more")
    assert account.user(keep)


def test_console_users_go_when_they_are_included_and_users_of_others_and_oneself_never(lonely):
    world, account = lonely, lonely.account
    served, person, late = world.name("served"), world.name("person"), world.name("late")
    theirs, half, myself = world.name("theirs"), world.name("half"), world.name("myself")
    password = {"Password": "Correct-Horse-7-Battery"}
    for name in (person, myself):
        account.iam.create_user(UserName=name)
        account.iam.create_login_profile(UserName=name, **password)
    # Another controller of this account, with a table of its own; and one whose first tag was lost.
    account.owned_user(theirs, world.boundary, "users-of-another-team")
    account.owned_user(half, world.boundary, "users-of-another-team")
    account.iam.untag_user(UserName=half, TagKeys=["managed-by"])
    account.mint(myself)
    spared = (theirs, half, myself)
    before = {name: (account.user(name), account.keys(name), account.raw_parameter(name)) for name in spared}
    world.put(served)
    eager = {"ORPHANS__SCOPE": "account", "ORPHANS__SWEEPS": "1", "ORPHANS__MIN_AGE": "1s"}
    proxy = world.proxy()
    # The emulator of the tables knows no keys of the other's users, so that it cannot sign as one.
    proxy.rewrite(1, lies.caller(account.user(myself)), lambda call: call.action == "GetCallerIdentity", repeat=True)
    daemon = world.daemon(proxy, ORPHANS__PROTECT='["nobody-at-all"]', **eager).start()
    eventually(lambda: world.settled(served), 20, "the one with a row is served")
    daemon.wait_sweeps(4)
    assert account.user(person) and not proxy.since(matches=takes_away)
    assert daemon.metric("orphans") == 0
    said = [line for line in daemon.text().splitlines() if "users without a row are spared" in line]
    others = [line for line in said if "other_table" in line]
    assert others and all(theirs in line and half in line and person not in line for line in others), said
    assert any("console_login" in line and person in line for line in said), said
    assert len(others) <= daemon.text().count('"swept"') + 1, "once a sweep"
    assert daemon.stop() == 0

    daemon.settings(IUC_ORPHANS__INCLUDE_CONSOLE_USERS="true")
    daemon.start()
    eventually(lambda: account.assert_gone(person), 40, "a console user like any other")
    account.iam.create_user(UserName=late)
    account.iam.create_login_profile(UserName=late, **password)
    eventually(lambda: account.assert_gone(late), 40, "and another")
    daemon.wait_sweeps(4)
    assert {name: (account.user(name), account.keys(name), account.raw_parameter(name)) for name in spared} == before
    taken_from = {call.user for call in proxy.since(matches=takes_away) if call.service == "iam"}
    assert taken_from == {person, late}, taken_from
    assert daemon.metric("orphans_spared", reason="own_user") == 1 and daemon.metric("orphans_spared", reason="other_table") == 2
    assert world.settled(served)
