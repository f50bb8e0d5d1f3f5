"""Balance: how far the classes are from being equally frequent. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from ..records import Imbalance

# Times as many pictures of the largest class as of the smallest, above which it is said. Of two classes at 2 to 1,
# accuracy and balanced accuracy are apart by a sixth of what the two recalls are; at 9 to 1 by two fifths.
LOPSIDED = 2.0


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
