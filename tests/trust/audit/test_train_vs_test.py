"""Train against test: what was dealt from one pile is not told apart, and what was made another way is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sevensteps.data.images import Images, Splits
from sevensteps.records.audit import ToldApart
from sevensteps.trust.audit import train_vs_test
from sevensteps.trust.audit.quick_model import pictures_of
from sevensteps.trust.audit.train_vs_test import told_apart


def dealt(splits: Splits, seed: int, count: int = 2000) -> tuple[Images, Images]:
    """Pictures of the training set, dealt at random into two parts, a fifth in the second."""
    rows = np.random.default_rng(seed).permutation(len(splits.train))[:count]
    test = dataclasses.replace(splits.train.take(rows[: count // 5]), origin="test")
    return splits.train.take(rows[count // 5 :]), test


def told(train: Images, test: Images) -> ToldApart:
    pictures = pictures_of(Splits(train, test))
    found = told_apart(pictures)
    assert found is not None
    return found


@pytest.mark.parametrize(("times", "off", "most"), [(10, 0.03, 3), pytest.param(40, 0.015, 6, marks=pytest.mark.slow)])
def test_what_was_dealt_from_one_pile_is_not_told_apart(splits: Splits, times: int, off: float, most: int) -> None:
    """Of 40 intervals of 95 % more than 6 leave chance out in one of three hundred such tests; of 10 more than 3."""
    found = [told(*dealt(splits, seed)) for seed in range(times)]
    assert sum(not one.interval.low <= 0.5 <= one.interval.high for one in found) <= most
    assert abs(np.mean([one.area for one in found]) - 0.5) < off
    assert sum(one.is_told for one in found) <= most - 2


def test_pictures_made_another_way_are_told_apart(splits: Splits) -> None:
    train, test = dealt(splits, 0)
    moved = told(train, dataclasses.replace(test, pixels=np.roll(test.pixels, 1, axis=3)))
    assert moved.is_told
    assert moved.area > 0.9
    brighter = dataclasses.replace(test, pixels=np.clip(test.pixels * 1.2, 0, 255).astype(np.uint8))
    assert told(train, brighter).is_told


def test_other_shares_of_the_classes_are_no_difference(splits: Splits) -> None:
    train, test = dealt(splits, 0, 4000)
    few = np.flatnonzero((test.labels == 0) | (np.arange(len(test)) % 8 == 0))
    found = told(train, test.take(few))
    assert found.interval.low <= 0.5 <= found.interval.high
    pictures = pictures_of(Splits(train, test.take(few)))
    # A model that knows the class alone would tell them apart.
    assert roc_auc_score(pictures.splits == "test", pictures.labels == 0) > 0.6


def test_few_are_not_compared(splits: Splits) -> None:
    train, test = dealt(splits, 0, 200)
    pictures = pictures_of(Splits(train, test.take(np.arange(19))))
    assert told_apart(pictures) is None


def test_of_many_pictures_some_are_learned_from_and_all_of_one_half_are_answered(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = dealt(splits, 0)
    moved = dataclasses.replace(test, pixels=np.roll(test.pixels, 1, axis=3))
    of_all = told(train, moved)
    monkeypatch.setattr(train_vs_test, "MOST", 1200)
    of_some = told(train, moved)
    assert of_some.n == of_all.n
    assert of_some.is_told
    assert abs(of_some.area - of_all.area) < 0.05
