"""Single keys from a terminal, as names: "on", "back" and "quit"."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# What terminals send: Enter, the space bar, the right arrow and page down go on, as the buttons of presenters do.
_ON = frozenset({"\r", "\n", " ", "\x1b[C", "\x1bOC", "\x1b[6~", "\xe0M", "\x00M", "\xe0Q", "\x00Q"})
_BACK = frozenset({"\x1b[D", "\x1bOD", "\x1b[5~", "\x7f", "\x08", "\xe0K", "\x00K", "\xe0I", "\x00I"})
_QUIT = frozenset({"q", "Q", "\x04", ""})

LATER = 0.05  # seconds in which the rest of a key of several characters arrives


def can_read_keys() -> bool:
    """Return whether a person sits at a terminal that can move its cursor."""
    is_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
    return is_terminal and os.environ.get("TERM") != "dumb"


def next_key() -> str:
    """Wait for a key, and return "on", "back" or "quit"; other keys are ignored."""
    while True:
        key = _read()
        for name, keys in (("on", _ON), ("back", _BACK), ("quit", _QUIT)):
            if key in keys:
                return name


@contextlib.contextmanager
def whole_screen() -> Iterator[None]:
    """Inside, the terminal shows an empty screen without a cursor and gives each key at once; afterward, as before."""
    with _each_key_at_once():
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        sys.stdout.flush()
        try:
            yield
        finally:
            sys.stdout.write("\x1b[?25h\x1b[?1049l")
            sys.stdout.flush()


if sys.platform == "win32":
    import msvcrt

    _each_key_at_once = contextlib.nullcontext

    def _read() -> str:
        """Return what one key sends; Ctrl-C interrupts."""
        first = msvcrt.getwch()
        if first == "\x03":
            raise KeyboardInterrupt
        return first + msvcrt.getwch() if first in "\x00\xe0" else first

else:
    import select
    import termios
    import tty

    @contextlib.contextmanager
    def _each_key_at_once() -> Iterator[None]:
        """Inside, keys are neither shown nor kept until Enter; keys that were typed before are not lost."""
        file = sys.stdin.fileno()
        before = termios.tcgetattr(file)
        tty.setcbreak(file, termios.TCSADRAIN)
        try:
            yield
        finally:
            termios.tcsetattr(file, termios.TCSADRAIN, before)

    def _read() -> str:
        """Return what one key sends; "" at the end of input."""
        file = sys.stdin.fileno()
        content = os.read(file, 1)
        while content.startswith(b"\x1b") and len(content) < 8 and select.select([file], [], [], LATER)[0]:
            content += os.read(file, 1)
            if (len(content) > 2 and content[-1:].isalpha()) or content.endswith(b"~"):
                break
        return content.decode("latin-1")
