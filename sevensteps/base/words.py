"""Numbers together with what they count, in words."""

from __future__ import annotations

import os


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
    >>> pictures(1, "test"), pictures(2000)
    ('1 test picture', '2,000 pictures')
    """
    return counted(n, f"{split} picture" if split else "picture")


def text_of(path: str) -> str:
    """Return a path as text that can be written anywhere.

    Args:
        path: A path as the system gives it.

    Returns:
        The text; a byte that is not valid UTF-8 becomes \\xNN.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
