"""Names that users of fastai have in their fingers and that are called otherwise here, or that nothing here needs."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from ..errors import UsageError

P = ParamSpec("P")


T = TypeVar("T")


def instead_of(**hints: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function answer these arguments, which it does not have, with what to write in their place.

    >>> @instead_of(bs="Call it batch_size.")
    ... def load(batch_size: int) -> None: ...
    >>> load(bs=64)
    Traceback (most recent call last):
    sevensteps.errors.UsageError: load() has no argument bs.
    Call it batch_size.

    The function raises:
        UsageError: it was given one of them.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def answering(*arguments: P.args, **settings: P.kwargs) -> T:
            for name in [name for name in settings if name in hints]:
                given = settings.pop(name)
                if given is not None and given != []:  # which ask for nothing
                    called = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
                    raise UsageError(f"{called}() has no argument {name}.", hint=hints[name])
            return function(*arguments, **settings)

        return answering

    return decorate


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
