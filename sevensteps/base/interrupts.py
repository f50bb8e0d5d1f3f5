"""Everything about Ctrl-C: it waits until the current batch is done, and it carries its signal and the run it left."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn


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


def interrupt(number: int, frame: Any = None) -> NoReturn:
    """Interrupt the work as Ctrl-C does; as a handler of a signal, too.

    Args:
        number: The signal.
        frame: Where the signal came; handlers receive it.

    Raises:
        KeyboardInterrupt: It carries the signal.
    """
    raise KeyboardInterrupt(number)


def interrupt_if(number: int) -> None:
    """Interrupt the work if a signal has come.

    Args:
        number: The signal; 0 for none.

    Raises:
        KeyboardInterrupt: It carries the signal.
    """
    if number:
        interrupt(number)


def signal_of(interrupted: KeyboardInterrupt) -> int:
    """Return the signal that an interrupt carries.

    Args:
        interrupted: The interrupt.

    Returns:
        The signal's number; that of Ctrl-C where Python raised the interrupt itself.
    """
    return int(next(iter(interrupted.args), signal.SIGINT))


def folder_of(interrupted: KeyboardInterrupt) -> str:
    """Return the folder of the run that an interrupt left.

    Args:
        interrupted: The interrupt.

    Returns:
        The folder; "" where there is no run to resume.
    """
    return str(interrupted.args[1]) if len(interrupted.args) > 1 else ""


@contextlib.contextmanager
def before_training() -> Iterator[None]:
    """Note in an interrupt that leaves the context that training has not begun.

    Raises:
        KeyboardInterrupt: The interrupt, without a folder.
    """
    try:
        yield
    except KeyboardInterrupt as interrupted:
        raise KeyboardInterrupt(signal_of(interrupted), "", True) from interrupted


def is_before_training(interrupted: KeyboardInterrupt) -> bool:
    """Return whether training had not begun.

    Args:
        interrupted: The interrupt.
    """
    return len(interrupted.args) > 2


def terminate_like_ctrl_c() -> None:
    """Let the signal that ends a program (SIGTERM) interrupt the work as Ctrl-C does."""
    signal.signal(signal.SIGTERM, interrupt)


@contextlib.contextmanager
def leaving(folder: Path) -> Iterator[None]:
    """Attach the folder of the run that can be resumed to an interrupt that leaves the context.

    Args:
        folder: The run's folder.

    Raises:
        KeyboardInterrupt: The interrupt, with the folder.
    """
    try:
        yield
    except KeyboardInterrupt as interrupted:
        raise KeyboardInterrupt(signal_of(interrupted), str(folder)) from interrupted
