"""Find out whether a model can tell the training pictures from the test pictures.

If it can, the two come from different distributions, and the result on the test pictures says less about new pictures
(Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", 2017).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from ...data.folds import folds_of
from ...records.audit import ToldApart
from ..intervals import newcombe_area
from ..roc_area import one_area
from .quick_model import MOST, Pictures, probabilities_of

FEWEST = 20  # pictures of each split, half of which the model is tested on


def told_apart(pictures: Pictures) -> ToldApart | None:
    """Measure how well a quick model tells test pictures from training pictures.

    It learns from one half of the pictures and is tested on the other, so the interval is for independent pictures.
    Copies and groups stay in one half. Scores are ranked within each class, so it does not matter if the shares of the
    classes differ between the splits.

    Args:
        pictures: The pictures of all splits.

    Returns:
        The area under the ROC curve with its interval, or None if a split has too few pictures.
    """
    rows = np.flatnonzero(np.isin(pictures.splits, ("train", "test")))
    is_test = (pictures.splits[rows] == "test").astype(np.int64)
    labels = pictures.labels[rows]
    if min(is_test.sum(), (1 - is_test).sum()) < FEWEST:
        return None
    groups = None if pictures.groups is None else pictures.groups[rows]
    halves = folds_of(2 * labels + is_test, 2 * len(pictures.classes), 2, 0, groups)
    scores = probabilities_of(pictures.components_of(rows)[0], is_test, 2, halves, MOST, only=1)[:, 1]
    judged = halves == 0
    ranks = np.empty(len(rows))
    for label in np.unique(labels[judged]):
        own = judged & (labels == label)
        ranks[own] = _shares_below(scores[own])
    positives, n = int(is_test[judged].sum()), int(judged.sum())
    if not 0 < positives < n:
        return None
    area = float(one_area(is_test[judged] == 1, ranks[judged])(np.ones((1, n)))[0])
    return ToldApart(area, newcombe_area(area, positives, n - positives), n)


def _shares_below(scores: Float32[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return the share of the scores that each score exceeds; equal ones count half."""
    inorder = np.sort(scores)
    below, up_to = (np.searchsorted(inorder, scores, side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * len(scores)))
