"""The state table is away for a while: nobody leads, nobody changes anything, and nothing is lost."""

import time

import pytest

from churn import Churn
from leaders import Leaders
from lives import assert_nobody_minted_twice
from proxy import mutating
from waiting import eventually

TTL = 4

#: Rows come and go, and no deletion is too many.
SETTINGS = {
    "LEASE__TTL": f"{TTL}s",
    "DELETIONS__MAX_COUNT": "1000",
    "SWEEP__SCHEDULE": "*/5 * * * * *",
    "SWEEP__FULL_EVERY": "1h",
}


def to_state_table(world):
    """The calls to the state table."""
    return lambda call: call.parameters.get("TableName") == world.table + "-controller"


@pytest.mark.parametrize(("kind", "seconds"), [("unreachable", 60), ("throttled", 30)])
def test_an_outage_of_the_state_table_stops_everybody_and_loses_nothing(kind, seconds, world, figure):
    proxy = world.proxy()
    replicas = [world.daemon(proxy, **SETTINGS).start() for _ in range(2)]
    with Leaders(*replicas) as leaders, Churn(world, rate=3) as churn:
        eventually(lambda: proxy.since(matches=lambda call: call.action == "PutParameter"), 20, "work is under way")
        time.sleep(3)
        if kind == "throttled":
            code = "ProvisionedThroughputExceededException"
            proxy.answer(1, 400, code, to_state_table(world), repeat=True)
        else:
            proxy.before(1, None, to_state_table(world), repeat=True)
        begin, mark = time.time(), proxy.mark()
        # The holder's last renewal began before that, and nothing it starts may outlast it.
        eventually(lambda: not leaders.now(), TTL + 2, "nobody leads")
        while time.time() < begin + seconds:
            assert not leaders.now(), "somebody leads without a lease"
            assert all(replica.get("/healthz")[0] == 200 for replica in replicas), "no reason for a restart"
            time.sleep(0.2)
        late = [(str(call), call.at - begin) for call in proxy.since(mark) if call.at > begin + TTL]
        proxy.heal()
        healed, after = time.monotonic(), proxy.mark()
        assert not late, f"changed something after the lease: {late}"
        tried = proxy.since(mark, to_state_table(world))
        assert len(tried) > seconds and not any(call.status for call in tried), "the outage was none"
        eventually(leaders.now, 20, "somebody leads again")
        took = time.monotonic() - healed
        eventually(lambda: proxy.since(after, mutating), 20, "the work goes on")
        churn.stop()
        churn.assert_nothing_lost(within=120)
        settled = time.monotonic() - healed
    leaders.assert_one_at_a_time()
    counts = assert_nobody_minted_twice(proxy, world, churn.rows)
    figure(
        f"state table {kind} for {seconds} s: {churn.changes} row changes, {counts['lives']} users made, "
        f"{counts['lost']} mints begun anew; a leader {took * 1000:.0f} ms after its end, all settled after {settled:.0f} s"
    )


def test_a_leader_that_is_cut_off_from_the_state_table_does_not_say_that_it_leads(world, figure):
    """Its calls hang, as with lost packets; the other replica sees nothing of that."""
    proxies = [world.proxy(), world.proxy()]
    cut_off, other = [world.daemon(proxy, **SETTINGS).start() for proxy in proxies]
    with Leaders(cut_off, other) as leaders, Churn(world, rate=3) as churn:
        eventually(lambda: proxies[0].since(), 20, "work is under way")
        assert leaders.now() == [cut_off]
        begin, mark = time.time(), proxies[0].mark()
        proxies[0].delay(1, 15, to_state_table(world), repeat=True)
        eventually(lambda: leaders.now() == [other], 15, "the other one leads")
        took = time.time() - begin
        eventually(lambda: proxies[1].since(), 20, "the other one works")
        first = proxies[1].since()[0]
        late = [call for call in proxies[0].since(mark) if call.at >= min(first.at, begin + TTL)]
        assert not late, f"changed something under another's lead: {list(map(str, late))}"
        proxies[0].heal()
        churn.stop()
        churn.assert_nothing_lost(within=120)
        assert cut_off.status()["role"] == "standby"
    leaders.assert_one_at_a_time()
    figure(f"cut off from the state table to the other's lead: {took * 1000:.0f} ms with a lease of {TTL} s")
