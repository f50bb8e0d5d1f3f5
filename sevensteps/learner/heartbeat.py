"""Signs of life between processes: one that is stopped, or whose network is cut, keeps its connections open.

Each process counts up a number in the store that they share. The leader looks at the numbers of the others, and the
others at the leader's. Who is silent for too long is lost. A process that was stopped itself forgives the others what
it did not see.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

EVERY = 2.0  # seconds between two signs

# So that all have ended within 30 seconds. It is long, because Python code of a library may hold a thread back.
SILENT_AFTER = 20.0

LOOK = 1.0  # seconds between two looks at who is silent

TO_NOTICE = 4.0  # seconds in which a process notices by itself that the store has ended, and with it the leader

OWN_PAUSE = 5.0  # seconds between two looks that show that this process was stopped


class Heartbeat:
    """The signs of life that a process sends, and those that it sees.

    Args:
        rank: Of this process.
        world: The number of processes.
        store: What they share; used by one thread of this process alone.
        asked_to_end: Called once when another process was asked to end (SIGTERM), with its rank; for the leader.
    """

    def __init__(self, rank: int, world: int, store: Any, asked_to_end: Callable[[int], None]) -> None:
        self._rank, self._store, self._asked_to_end = rank, store, asked_to_end
        self._unseen = set(range(1, world)) if rank == 0 else {0}
        self._seen: dict[int, tuple[bytes, float]] = {}  # the last sign, and when it was new
        self._word = ""
        self._cut_since = 0.0  # when the store had ended, or could not be reached any more
        self._asking_since = 0.0  # when this process asked the store for something that has not been answered
        self._over = threading.Event()
        self._sending = threading.Thread(target=self._send, name="heartbeat", daemon=True)
        self._sending.start()

    def silent(self) -> int | None:
        """Return the rank of a process that has been silent for too long; None if there is none."""
        now = time.monotonic()
        if self._rank and self._cut_since and now - self._cut_since > TO_NOTICE:
            return 0
        if self._rank and self._asking_since and now - self._asking_since > SILENT_AFTER:
            return 0
        late = [rank for rank, (_, since) in list(self._seen.items()) if now - since > SILENT_AFTER]
        return min(late, default=None)

    def watch(self, lost: Callable[[], None]) -> None:
        """Call a function, from another thread, once a process has been silent for too long.

        Args:
            lost: The function.
        """

        def look() -> None:
            before = time.monotonic()
            while not self._over.wait(LOOK):
                before = self._forgive(before)
                if self.silent() is not None:
                    lost()
                    return

        threading.Thread(target=look, name="watch", daemon=True).start()

    def say_asked_to_end(self) -> None:
        """Let the leader know with the next sign that this process was asked to end."""
        self._word = "end"

    def end(self) -> None:
        """Send no more signs."""
        self._over.set()
        self._sending.join(EVERY)  # a thread inside PyTorch while Python ends would end the process with a message

    def _send(self) -> None:
        """Send a sign, and look for those of the others, until this process ends."""
        count, before = 0, time.monotonic()
        try:
            while not self._over.wait(EVERY):
                before = self._forgive(before)
                count += 1
                self._asking_since = time.monotonic()
                self._store.set(_key(self._rank), f"{count} {self._word}")
                self._look()
                self._asking_since = 0.0
        except RuntimeError:
            self._cut_since = time.monotonic()

    def _look(self) -> None:
        """Note which signs are new."""
        self._unseen -= (begun := {rank for rank in self._unseen if self._store.check([_key(rank)])})
        ranks = [*self._seen, *begun]
        signs = self._store.multi_get([_key(rank) for rank in ranks]) if ranks else []
        for rank, sign in zip(ranks, signs, strict=True):
            known = self._seen.get(rank)
            if known is None or known[0] != sign:
                self._seen[rank] = sign, time.monotonic()
                if sign.endswith(b"end") and not (known and known[0].endswith(b"end")):
                    self._asked_to_end(rank)

    def _forgive(self, before: float) -> float:
        """Begin to count anew if this process was stopped since a moment; return now."""
        now = time.monotonic()
        if now - before > OWN_PAUSE + EVERY:
            for rank, (sign, _) in list(self._seen.items()):
                self._seen[rank] = sign, now
            if self._asking_since:
                self._asking_since = now
        return now


def _key(rank: int) -> str:
    """Return where a process leaves its signs."""
    return f"beat/{rank}"
