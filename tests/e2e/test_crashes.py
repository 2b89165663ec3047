"""kill -9 before and after the effect of every mutating call, then a restart: everything settles.

Each chapter of a user's life is lived once without a fault, and for every call twice more, each time
in a world of its own, some at the same time; the proxy that sees the call kills the controller there.
Meanwhile readers use what is published, through the kill and the restart.
"""

import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from chapters import CHAPTERS
from readers import Readers
from waiting import eventually

# A mint whose secret is lost is recognised only when IAM can no longer be late in telling of it.
SETTLES = 90

#: A controller for each, a proxy for each, and they all sweep: more would be a test of the machine.
LIVES_AT_ONCE = 7


def live(chapter, readers, fault):
    """One life. `fault`: None or (k, "before" or "after")."""
    world, user = chapter.world, chapter.user
    proxy = world.proxy()
    proxy.watch(readers.after)
    daemon = world.daemon(proxy, **chapter.settings)
    chapter.begin()
    time.sleep(chapter.age)
    chapter.ripen()
    if chapter.has_readers:
        readers.follow(user)
    rule = None
    if fault:
        kth, side = fault
        rule = getattr(proxy, side)(kth, daemon.kill)
    daemon.start(ready=False)
    if chapter.is_triggered:
        daemon.wait_ready()
        chapter.trigger()
    if rule:
        eventually(rule.fired.is_set, 60, f"call {kth} is made; so far: {[str(c) for c in proxy.since()]}")
        assert daemon.process.exit_code() == -9
        chapter.between()
        daemon.start()
    try:
        eventually(chapter.done, SETTLES, "it settles", every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}; calls: {[str(c) for c in proxy.since()]}") from None
    calls = tuple(map(str, proxy.since()))
    assert fault or calls == chapter.calls, f"it takes other calls: {calls}"
    daemon.wait_sweeps(2)
    assert tuple(map(str, proxy.since())) == calls, f"it is not silent: {[str(c) for c in proxy.since()[len(calls):]]}"
    assert daemon.stop() == 0
    if chapter.has_readers:
        readers.leave(user)


def kill_at_each_call(kind, account, worlds, figure):
    """Every life of a chapter: one without a fault, and two for each call."""
    kills = [(kth, side) for kth in range(1, len(kind.calls) + 1) for side in ("before", "after")]

    def outcome(fault, world):
        try:
            live(kind(world, world.name()), readers, fault)
        except Exception:
            what = f"killed {fault[1]} call {fault[0]} ({kind.calls[fault[0] - 1]})" if fault else "no fault"
            return f"{what}, {world.prefix}:\n{traceback.format_exc(limit=-2)}"
        finally:
            world.close()

    faults = [None, *kills]
    with Readers(account) as readers, ThreadPoolExecutor(LIVES_AT_ONCE) as pool:
        outcomes = list(pool.map(outcome, faults, [worlds() for _ in faults]))
    figure(
        f"{kind.__name__}: {len(kills)} kills, {outcomes[1:].count(None)} survived; readers used a key "
        f"{readers.looks} times; calls: {', '.join(kind.calls)}"
    )
    failed = [text for text in outcomes if text]
    assert not failed, f"{len(failed)} of {len(faults)}:\n" + "\n".join(failed)


@pytest.mark.parametrize("kind", CHAPTERS)
def test_a_kill_at_any_call_is_survived(kind, account, worlds, figure):
    kill_at_each_call(kind, account, worlds, figure)
