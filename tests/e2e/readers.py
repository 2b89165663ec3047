"""Programs that use the published keys while a test makes trouble, and what they must never meet.

They ask the emulators themselves, not through the proxy, so nothing that the test breaks breaks them.
"""

import threading
import time
import traceback

from account import parameter_name
from proxy import mutating


class Readers:
    """Look at users in turn, for as long as the `with` block lasts, and after each change that `after` sees."""

    def __init__(self, account, overlap=0.0, threads=1):
        """`overlap`: for how many seconds a key that was just read must go on working."""
        self._account, self._overlap = account, overlap
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(threads)]
        #: How often a published key was used.
        self.looks = 0
        #: User -> ids of the keys that were its current one, in turn.
        self.seen = {}
        #: User -> what was wrong.
        self.wrong = {}

    def follow(self, user):
        """From now on it is looked at; from its first publication on it must have a key that works."""
        self.seen[user] = []

    def leave(self, user):
        """It is looked at no more. Fails when something was wrong, or nobody has used a key of it."""
        assert self.seen.pop(user), f"{user}: no reader saw a key"
        assert user not in self.wrong, f"{user}: {self.wrong[user][:5]}"

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self):
        while not self._stop.is_set():
            for user in list(self.seen):
                self._try(self._look, user)
            self._stop.wait(0.05)

    def after(self, call):
        """To watch a proxy with: whatever call it was, a look right after it."""
        if not mutating(call):
            return
        for user in list(self.seen):
            if call.concerns(user, parameter_name(user)):
                self._try(self._look, user)
                if call.action == "CreateAccessKey":
                    self._try(self._count, user)

    def _try(self, look, user):
        try:
            wrong = look(user)
        except Exception:
            wrong = traceback.format_exc(limit=-3)
        if wrong:
            self.wrong.setdefault(user, []).append(f"{time.strftime('%H:%M:%S')} {wrong}")

    def _look(self, user):
        """Reads `current` and signs a call with it. What was wrong, if anything."""
        known = self.seen.get(user)
        begin = time.monotonic()
        was_published = bool(known)
        current = self._account.current(user)
        if current is None:
            return "no current key any more" if was_published else None
        self.looks += 1
        if known is not None and current[0] not in known:
            known.append(current[0])
        answer = self._account.calls_as(*current)
        took = time.monotonic() - begin
        if answer.endswith(f":user/{user}"):
            return None
        # A look that a busy machine drew out may end when the key is not to work any more.
        if took < self._overlap or self._account.current(user) == current:
            return f"the current key {current[0]} is answered {answer}"
        return None

    def _count(self, user):
        """Two keys of which nobody can know the secrets would be a mint begun before the last was over."""
        keys = set(self._account.keys(user))
        published = {member["AccessKeyID"] for member in (self._account.document(user) or {}).values()}
        unpublished = keys - published
        return f"unpublished at once: {unpublished}" if len(unpublished) > 1 else None
