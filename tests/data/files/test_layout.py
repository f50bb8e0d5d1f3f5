"""Which folders are splits and which are classes: what could be both is refused, and what is typed in either case."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from folders import loaded, put
from typed import error_in, sevensteps

from sevensteps.data.files.split_names import are_parts, split_named, splits_of
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError


def two(folder: Path, *places: str, n: int = 3) -> Path:
    """Write a few cats and dogs into each place."""
    return put(folder, *(f"{place}/{name}/{i}.png" for place in places for name in ("cat", "dog") for i in range(n)))


@pytest.mark.parametrize(
    ("places", "splits"),
    [
        (("training_set", "test_set"), {"train": "training_set", "test": "test_set"}),
        (("training_set/training_set", "test_set/test_set"), {"train": "training_set", "test": "test_set"}),
        (("seg_train/seg_train", "seg_test/seg_test"), {"train": "seg_train", "test": "seg_test"}),
        (("train_images", "val_images"), {"train": "train_images", "valid": "val_images"}),
        (("pets_train", "pets_val", "pets_test"), {"train": "pets_train", "valid": "pets_val", "test": "pets_test"}),
        (("train2017", "val2017"), {"train": "train2017", "valid": "val2017"}),
        (("TrainSet", "TestSet"), {"train": "TrainSet", "test": "TestSet"}),
        (("train/images", "test/images"), {"train": "train", "test": "test"}),
        (("train", "dev", "test"), {"train": "train", "valid": "dev", "test": "test"}),
        (("train", "eval"), {"train": "train", "test": "eval"}),
        (("pets/training", "pets/holdout"), {"train": "pets/training", "test": "pets/holdout"}),
    ],
)
def test_split_folders_are_read_word_by_word(tmp_path: Path, places: tuple[str, ...], splits: dict[str, str]) -> None:
    splits_found, said = loaded(two(tmp_path / "d", *places))
    assert splits_found.classes == ("cat", "dog")
    found = splits_found.present()
    assert {split: images.ids[0].startswith(splits[split] + "/") for split, images in found.items()} == dict.fromkeys(
        splits, True
    )
    for place in splits.values():
        assert place.split("/")[-1] in said


def test_an_archive_is_read_like_its_folder(tmp_path: Path) -> None:
    folder = two(tmp_path / "d", "train_images", "val_images")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    splits = load(tmp_path / "d.zip")
    assert (splits.classes, len(splits.valid or [])) == (("cat", "dog"), 6)


@pytest.mark.parametrize("places", [("fold_0", "fold_1"), ("2019", "2020"), ("site_a", "site_b", "site_c")])
def test_class_folders_with_the_same_folders_inside_are_asked_about(tmp_path: Path, places: tuple[str, ...]) -> None:
    folder = two(tmp_path / "d", *places)
    with pytest.raises(DataError, match=f"{places[0]} and {places[1]} hold the same folders") as caught:
        load(folder)
    assert caught.value.settings == {"classes": list(places)}
    assert load(folder, classes=list(places)).classes == places


def test_the_command_says_which_classes_to_type_and_takes_them(tmp_path: Path) -> None:
    two(tmp_path / "d", "fold_0", "fold_1", n=12)
    error = error_in(sevensteps("train", "d", "--epochs", "1", "--json", cwd=tmp_path))
    assert "hold the same folders (cat, dog)" in error["message"]
    assert "--classes fold_0 fold_1" in error["hint"]
    typed = ("train", "d", "--classes", "fold_0", "fold_1", "--recipe", "linear", "--epochs", "1")
    assert sevensteps(*typed, cwd=tmp_path).code == 0


def test_folders_that_are_groups_or_only_some_of_a_class_are_no_question(tmp_path: Path) -> None:
    put(tmp_path / "d", *(f"{name}/p{p}/{i}.png" for name in ("cat", "dog") for p in (1, 2) for i in range(2)))
    assert loaded(tmp_path / "d", group=r"(p\d)")[0].classes == ("cat", "dog")
    put(tmp_path / "e", "cat/1.png", "cat/more/2.png", "dog/3.png", "dog/more/4.png", "fox/red/5.png", "owl/snow/6.png")
    assert loaded(tmp_path / "e")[0].classes == ("cat", "dog", "fox", "owl")


def test_splits_inside_class_folders_stay_apart(tmp_path: Path) -> None:
    files = [f"{name}/{split}/{i}.png" for name in ("cat", "dog") for split in ("train", "test") for i in range(3)]
    splits, said = loaded(put(tmp_path / "d", *files))
    assert splits.classes == ("cat", "dog")
    assert splits.test is not None
    assert all("/test/" in name for name in splits.test.ids)
    assert len(splits.train) == len(splits.test) == 6
    assert "2 class folders, each with train, test" in said


def test_numbered_parts_of_one_set_are_not_classes(tmp_path: Path) -> None:
    folder = put(tmp_path / "d", *(f"images_part_{part}/{i}.png" for part in (1, 2) for i in range(3)))
    with pytest.raises(DataError, match="images_part_1 and the folders next to it look like numbered parts"):
        load(folder)
    put(folder, "metadata.csv", content=b"image_id,dx\n" + b"".join(b"%d,%s\n" % (i, b"nv") for i in range(3)))
    with pytest.raises(DataError, match=r"0 can be images_part_1/0\.png or images_part_2/0\.png"):
        load(folder)


@pytest.mark.parametrize(
    "names", [("bullet_train", "steam_train"), ("train", "bus"), ("test_tube", "flask"), ("0", "1"), ("type1", "type2")]
)
def test_classes_with_a_word_of_a_split_in_their_names_stay_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = put(tmp_path / "d", *(f"{name}/{i}.png" for name in names for i in range(3)))
    assert set(load(folder).classes) == set(names)


def test_flat_split_folders_are_not_classes(tmp_path: Path) -> None:
    folder = put(tmp_path / "d", *(f"{name}/{i}.png" for name in ("seg_train", "seg_test") for i in range(3)))
    with pytest.raises(DataError, match="holds no class folders with pictures"):
        load(folder)


def test_one_folder_around_the_classes_may_have_a_cover_picture_beside_it(tmp_path: Path) -> None:
    splits, said = loaded(put(two(tmp_path / "d", "photos"), "cover.jpg"))
    assert splits.classes == ("cat", "dog")
    assert "1 picture outside the class folders (cover.jpg)" in said


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("x_train", "train"), ("xtest", "test"), ("X_val", "valid"), ("trainval", "train"), ("test-00000-of-1", "test"),
        ("dev-00000", "valid"), ("eval-00000", "test"), ("hold_out", "test"), ("TESTING", "test"), ("contest", None),
        ("latest", None), ("trains", None), ("data_split", None), ("fit", "train"), ("best_fit", None),
    ],
)  # fmt: skip
def test_a_name_stands_for_a_split(name: str, split: str | None) -> None:
    assert split_named(name) == split


def test_names_are_read_together() -> None:
    assert splits_of(["Training", "PublicTest", "PrivateTest"]) == {
        "Training": "train",
        "PublicTest": "valid",
        "PrivateTest": "test",
    }
    assert splits_of(["train", "eval", "test"])["eval"] == "valid"
    assert splits_of(["train", "valid", "holdout"])["holdout"] == "test"
    assert are_parts(["fold0", "fold1"])
    assert not are_parts(["class0", "class1"])
