"""Tests of `load`: a source by its name or its path."""

from __future__ import annotations

import numpy as np
import pytest

from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load
from sevensteps.data.sources.named import SOURCES
from sevensteps.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("pulover-dress", "Did you mean 'pullover-dress'?"),
        ("Fashion_MNIST", "Did you mean 'fashion-mnist'?"),
        ("nowhere/at/all", "the sources with a name are pullover-dress and fashion-mnist."),
    ],
)
def test_an_unknown_source_is_refused_with_a_suggestion(source: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        load(source)
    assert repr(source) in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("source", [None, 3, object()])
@pytest.mark.usefixtures("without_shape_checks")
def test_only_a_name_a_path_a_table_or_a_dataset_is_a_source(source: object) -> None:
    with pytest.raises(UsageError, match="must be a name, a path, a table or a dataset"):
        load(source)  # type: ignore[arg-type]


def test_every_source_says_its_name(splits: Splits) -> None:
    assert {"pullover-dress", "fashion-mnist"} <= set(SOURCES)
    assert splits.source == "pullover-dress"
    assert splits.choose(["Dress", "Pullover"]).source == "pullover-dress"


def test_classes_in_another_order_swap_the_labels(splits: Splits) -> None:
    swapped = load("pullover-dress", classes=["Dress", "Pullover"])
    assert swapped.classes == ("Dress", "Pullover")
    np.testing.assert_array_equal(swapped.train.labels, 1 - splits.train.labels)
    np.testing.assert_array_equal(swapped.train.pixels, splits.train.pixels)


def test_loading_the_embedded_pictures_says_nothing() -> None:
    said: list[str] = []
    load("pullover-dress", say=said.append)
    assert said == []
