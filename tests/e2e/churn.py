"""Rows that come, go and come back at a steady pace, and what they must lead to in the end."""

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass

from waiting import eventually

#: Two new ones, one that goes for longer, one that goes and is back at once, one that comes back.
PATTERN = ("insert", "insert", "remove", "remove", "undo", "insert", "insert", "remove", "remove", "undo", "return")

#: A row that is to go has been there for so long, so that mostly its user is there too.
OLD_ENOUGH = 3.0


@dataclass
class Row:
    """What was done to one row."""

    present: bool = True
    at: float = 0.0
    inserts: int = 0
    removed_at: float | None = None


class Churn:
    """Changes rows of a world from `with` on, `rate` of them a second."""

    def __init__(self, world, rate):
        self.world, self._pause = world, 1 / rate
        self.rows = {}
        self.changes = 0
        self._present, self._removed = deque(), deque()
        self._numbers = itertools.count(1)
        self._failed = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join()
        assert self._failed is None, f"a row could not be changed: {self._failed!r}"

    def _work(self):
        due = time.monotonic()
        for what in itertools.cycle(PATTERN):
            if self._stop.wait(max(0, due - time.monotonic())):
                return
            due += self._pause
            try:
                getattr(self, "_" + what)()
            except Exception as error:  # told by `stop`, in the test's own thread
                self._failed = error
                return
            self.changes += 1

    def _insert(self):
        self._put(self.world.name(f"row-{next(self._numbers):03}"))

    def _remove(self):
        if not self._present or time.time() - self.rows[self._present[0]].at < OLD_ENOUGH:
            return self._insert()
        user = self._present.popleft()
        row = self.rows[user]
        row.removed_at = time.time()
        self.world.delete(user)
        row.present = False
        self._removed.append(user)

    def _undo(self):
        self._put_back(self._removed.pop) if self._removed else self._insert()

    def _return(self):
        self._put_back(self._removed.popleft) if self._removed else self._insert()

    def _put_back(self, pick):
        self._put(pick())

    def _put(self, user):
        self.world.put(user)
        row = self.rows.setdefault(user, Row())
        row.present, row.at = True, time.time()
        row.inserts += 1
        self._present.append(user)

    # -- what they must lead to --------------------------------------------------------------------

    def assert_nothing_lost(self, within):
        """Every row has its complete user, every removed one none, and no removal was forgotten."""
        deadline = time.monotonic() + within
        for user in self.rows:
            eventually(lambda: self._as_wanted(user), max(1, deadline - time.monotonic()), f"{user} is as its row says")

    def _as_wanted(self, user):
        row = self.rows[user]
        if not row.present:
            return self.world.account.assert_gone(user)
        assert self.world.settled(user)
        if row.removed_at is not None:
            # Times are told in whole seconds.
            made = self.world.account.user(user)["CreateDate"].timestamp()
            assert made >= int(row.removed_at), f"{user} is of {made}; its row was removed at {row.removed_at}"
        return True
