"""JSON on standard output: one object a line, which every program can read."""

from __future__ import annotations

import json
from typing import Any

from ..base.words import readable


def print_json(value: Any) -> None:
    """Print a value as one line of JSON.

    Args:
        value: What JSON can hold; names of files may have bytes that are not UTF-8, which become \\xNN.
    """
    line = json.dumps(value)
    # Only a text with such an escape can hold what UTF-8 cannot write: half of a character.
    print(json.dumps(_readable(value)) if "\\ud" in line else line, flush=True)


def _readable(value: Any) -> Any:
    """Return a value with every word in it as UTF-8 can write it."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_readable(key): _readable(part) for key, part in value.items()}
    return [_readable(part) for part in value] if isinstance(value, (list, tuple)) else value
