"""Near-copies: planted ones are found among real pictures, almost nothing else is, and they stay in one split."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.datasets import load_digits
from typed import here

from sevensteps.data.images import Images, Splits
from sevensteps.data.near_copies import Passing, groups_of, kept_together, known_pairs
from sevensteps.data.near_pairs import Pairs, near_pairs
from sevensteps.recipes.recipe import Recipe
from sevensteps.runs.pictures import open_source
from sevensteps.trust.audit.copies import audit


def jpeg(picture: np.ndarray) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=80)
    return np.asarray(Image.open(content))


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    other = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(other.resize(picture.shape[::-1], Image.Resampling.BILINEAR))


def shifted(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, 1)[:-2, 2:]


def digits() -> np.ndarray:
    return np.asarray((load_digits().images * 255 / 16).round().astype(np.uint8))


def with_copies(pictures: np.ndarray, side: int) -> np.ndarray:
    """Return the pictures and a copy of each of the first 150: 50 as JPEG, 50 resized, 50 shifted."""
    made = [jpeg(one) for one in pictures[:50]] + [resized(one, side) for one in pictures[50:100]]
    return np.concatenate([pictures, made, [shifted(one) for one in pictures[100:150]]])[:, None]


@pytest.mark.parametrize(("which", "side"), [("digits", 12), ("digits", 6), ("clothes", 42), ("clothes", 21)])
def test_planted_copies_are_found_and_next_to_nothing_else(which: str, side: int, splits: Splits) -> None:
    pictures = digits() if which == "digits" else splits.train.pixels[:3000, 0]
    pairs = near_pairs(with_copies(pictures, side))
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    planted = {(row, len(pictures) + row) for row in range(150)}
    assert len(found & planted) >= 0.95 * len(planted)
    assert len(found - planted) <= 0.02 * len(planted)  # of clothes three, among them copies that nobody planted
    assert ((pairs.scores >= 0.5) & (pairs.scores <= 1)).all()


def test_large_pictures_in_color_are_told_apart_by_color() -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (20, 6, 6, 3)).astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(one).resize((96, 96), Image.Resampling.BICUBIC)) for one in coarse])
    moved = np.concatenate([large[:, :1], large[:, :-1]], axis=1)
    pixels = np.concatenate([large, np.roll(large, 1, axis=3), moved]).transpose(0, 3, 1, 2)
    pairs = near_pairs(np.ascontiguousarray(pixels))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(row, 40 + row) for row in range(20)]


def test_few_pictures_are_no_copies() -> None:
    assert len(near_pairs(digits()[:1, None]).first) == 0
    assert len(near_pairs(digits()[:0, None]).first) == 0


def without_contrast() -> np.ndarray:
    """Return six dark pictures, and each once more: what no blur explains says nothing of them."""
    dark = np.random.default_rng(0).integers(0, 6, (6, 1, 40, 40)).astype(np.uint8)
    dark[5] = 90
    return np.concatenate([dark, dark])


def test_exact_copies_without_contrast_are_copies_and_nothing_else_is() -> None:
    pairs = near_pairs(without_contrast())
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(row, 6 + row) for row in range(6)]
    assert pairs.scores.tolist() == [1.0] * 6
    assert len(near_pairs(np.arange(9, dtype=np.uint8).repeat(64).reshape(9, 1, 8, 8)).first) == 0


def test_pictures_that_arrive_one_by_one_are_told_apart_at_their_full_size() -> None:
    pixels = np.zeros((4, 1, 64, 64), dtype=np.uint8)
    pixels[1, 0, 0, 0] = pixels[3, 0, 0, 0] = 1  # which the mean over blocks of pixels loses
    passing = Passing((1, 64, 64), 4)
    for picture in pixels:
        passing.add(picture)
    pairs = passing.pairs()
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 2), (1, 3)]


def test_blank_pictures_are_held_out_together(tmp_path: Path) -> None:
    for row, picture in enumerate(digits()[:120]):
        (tmp_path / f"digit {row % 2}").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / f"digit {row % 2}/{row}.png")
        if row < 20:
            Image.new("L", (8, 8), 200).save(tmp_path / f"digit 0/blank {row}.png")
    recipe = Recipe.load("linear").replace(source=str(tmp_path), folds=1)
    splits = recipe.held_out(open_source(recipe, lambda event: None))
    count = [sum("blank" in name for name in images.ids) for images in splits.present().values()]
    assert sorted(count) == [0, 0, 20]


def test_copies_join_the_groups_that_there_are() -> None:
    pixels = np.concatenate([digits()[:6], digits()[:1]])[:, None]
    groups = np.array([-1, 5, 5, -1, -1, 5, -1, 9])
    images = Images(
        pixels, np.zeros(7, dtype=np.int64), ("a", "b"), rows=np.array([7, 1, 2, 3, 4, 5, 0]), groups=groups
    )
    together, copies = kept_together(images)
    assert copies == 2
    assert together.groups is not None
    found = together.groups[together.rows]
    assert found[0] == found[6] >= 0
    assert found[1] == found[2] == found[5] >= 0
    assert found[0] != found[1]
    assert found[[3, 4]].tolist() == [-1, -1]
    assert (groups_of(near_pairs(pixels), 7) >= 0).sum() == 2


def test_leaks_are_told_from_duplicates_and_exact_from_near() -> None:
    some = digits()[:60]
    train = np.concatenate([some, [some[0], jpeg(some[1]), jpeg(some[1])]])[:, None]
    test = np.stack([some[5], jpeg(some[6]), digits()[100]])[:, None]
    images = [
        Images(p, np.zeros(len(p), dtype=np.int64), ("a", "b"), name) for p, name in ((train, "train"), (test, "test"))
    ]
    found = audit(Splits(images[0], images[1]), near=True)
    assert found.duplicates == [["train/0", "train/60"], ["train/61", "train/62"]]
    assert found.leaks == [["train/5", "test/0"]]
    assert [ids for ids, _ in found.near_duplicates] == [["train/1", "train/61"]]
    assert [ids for ids, _ in found.near_leaks] == [["train/6", "test/1"]]
    assert all(0.5 <= score < 1 for _, score in found.near_duplicates + found.near_leaks)
    assert audit(Splits(images[0], images[1])).near_duplicates == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder of 400 digits, with a copy as JPEG of each of the first 60."""
    folder = tmp_path_factory.mktemp("digits")
    for row, (picture, label) in enumerate(zip(digits()[:400], load_digits().target, strict=False)):
        place = folder / f"digit {label}"
        place.mkdir(exist_ok=True)
        Image.fromarray(picture).save(place / f"{row}.png")
        if row < 60:
            Image.fromarray(picture).save(place / f"{row} copy.jpg", quality=80)
    return folder


def test_copies_stay_on_one_side_when_pictures_are_held_out(folder: Path) -> None:
    said: list[str] = []
    recipe = Recipe.load("linear").replace(source=str(folder), folds=1)
    splits = recipe.held_out(open_source(recipe, lambda event: said.append(str(event))))
    assert any("120 pictures are exact or near copies of others" in line for line in said)
    side = {name: split for split in ("train", "valid", "test") for name in getattr(splits, split).ids}
    assert len(side) == 460
    pairs = [(name, name.replace(" copy.jpg", ".png")) for name in side if name.endswith(".jpg")]
    assert len(pairs) == 60
    assert all(side[one] == side[other] for one, other in pairs)
    assert {side[one] for one, _ in pairs} == {"train", "valid", "test"}


def test_the_embedded_pictures_are_split_as_ever(splits: Splits) -> None:
    recipe = Recipe.load("linear")
    opened = open_source(recipe, lambda event: None)
    assert opened.train.groups is None
    assert opened.train.fingerprint == splits.train.fingerprint


def test_the_command_gives_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("data", str(folder), "--json", cwd=folder, capsys=capsys)
    found = json.loads(done.out)
    assert len(found["duplicates"]) == 60
    assert all(set(group) == {"pictures", "score"} and 0.5 <= group["score"] < 1 for group in found["duplicates"])
    assert found["leaks"] == []
    assert "near-duplicates" not in found["not_looked_for"]
    words = here("data", str(folder), cwd=folder, capsys=capsys)
    assert "near-duplicates within a split: 60 groups, the most similar first (similarity, pictures):" in words.out


def test_pictures_that_were_compared_before_are_not_compared_again(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path))
    some = splits.train[:2500]
    first = known_pairs(some)
    (kept,) = tmp_path.glob("near/*.json")
    found = json.loads(kept.read_text())
    assert found["first"] == first.first.tolist()
    kept.write_text(json.dumps({"first": [0], "second": [1], "scores": [0.5]}))
    assert known_pairs(some).second.tolist() == [1]
    beyond = {"first": [0], "second": [9999], "scores": [1]}
    for damage in ("{", "[]", json.dumps(beyond), json.dumps({**beyond, "first": [0, 1]})):
        kept.write_text(damage)
        again = known_pairs(some)
        assert again.first.tolist() == first.first.tolist()
        assert again.scores.tolist() == first.scores.tolist()


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)).filter(lambda pair: pair[0] != pair[1]), max_size=40))
def test_groups_are_the_connected_components_of_pairs(found: list[tuple[int, int]]) -> None:
    first, second = (np.array([pair[side] for pair in found], dtype=np.int64) for side in (0, 1))
    groups = groups_of(Pairs(first, second, np.ones(len(found))), 30)
    _, wanted = connected_components(coo_array((np.ones(len(found)), (first, second)), shape=(30, 30)), False)
    together = groups[:, None] == groups[None]
    alone = groups == -1
    assert (alone == (np.bincount(wanted)[wanted] == 1)).all()
    assert (together[~alone][:, ~alone] == (wanted[:, None] == wanted[None])[~alone][:, ~alone]).all()
