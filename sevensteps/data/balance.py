"""Balance: how far classes are from being equally frequent, and what makes them count alike. No torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from ..base.seeds import BALANCE, seed_of
from ..records.scores import Imbalance

# Times as many pictures of the largest class as of the smallest, above which it is said. Of two classes at 2 to 1,
# accuracy and balanced accuracy are apart by a sixth of what the two recalls are; at 9 to 1 by two fifths.
LOPSIDED = 2.0


# From here on the doctor calls it the cause of a bad result: whoever always answers the larger of two classes is right
# for 90 %.
VERY_LOPSIDED = 9.0


def imbalance_of(counts: Mapping[str, int]) -> Imbalance | None:
    """The largest and the smallest class, where one has more than twice the pictures of the other; else None.

    A class without pictures is left out: nothing can be learned of it, and it is no question of balance.

    >>> imbalance_of({"cat": 90, "dog": 30, "cow": 0}).ratio
    3.0
    """
    there = {name: count for name, count in counts.items() if count}
    if not there:
        return None
    largest, smallest = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
    if there[largest] <= LOPSIDED * there[smallest]:
        return None
    return Imbalance(largest, there[largest], smallest, there[smallest])


def class_weights(counts: Int64[np.ndarray, " classes"]) -> Float64[np.ndarray, " classes"]:
    """A weight for each class, inversely proportional to its pictures, with a mean of 1 over all pictures.

    A class without pictures has 1. (King and Zeng, "Logistic regression in rare events data", 2001; scikit-learn's
    "balanced".)

    >>> class_weights(np.array([90, 10])).round(3).tolist()
    [0.556, 5.0]
    """
    there = counts > 0
    weights = np.ones(len(counts))
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return weights


def balanced_rows(labels: Int64[np.ndarray, " n"], classes: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """As many rows as there are pictures, the same number of each class (give or take one): what an epoch is made of.

    The pictures of a class take turns: over epochs, each comes as often as any other of its class, give or take one. So
    an epoch has some of a large class, without one twice, and each of a small class several times. It is a pure
    function of (seed, epoch): an epoch begins where the one before ended in a row without end, in which all pictures
    of the class come in a new order each turn.
    """
    there = np.flatnonzero(np.bincount(labels, minlength=classes))
    size, more = divmod(len(labels), max(len(there), 1))
    chosen = [np.empty(0, dtype=np.int64)]
    for place, label in enumerate(there.tolist()):
        rows, count = np.flatnonzero(labels == label), size + (place < more)
        chosen.append(_in_turns(rows, epoch * count, (epoch + 1) * count, seed_of(seed, label)))
    return np.concatenate(chosen)


def _in_turns(rows: Int64[np.ndarray, " rows"], first: int, last: int, seed: int) -> Int64[np.ndarray, " some"]:
    """The places from `first` to before `last` of the row without end; of whole turns the order does not matter."""
    (turn, begin), (end_turn, end) = divmod(first, len(rows)), divmod(last, len(rows))

    def in_order(turn: int) -> Int64[np.ndarray, " rows"]:
        return np.random.default_rng(seed_of(seed, turn, BALANCE)).permutation(rows)

    if turn == end_turn:
        return in_order(turn)[begin:end]
    return np.concatenate([in_order(turn)[begin:], np.tile(rows, end_turn - turn - 1), in_order(end_turn)[:end]])
