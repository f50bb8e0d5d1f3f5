"""A thread that does what it is asked, in order, and in between what it does by itself; no error ends it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..errors import SevenstepsError, UsageError


def internal(error: Exception) -> SevenstepsError:
    """Return an error that nobody foresaw as one that the page can show.

    Args:
        error: The error.
    """
    return SevenstepsError(f"Internal error: {type(error).__name__}: {error}")


class Line:
    """What is asked of one thread.

    Args:
        name: The thread's name.
        wait: Says in how many seconds the thread is to act by itself; None for not at all.
        act: What it does by itself; it raises nothing.
        end: What it does last.
    """

    def __init__(
        self, name: str, wait: Callable[[], float | None], act: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self._wait, self._act, self._end = wait, act, end
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._is_closing = False
        self._failed: SevenstepsError | None = None  # why the end went wrong
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def post(self, work: Callable[[], Any]) -> Future[Any]:
        """Ask for something to be done.

        Args:
            work: What to do, on the thread.

        Returns:
            Its result, in time; an error where the thread has ended.
        """
        future: Future[Any] = Future()
        self._queue.put((future, work))
        if self._is_closing and not self._thread.is_alive():
            self._refuse()
        return future

    def close(self) -> None:
        """Do what is under way to its end and what comes last, and end the thread; what waits is refused.

        Raises:
            SevenstepsError: What comes last went wrong.
        """
        self._is_closing = True
        self._queue.put(None)
        if self._thread.ident is not None:  # it was started
            self._thread.join()
        self._refuse()
        if self._failed is not None:
            raise self._failed

    def _refuse(self) -> None:
        """Refuse everything that waits."""
        try:
            while True:
                asked = self._queue.get_nowait()
                if asked is not None and asked[0].set_running_or_notify_cancel():
                    asked[0].set_exception(UsageError("The Studio is closing.", hint="Start it again."))
        except queue.Empty:
            pass

    def _work(self) -> None:
        """Do what is asked, and act where nothing is."""
        while not self._is_closing:
            seconds = self._wait()
            try:
                asked = self._queue.get(block=seconds is None or seconds > 0, timeout=seconds or None)
            except queue.Empty:
                self._act()
            else:
                if asked is not None:
                    self._answer(*asked)
        try:
            self._end()
        except SevenstepsError as error:
            self._failed = error
        except Exception as error:
            self._failed = internal(error)

    def _answer(self, future: Future[Any], work: Callable[[], Any]) -> None:
        """Do what was asked, unless who asked has gone."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except SevenstepsError as error:
            future.set_exception(error)
        except Exception as error:
            future.set_exception(internal(error))
        else:
            future.set_result(result)
