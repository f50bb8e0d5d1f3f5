"""A setting: a field of a settings record with its default, its help text and its limits."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any

MOST = 10**9  # epochs, batches, pictures, seconds: nobody waits for more, and every type of integers holds it


LARGEST = 1e38  # a rate: no training survives it, and it is still a number of 32 bits


def setting(default: Any, help: str, *, least: int | float = -math.inf, most: int | float = math.inf) -> Any:
    """Return a dataclass field whose metadata holds the help text and the limits.

    Args:
        default: The value unless another is given.
        help: What the setting does: the help text of its flag.
        least: The smallest number that is allowed.
        most: The largest number that is allowed.

    Returns:
        A field with the metadata `help`, `least` and `most`.
    """
    return field(default=default, metadata={"help": help, "least": least, "most": most})
