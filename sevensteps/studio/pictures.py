"""Pictures of the run that is open, by their rows or ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from .seen import small_enough
from .trainer import Trainer


def pictures_of(trainer: Trainer, names: Sequence[str], split: str | None) -> dict[str, Any]:
    """Return some pictures of the run that is open, as bytes.

    Args:
        trainer: Who has them.
        names: Rows of a split, or ids.
        split: The split of the rows; None for ids.

    Raises:
        UsageError: There are no such pictures.
    """
    present = trainer.need_run().work.splits.present()
    if split is not None and split not in present:
        raise UsageError(f"There are no {split!r:.20} pictures.", hint=f"There are: {', '.join(present)}.")
    places: list[tuple[str, int]] = []
    if split is not None:
        rows = [int(name) if name.isdecimal() and len(name) < 12 else -1 for name in names if name]
        if any(not 0 <= row < len(present[split]) for row in rows):
            raise UsageError(f"There are {len(present[split]):,} {split} pictures.", hint="Rows are counted from 0.")
        places = [(split, row) for row in rows]
    else:
        wanted = set(names)
        found = {
            name: (of, row) for of, images in present.items() for row, name in enumerate(images.ids) if name in wanted
        }
        if missing := [name for name in names if name not in found]:
            raise UsageError(f"There is no picture {missing[0]!r:.80}.")
        places = [found[name] for name in names]
    pixels = [present[of].pixels[row] for of, row in places]
    shape = trainer.need_run().work.splits.train.shape
    return {
        "pictures": small_enough(np.stack(pixels) if pixels else np.empty((0, *shape), dtype=np.uint8), shape),
        "ids": [present[of].ids[row] for of, row in places],
        "labels": [int(present[of].labels[row]) for of, row in places],
    }
