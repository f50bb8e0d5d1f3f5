"""A folder in a store: pictures keep their names, and copies and groups stay in one split, as in training."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from folders import digits_in, loaded, png, put
from PIL import Image
from typed import here, refused

import sevensteps as ss
from sevensteps.data import near_copies, near_pairs, near_search
from sevensteps.data.files.how import How
from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load, load_streams
from sevensteps.data.store.names import Names, encoded
from sevensteps.data.store.prepare import prepare
from sevensteps.data.store.store import open_store, verify_store
from sevensteps.errors import DataError

NASTY = [
    "new\nline.png",
    "tab\t.png",
    "\x1b[31mred.png",
    "quo'te\".png",
    "naïve é 漢字.png",
    "\u202eright.png",
    "%s{0}.png",
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 300 digits, with a copy of every third that was enlarged and reduced again."""
    everything = digits_in(tmp_path_factory.mktemp("all"))
    folder = tmp_path_factory.mktemp("some") / "digits"
    for number, path in enumerate(sorted(everything.glob("*/*.png"))[::6]):
        target = put(folder, f"{path.parent.name}/{path.name}", content=path.read_bytes())
        if number % 3 == 0:
            with Image.open(path) as image:
                image.resize((12, 12)).resize((8, 8)).save(target / path.parent.name / f"copy-of-{path.name}")
    return folder


def test_what_is_held_out_when_prepared_is_what_training_on_the_folder_holds_out(digits: Path, tmp_path: Path) -> None:
    said: list[str] = []
    prepare(load_streams(digits, said.append), tmp_path / "x.store")
    assert any("pictures are exact or near copies of others" in line for line in said)
    stored = ss.train(tmp_path / "x.store", epochs=1, out=tmp_path / "a")
    folder = ss.train(digits, recipe="linear", epochs=1, folds=1, out=tmp_path / "b")
    for split in ("test", "valid"):
        ids = list(stored.tables[split].ids)
        assert ids == list(folder.tables[split].ids)
        assert all((digits / name).is_file() for name in ids)


def test_copies_are_on_one_side_of_every_split(digits: Path, tmp_path: Path) -> None:
    prepare(load_streams(digits), tmp_path / "x.store")
    found = open_store(tmp_path / "x.store")
    side = {
        name: split
        for split, images in (("train", found.train), ("valid", found.valid), ("test", found.test))
        if images is not None
        for name in images.ids
    }
    assert len(side) == len(list(digits.glob("*/*.png")))
    pairs = near_pairs.near_pairs(load(digits).train.pixels)
    ids = load(digits).train.ids
    assert len(pairs.first) > 80
    assert all(side[ids[a]] == side[ids[b]] for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_groups_and_copies_are_kept_together_at_once(digits: Path, tmp_path: Path) -> None:
    how = How(group=r"/(?:copy-of-)?(\d)")
    prepare(load_streams(digits, how=how), tmp_path / "x.store")
    found = open_store(tmp_path / "x.store")
    sides: dict[str, set[str]] = {}
    for split, images in (("train", found.train), ("valid", found.valid), ("test", found.test)):
        for name in images.ids if images is not None else ():
            sides.setdefault(name.split("/")[1].removeprefix("copy-of-")[0], set()).add(split)
    assert len(sides) > 5
    assert all(len(of_group) == 1 for of_group in sides.values())
    assert {"train", "test"} <= set().union(*sides.values())


def test_pictures_that_do_not_fit_into_memory_to_be_compared_are_prepared_and_it_is_said(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_copies.memory, "available", lambda: 1000)
    said: list[str] = []
    prepare(load_streams(digits, said.append), tmp_path / "x.store")
    assert "digits: too little memory to search for near-duplicates; some may be on both sides of a split" in said


def test_pictures_that_go_by_are_compared_as_those_in_memory() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (1500, 3, 40, 70), dtype=np.uint8)
    pixels[1400:] = pixels[:100]
    passing = near_copies.Passing((3, 40, 70), len(pixels))
    for picture in pixels:
        passing.add(picture)
    found, wanted = passing.pairs(), near_pairs.near_pairs(pixels)
    assert len(wanted.first) == 100
    np.testing.assert_array_equal(found.first, wanted.first)
    np.testing.assert_array_equal(found.second, wanted.second)


# Names


def test_hostile_names_survive(tmp_path: Path) -> None:
    folder = put(tmp_path / "pets", *(f"{of}/{name}" for of in ("cat", "dog") for name in NASTY))
    if os.name == "posix":
        Path(os.fsdecode(os.fsencode(folder) + b"/cat/\xff\xfe.png")).write_bytes(png(value=99))
    prepare(load_streams(folder), tmp_path / "x.store", hold_out=0.0)
    found = open_store(tmp_path / "x.store")
    assert found.test is not None
    assert sorted([*found.train.ids, *found.test.ids]) == sorted(load(folder).train.ids)
    assert any("\n" in name for name in [*found.train.ids, *found.test.ids])
    by_name = {name: found.train.pixels[row] for row, name in enumerate(found.train.ids)}
    for name, pixels in zip(load(folder).train.ids, load(folder).train.pixels, strict=True):
        if name in by_name:
            np.testing.assert_array_equal(by_name[name], pixels)


def test_names_go_through_choosing_and_slicing(digits: Path, tmp_path: Path) -> None:
    prepare(load_streams(digits), tmp_path / "x.store")
    train = load(tmp_path / "x.store", ["3", "1"]).train
    assert all(name.startswith(("3/", "1/")) for name in train.ids)
    assert [name[0] for name in train.ids] == [train.classes[label] for label in train.labels]
    assert train[5:9].ids == train.ids[5:9]


def test_damage_in_names_is_noticed(digits: Path, tmp_path: Path) -> None:
    prepare(load_streams(digits), tmp_path / "x.store")
    content = (tmp_path / "x.store").read_bytes()
    place = content.index(b"copy-of-")
    for at in (place, content.rindex(b"copy-of-") + 3, place - 400):
        damaged = bytearray(content)
        damaged[at] ^= 4
        (tmp_path / "y.store").write_bytes(damaged)
        with pytest.raises(DataError, match="names of train are damaged"):
            open_store(tmp_path / "y.store")
        checks = {check.name: check.passed for check in verify_store(tmp_path / "y.store")}
        assert checks["labels of train"]
        assert not checks["names of train"]
    assert all(check.passed for check in verify_store(tmp_path / "x.store"))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_block_gives_back_its_names(count: int) -> None:
    names = ["", "a", "é\n\0", "x" * 1000, "漢字"][:count]
    found = Names(np.frombuffer(encoded(names), np.uint8), count)
    assert list(found) == names
    assert [found[row] for row in range(-count, 0)] == names
    assert found[1:4] == names[1:4]
    with pytest.raises(IndexError):
        found[count]


def test_commands_name_the_files(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits, tmp_path / "digits")
    first = next(iter(loaded(digits)[0].train.ids))
    shutil.copy(tmp_path / "digits" / first, tmp_path / "digits" / first.replace(".png", "-again.png"))
    assert here("prepare", "digits", cwd=tmp_path, capsys=capsys).code == 0
    found = json.loads(here("data", "digits.store", "--json", cwd=tmp_path, capsys=capsys).out)
    assert first in [name for group in found["duplicates"] for name in group["pictures"]]
    with (tmp_path / "digits.store").open("r+b") as file:
        file.truncate(6000)
    refused(here("data", "digits.store", cwd=tmp_path, capsys=capsys), 1, "cut off")


def test_many_pictures_that_go_by_are_searched_in_clusters(monkeypatch: pytest.MonkeyPatch, splits: Splits) -> None:
    monkeypatch.setattr(near_copies, "MOST", 1000)
    monkeypatch.setattr(near_search, "EXACT", 1000)
    some = splits.train.pixels[:1500]
    passing = near_copies.Passing((1, 28, 28), 1600)
    for picture in np.concatenate([some, np.roll(some[:100], 1, axis=3)]):
        passing.add(picture)
    found = passing.pairs()
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(pairs & {(row, 1500 + row) for row in range(100)}) >= 97
