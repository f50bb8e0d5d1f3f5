"""How the command line reports an error."""

from __future__ import annotations

import os
import sys

from .printed_json import print_json


def say_error(code: str, message: str, hint: str, as_json: bool) -> None:
    """An error for a person on stderr, or for a program on stdout."""
    from ..show.terminal import printable

    if as_json:
        try:
            print_json({"error": {"code": code, "message": message, "hint": hint}})
            return
        except OSError:  # where stdout is what failed, at least a person learns of it
            give_up_stdout()
    print(f"sevensteps: {printable(_one_line(message))}", file=sys.stderr)
    if hint:
        print(f"  {printable(_one_line(hint))}", file=sys.stderr)


def give_up_stdout() -> None:
    """Send what is left for stdout nowhere: Python would fail once more on it while closing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(text: str) -> str:
    """Without line breaks and the indentation after them."""
    return " ".join(line.strip() for line in text.splitlines())
