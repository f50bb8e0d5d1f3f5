"""The files that a table names: a file that is missing is missing, and no other one takes its place."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from folders import loaded, png, put
from typed import sevensteps

from sevensteps.data.sources.load import load
from sevensteps.errors import DataError


def table(folder: Path, rows: dict[str, str], name: str = "labels.csv") -> Path:
    lines = ["file,label", *(f"{file},{label}" for file, label in rows.items())]
    return put(folder, name, content="\n".join(lines).encode())


def train_and_test(folder: Path) -> Path:
    """Write the pictures of a contest, in which train/3.png did not arrive."""
    for i in range(8):
        for part in ("train", "test"):
            put(folder, f"{part}/{i}.png", content=png(value=10 * i + (part == "test")))
    (folder / "train/3.png").unlink()
    return folder


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("train/{}.png", "labels.csv"),
        ("train/{}.png", "train.csv"),
        ("{}.png", "train.csv"),
        ("{}", "train.csv"),
        ("{}.png", "labels.csv"),
        ("/kaggle/input/contest/train/{}.png", "labels.csv"),
        ("./train/{}.png", "labels.csv"),
        ("train\\{}.png", "labels.csv"),
        ("C:\\data\\train\\{}.png", "labels.csv"),
    ],
)
def test_a_test_picture_does_not_stand_in_for_a_missing_one(tmp_path: Path, cell: str, name: str) -> None:
    folder = train_and_test(tmp_path / "d")
    table(folder, {cell.format(i): ("cat", "dog")[i % 2] for i in range(8)}, name)
    splits, said = loaded(folder, bad_files="skip")
    assert set(splits.train.ids) == {f"train/{i}.png" for i in range(8) if i != 3}
    assert splits.test is None
    assert "1 bad file left out" in said
    with pytest.raises(DataError, match="1 bad file"):
        load(folder)


def test_the_command_stops_at_the_missing_file(tmp_path: Path) -> None:
    table(train_and_test(tmp_path / "d"), {f"train/{i}.png": ("cat", "dog")[i % 2] for i in range(8)})
    done = sevensteps("train", "d", cwd=tmp_path)
    assert done.code == 1
    assert "1 bad file: train/3.png does not exist" in done.err


@pytest.mark.parametrize("cell", ["/home/me/pets/{}.png", "pets/{}.png", "{}.png", "pets/{}"])
def test_a_picture_of_another_class_does_not_stand_in_for_a_missing_one(tmp_path: Path, cell: str) -> None:
    names = [f"{name}/{i}" for name in ("cat", "dog") for i in range(6)]
    put(tmp_path / "d", *(f"pets/{name}.png" for name in names if name not in ("cat/0", "cat/1")))
    table(tmp_path / "d", {cell.format(name): name[:3] for name in names})
    splits, _ = loaded(tmp_path / "d/labels.csv", bad_files="skip")
    cats = [name for name, label in zip(splits.train.ids, splits.train.labels, strict=True) if label == 0]
    assert cats == [f"pets/cat/{i}.png" for i in range(2, 6)]
    assert len(splits.train) == 10


def test_a_name_alone_is_not_that_of_a_file_in_the_folder_of_another_class(tmp_path: Path) -> None:
    put(tmp_path / "d", "cat/1.png", "cat/2.png", "dog/0.png", "dog/3.png", "dog/2.png", "birds/9.png")
    table(tmp_path / "d", {"0.png": "cat", "1.png": "cat", "3.png": "dog", "9.png": "dog"})
    splits, _ = loaded(tmp_path / "d/labels.csv", bad_files="skip")
    assert list(splits.train.ids) == ["cat/1.png", "dog/3.png", "birds/9.png"]


def test_names_that_are_unique_are_found_in_any_folder(tmp_path: Path) -> None:
    put(tmp_path / "d", "part_1/a.png", "part_1/b.png", "part_2/c.png", "part_2/d.png")
    table(tmp_path / "d", {"a.png": "cat", "b": "dog", "c.png": "cat", "d": "dog"})
    assert len(load(tmp_path / "d/labels.csv").train) == 4


def test_paths_from_another_machine_are_found_below_the_table(tmp_path: Path) -> None:
    put(tmp_path / "contest", *(f"train/{i}.png" for i in range(4)))
    table(tmp_path / "contest", {f"/kaggle/input/contest/train/{i}.png": "ab"[i % 2] for i in range(4)})
    assert len(load(tmp_path / "contest").train) == 4
    put(tmp_path / "e/train", *(f"{i}.png" for i in range(4)))
    table(tmp_path / "e/train", {f"/home/me/train/{i}.png": "ab"[i % 2] for i in range(4)})
    assert len(load(tmp_path / "e/train").train) == 4


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / "d", unicodedata.normalize("NFD", f"pétales/é{i}.png"))
    table(tmp_path / "d", {f"pétales/é{i}.png": "ab"[i % 2] for i in range(4)})
    assert len(load(tmp_path / "d").train) == 4
    table(tmp_path / "d", {f"é{i}": "ab"[i % 2] for i in range(4)})
    assert len(load(tmp_path / "d").train) == 4
