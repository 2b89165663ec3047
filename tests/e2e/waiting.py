"""Waiting for something to become true, with a deadline and a message that helps."""

import time

#: How many times longer than on a quiet machine a thing may take before it counts as not happening.
#: What has to be quick is measured by the tests that are marked `timing`, not by this.
PATIENCE = 4


def eventually(condition, within, what, every=0.05):
    """Returns the first true value of `condition()`; fails when there is none within the seconds, taken with patience.

    An AssertionError inside the condition counts as "not yet", and the last one is shown.
    """
    within *= PATIENCE
    deadline = time.monotonic() + within
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = f"last seen: {value!r}"
        except AssertionError as error:
            last = f"last seen: {error}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}; {last}")
        time.sleep(every)


def always(condition, during, what, every=0.1):
    """Fails as soon as `condition()` is false within the seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        value = condition()
        assert value, f"no longer true: {what}; last seen: {value!r}"
        time.sleep(every)
