"""Stores: sets larger than memory as one file; the same pictures, every one once an epoch, and no damage unnoticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import images

from sevensteps.data.images import Splits
from sevensteps.data.prepare import prepare
from sevensteps.data.store import open_store
from sevensteps.data.streams import of_splits

SET = Splits(images(1000, (2, 5, 7), 3), images(60, (2, 5, 7), 3, seed=2), source="made up")
AT_ONCE = 7000  # bytes: a hundred pictures of that set, so that there are ten chunks and nine buckets


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of it."""
    target = tmp_path_factory.mktemp("store") / "x.store"
    prepare(of_splits(SET), target, at_once=AT_ONCE)
    return target


def test_a_store_has_the_pictures_of_its_source_and_the_same_held_out(path: Path) -> None:
    found, kept = open_store(path), SET.hold_out()
    assert (found.classes, found.source, found.train.shape) == (SET.classes, "made up", (2, 5, 7))
    assert found.test is not None
    assert found.valid is not None
    assert kept.test is not None
    assert kept.valid is not None
    assert found.test.fingerprint == kept.test.fingerprint
    assert found.valid.ids == kept.valid.ids
    assert found.valid.fingerprint == kept.valid.fingerprint
    assert sorted(found.train.rows) == kept.train.rows.tolist()
    again = SET.train.take(np.array(found.train.rows))
    assert found.train.fingerprint == again.fingerprint
    assert found.train.ids == again.ids
    np.testing.assert_array_equal(found.train.pixels, again.pixels)
    np.testing.assert_array_equal(found.train.value_counts, again.value_counts)


def test_its_training_pictures_are_in_a_random_order_that_the_seed_gives(tmp_path: Path) -> None:
    orders = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(of_splits(SET), tmp_path / name, seed=seed, at_once=AT_ONCE)
        orders.append(open_store(tmp_path / name).train.rows.tolist())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert orders[0] != orders[2]
    # Of neighbors each is the larger one half of the time, and a tenth of the file is from the whole source.
    rises = (np.diff(orders[0]) > 0).mean()
    assert 0.45 < rises < 0.55
    assert abs(np.mean(orders[0][:90]) - 500) < 120
