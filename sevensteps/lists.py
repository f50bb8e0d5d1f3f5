"""`first` and `L`: as much of fastcore's lists as the walk-through's readers type."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any


def first(x: Iterable[Any]) -> Any:
    """The first of anything that can be iterated, such as a loader's first batch; None of nothing."""
    return next(iter(x), None)


class L(list[Any]):
    """A list that takes a column out of its rows.

    >>> L([[0.7, 0.5], [0.6, 0.9]]).itemgot(1)
    [0.5, 0.9]
    """

    def map(self, f: Callable[[Any], Any]) -> L:
        """What `f` gives for each item."""
        return L(map(f, self))

    def itemgot(self, *places: Any) -> L:
        """Of each item the one at this place; of that the one at the next place, if there is one."""
        items = self
        for place in places:
            items = items.map(operator.itemgetter(place))
        return items
