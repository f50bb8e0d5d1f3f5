"""Find pictures whose labels look wrong, from what a fast model says of pictures that it was not trained on.

The model is the one of `quick_model`, in five folds. Its probabilities go through confident learning (Northcutt, Jiang
and Chuang, "Confident learning: estimating uncertainty in dataset labels", Journal of Artificial Intelligence Research
70, 2021).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

from ...data.folds import USUAL, folds_of
from ...records.audit import Suspect
from .quick_model import MOST, Pictures, Probabilities, probabilities_of

FEWEST = 10  # pictures of a class: two in each fold; smaller classes are left out


WEAK = 0.5  # share of the labels: a model that agrees with fewer is more often wrong than the labels that it doubts


# Agreement beyond chance (Cohen's kappa) below which the model's doubts say more of it than of the labels: at 0.4, the
# border of "moderate" (Landis and Koch, 1977), it disagrees with 30 % of the labels of two equal classes. A model that
# is right on 95 % still passes where a quarter of the labels of two classes are wrong.
UNRELATED = 0.4


TOO_FEW = "this needs two classes with ten pictures each"


ONE_GROUP = "all pictures are copies of one another, or of one group"


TOO_WEAK = "a rough model agrees with fewer than half of your labels: too weak to judge them"


def suspects(pictures: Pictures) -> tuple[list[Suspect], str | None]:
    """Find the pictures of all splits whose labels look wrong.

    Copies of a picture, and pictures of one group, are kept in one fold: a copy with the same wrong label would
    otherwise confirm it.

    Args:
        pictures: The pictures of all splits.

    Returns:
        The suspects, the likeliest first, and None; or an empty list and the reason why labels could not be judged.
    """
    labels = pictures.labels
    counts = np.bincount(labels, minlength=len(pictures.classes))
    rows, classes = np.flatnonzero(counts[labels] >= FEWEST), np.flatnonzero(counts >= FEWEST)
    if len(classes) < 2:
        return [], TOO_FEW
    own = np.searchsorted(classes, labels[rows])
    groups = None if pictures.groups is None else pictures.groups[rows]
    folds = folds_of(own, len(classes), USUAL, 0, groups)
    if folds.max() < 1:
        return [], ONE_GROUP
    probabilities = probabilities_of(pictures.components_of(rows)[0], own, len(classes), folds, MOST)
    agreement, beyond_chance = agreed(probabilities.argmax(1), own, len(classes))
    if agreement < WEAK:
        return [], TOO_WEAK
    if beyond_chance < UNRELATED:
        guess = (1 - agreement) / (1 - beyond_chance)  # how often two unrelated ones would differ
        return [], (
            f"a rough model agrees with {agreement:.0%} of your labels, and guessing with {1 - guess:.0%}: too weak to "
            "judge them"
        )
    doubted, likely, scores = confident_learning(probabilities, own)
    return [
        Suspect(pictures.id_of(row), pictures.classes[labels[row]], pictures.classes[classes[other]], float(score))
        for row, other, score in zip(rows[doubted].tolist(), likely.tolist(), scores.tolist(), strict=True)
    ], None


def agreed(answers: Int64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], classes: int) -> tuple[float, float]:
    """Return how often answers and labels agree, and how often beyond chance.

    Cohen, "A coefficient of agreement for nominal scales" (1960).

    Args:
        answers: The answers.
        labels: The labels.
        classes: The number of classes.

    Returns:
        The share that agrees; and kappa: 0 for answers that have nothing to do with the labels, 1 for equal ones.
    """
    share = float((answers == labels).mean())
    counts = [np.bincount(values, minlength=classes) / len(values) for values in (answers, labels)]
    by_chance = float(counts[0] @ counts[1])
    return share, (share - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def confident_learning(
    probabilities: Probabilities, labels: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " suspects"], Int64[np.ndarray, " suspects"], Float32[np.ndarray, " suspects"]]:
    """Choose the rows whose labels look wrong.

    A picture counts for a class if its probability is at least the mean over the pictures with that label; if several
    classes qualify, for the most probable. The number of pictures that count for another class than their label (off
    the diagonal of the calibrated joint, equation 3 of the paper) is the number of suspects. Those with the lowest
    probability of their own label are taken, among pictures for which the model answers another class. Cleanlab's
    rules choose differently, and found no more of what was planted: bench/audit.py.

    Args:
        probabilities: Out-of-fold probabilities, one row for each picture.
        labels: The label of each picture.

    Returns:
        The rows, the likeliest first; the class that each looks like; and a score in [0, 1], which is 1 minus the
        probability of the label.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    # A class without labels has no mean, and no picture counts for it.
    thresholds = np.where(counts, np.bincount(labels, own, classes) / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)
    is_counted = confident.max(1) >= 0
    joint = np.bincount((labels * classes + confident.argmax(1))[is_counted], minlength=classes**2)
    joint = joint.reshape(classes, classes).astype(np.float64)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    joint *= (counts / joint.sum(1))[:, None]
    likely = probabilities.argmax(1)
    doubted = np.flatnonzero(likely != labels)
    doubted = doubted[np.argsort(own[doubted], kind="stable")][: round(joint.sum() - joint.trace())]
    return doubted, likely[doubted], 1 - own[doubted]
