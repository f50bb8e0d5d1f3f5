"""Numbers with what they count, in words."""

from __future__ import annotations

from typing import Any

FEW = 200  # pictures of a class to train on, below which that there are so few says more than any setting


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


def few_in_words(fewest: int) -> str:
    """What so few training pictures of a class mean for the result."""
    return f"a class has {fewest:,} to train on: below {FEW} the interval is wide, and {_HELPS}"


def few_as_json(fewest: int | None) -> dict[str, Any] | None:
    """The same for programs; None where no class has few."""
    return None if fewest is None else {"fewest": fewest, "below": FEW, "advice": _HELPS}


_HELPS = "a pretrained backbone, trained on many other pictures, usually helps"
