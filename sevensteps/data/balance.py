"""Balance: how far classes are from being equally frequent, and how to make them count equally. No torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from ..base.seeds import BALANCE, seed_of
from ..records.scores import Imbalance

# The ratio of the largest class to the smallest above which it is reported. For two classes at 2 to 1, accuracy and
# balanced accuracy differ by a sixth of the difference between the two recalls; at 9 to 1 by two fifths.
LOPSIDED = 2.0


# From this ratio on, the doctor calls imbalance the cause of a bad result: a model that always answers the larger of
# two classes is right for 90 % of the pictures.
VERY_LOPSIDED = 9.0


def imbalance_of(counts: Mapping[str, int]) -> Imbalance | None:
    """Return the largest and the smallest class if one has more than twice the pictures of the other.

    A class without pictures does not count: nothing can be learned about it, which is not a question of balance.

    Args:
        counts: The number of pictures of each class.

    Returns:
        The two classes with their counts, or None.

    >>> imbalance_of({"cat": 90, "dog": 30, "cow": 0}).ratio
    3.0
    """
    present = {name: count for name, count in counts.items() if count}
    if not present:
        return None
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    if present[largest] <= LOPSIDED * present[smallest]:
        return None
    return Imbalance(largest, present[largest], smallest, present[smallest])


def class_weights(counts: Int64[np.ndarray, " classes"]) -> Float64[np.ndarray, " classes"]:
    """Return a weight for each class, inversely proportional to its number of pictures.

    King and Zeng, "Logistic regression in rare events data" (2001); scikit-learn calls it "balanced".

    Args:
        counts: The number of pictures of each class.

    Returns:
        The weights, whose mean over all pictures is 1. A class without pictures has 1.

    >>> class_weights(np.array([90, 10])).round(3).tolist()
    [0.556, 5.0]
    """
    present = counts > 0
    weights = np.ones(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def balanced_rows(labels: Int64[np.ndarray, " n"], classes: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """Choose the pictures of an epoch with the same number of each class, give or take one.

    The pictures of a class take turns: over many epochs, each occurs as often as any other of its class, give or take
    one. So an epoch has some pictures of a large class, none of them twice, and every picture of a small class several
    times. The pictures of a class form an endless sequence with a new order in each turn, and every epoch continues
    where the one before ended. So the choice is a pure function of (seed, epoch).

    Args:
        labels: The label of each picture.
        classes: The number of classes.
        seed: The seed of the run.
        epoch: The epoch, from 0.

    Returns:
        As many rows as there are pictures, sorted by class.
    """
    present = np.flatnonzero(np.bincount(labels, minlength=classes))
    size, more = divmod(len(labels), max(len(present), 1))
    chosen = [np.empty(0, dtype=np.int64)]
    for place, label in enumerate(present.tolist()):
        rows, count = np.flatnonzero(labels == label), size + (place < more)
        chosen.append(_in_turns(rows, epoch * count, (epoch + 1) * count, seed_of(seed, label)))
    return np.concatenate(chosen)


def _in_turns(rows: Int64[np.ndarray, " rows"], first: int, last: int, seed: int) -> Int64[np.ndarray, " some"]:
    """Return part of the endless sequence, from `first` to before `last`; whole turns need no order."""
    (turn, begin), (end_turn, end) = divmod(first, len(rows)), divmod(last, len(rows))

    def in_order(turn: int) -> Int64[np.ndarray, " rows"]:
        return np.random.default_rng(seed_of(seed, turn, BALANCE)).permutation(rows)

    if turn == end_turn:
        return in_order(turn)[begin:end]
    return np.concatenate([in_order(turn)[begin:], np.tile(rows, end_turn - turn - 1), in_order(end_turn)[:end]])
