"""The setting `lr_changes`: after which batches the learning rate changes, and to what."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ..base.setting import LARGEST
from ..errors import RecipeError


def rate_changes_in(text: str) -> dict[int, float]:
    """Read the setting.

    Args:
        text: BATCH:RATE, separated by commas; empty for none.

    Returns:
        The rates by the number of batches that are done before.

    Raises:
        RecipeError: The text says something else.

    >>> rate_changes_in("100:0.05, 300:0.01")
    {100: 0.05, 300: 0.01}
    """
    changes: dict[int, float] = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        found = re.fullmatch(r"([1-9][0-9]{0,11}):([0-9.eE+-]+)", part)
        try:
            rate = float(found[2]) if found else math.nan
        except ValueError:
            rate = math.nan
        if found is None or not 0 <= rate <= LARGEST or int(found[1]) <= max(changes, default=0):
            raise RecipeError(
                f"lr_changes is {text!r:.80}, but must be rising numbers of batches, each with a rate from 0 to "
                f"{LARGEST:g}.",
                hint="Use {lr_changes}, for example.",
                settings={"lr_changes": "100:0.05,300:0.01"},
            )
        changes[int(found[1])] = rate
    return changes


def rate_changes_text(changes: Mapping[int, float]) -> str:
    """Return changes as the setting has them.

    Args:
        changes: The rates by the number of batches that are done before.

    >>> rate_changes_text({300: 0.01, 100: 0.05})
    '100:0.05,300:0.01'
    """
    return ",".join(f"{batch}:{rate!r}" for batch, rate in sorted(changes.items()))
