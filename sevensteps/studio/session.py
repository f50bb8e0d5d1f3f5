"""The state of the Studio: sections of plain data, which pages follow, and the trainer that makes them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import numpy as np

from .wire import RefusedError, as_json

T = TypeVar("T")

ASKED = 3.0  # seconds for which a page that asks once a second is told more
FRAME = 1 / 30  # seconds between two looks at a running training

NAMES = (
    "studio",
    "data",
    "gathering",
    "run",
    "place",
    "curve",
    "epochs",
    "marks",
    "doctor",
    "notes",
    "live",
    "verdict",
    "runs",
    "edits",
)

EMPTY: dict[str, Any] = {
    "data": None,
    "gathering": None,
    "run": None,
    "place": {
        "phase": "empty",
        "station": 1,
        "epoch": 1,
        "position": 0,
        "batch": 0,
        "per_epoch": None,
        "total": None,
        "epochs": 0,
        "lr": None,
        "lr_now": None,
        "speed": {"value": 6.0, "unit": "batches"},
        "loss": None,
        "stopped": None,
        "error": None,
        "asked": 0,
    },
    "epochs": [],
    "marks": [],
    "doctor": [],
    "notes": [],
    "live": None,
    "verdict": None,
    "runs": [],
    "edits": {"count": 0, "test": 0},
}


def next_frame(due: float, now: float) -> float:
    """Return when the frame after this one is due: counted from when this one was due, and not from now.

    Counted from now, two batches of 20 ms would be one frame of 40.

    Args:
        due: When this one was due, in seconds.
        now: When it comes.
    """
    return max(due + FRAME, now)


class Asked(Protocol):
    """What does things between two batches: the trainer of trainer.py."""

    def post(self, work: Callable[[Any], T]) -> Future[T]:
        """Ask for something to be done, on the trainer's thread."""
        ...

    def close(self) -> None:
        """Pause, save the run, and end."""
        ...


class Session:
    """What all pages show: one state, which the trainer's thread writes and the server's loop reads.

    `put` and `publish` may be called on any thread; everything else that is asynchronous belongs to the server's loop.
    """

    def __init__(self) -> None:
        self.trainer: Asked
        self.listeners = 0  # open streams; without any, nothing need be prepared for them
        self._asked_at = -ASKED  # when a page without a stream asked last
        self.is_closing = False
        self._closed = asyncio.Event()
        self.is_followed = threading.Event()  # once a page is there and follows
        self._lock = threading.Lock()
        self._versions = dict.fromkeys(NAMES, 0)
        self._count = 0  # of all changes
        self._sections: dict[str, Any] = {**EMPTY, "studio": {}, "curve": Curve()}
        self._encoded: dict[str, tuple[int, str]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()  # of the streams that wait for a change

    def put(self, section: str, value: Any) -> None:
        """Replace a section.

        Args:
            section: Its name.
            value: Plain data and arrays, which nobody changes afterward.
        """
        self.publish({section: value})

    def publish(self, sections: Mapping[str, Any]) -> None:
        """Replace sections together: no page sees some of them without the others.

        Args:
            sections: Plain data and arrays, which nobody changes afterward, by name; and the run's `Curve`, each time
                that it has more losses, or fewer.
        """
        with self._lock:
            self._sections.update(sections)
            for name in sections:
                self._versions[name] += 1
            self._count += 1
        self.wake()

    def section(self, name: str) -> Any:
        """Return a section as it is now.

        Args:
            name: Its name.
        """
        return self._sections[name]

    async def ask(self, work: Callable[[Any], T]) -> T:
        """Let the trainer's thread do something between two batches, and return what it returns.

        Args:
            work: What to do.

        Raises:
            SevenstepsError: What the work raises.
            RefusedError: The Studio is closing, and does not wait for it.
        """
        asked, closed = asyncio.wrap_future(self.trainer.post(work)), asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((asked, closed), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise RefusedError(503, "closing", "The Studio is closing.", "Start it again.")
            return asked.result()
        finally:
            asked.cancel()
            closed.cancel()

    @property
    def is_watched(self) -> bool:
        """Whether a page follows the state, or has asked for it in the last seconds."""
        return self.listeners > 0 or time.monotonic() - self._asked_at < ASKED

    async def snapshot(self) -> str:
        """Return everything as one JSON object, as the first message of a stream has it."""
        if not self.is_watched and self.section("place")["phase"] == "running":
            self._asked_at = time.monotonic()
            await asyncio.sleep(2 * FRAME)  # the trainer had nobody to tell where it stands
        self._asked_at = time.monotonic()
        return Follower(self).message() or "{}"

    def serve_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the streams of this loop from now on.

        Args:
            loop: The server's.
        """
        self._loop = loop

    def wake(self) -> None:
        """Wake every stream that waits, from any thread."""
        if self._loop is not None and self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        for event in self._waiting:
            event.set()

    async def wait(self, since: int, seconds: float) -> bool:
        """Wait until something changes.

        Args:
            since: The `count` of the changes that are known.
            seconds: The longest time to wait.

        Returns:
            Whether something changed.
        """
        event = asyncio.Event()
        self._waiting.add(event)  # before the look: what changes after it wakes
        try:
            if self._count == since and not self.is_closing:
                async with asyncio.timeout(seconds):
                    await event.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(event)
        return True

    def changes(self, seen: Mapping[str, int]) -> tuple[int, list[tuple[str, int, Any]]]:
        """Return what has changed.

        Args:
            seen: The version of each section that is known.

        Returns:
            How many changes there were until now; and name, version and value of each section that has changed.
        """
        with self._lock:
            now = self._versions.items()
            return self._count, [(name, at, self._sections[name]) for name, at in now if at != seen[name]]

    def encoded(self, name: str, version: int, value: Any) -> str:
        """Return a section as JSON, which all streams share.

        Args:
            name: Its name.
            version: Its version.
            value: Its value.
        """
        known = self._encoded.get(name)
        if known is None or known[0] != version:
            known = self._encoded[name] = version, as_json(value)
        return known[1]

    def close(self) -> None:
        """End the streams."""
        self.is_closing = True
        self._closed.set()
        self.wake()


class Follower:
    """What one page has seen of a session.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen = dict.fromkeys(NAMES, -1)
        self._count = -1
        self._curve = CurveSeen()

    def message(self) -> str | None:
        """Return the sections that changed since the last message, as a JSON object; None if there are none."""
        self._count, changed = self._session.changes(self._seen)
        parts = []
        for name, version, value in changed:
            self._seen[name] = version
            is_curve = isinstance(value, Curve)
            text = as_json(value.since(self._curve)) if is_curve else self._session.encoded(name, version, value)
            parts.append(f'"{name}":{text}')
        return "{" + ",".join(parts) + "}" if parts else None

    async def __aenter__(self) -> Follower:
        self._session.listeners += 1
        self._session.is_followed.set()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._session.listeners -= 1

    async def wait(self, seconds: float) -> bool:
        """Wait until something changes.

        Args:
            seconds: The longest time to wait.

        Returns:
            Whether something changed.
        """
        return await self._session.wait(self._count, seconds)


class CurveSeen:
    """How much of which curve a page has."""

    def __init__(self) -> None:
        self.of: Curve | None = None
        self.count, self.cuts = 0, 0


class Curve:
    """The loss of each batch of a run. It grows at its end, and is cut where training goes back.

    Args:
        means: The losses of the first batches where only the mean of each epoch is known: of a run that was saved.
    """

    def __init__(self, means: Sequence[float] = ()) -> None:
        self._lock = threading.Lock()
        self._means = 0  # how many of the first losses are means
        self._values = np.empty(1024, dtype=np.float32)
        self._count = 0
        self._cuts: list[int] = []  # how many losses were left each time
        for at, mean in enumerate(means):
            self.put(at, mean)
        self._means = len(means)

    def __len__(self) -> int:
        return self._count

    def put(self, at: int, loss: float) -> None:
        """Set the loss of a batch.

        Args:
            at: Its place, from 0; those between the last one and it become unknown.
            loss: The loss.
        """
        with self._lock:
            if at >= len(self._values):
                self._values = np.concatenate([self._values, np.empty(max(at, len(self._values)), dtype=np.float32)])
            if at > self._count:
                self._values[self._count : at] = np.nan
            if at < self._count and self._values[at] != loss:
                self._cuts.append(at)  # pages fetch the rest again
            self._values[at] = loss
            self._count = max(self._count, at + 1)

    def cut(self, count: int) -> None:
        """Forget all but the first losses, or take those that are missing as unknown.

        Args:
            count: How many there are then.
        """
        with self._lock:
            if count < self._count:
                self._cuts.append(count)
                self._count, self._means = count, min(self._means, count)
        if count > self._count:
            self.put(count - 1, float("nan"))

    def at(self, place: int) -> float | None:
        """Return the loss of a batch, None where it is not known.

        Args:
            place: The batch, from 0.
        """
        return float(self._values[place]) if self._means <= place < self._count else None

    def since(self, seen: CurveSeen) -> dict[str, Any]:
        """Return what a page lacks, and note that it has it now.

        Args:
            seen: What it has.
        """
        if seen.of is not self:
            seen.of, seen.count, seen.cuts = self, 0, 0
        with self._lock:
            first = min([seen.count, *self._cuts[seen.cuts :]])
            values = self._values[first : self._count].copy()
            seen.count, seen.cuts = self._count, len(self._cuts)
            return {"from": first, "values": values, "means": self._means}
