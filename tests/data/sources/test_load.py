"""Tests of `load`: a source by its name or its path."""

from __future__ import annotations

import numpy as np
import pytest

from sevensteps.data.images import Splits
from sevensteps.data.sources.fashion_facts import SETS
from sevensteps.data.sources.load import load
from sevensteps.data.sources.named import SOURCES
from sevensteps.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("pulover-dress", "Did you mean 'pullover-dress'?"),
        ("Fashion_MNIST", "Did you mean 'fashion-mnist'?"),
        ("nowhere/at/all", "the sources with a name are pullover-dress, fashion-mini and fashion-mnist."),
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
    assert {"pullover-dress", "fashion-mini", "fashion-mnist"} <= set(SOURCES)
    assert splits.source == "pullover-dress"
    assert splits.choose(["Dress", "Pullover"]).source == "pullover-dress"


def test_classes_in_another_order_swap_the_labels(splits: Splits) -> None:
    swapped = load("pullover-dress", classes=["Dress", "Pullover"])
    assert swapped.classes == ("Dress", "Pullover")
    np.testing.assert_array_equal(swapped.train.labels, 1 - splits.train.labels)
    np.testing.assert_array_equal(swapped.train.pixels, splits.train.pixels)


def test_fashion_mini_has_ten_classes_and_none_of_its_training_pictures_is_a_test_picture(splits: Splits) -> None:
    mini = load("fashion-mini")
    assert mini.source == "fashion-mini"
    assert mini.train.counts == dict.fromkeys(SETS["fashion-mini"].classes, 700)
    assert mini.test is not None
    assert splits.test is not None
    assert mini.test.counts == dict.fromkeys(SETS["fashion-mini"].classes, 300)
    learned = {picture.tobytes() for picture in mini.train.pixels}
    assert len(learned) == 7_000
    assert not learned & {picture.tobytes() for picture in [*mini.test.pixels, *splits.test.pixels]}
    first = mini.train.pixels[mini.train.labels == mini.classes.index("Dress")]
    np.testing.assert_array_equal(first, splits.train.pixels[splits.train.labels == 1][:700])


def test_loading_the_embedded_pictures_says_nothing() -> None:
    said: list[str] = []
    load("pullover-dress", say=said.append)
    assert said == []
