"""The search among many pictures: it finds what comparing all with all finds, and says how much it may miss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typed import here

from sevensteps.data import near_search
from sevensteps.data.images import Images, Splits
from sevensteps.data.joined import Joined
from sevensteps.data.near_clusters import Clusters
from sevensteps.data.near_pairs import near_pairs
from sevensteps.data.near_search import copies_among
from sevensteps.trust.audit.copies import audit


def moved(pictures: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return the pictures moved by a pixel, with black at the edge."""
    _, _, height, width = pictures.shape
    return np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))[
        :, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width
    ]


def with_copies(pictures: np.ndarray) -> np.ndarray:
    """Return the pictures and 320 copies: 40 of each of eight shifts."""
    steps = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    some = [moved(pictures[40 * turn : 40 * turn + 40], *step) for turn, step in enumerate(steps)]
    return np.concatenate([pictures, *some])


@pytest.mark.parametrize("which", ["clothes", "digits"])
def test_the_search_finds_what_comparing_all_with_all_finds(
    which: str, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = (load_digits().images[:, None] * 255 / 16).round().astype(np.uint8)
    pixels = with_copies(splits.train.pixels[:4000] if which == "clothes" else small)
    exact = near_pairs(pixels)
    monkeypatch.setattr(near_search, "EXACT", 1000)
    found = copies_among(pixels)
    wanted = set(zip(exact.first.tolist(), exact.second.tolist(), strict=True))
    pairs = set(zip(found.pairs.first.tolist(), found.pairs.second.tolist(), strict=True))
    assert len(wanted) > 300
    assert len(wanted & pairs) >= 0.97 * len(wanted)
    assert len(pairs - wanted) <= 0.01 * len(wanted)
    assert found.reach is not None
    assert 0.9 <= found.reach <= 1
    again = copies_among(pixels)
    assert (again.pairs.first.tolist(), again.reach) == (found.pairs.first.tolist(), found.reach)


def test_few_pictures_are_all_compared() -> None:
    few = (load_digits().images[:300, None] * 255 / 16).round().astype(np.uint8)
    found, exact = copies_among(few), near_pairs(few)
    assert found.reach is None
    assert found.pairs.scores.tolist() == exact.scores.tolist()


def test_many_pictures_that_are_all_alike_end_in_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_search, "EXACT", 1000)
    random = np.random.default_rng(0)
    one = np.kron(random.integers(0, 255, (7, 7)), np.ones((4, 4)))
    alike = np.clip(one + random.integers(-2, 3, (1500, 1, 28, 28)), 0, 255).astype(np.uint8)
    found = copies_among(alike)
    assert len(found.pairs.first) < 1500 * 200
    assert (
        len(np.unique([found.pairs.first, found.pairs.second])) > 1350
    )  # each is like all others, but only the closest are looked at


def test_a_search_to_the_root_of_the_limit_misses_no_close_point() -> None:
    points = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    found = {
        (row, query)
        for rows, queries in Clusters(points).close_to(points[:500], 0.04, 0.2)
        for row, query in zip(rows.tolist(), queries.tolist(), strict=True)
    }
    squares = ((points[:500, None] - points[None]) ** 2).sum(2)
    wanted = {(row, query) for query, row in zip(*np.nonzero(squares < 0.0399), strict=True)}
    assert len(wanted) > 550
    assert wanted <= found
    assert all(squares[query, row] < 0.0401 for row, query in found)


def test_joined_pixels_are_those_of_one_array() -> None:
    random = np.random.default_rng(0)
    parts = [random.integers(0, 255, (count, 1, 3, 4)).astype(np.uint8) for count in (5, 1, 7)]
    whole, joined = np.concatenate(parts), Joined(parts)
    rows = np.array([12, 0, 5, 5, 7])
    assert joined.shape == whole.shape
    np.testing.assert_array_equal(joined[3:9], whole[3:9])
    np.testing.assert_array_equal(joined[10:99], whole[10:99])
    np.testing.assert_array_equal(joined[rows], whole[rows])
    np.testing.assert_array_equal(joined.take(rows)[1:4], whole[rows][1:4])
    np.testing.assert_array_equal(joined.take(rows).take(np.array([2, 0]))[:], whole[[5, 12]])
    np.testing.assert_array_equal(Joined(parts[:1])[2:4], parts[0][2:4])


def test_leaks_are_found_across_splits_in_a_search(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_search, "EXACT", 1000)
    train = splits.train[:1500]
    test = Images(moved(train.pixels[:100], 0, 1), train.labels[:100], train.classes, "test")
    found = audit(Splits(train, test), near=True)
    across = [ids for ids, _ in found.near_leaks if {f"train/{row}" for row in range(100)} & set(ids)]
    assert len(across) >= 95
    assert found.near_reach is not None


def test_the_command_says_how_far_the_search_reaches(
    tmp_path: Path, splits: Splits, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_search, "EXACT", 1000)
    some = splits.train[:1200]
    np.savez(  # noqa: TID251
        tmp_path / "clothes.npz", x_train=some.pixels[:, 0], y_train=some.labels, allow_pickle=False
    )
    found = json.loads(here("data", "clothes.npz", "--json", cwd=tmp_path, capsys=capsys).out)
    assert 0.9 <= found["near_reach"] <= 1
    assert found["not_looked_for"] == []
    printed = here("data", "clothes.npz", cwd=tmp_path, capsys=capsys).out
    assert f"this finds {100 * found['near_reach']:.1f} % of the copies that a full search finds" in printed
