"""The queue in front of the model: what has come is classified in batches, in the order of arrival.

A batch is whatever came in one turn of the event loop, so that nobody waits for others to come. Each picture has the
digits that it gets alone (docs/decisions/0045-batches-with-the-same-digits.md). Small files and fast models are done in
the event loop itself, since handing them to a thread would take longer; a thread reads large files, computes features,
and runs slow models, so that others are not held up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.decode import look
from ...errors import DataError
from ..answer import Answer
from ..predict import AT_ONCE, Model
from .limits import MOST_PIXELS, Limits
from .refused import busy, too_large

SMALL = 1 << 15  # bytes of a file that is read in the event loop


FEW_PIXELS = 1 << 16  # of such a file


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


TURN = 0.005  # seconds for which a batch may hold up the event loop


@dataclass(frozen=True, eq=False)
class _Waiting:
    """The pixels of a picture, and where its answer goes."""

    pixels: np.ndarray
    answer: asyncio.Future[Answer]


class Classifier:
    """Answers pictures one batch after the other.

    Args:
        model: The model.
        limits: How many pictures may wait, and how large they may be.
    """

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model, self._limits = model, limits
        self.batch_of: Callable[[int], object] = lambda size: None  # called with the size of each batch
        self.waiting = 0  # pictures that are being answered
        self._pixels = 0  # that these have, as their files announce
        self._queue: deque[_Waiting] = deque()
        self._is_working = False
        self._thread = ThreadPoolExecutor(1, "classifier")
        self._headers = ThreadPoolExecutor(1, "headers")  # reads how large a file is while others are decoded
        each = _seconds_each(model)
        self._is_fast = each < TURN
        self._most = min(AT_ONCE, int(TURN / each)) if self._is_fast else AT_ONCE

    def stop(self) -> None:
        """End the threads. What they have not begun by now, nobody waits for any more."""
        for thread in (self._headers, self._thread):
            thread.shutdown(cancel_futures=True)

    def is_full(self) -> bool:
        """Return whether no picture can be taken now."""
        return self.waiting >= self._limits.waiting

    async def answers(self, pictures: Sequence[Any]) -> list[Answer]:
        """Return the answer for each picture.

        Args:
            pictures: Bytes of picture files, or arrays of pixels.

        Raises:
            RequestError: Too many pictures wait, or these have too many pixels.
        """
        if self.waiting + len(pictures) > self._limits.waiting:
            raise busy()
        self.waiting += len(pictures)
        pixels = 0
        try:
            sizes = [await self._size_of(picture) for picture in pictures]
            pixels = self._admitted(sizes)
            begun = [await self._begun(picture, size) for picture, size in zip(pictures, sizes, strict=True)]
            return [await answer for answer in begun]
        finally:
            self.waiting -= len(pictures)
            self._pixels -= pixels

    async def _size_of(self, picture: Any) -> int:
        """Return how many pixels a file announces; 0 for pixels, and for what is not a picture: reading it says why."""
        if not isinstance(picture, bytes):
            return 0
        try:
            if len(picture) <= SMALL:
                return _pixels_in(picture)
            return await asyncio.get_running_loop().run_in_executor(self._headers, _pixels_in, picture)
        except DataError:
            return 0

    def _admitted(self, sizes: Sequence[int]) -> int:
        """Count the pixels of a request, and return how many they are.

        A few bytes can announce many pixels, and decoding them takes as long as they say.

        Raises:
            RequestError: They have too many; or those of all requests have.
        """
        pixels = sum(size for size in sizes if size <= self._limits.pixels)  # larger ones are not decoded
        if pixels > MOST_PIXELS:
            raise too_large(
                f"The pictures have more than {MOST_PIXELS:,} pixels in all.", "Send them in several requests."
            )
        if self._pixels + pixels > MOST_PIXELS:
            raise busy()
        self._pixels += pixels
        return pixels

    async def _begun(self, picture: Any, size: int) -> asyncio.Future[Answer]:
        """Read a picture, and return its answer of later."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if size > self._limits.pixels:
            message = f"The picture has more than {self._limits.pixels:,} pixels."
            answer.set_result(Answer("", error=message, hint="Reduce its size."))
            return answer
        is_small = (len(picture) if isinstance(picture, bytes) else picture.nbytes) <= SMALL and size <= FEW_PIXELS
        try:
            if is_small and self._model.read is None:
                pixels = self._model.pixels_of(picture)
            else:
                pixels = await loop.run_in_executor(self._thread, self._model.pixels_of, picture)
        except DataError as error:
            answer.set_result(Answer("", error=error.message, hint=error.hint))
            return answer
        self._queue.append(_Waiting(pixels, answer))
        if not self._is_working:
            self._is_working = True
            loop.call_soon(self._work)
        return answer

    def _work(self) -> None:
        """Classify what waits, a batch in each turn of the event loop."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
        loop = asyncio.get_running_loop()
        if self._is_fast:
            self._deliver(batch, _result(self._classified, batch))
            return
        future = loop.run_in_executor(self._thread, _result, self._classified, batch)
        future.add_done_callback(lambda done: self._deliver(batch, done.result()))

    def _classified(self, batch: Sequence[_Waiting]) -> list[Answer]:
        """Return the answers for a batch."""
        return self._model.together([""] * len(batch), [waiting.pixels for waiting in batch])

    def _deliver(self, batch: Sequence[_Waiting], answers: list[Answer] | Exception) -> None:
        """Hand out the answers of a batch, and go on."""
        self.batch_of(len(batch))
        for place, waiting in enumerate(batch):
            if waiting.answer.done():  # the client has left
                continue
            if isinstance(answers, Exception):
                waiting.answer.set_exception(answers)
            else:
                waiting.answer.set_result(answers[place])
        self._is_working = bool(self._queue)
        if self._is_working:
            asyncio.get_running_loop().call_soon(self._work)


def _pixels_in(content: bytes) -> int:
    """Return how many pixels a file announces that Pillow would decode.

    Raises:
        DataError: It is not a picture.
    """
    # Most files, and faster than to parse all of the header. Of several headers, Pillow takes the last.
    if content.startswith(PNG) and content.find(b"IHDR", 16) < 0:
        return int.from_bytes(content[16:20]) * int.from_bytes(content[20:24])
    seen = look(content)
    return seen.width * seen.height


def _result(
    function: Callable[[Sequence[_Waiting]], list[Answer]], batch: Sequence[_Waiting]
) -> list[Answer] | Exception:
    """Return what a function returns or raises: the clients must learn of both."""
    try:
        return function(batch)
    except Exception as error:
        return error


def _seconds_each(model: Model) -> float:
    """Return how long the model takes for a picture that has been read."""
    black = np.zeros(model.shape, np.uint8)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        model.together(["", ""], [black, black])
        seconds.append((time.perf_counter() - began) / 2)
    return min(seconds)
