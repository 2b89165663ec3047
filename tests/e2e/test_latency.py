"""How long a new row waits for its key."""

import statistics
import time

import pytest

from waiting import eventually

POLL_INTERVAL = 0.250


@pytest.mark.timing
def test_a_new_row_has_its_parameter_within_a_poll_and_150_ms(world):
    account = world.account
    world.daemon(STREAM__POLL_INTERVAL="250ms", STREAM__IDLE_INTERVAL="250ms", SWEEP__SCHEDULE="0 0 * * * *").start()
    took = []
    for number in range(20):
        user = world.name(f"user-{number}")
        begin = time.monotonic()
        world.put(user)
        eventually(lambda: account.raw_parameter(user), 15, f"{user} has its parameter", every=0.005)
        took.append(time.monotonic() - begin)
        # Not in step with the poll.
        time.sleep(0.1 + 0.013 * number)
    median = statistics.median(took)
    print(f"row to parameter: median {median * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms of {len(took)}")
    assert median <= POLL_INTERVAL + 0.150
