"""The ledger of looks at test pictures: how many distinct models each test set has judged, on this machine.

A figure on test pictures is honest for a model that was chosen without them. Whoever judges many models on the same
pictures and keeps the best one reports luck, too; so looks are counted. A look is a distinct model that is read on a
test set for the first time; judging it again is none, and models that are judged together, as those of several seeds,
are one. (Dwork et al., "The reusable holdout", 2015; Recht et al., "Do ImageNet classifiers generalize to ImageNet?",
2019.)
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
    """Count a look of these models, together, at these test pictures, and say how many there have been.

    Both are known by their digests. The second is why it could not be counted, if so: that never fails a run.
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
    """The looks there have been at these test pictures: the models of each."""
    try:
        return _read(state_folder() / FILE).get(pictures, [])
    except SevenstepsError:
        return []


def luck_of_the_best(looks: int, accuracy: float, n: int) -> float:
    """By how much the best of so many equally good models is expected to look better than it is, as a share.

    The expected maximum of normal variables, bounded by the square root of 2 ln(looks) standard errors.
    """
    if looks < 2:
        return 0.0
    return math.sqrt(accuracy * (1 - accuracy) / n) * math.sqrt(2 * math.log(looks))


def _read(path: Path) -> dict[str, list[list[str]]]:
    """The ledger; one that is damaged is put aside, and counting begins anew.

    Raises:
        FileError: it is damaged and cannot be put aside.
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
    """Whether it is a list of lists of words."""
    return isinstance(looks, list) and all(
        isinstance(together, list) and all(isinstance(model, str) for model in together) for together in looks
    )
