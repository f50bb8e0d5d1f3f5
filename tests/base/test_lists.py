"""`first` and `L`: what readers of the walk-through use from fastcore."""

from __future__ import annotations

from small import loaders

from sevensteps.base.fastai import L, first


def test_first_is_the_first_and_of_nothing_none() -> None:
    x, y = first(loaders().train)
    assert (len(x), len(y)) == (16, 16)
    assert first(iter([])) is None


def test_itemgot_takes_a_column_and_of_that_another() -> None:
    rows = L([[1, (2, 3)], [4, (5, 6)]])
    assert rows.itemgot(0) == [1, 4]
    assert rows.itemgot(1, 0) == [2, 5]
    assert rows.itemgot(0).map(str) == L(["1", "4"])
