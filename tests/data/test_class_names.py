"""What counts as a class is the same for every source: nothing is missing, doubled by its spelling, or several."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from folders import png, put
from PIL import Image
from typed import here

from sevensteps.data.class_names import class_named, is_missing
from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError

FILES = [f"{n}.png" for n in range(12)]


class Items:
    """A dataset of gray pictures with these labels."""

    def __init__(self, labels: Sequence[Any]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Image.Image, Any]:
        return Image.new("L", (8, 8), 20 * number), self.labels[number]


def from_csv(folder: Path, labels: Sequence[Any], **how: Any) -> Splits:
    put(folder, *FILES)
    rows = ["file,label", *(f'{name},"{label}"' for name, label in zip(FILES, labels, strict=True))]
    put(folder, "labels.csv", content="\n".join(rows).encode())
    return load(folder / "labels.csv", **how)


def from_json(folder: Path, labels: Sequence[Any], **how: Any) -> Splits:
    put(folder, *FILES)
    rows = [json.dumps({"file": name, "label": label}) for name, label in zip(FILES, labels, strict=True)]
    put(folder, "labels.jsonl", content="\n".join(rows).encode())
    return load(folder / "labels.jsonl", **how)


def from_frame(folder: Path, labels: Sequence[Any], **how: Any) -> Splits:
    put(folder, *FILES)
    return load(pd.DataFrame({"file": [str(folder / name) for name in FILES], "label": labels}), **how)


def from_parquet(folder: Path, labels: Sequence[Any], **how: Any) -> Splits:
    pictures = [png(value=n) for n in range(12)]
    pq.write_table(pa.table({"picture": pictures, "label": list(labels)}), folder / "train.parquet")
    return load(folder / "train.parquet", **how)


def from_arrays(folder: Path, labels: Sequence[Any], **how: Any) -> Splits:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez(folder / "a.npz", x=pixels, y=np.array(labels))  # noqa: TID251 - what users have
    return load(folder / "a.npz", **how)


def from_items(folder: Path, labels: Sequence[Any], **how: Any) -> Splits:
    return load(Items(labels), **how)


Source = Callable[..., Splits]
TABLES = [from_csv, from_json, from_frame, from_parquet]


@pytest.mark.parametrize("source", [*TABLES, from_arrays, from_items])
@pytest.mark.parametrize(
    ("labels", "difference"),
    [
        (["Cat", "cat", "dog"], "in upper and lower case"),
        (["caf\xe9", unicodedata.normalize("NFD", "caf\xe9"), "tea"], "in their Unicode form"),
        (["big cat", "big  cat", "dog"], "in spaces"),
        (["0.0", "0", "1"], "in how a number is written"),
    ],
)
def test_labels_that_read_the_same_are_refused_as_folders_are(
    tmp_path: Path, source: Source, labels: list[str], difference: str
) -> None:
    with pytest.raises(DataError, match=f"differ only {difference}") as refused:
        source(tmp_path, labels * 4)
    assert f"{labels[0]!a} (" in str(refused.value)
    assert f"{labels[1]!a} (" in str(refused.value)


@pytest.mark.parametrize("source", [*TABLES, from_arrays, from_items])
def test_letters_may_differ_in_case(tmp_path: Path, source: Source) -> None:
    assert set(source(tmp_path, ["a", "A", "b"] * 4).classes) == {"a", "A", "b"}


@pytest.mark.parametrize("source", [*TABLES, from_arrays, from_items])
@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog", "cat|dog"],
        ["a;b", "b;c", "a;c"],
        ["cat|dog", "dog", "cow"],
        ["cat", "dog", "cat, dog"],
        ["['cat', 'dog']", "cat", "dog"],
    ],
)
def test_several_labels_of_a_picture_are_refused_in_words(tmp_path: Path, source: Source, labels: list[str]) -> None:
    with pytest.raises(DataError, match=r"has several labels, .*can have only one"):
        source(tmp_path, labels * 4)


@pytest.mark.parametrize("labels", [[{"cat", "dog"}, {"cat"}, {"dog"}], [np.array([0, 1]), np.array([1, 0]), [1]]])
def test_sets_and_arrays_of_several_labels_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    with pytest.raises(DataError, match="row 0 has several labels"):
        from_frame(tmp_path, labels * 4)
    assert from_frame(tmp_path, [{"cat"}, np.array(["dog"])] * 6).classes == ("cat", "dog")


def test_lists_of_labels_in_parquet_are_read_as_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.parquet/1 has several labels"):
        from_parquet(tmp_path, [["cat"], ["cat", "dog"], ["dog"]] * 4)
    assert from_parquet(tmp_path, [["cat"], ["dog"]] * 6).classes == ("cat", "dog")


def test_arrays_with_several_labels_a_picture_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train split has 3 labels a picture"):
        from_arrays(tmp_path, [[0, 1, 1]] * 12)


def test_an_error_about_a_data_frame_does_not_show_its_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^table: the training split has only pictures of 'cat'"):
        from_frame(tmp_path, ["cat"] * 12)


@pytest.mark.parametrize("source", [from_json, from_frame])
def test_a_list_of_labels_is_refused_and_a_list_of_one_is_a_label(tmp_path: Path, source: Source) -> None:
    with pytest.raises(DataError, match="row 2 has several labels" if source is from_json else "row 1 has several"):
        source(tmp_path, [["cat"], ["cat", "dog"], ["dog"]] * 4)
    assert source(tmp_path, [["cat"], ["dog"]] * 6).classes == ("cat", "dog")


@pytest.mark.parametrize("label", [torch.eye(2)[0], ["cat", "dog"], {"boxes": [], "labels": [1]}, np.array([1, 0])])
def test_an_item_with_several_labels_is_refused(label: Any) -> None:
    with pytest.raises(DataError, match=r"Item 2 of Items has the label .*only one class"):
        load(Items([0, 1, label, 0]))


def test_a_delimiter_in_a_name_is_not_several_labels(tmp_path: Path) -> None:
    assert from_csv(tmp_path, ["otter, sea", "otter, river", "n/a|b"] * 4).train.counts == {
        "n/a|b": 4,
        "otter, river": 4,
        "otter, sea": 4,
    }


MISSING = [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), np.ma.masked, ""]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_a_missing_value_is_missing_in_whatever_library(value: Any) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "none", "NA", [], np.zeros(2), pd.Timestamp("2020")], ids=repr)
def test_a_value_is_not_missing(value: Any) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize("text", ["nan", "NaN", "<NA>", "NaT", "NULL", "N/A", "#N/A", " ", ""])
def test_what_programs_write_for_a_missing_value_is_not_a_class(text: str) -> None:
    assert class_named(text) == ""


@pytest.mark.parametrize("value", [None, pd.NA, pd.NaT, math.nan, "nan"], ids=repr)
@pytest.mark.parametrize("source", [from_frame, from_items])
def test_a_picture_without_a_label_is_a_bad_file(tmp_path: Path, source: Source, value: Any) -> None:
    labels = pd.Series([value, "cat", "dog", "cat", "dog", value] * 2, dtype=object).tolist()
    with pytest.raises(DataError, match="has no class") as refused:
        source(tmp_path, labels)
    assert "bad_files = skip" in str(refused.value)
    splits = source(tmp_path, labels, bad_files="skip")
    assert (splits.train.counts, len(splits.bad_files)) == ({"cat": 4, "dog": 4}, 4)


@pytest.mark.parametrize("kind", ["Int64", "string", "datetime64[ns]"])
def test_a_column_of_a_kind_that_pandas_has_missing_values_for(tmp_path: Path, kind: str) -> None:
    values = {"Int64": [None, 0, 1], "string": [None, "cat", "dog"], "datetime64[ns]": [None, "2020", "2021"]}[kind]
    splits = from_frame(tmp_path, pd.Series(values * 4, dtype=kind), bad_files="skip")
    assert (len(splits.classes), len(splits.train), len(splits.bad_files)) == (2, 8, 4)


def test_items_that_are_left_out_do_not_change_the_names_of_others() -> None:
    splits = load(Items([None, 0, 1, None, 1, 0]), bad_files="skip")
    assert [*splits.train.ids] == ["train/1", "train/2", "train/4", "train/5"]


@pytest.mark.parametrize("labels", [["cat", "dog", math.nan], [0.0, 1.0, math.nan], ["cat", "", "dog"]])
def test_arrays_with_a_missing_label_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    with pytest.raises(DataError, match=r"train/[12] \(and 3 other pictures\) has no label"):
        from_arrays(tmp_path, labels * 4)


@pytest.mark.parametrize("kind", ["Int64", "string", "object"])
def test_pictures_without_a_group_are_not_one_group(tmp_path: Path, kind: str) -> None:
    put(tmp_path, *FILES)
    owners = pd.Series([None] * 6 + [1, 1, 2, 2, 3, 3] if kind == "Int64" else [None, *"aabbc"] * 2, dtype=kind)
    frame = pd.DataFrame({"file": [str(tmp_path / name) for name in FILES], "label": ["a", "b"] * 6, "owner": owners})
    said: list[str] = []
    load(frame, group="owner", say=said.append)
    assert said[-1].startswith("table: 3 groups")


def test_the_command_names_the_row_and_says_how_to_continue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, *FILES)
    rows = [f"{name},{['nan', 'cat', 'dog'][n % 3]}" for n, name in enumerate(FILES)]
    put(tmp_path, "labels.csv", content="\n".join(["file,label", *rows]).encode())
    done = here("train", "labels.csv", "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 1
    assert "0.png has no class (labels.csv row 2: label is 'nan')" in done.err
    assert "--bad-files skip" in done.err
