"""Compare what can be learned from features of a pretrained network with what can be learned from pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from ..data.folds import USUAL, folds_of
from ..data.images import Images
from ..data.near_pairs import smaller
from ..records.scores import Score
from .audit.quick_model import out_of_fold
from .intervals import score

MOST = 2_000  # pictures that are compared


@dataclass(frozen=True)
class Compared:
    """How often a quick model is right in cross-validation, from features and from pixels."""

    features: Score
    pixels: Score

    @property
    def is_better(self) -> bool:
        """Whether features are right more often."""
        return self.features.correct > self.pixels.correct


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
