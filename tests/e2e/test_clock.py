"""AWS's clock and the machine's are days apart: nothing is rotated or deleted until they agree."""

import time

import pytest

import lies
from waiting import eventually

DAY = 86_400


@pytest.mark.parametrize("days", [20, -20])
def test_a_clock_that_is_days_off_rotates_and_deletes_nothing(days, world):
    account, proxy = world.account, world.proxy()
    stays, goes, orphan = world.name("stays"), world.name("goes"), world.name("orphan")
    daemon = world.daemon(
        proxy, ORPHANS__SWEEPS="1", ORPHANS__MIN_AGE="1s", KEYS__ROTATE_AFTER="8s", KEYS__DELETE_AFTER="30s"
    ).start()
    for user in (stays, goes):
        world.put(user)
    for user in (stays, goes):
        eventually(lambda: world.settled(user), 8, f"{user} is complete")
    first = account.current(stays)
    proxy.rewrite(1, lies.dated(days * DAY), lambda call: True, repeat=True)
    eventually(lambda: not daemon.status()["clock_trusted"], 20, "it notices")
    mark = proxy.mark()
    account.owned_user(orphan, world.boundary, world.table)
    # A rotation, a removal and an orphan become due meanwhile.
    time.sleep(2)
    world.delete(goes)
    time.sleep(8)
    daemon.wait_sweeps(2)
    changed = proxy.since(mark)
    assert not changed, list(map(str, changed))
    assert account.current(stays) == first and account.user(goes) and account.user(orphan)
    status, said = daemon.get("/readyz")
    assert status == 503 and "clock" in said, said
    assert daemon.get("/healthz")[0] == 200, "a restart mends no clock"
    code, out, err = daemon.run("check")
    assert code == 1 and "clock" in out + err, (out, err)

    proxy.heal()
    eventually(lambda: daemon.get("/readyz")[0] == 200, 20, "it is ready again")
    eventually(lambda: account.assert_gone(goes), 40, "the removal is made up for")
    eventually(lambda: account.assert_gone(orphan), 40, "the orphan goes")
    eventually(lambda: account.current(stays)[0] != first[0], 40, "the rotation is made up for")
    eventually(lambda: world.settled(stays), 20, "the user is complete")
