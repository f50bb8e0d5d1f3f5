"""Let Ctrl-C wait until the current batch is done, so that it leaves a consistent state."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def interrupts_between_batches(*numbers: signal.Signals) -> Iterator[Callable[[], int]]:
    """Only record Ctrl-C inside the context, so that the caller can act on it between two batches.

    This holds however often it comes: an interrupt in the middle of a batch would leave parameters in a state that no
    complete batch leaves.

    Args:
        numbers: More signals to treat like Ctrl-C.

    Yields:
        A function that returns the number of the first signal, or 0 if none has come.
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
    """Attach the folder of the run that can be resumed to an interrupt that leaves the context."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = next(iter(interrupt.args), int(signal.SIGINT))
        raise KeyboardInterrupt(number, str(folder)) from interrupt
