"""The ends of a range as a setting: the values that become black and white. Needs no NumPy, so `--help` is fast."""

from __future__ import annotations

import math
from typing import Any

from ..errors import UsageError

Ends = tuple[int | float, ...]  # the values of black and white; empty: found


BY_TYPE: Ends = (-math.inf, math.inf)  # each file by its own type, as runs before this setting were read


def check_ends(ends: Any) -> None:
    """Raise if a setting is not a range.

    Args:
        ends: The setting: two numbers, or nothing.

    Raises:
        UsageError: It is something else.
    """
    are_numbers = isinstance(ends, (tuple, list)) and all(
        isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends
    )
    if not are_numbers or len(ends) not in (0, 2) or (ends and not ends[0] < ends[1]):
        raise UsageError(
            f"range is {ends!r:.80}, but must be two numbers, the lower one first.",
            hint="Use {range}, for pictures of 12 bits.",
            settings={"range": (0, 4095)},
        )
