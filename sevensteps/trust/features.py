"""Compare what can be learned from features of a pretrained network with what can be learned from pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt8

from ..data.folds import USUAL, folds_of
from ..data.images import Images
from ..data.near_pairs import smaller
from ..records.scores import Score
from .audit.quick_model import out_of_fold
from .intervals import score

Choice = Literal["features", "pixels", "scratch"]


MOST = 2_000  # pictures that are compared


@dataclass(frozen=True)
class Compared:
    """How often a model is right in cross-validation: a quick one of features and of pixels, a network from scratch."""

    features: Score
    pixels: Score
    scratch: Score | None = None  # on all pictures, where the others are on at most 2,000

    @property
    def best(self) -> Choice:
        """Which is right most often; of equal ones pixels, then features."""
        known: dict[Choice, float] = {"pixels": self.pixels.accuracy, "features": self.features.accuracy}
        if self.scratch is not None:
            known["scratch"] = self.scratch.accuracy
        return max(known, key=lambda name: known[name])


def compared(train: Images, seed: int = 0) -> Compared | None:
    """Compare features and pixels by cross-validation on training pictures; None if a class has too few.

    Args:
        train: Training pictures with features. At most 2,000 are used, chosen at random.
        seed: Decides the folds, and which pictures are used.
    """
    counts = np.bincount(train.labels, minlength=len(train.classes))
    folds = min(USUAL, int(counts.max()))
    if folds < 2:
        return None
    if len(train) > MOST:
        train = train.take(np.sort(np.random.default_rng(seed).permutation(len(train))[:MOST]))
    groups = None if train.groups is None else train.groups[train.rows]
    places = folds_of(train.labels, len(train.classes), folds, seed, groups)

    def right(inputs: UInt8[np.ndarray, "n channels height width"], places: Int64[np.ndarray, " n"]) -> Score:
        answers = out_of_fold(inputs, train.labels, len(train.classes), places).argmax(1)
        return score("train", int((answers == train.labels).sum()), len(train))

    return Compared(right(train.inputs, places), right(smaller(train.pixels), places))
