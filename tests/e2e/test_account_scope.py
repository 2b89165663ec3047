"""`orphans.scope = "account"`: every user without a row may be an orphan, and some never are.

An account of its own: with this scope the controller would take the users of other tests for orphans.
"""

import pytest

import emulators
from account import Account
from conftest import World
from removals import takes_away
from waiting import eventually


@pytest.fixture
def lonely(endpoints, tmp_path):
    """A world in an account that nobody else uses."""
    users = emulators.fakecloud(tmp_path)
    account = Account({service: users.url for service in endpoints} | {s: endpoints[s] for s in ("dynamodb", "dynamodbstreams")})
    world = World(account, tmp_path, "lonely")
    yield world
    world.close()
    users.stop()


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

    # A password that is taken away leaves a user like any other.
    account.iam.delete_login_profile(UserName=person)
    eventually(lambda: account.assert_gone(person), 40, "nobody's console user any more")
    assert account.user(keep)
