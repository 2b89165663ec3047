"""AWS's limits are shared with everybody in the account: how calls begin, and what is refused for load."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from waiting import eventually

DEFAULTS = {
    "PACE__IAM": "{ start = 20, most = 1000 }",
    "PACE__PARAMETER_READS": "{ start = 10, most = 1000 }",
    "PACE__PARAMETER_WRITES": "{ start = 10, most = 1000 }",
    "SWEEP__SCHEDULE": "0 0 0 1 1 *",
}


class Quota:
    """So many calls a second, as a bucket that holds a second's calls; matches those that are too many."""

    def __init__(self, service, rate):
        self.service, self.rate = service, rate
        self.left, self.at = float(rate), time.monotonic()
        self.attempts = self.refused = 0
        self.lock = threading.Lock()

    def __call__(self, call):
        if call.service != self.service:
            return False
        with self.lock:
            now = time.monotonic()
            self.left = min(self.rate, self.left + (now - self.at) * self.rate)
            self.at = now
            self.attempts += 1
            if self.left >= 1:
                self.left -= 1
                return False
            self.refused += 1
            return True


@pytest.mark.parametrize("limit", [20])
def test_a_start_with_many_users_is_kind_to_the_account(limit, world, figure):
    """600 users that are there already: a start reads everybody."""
    account, proxy = world.account, world.proxy()
    users = [world.name(f"u{number:03}") for number in range(600)]

    def make(user):
        account.owned_user(user, world.boundary, world.table)
        world.put(user)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, users))
    quota = Quota("iam", limit)
    proxy.answer(1, 400, "Throttling", quota, repeat=True)
    daemon = world.daemon(proxy, **DEFAULTS).start(ready=False)
    is_read = lambda call: call.action == "GetParameter"  # noqa: E731
    eventually(lambda: proxy.since(matches=is_read), 30, "it begins")
    time.sleep(30)
    reads = [call.at for call in proxy.since(matches=is_read)]
    first_second = sum(1 for at in reads if at < reads[0] + 1)
    share = quota.refused / quota.attempts
    figure(
        f"start with 600 users, IAM takes {limit} a second: {first_second} GetParameter in the first second; "
        f"{quota.refused} of {quota.attempts} IAM attempts refused ({share:.1%}) in 30 s"
    )
    # 10 a second, and a tenth more each second. Three of them: a busy machine hands calls over in heaps.
    assert sum(1 for at in reads if at < reads[0] + 3) <= 36
    assert share < 0.05
    # It goes as fast as IAM allows, and not at the start rate's half for ever.
    assert quota.attempts - quota.refused > 0.6 * limit * 30
    assert daemon.get("/healthz")[0] == 200
    daemon.kill()


def test_a_slow_page_of_the_account_is_asked_for_again_in_halves(world, figure):
    """Pages of 1,000 are not answered in time."""
    account, user, proxy = world.account, world.name(), world.proxy()
    account.owned_user(user, world.boundary, world.table)
    world.put(user)
    is_large = lambda call: call.action == "GetAccountAuthorizationDetails" and int(call.parameters["MaxItems"]) > 500  # noqa: E731
    is_page = lambda call: call.action == "GetAccountAuthorizationDetails"  # noqa: E731
    proxy.delay(1, 36, is_large, repeat=True)
    daemon = world.daemon(proxy).start(ready=False)
    begin = time.monotonic()
    while time.monotonic() < begin + 60 and daemon.get("/readyz")[0] != 200:
        assert daemon.get("/healthz")[0] in (0, 200), "a slow page is no reason for a restart"
        time.sleep(0.5)
    took = time.monotonic() - begin
    sizes = [int(call.parameters["MaxItems"]) for call in proxy.since(matches=is_page)]
    figure(f"slow pages: sizes {sizes[:4]}, swept after {took:.0f} s")
    assert daemon.get("/readyz")[0] == 200 and took < 45
    assert sizes[:2] == [1000, 500] and proxy.since(matches=is_page)[1].parameters.get("Marker") is None
    daemon.wait_state(user, "ready")


def test_a_page_of_ten_seconds_is_waited_for(world):
    """As it was seen in the field, for 3 MB."""
    proxy = world.proxy()
    is_page = lambda call: call.action == "GetAccountAuthorizationDetails"  # noqa: E731
    proxy.delay(1, 10, is_page, repeat=True)
    daemon = world.daemon(proxy).start(ready=False)
    daemon.wait_ready(within=25)
    assert {call.parameters["MaxItems"] for call in proxy.since(matches=is_page)} == {"1000"}
