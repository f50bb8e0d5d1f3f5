"""Ctrl-C that waits for the batch under way, so that what it leaves is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def interrupts_between_batches(*numbers: signal.Signals) -> Iterator[Callable[[], int]]:
    """Inside, Ctrl-C (and the signals named) is only noted, for whoever asks between two batches.

    However often it comes: one that broke off a batch would leave parameters that no batch leaves. What is given
    answers with the signal's number, or 0 while there was none.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return

    def note(number: int, frame: Any) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, *numbers)}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def _interrupts_name(folder: Path) -> Iterator[None]:
    """An interrupt that comes out of the block carries the run that can be gone on with."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = next(iter(interrupt.args), int(signal.SIGINT))
        raise KeyboardInterrupt(number, str(folder)) from interrupt
