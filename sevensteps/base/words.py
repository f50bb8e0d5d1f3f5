"""Numbers with what they count, in words."""

from __future__ import annotations

import os


def counted(n: int, one: str, several: str = "") -> str:
    """So many of something: what one is called, and several, where that is not with an s.

    >>> counted(1, "group"), counted(2000, "group"), counted(0, "class", "classes")
    ('1 group', '2,000 groups', '0 classes')
    """
    return f"{n:,} {one if n == 1 else several or f'{one}s'}"


def pictures(n: int, split: str = "") -> str:
    """So many pictures, perhaps of a split.

    >>> pictures(1, "test"), pictures(2000)
    ('1 test picture', '2,000 pictures')
    """
    return counted(n, f"{split} picture" if split else "picture")


def text_of(path: str) -> str:
    """A path as text that can be written anywhere: a byte that is no UTF-8 stands as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
