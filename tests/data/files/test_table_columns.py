"""The roles of a table's columns: a column that is typed is used, and what a table says of splits is not dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import loaded, png, put
from typed import error_in, sevensteps

from sevensteps.data.sources.load import load
from sevensteps.errors import DataError, UsageError

TONES = ("dark", "light")


def pictures(folder: Path, n: int = 16, where: str = "img/") -> Path:
    """Write dark and light pictures in turn."""
    for i in range(n):
        put(folder, f"{where}{i}.png", content=png(value=60 + 120 * (i % 2) + i))
    return folder


def csv(
    folder: Path, head: str, *cells: Sequence[object], name: str = "t.csv", n: int = 16, where: str = "img/"
) -> Path:
    """Write a table of files and tones; each of `cells` is a column, repeated to the end."""
    rows = [",".join([f"{where}{i}.png", TONES[i % 2], *(str(of[i * len(of) // n]) for of in cells)]) for i in range(n)]
    return put(folder, name, content="\n".join([f"file,label{head and ','}{head}", *rows]).encode()) / name


def sizes(source: object, **how: str) -> dict[str, int]:
    return {split: len(images) for split, images in load(source, **how).present().items()}  # type: ignore[arg-type]


ALL = {"train": 8, "valid": 4, "test": 4}


@pytest.mark.parametrize(
    ("column", "values", "wanted"),
    [
        ("dataset", ("train", "train", "val", "test"), ALL),
        ("phase", ("Training", "Training", "Validation", "Testing"), ALL),
        ("data_split", ("train_set", "train_set", "dev_set", "test_set"), ALL),
        ("what", ("train", "train", "dev", "eval"), ALL),
        ("split", ("fit", "fit", "eval", "holdout"), ALL),
        ("Usage", ("Training", "Training", "PublicTest", "PrivateTest"), ALL),
        ("is_valid", (False, False, False, True), {"train": 12, "valid": 4}),
        ("is_test", (0, 0, 0, 1), {"train": 12, "test": 4}),
        ("is_train", ("yes", "yes", "yes", "no"), {"train": 12, "test": 4}),
        ("is_training_image", (1, 1, 0, 0), {"train": 8, "test": 8}),
    ],
)
def test_a_column_gives_the_splits_by_its_values(
    tmp_path: Path, column: str, values: Sequence[object], wanted: dict[str, int]
) -> None:
    csv(pictures(tmp_path / "d"), column, values)
    splits, said = loaded(tmp_path / "d/t.csv")
    assert {split: len(images) for split, images in splits.present().items()} == wanted
    assert f"{column} the split" in said


def test_parquet_with_pictures_and_data_frames_have_splits_like_a_csv(tmp_path: Path) -> None:
    images = [{"bytes": png(value=9 * i), "path": None} for i in range(8)]
    columns = {"label": ["a", "b"] * 4, "split": ["train"] * 4 + ["test"] * 4}
    pq.write_table(pa.table({"image": images, **columns}), tmp_path / "d.parquet")
    assert sizes(tmp_path / "d.parquet") == {"train": 4, "test": 4}
    pictures(tmp_path, 8)
    frame = pd.DataFrame({"path": [tmp_path / f"img/{i}.png" for i in range(8)], **columns})
    assert sizes(frame.rename(columns={"split": "phase"})) == {"train": 4, "test": 4}
    rows = [{"file": f"img/{i}.png", "label": "ab"[i % 2], "is_valid": i > 5} for i in range(8)]
    put(tmp_path, "t.jsonl", content="\n".join(map(json.dumps, rows)).encode())
    assert sizes(tmp_path / "t.jsonl") == {"train": 6, "valid": 2}


def test_a_column_that_is_not_used_as_the_split_is_reported(tmp_path: Path) -> None:
    csv(pictures(tmp_path / "d"), "split", (0, 1, 2))
    splits, said = loaded(tmp_path / "d")
    assert len(splits.train) == 16
    assert "the column split (0, 1, 2) is not used to split the pictures" in said
    csv(tmp_path / "d", "is_valid", (1, 1, 1, 0))  # it rather says which pictures can be used
    assert "the column is_valid (1, 0) is not used" in loaded(tmp_path / "d")[1]
    assert sizes(tmp_path / "d", split_column="is_valid") == {"train": 4, "valid": 12}


def test_the_split_column_is_typed_by_command_in_a_recipe_and_in_python(tmp_path: Path) -> None:
    csv(pictures(tmp_path / "d", 40), "when,again", ("fit", "fit", "holdout"), ("holdout", "fit", "fit"), n=40)
    assert sizes(tmp_path / "d", split_column="again")["test"] == 14
    typed = ("train", "d", "--split-column", "again", "--recipe", "linear", "--epochs", "1", "--json")
    done = sevensteps(*typed, cwd=tmp_path)
    assert done.code == 0, done.err
    run = json.loads(done.out)["run"]
    assert 'split_column = "again"' in (tmp_path / run / "recipe.toml").read_text()
    wrong = sevensteps("data", "d", "--split-column", "agian", "--json", cwd=tmp_path)
    assert error_in(wrong)["hint"] == "Did you mean 'again'?"
    wrong = sevensteps("data", "d", "--split-column", "label", "--json", cwd=tmp_path)
    assert "label is 'dark', which is not the name of a split" in error_in(wrong)["message"]


def test_the_folders_of_the_files_give_the_split_where_no_column_does(tmp_path: Path) -> None:
    for part in ("train", "test"):
        pictures(tmp_path / "d", 4, f"{part}/{part[0]}")
    rows = [f"{part}/{part[0]}{i}.png,{TONES[i % 2]}" for part in ("train", "test") for i in range(4)]
    put(tmp_path / "d", "labels.csv", content="\n".join(["file,label", *rows]).encode())
    splits, said = loaded(tmp_path / "d")
    assert {split: len(images) for split, images in splits.present().items()} == {"train": 4, "test": 4}
    assert "the folders of the files the split" in said


def test_tables_of_two_splits_may_write_their_columns_in_different_case(tmp_path: Path) -> None:
    for part, head in (("train", "file,label"), ("test", "File,Label")):
        pictures(tmp_path / "d", 6, f"{part}/")
        rows = [f"{i}.png,{TONES[i % 2]}" for i in range(6)]
        put(tmp_path / "d", f"{part}.csv", content="\n".join([head, *rows]).encode())
    assert sizes(tmp_path / "d") == {"train": 6, "test": 6}
    assert sizes(tmp_path / "d", label_column="label") == {"train": 6, "test": 6}


def test_a_table_without_a_split_beside_one_for_testing_is_for_training(tmp_path: Path) -> None:
    csv(pictures(tmp_path / "d"), "", name="labels.csv")
    put(tmp_path / "d", "test_results.csv", content=b"file,answer\nimg/1.png,dark\n")
    splits, said = loaded(tmp_path / "d")
    assert (len(splits.train), splits.test) == (16, None)
    assert "test_results.csv has no classes and is not used" in said
    csv(tmp_path / "d", "", name="more.csv")
    with pytest.raises(DataError, match="no name says which split"):
        load(tmp_path / "d")


def test_two_tables_for_one_split_are_not_reduced_to_one(tmp_path: Path) -> None:
    for name in ("train_a.csv", "train_b.csv"):
        csv(pictures(tmp_path / "d"), "", name=name)
    with pytest.raises(DataError, match=r"2 are for train"):
        load(tmp_path / "d")
    csv(tmp_path / "d", "", name="train.csv")
    (tmp_path / "d/train_b.csv").unlink()
    (tmp_path / "d/train_a.csv").rename(tmp_path / "d/train_sizes.csv")
    assert len(load(tmp_path / "d").train) == 16


# Which column is the class, and which one names the files


def test_a_typed_column_of_classes_counts_beside_folders_of_pictures(tmp_path: Path) -> None:
    for i in range(12):
        put(tmp_path / "d", f"images_part_{1 + i // 6}/p{i:02}.png", content=png(value=20 * i))
    rows = [f"p{i:02},{'mel' if i % 2 else 'nv'},{30 + i}" for i in range(12)]
    put(tmp_path / "d", "metadata.csv", content="\n".join(["image_id,dx,age", *rows]).encode())
    assert load(tmp_path / "d", label_column="dx").classes == ("mel", "nv")
    typed = sevensteps("data", "d", "--label-column", "dx", "--json", cwd=tmp_path)
    assert json.loads(typed.out)["classes"] == ["mel", "nv"]
    with pytest.raises(DataError, match="no column is recognized as the one with the classes"):
        load(tmp_path / "d")


def test_a_table_that_contradicts_the_folders_is_asked_about(tmp_path: Path) -> None:
    rows = []
    for i in range(8):
        put(tmp_path / "d", f"{('left', 'right')[i % 2]}/{i}.png")
        rows.append(f"{i}.png,{('cat', 'dog')[i // 4]}")
    put(tmp_path / "d", "labels.csv", content="\n".join(["file,label", *rows]).encode())
    error = error_in(sevensteps("train", "d", "--json", cwd=tmp_path))
    assert "the folders give the classes left, right, but labels.csv gives the same files" in error["message"]
    assert "--label-column label. For those of the folders: --classes left right" in error["hint"]
    assert load(tmp_path / "d", label_column="label").classes == ("cat", "dog")
    assert load(tmp_path / "d", classes=["left", "right"]).classes == ("left", "right")


def test_the_y_of_a_box_is_not_a_class(tmp_path: Path) -> None:
    pictures(tmp_path / "d")
    head, rows = "file,x,y,w,h,animal", [f"img/{i}.png,1,{i % 3},9,9,{TONES[i % 2]}" for i in range(16)]
    put(tmp_path / "d", "t.csv", content="\n".join([head, *rows]).encode())
    assert load(tmp_path / "d").classes == TONES
    put(tmp_path / "d", "t.csv", content="\n".join([head[:10], *(row[: row.rindex(",")] for row in rows)]).encode())
    rows = [f"img/{i}.png,{i % 2}" for i in range(16)]
    put(tmp_path / "d", "t.csv", content="\n".join(["x,y", *rows]).encode())
    assert load(tmp_path / "d").classes == ("0", "1")


def test_one_column_is_not_both_file_and_class(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / "d", f"{i}.png")
    put(tmp_path / "d", "t.csv", content=b"what,label\na,0\nb,1\n")
    with pytest.raises(DataError, match="no column is recognized"):
        load(tmp_path / "d")
    with pytest.raises(UsageError, match="label cannot name the files and give their classes"):
        load(tmp_path / "d", label_column="label", file_column="label")


def test_a_column_for_each_class_is_read(tmp_path: Path) -> None:
    pictures(tmp_path / "d", 12)
    rows = [f"img/{i}," + ",".join(str(float(i % 3 == k)) for k in range(3)) for i in range(12)]
    put(tmp_path / "d", "t.csv", content="\n".join(["image,MEL,NV,BCC", *rows]).encode())
    splits, said = loaded(tmp_path / "d")
    assert splits.train.counts == {"BCC": 4, "MEL": 4, "NV": 4}
    assert "one of MEL, NV, BCC gives the class" in said
    put(tmp_path / "d", "t.csv", content="\n".join(["image,MEL,NV,BCC", *rows, "img/0,1.0,1.0,0.0"]).encode())
    with pytest.raises(DataError, match=r"row 14 has a 1 in 2 columns \(MEL, NV\).*one-hot"):
        load(tmp_path / "d")


def test_a_typed_column_of_pictures_is_taken_from_parquet(tmp_path: Path) -> None:
    def bytes_of(value: int) -> list[bytes]:
        return [png(value=value + i) for i in range(8)]

    columns = {"mask": bytes_of(200), "scan": bytes_of(40), "label": ["a", "b"] * 4}
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    splits, said = loaded(tmp_path / "d.parquet")
    assert splits.train.pixels[0, 0, 0, 0] == 200
    assert "mask holds the pictures" in said
    assert load(tmp_path / "d.parquet", file_column="scan").train.pixels[0, 0, 0, 0] == 40
    pq.write_table(pa.table({**columns, "image": bytes_of(90)}), tmp_path / "e.parquet")
    assert load(tmp_path / "e.parquet").train.pixels[0, 0, 0, 0] == 90  # its name says so
    done = sevensteps("data", "d.parquet", "--file-column", "scans", "--json", cwd=tmp_path)
    assert error_in(done)["hint"] == "Did you mean 'scan'?"
    with pytest.raises(DataError, match="no column is recognized as the one with the classes"):
        load(tmp_path / "d.parquet", file_column="label")


@pytest.mark.parametrize("names", [("train-0", "dev-0"), ("default/train/0000", "default/validation/0000")])
def test_parquet_files_are_read_by_a_word_of_their_names(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        put(tmp_path / "d", f"{name}.parquet")
        rows = {"image": [png(value=i) for i in range(4)], "label": ["a", "b"] * 2}
        pq.write_table(pa.table(rows), tmp_path / f"d/{name}.parquet")
    assert sizes(tmp_path / "d") == {"train": 4, "valid": 4}
    pq.write_table(pa.table(rows), tmp_path / "d/extra-0.parquet")
    with pytest.raises(DataError, match=r"the name of extra-0\.parquet does not say which split"):
        load(tmp_path / "d")
