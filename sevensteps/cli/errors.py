"""How the command line reports an error."""

from __future__ import annotations

import sys

from .output import failure_of
from .printed_json import print_json


def say_error(code: str, message: str, hint: str, as_json: bool) -> None:
    """An error for a person on stderr, or for a program on stdout."""
    from ..show.terminal import printable

    if as_json:
        print_json({"error": {"code": code, "message": message, "hint": hint}})
        if failure_of(sys.stdout) is None:  # else at least a person learns of it
            return
    print(f"sevensteps: {printable(_one_line(message))}", file=sys.stderr)
    if hint:
        print(f"  {printable(_one_line(hint))}", file=sys.stderr)


def _one_line(text: str) -> str:
    """Without line breaks and the indentation after them."""
    return " ".join(line.strip() for line in text.splitlines())
