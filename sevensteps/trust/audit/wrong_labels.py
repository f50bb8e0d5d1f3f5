"""Suspects: pictures whose labels look wrong, from what a fast model says of pictures that it has not learned from.

The model is the one of `quick`, in five folds. Then comes confident learning (Northcutt, Jiang and Chuang, "Confident
learning: estimating uncertainty in dataset labels", Journal of Artificial Intelligence Research 70, 2021).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

from ...data.folds import USUAL, folds_of
from ...records.audit import Suspect
from .quick_model import Pictures, Probabilities, out_of_fold

FEWEST = 10  # pictures of a class, of which two are in each fold; those of smaller classes are not looked at


def suspects(pictures: Pictures) -> list[Suspect] | None:
    """Pictures of any split whose labels look wrong, the likeliest first.

    Copies, and pictures of one group, are in one fold, so that no wrong label is vouched for by its own copy. It is
    None where nothing could be looked for: where fewer than two classes have ten pictures.
    """
    labels = pictures.labels
    counts = np.bincount(labels, minlength=len(pictures.classes))
    rows, known = np.flatnonzero(counts[labels] >= FEWEST), np.flatnonzero(counts >= FEWEST)
    if len(known) < 2:
        return None
    of_known = np.searchsorted(known, labels[rows])
    groups = None if pictures.groups is None else pictures.groups[rows]
    folds = folds_of(of_known, len(known), USUAL, 0, groups)
    probabilities = out_of_fold(pictures.pixels[rows], of_known, len(known), folds)
    found, likely, scores = confident_learning(probabilities, of_known)
    return [
        Suspect(pictures.ids[row], pictures.classes[labels[row]], pictures.classes[known[other]], float(score))
        for row, other, score in zip(rows[found].tolist(), likely.tolist(), scores.tolist(), strict=True)
    ]


def confident_learning(
    probabilities: Probabilities, labels: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"], Float32[np.ndarray, " found"]]:
    """Rows whose labels look wrong, the likeliest first, the class that each looks like, and a score in [0, 1].

    A picture is counted for a class where its probability is at least the mean over the pictures that have that label,
    and for the most probable of these. So many as are counted for another class than their label (off the diagonal of
    the calibrated joint, equation 3 of the paper) are suspects: those whose labels have the lowest probabilities, of
    the ones for which the model answers another class. Taking them by cleanlab's rules, which leave out others, found
    no more of what was planted: bench/audit.py. The score is one less the label's probability.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    # A class without labels has no mean, and nothing is counted for it.
    thresholds = np.where(counts, np.bincount(labels, own, classes) / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)
    is_counted = confident.max(1) >= 0
    joint = np.bincount((labels * classes + confident.argmax(1))[is_counted], minlength=classes**2)
    joint = joint.reshape(classes, classes).astype(np.float64)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    joint *= (counts / joint.sum(1))[:, None]
    likely = probabilities.argmax(1)
    found = np.flatnonzero(likely != labels)
    found = found[np.argsort(own[found], kind="stable")][: round(joint.sum() - joint.trace())]
    return found, likely[found], 1 - own[found]
