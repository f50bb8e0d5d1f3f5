"""Help for users of fastai: arguments that have another name here or are not needed, and two helpers of its lessons."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from ..errors import UsageError

P = ParamSpec("P")


T = TypeVar("T")


def instead_of(**hints: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function explain arguments that it does not have.

    Args:
        hints: For each such argument, what to write instead.

    Returns:
        A decorator. The decorated function raises a UsageError if it is given one of these arguments.
    >>> @instead_of(bs="Call it batch_size.")
    ... def load(batch_size: int) -> None: ...
    >>> load(bs=64)
    Traceback (most recent call last):
    sevensteps.errors.UsageError: load() has no argument bs.
    Call it batch_size.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def answering(*arguments: P.args, **settings: P.kwargs) -> T:
            for name in [name for name in settings if name in hints]:
                value = settings.pop(name)
                if value is not None and value != []:  # None and [] ask for nothing
                    called = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
                    raise UsageError(f"{called}() has no argument {name}.", hint=hints[name])
            return function(*arguments, **settings)

        return answering

    return decorate


def first(x: Iterable[Any]) -> Any:
    """Return the first item of an iterable, such as the first batch of a loader.

    Args:
        x: Any iterable.

    Returns:
        The item, or None if there is none.
    """
    return next(iter(x), None)


class L(list[Any]):
    """A list with two methods of fastai's: `map`, and `itemgot`, which takes a column out of rows.

    >>> L([[0.7, 0.5], [0.6, 0.9]]).itemgot(1)
    [0.5, 0.9]
    """

    def map(self, f: Callable[[Any], Any]) -> L:
        """Return `f(item)` for each item, as an `L`.

        Args:
            f: A function of one argument.
        """
        return L(map(f, self))

    def itemgot(self, *places: Any) -> L:
        """Return `item[place]` for each item, as an `L`.

        Args:
            places: An index or a key; with several, `item[places[0]][places[1]]` and so on.
        """
        items = self
        for place in places:
            items = items.map(operator.itemgetter(place))
        return items
