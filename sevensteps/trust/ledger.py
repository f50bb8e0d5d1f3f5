"""The ledger of looks: how many distinct models have been tested on each test set, on this machine.

A result on test pictures is honest for a model that was chosen without them. If many models are tested on the same
pictures and the best is kept, its result is partly luck, so looks are counted. A model that is tested for the first
time is one look; testing it again is none, and models tested together, such as those of several seeds, are one. Dwork
et al., "The reusable holdout" (2015); Recht et al., "Do ImageNet classifiers generalize to ImageNet?" (2019).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base import files
from ..base.user_folders import state_folder
from ..errors import SevenstepsError

FILE = "looks.json"


def look(pictures: str, models: Sequence[str]) -> tuple[int, str | None]:
    """Count one look of models at test pictures.

    Args:
        pictures: The digest of the test pictures.
        models: The digests of the models that are tested together.

    Returns:
        The number of looks so far, and None or a sentence on why this one could not be counted, which never fails a
        run.
    """
    folder = state_folder()
    try:
        files.make_folder(folder)
        with files.locked(folder, wait=2.0):
            ledger = _read(folder / FILE)
            looks = ledger.setdefault(pictures, [])
            new = [model for model in models if not any(model in together for together in looks)]
            if new:
                looks.append(new)
                files.write(folder / FILE, json.dumps(ledger, sort_keys=True))
        return len(looks), None
    except SevenstepsError as error:
        return len(looks_at(pictures)) + 1, f"This look at the test pictures could not be counted: {error.message}"


def looks_at(pictures: str) -> list[list[str]]:
    """Return the looks at these test pictures so far: the digests of the models of each.

    Args:
        pictures: The digest of the test pictures.
    """
    try:
        return _read(state_folder() / FILE).get(pictures, [])
    except SevenstepsError:
        return []


def luck_of_the_best(looks: int, accuracy: float, n: int) -> float:
    """Return by how much the best of several equally good models is expected to look better than it is.

    This bounds the expected maximum of normal variables: the square root of 2 ln(looks) standard errors.

    Args:
        looks: The number of models.
        accuracy: The accuracy of the best, from 0 to 1.
        n: The number of test pictures.

    Returns:
        A share, from 0 to 1.
    """
    if looks < 2:
        return 0.0
    return math.sqrt(accuracy * (1 - accuracy) / n) * math.sqrt(2 * math.log(looks))


def _read(path: Path) -> dict[str, list[list[str]]]:
    """Read the ledger; rename a damaged one, and start again.

    Raises:
        FileError: If it is damaged and cannot be renamed.
    """
    try:
        ledger = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        ledger = None
    if isinstance(ledger, dict) and all(map(_is_looks, ledger.values())):
        return ledger
    files.rename(path, f"{path.stem}.damaged.json")
    return {}


def _is_looks(looks: Any) -> bool:
    """Return whether a value is a list of lists of text."""
    return isinstance(looks, list) and all(
        isinstance(together, list) and all(isinstance(model, str) for model in together) for together in looks
    )
