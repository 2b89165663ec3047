"""Watches who says that it leads: asks the `leader` gauge of every replica, over and over."""

import threading
import time


class Leaders:
    """Samples the gauges from `with` on.

    Samples of two replicas are never of one moment. Two are shown to lead at once when one of them
    said so before and after the other one did.
    """

    def __init__(self, *replicas):
        self._replicas = list(replicas)
        self._last = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        #: What was seen that must not be.
        self.at_once = []
        #: How often all of them were asked.
        self.rounds = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def add(self, replica):
        self._replicas.append(replica)

    def now(self):
        """Those who said so when they were asked last."""
        return [replica for replica in self._replicas if self._last.get(replica, (0, 0))[1] == 1]

    def assert_one_at_a_time(self):
        assert self.rounds > 20, f"hardly watched: {self.rounds} rounds"
        assert not self.at_once, f"two led at once: {self.at_once[:5]} ({len(self.at_once)} times)"

    def _watch(self):
        while not self._stop.is_set():
            for replica in self._replicas:
                self._sample(replica)
            self.rounds += 1
            self._stop.wait(0.03)

    def _sample(self, replica):
        leads = replica.metric("leader") or 0
        now = time.monotonic()
        before = self._last.get(replica, (now, 0))
        if leads and before[1]:
            for other, (at, led) in self._last.items():
                if other is not replica and led and before[0] < at:
                    self.at_once.append(f"{other.output.name} between two answers of {replica.output.name}")
        self._last[replica] = (now, leads)
