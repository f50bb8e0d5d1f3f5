"""Numbers together with what they count, in words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any


class Shown(str):
    """A text of several lines that a notebook or a prompt shows as it is printed, not as a string in quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str.__str__(self)


def percent(share: float, digits: int = 1) -> str:
    """Return a share as percent; the figure and its sign stay together where a line breaks.

    Args:
        share: The share, from 0 to 1.
        digits: Decimals.

    >>> percent(0.9655, 2)
    '96.55\\xa0%'
    """
    return f"{100 * share:.{digits}f}\u00a0%"


def counted(n: int, one: str, several: str = "") -> str:
    """Return a number with its noun.

    Args:
        n: The number.
        one: The noun in the singular.
        several: The noun in the plural, if that is not the singular with an s.

    Returns:
        The number, with commas between thousands, and the noun.
    >>> counted(1, "group"), counted(2000, "group"), counted(0, "class", "classes")
    ('1 group', '2,000 groups', '0 classes')
    """
    return f"{n:,} {one if n == 1 else several or f'{one}s'}"


def pictures(n: int, split: str = "") -> str:
    """Return a number of pictures in words.

    Args:
        n: The number.
        split: Which pictures: "test", for example.

    Returns:
        The number and "picture" or "pictures".
    >>> pictures(1, "test"), pictures(300, "valid"), pictures(2000)
    ('1 test picture', '300 validation pictures', '2,000 pictures')
    """
    return counted(n, f"{split_in_words(split)} picture" if split else "picture")


def split_in_words(split: str) -> str:
    """Return the word for a split that stands before "pictures" or "split".

    Args:
        split: The split as flags and files name it.

    >>> split_in_words("valid"), split_in_words("train"), split_in_words("test")
    ('validation', 'training', 'test')
    """
    return {"valid": "validation", "train": "training"}.get(split, split)


def text_of(path: str) -> str:
    """Return a path as text that can be written anywhere.

    Args:
        path: A path as the system gives it.

    Returns:
        The text; a byte that is not valid UTF-8 becomes \\xNN.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def readable(text: str) -> str:
    """Return text that may hold the name of a file as text that can be written anywhere.

    Args:
        text: Any text.

    Returns:
        The text; a byte of a name that is not valid UTF-8 becomes \\xNN, and half of a character \\uNNNN.

    >>> readable("caf\\udce9.png"), readable("café.png")
    ('caf\\\\xe9.png', 'café.png')
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        pieces = (char if ord(char) not in range(0xDC80, 0xDD00) else f"\\x{ord(char) - 0xDC00:02x}" for char in text)
        return "".join(pieces).encode("utf-8", "backslashreplace").decode()


def with_names(hint: str, given: Mapping[str, Any]) -> str:
    """Fill in the words RUN and SOURCE of the commands in a hint.

    Args:
        hint: A hint, in which they follow `sevensteps VERB` or `--recipe`.
        given: What was typed as `run` or `source`.

    Returns:
        The hint, in which a word stays where nothing was typed for it.

    >>> with_names("Type sevensteps resume RUN.", {"run": "my run"})
    "Type sevensteps resume 'my run'."
    """
    words = hint.split(" ")
    for at, word in enumerate(words):
        name = next((name for name in ("RUN", "SOURCE") if word.rstrip(".,;:)\n") == name), "")
        in_command = "--recipe" in words[max(at - 1, 0) : at] or "sevensteps" in words[max(at - 2, 0) : max(at - 1, 0)]
        if name and in_command and given.get(name.lower()):
            words[at] = word.replace(name, shlex.quote(str(given[name.lower()])))
    return " ".join(words)
