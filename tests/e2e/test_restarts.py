"""Rolling restarts while rows change: as in a day of deploys, in half a minute."""

import statistics
import time

from churn import Churn
from leaders import Leaders
from lives import assert_nobody_minted_twice
from waiting import eventually

TTL = 4
RESTARTS = 10

#: These end by kill -9, the others by SIGTERM.
KILLED = (3, 7)


def test_ten_rolling_restarts_under_a_stream_of_changes_lose_nothing(world, figure):
    proxy = world.proxy()
    settings = {
        "LEASE__TTL": f"{TTL}s",
        "DELETIONS__MAX_COUNT": "1000",
        "SWEEP__SCHEDULE": "*/5 * * * * *",
        "SWEEP__FULL_EVERY": "1h",
    }
    old = world.daemon(proxy, **settings).start()
    clean, killed = [], []
    with Leaders(old) as leaders, Churn(world, rate=5) as churn:
        time.sleep(1)
        for turn in range(RESTARTS):
            new = world.daemon(proxy, **settings).start()
            leaders.add(new)
            assert new.status()["role"] == "standby" and old.status()["role"] == "leader"
            if turn in KILLED:
                old.kill()
                ended = time.monotonic()
            else:
                assert old.stop() == 0
                ended = time.monotonic()
            eventually(lambda: new.metric("leader") == 1, 30, "the new one leads", every=0.02)
            (killed if turn in KILLED else clean).append(time.monotonic() - ended)
            time.sleep(1)
            old = new
        churn.stop()
        churn.assert_nothing_lost(within=120)
    leaders.assert_one_at_a_time()
    counts = assert_nobody_minted_twice(proxy, world, churn.rows)
    assert counts["lost"] <= 16 * len(KILLED), "more than the users in hand"
    told = [
        f"{how}: median {statistics.median(times) * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms"
        for how, times in (("after SIGTERM", clean), ("after kill -9", killed))
    ]
    figure(
        f"{RESTARTS} rolling restarts, {churn.changes} row changes, {counts['lives']} users made, {counts['lost']} mints "
        f"begun anew; take-over {'; '.join(told)}, with a lease of {TTL} s"
    )
    # Bars of a machine at rest are in test_replicas.py; this one is busy.
    assert max(clean) <= 3
    assert max(killed) <= TTL + 3
