"""The table of predictions: written and read back whole, and refused in words where it is damaged."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import assert_same, rows_of, table

from sevensteps.errors import DataError, RunError
from sevensteps.trust import predictions
from sevensteps.trust.predictions import Predictions, from_jsonl

CLASSES = ("class 0", "class 1")
GOOD = {"id": "test/0", "split": "test", "label": "class 1", "logits": [0.5], "probabilities": [0.25, 0.75]}


@pytest.mark.parametrize("classes", [2, 5])
def test_what_is_written_is_read_back(classes: int, tmp_path: Path) -> None:
    tables = {"test": table(9000, classes), "valid": table(70, classes, seed=1, split="valid")}
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(one.to_jsonl() for one in tables.values()))
    found = from_jsonl(path, tables["test"].classes)
    assert list(found) == ["test", "valid"]
    for split, one in tables.items():
        assert_same(one, found[split])
        assert found[split].score == one.score
        found[split].check()


def test_splits_may_be_mixed_and_share_ids(tmp_path: Path) -> None:
    lines = [dict(GOOD, id=f"train/{row // 2}", split=("test", "valid")[row % 2]) for row in range(20)]
    found = from_jsonl(written(tmp_path, *lines), CLASSES)
    assert {split: list(one.ids) for split, one in found.items()} == {
        split: [f"train/{row}" for row in range(10)] for split in ("test", "valid")
    }


def test_keys_that_a_later_version_adds_are_passed_over(tmp_path: Path) -> None:
    assert from_jsonl(written(tmp_path, {**GOOD, "distance": {"a": [1]}}), CLASSES)["test"].labels.tolist() == [1]


def test_names_of_any_script_and_files_whose_names_are_no_text_come_back(tmp_path: Path) -> None:
    names = ("Größe", "猫")
    ids = ["a b/ü.png", os.fsdecode(b"\xff\xfe.png"), "line\nbreak"]
    one = dataclasses.replace(rows_of(table(3), np.arange(3)), classes=names, ids=ids)
    path = tmp_path / "predictions.jsonl"
    path.write_text(one.to_jsonl())
    assert_same(from_jsonl(path, names)["test"], one)


def written(folder: Path, *rows: Any) -> Path:
    """A file with these rows; text stands as it is."""
    path = folder / "predictions.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


DAMAGED = {
    "not a number": (dict(GOOD, id="b", probabilities=[float("nan"), 0.5]), "the probability of 'class 0' is nan"),
    "infinite": (dict(GOOD, id="b", logits=[float("-inf")]), "the logit of 'class 1' is -inf"),
    "beyond floats": (
        '{"id": "b", "split": "test", "label": "class 1", "logits": [1e999], "probabilities": [0, 1]}',
        "inf",
    ),
    "a long integer": (dict(GOOD, id="b", logits=[10**400]), "too large"),
    "under 0": (dict(GOOD, id="b", probabilities=[-0.5, 1.5]), "the probability of 'class 0' is -0.5"),
    "over 1": (dict(GOOD, id="b", probabilities=[0.0, 1.25]), "the probability of 'class 1' is 1.25"),
    "sum": (dict(GOOD, id="b", probabilities=[0.25, 0.5]), "add up to 0.75"),
    "few probabilities": (dict(GOOD, id="b", probabilities=[1.0]), "1 probabilities for 2 classes"),
    "many logits": (dict(GOOD, id="b", logits=[1.0, 2.0, 3.0]), "3 logits for 2 classes"),
    "other logits": (dict(GOOD, id="b", logits=[1.0, 2.0]), "it has 2 logits, and the rows before have 1"),
    "label": (
        dict(GOOD, id="b", label="klass 1"),
        "its label \"klass 1\" is not a class of the model. Did you mean 'class 1'?",
    ),
    "label of another type": (dict(GOOD, id="b", label=1), "its label is 1, not text"),
    "no label": ({"id": "b", "split": "test", "logits": [1.0]}, "it has no 'label'"),
    "no split": ({key: GOOD[key] for key in ("id", "label", "logits", "probabilities")}, "it has no 'split'"),
    "no probabilities": ({key: GOOD[key] for key in ("id", "label", "logits", "split")}, "it has no 'probabilities'"),
    "numbers as text": (dict(GOOD, id="b", probabilities=["0.5", "0.5"]), 'its probabilities are ["0.5", "0.5"]'),
    "truth as numbers": (dict(GOOD, id="b", probabilities=[True, False]), "its probabilities are [true, false]"),
    "no list": (dict(GOOD, id="b", logits=3), "its logits are 3, not a list"),
    "twice": (GOOD, "the same picture is in an earlier row"),
    "id": (dict(GOOD, id=""), 'its id is ""'),
    "a list": ([1, 2], "it is [1, 2], not a JSON object"),
    "no JSON": ('{"id": "b", ', "it is not JSON"),
    "empty line": ("", "it is not JSON"),
    "deep": ("[" * 100_000, "it is not JSON"),
    "deep in a field": (f'{{"id": {"[" * 400}{"]" * 400}}}', "its id is [[["),
    "a long line": (f'{{"id": "{"x" * predictions.LONGEST}"}}', "it is longer than"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_row_is_refused_with_file_row_and_value(name: str, tmp_path: Path) -> None:
    row, says = DAMAGED[name]
    path = written(tmp_path, GOOD, row, dict(GOOD, id="c", probabilities=[2.0, 2.0]))
    with pytest.raises(RunError) as caught:
        from_jsonl(path, CLASSES)
    assert caught.value.message.startswith(f"{path}, row 2")
    assert says in caught.value.message
    assert len(caught.value.message) < len(str(path)) + 250
    assert caught.value.hint == f"Write it again: sevensteps judge {tmp_path}"


def test_a_damaged_row_is_found_behind_thousands_and_among_two_splits(tmp_path: Path) -> None:
    rows = [dict(GOOD, id=f"test/{row}", split=("test", "valid")[row % 2]) for row in range(12_000)]
    rows[10_001] = dict(rows[10_001], probabilities=[0.5, float("nan")])
    with pytest.raises(RunError, match=r"row 10002 \(test/10001\): the probability of 'class 1' is nan"):
        from_jsonl(written(tmp_path, *rows), CLASSES)
    rows[10_001] = dict(rows[9_999], logits=[-(10**400)])
    with pytest.raises(RunError, match=r"row 10002 \(test/9999\): an integer in its logits is too large"):
        from_jsonl(written(tmp_path, *rows), CLASSES)


def test_an_error_about_a_picture_whose_name_is_no_text_can_be_printed(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    with pytest.raises(RunError, match="row 1") as caught:
        from_jsonl(written(tmp_path, dict(GOOD, id=name, logits=[])), CLASSES)
    caught.value.message.encode("utf-8")
    one = dataclasses.replace(table(2), ids=[name, name])
    with pytest.raises(DataError, match="the same picture") as refused:
        one.check()
    refused.value.message.encode("utf-8")


def test_no_file_no_rows_a_folder_and_a_giant_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, says in ((tmp_path / "none", "cannot be read"), (tmp_path, "folder"), (written(tmp_path), "no predict")):
        with pytest.raises(RunError, match=says):
            from_jsonl(path, CLASSES)
    monkeypatch.setattr(predictions, "LARGEST", 100)
    with pytest.raises(RunError, match="at most 100 are read"):
        from_jsonl(written(tmp_path, GOOD), CLASSES)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\n")
    with pytest.raises(RunError, match="row 1: it is not JSON"):
        from_jsonl(tmp_path / "bytes", CLASSES)


@settings(max_examples=400, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(GOOD)), inner, max_size=6),
        max_leaves=12,
    ),
    st.sampled_from([None, *GOOD]),
)
def test_any_json_is_a_table_or_is_refused(tmp_path_factory: pytest.TempPathFactory, value: Any, key: str) -> None:
    path = written(tmp_path_factory.getbasetemp(), value if key is None else {**GOOD, key: value})
    try:
        (found,) = from_jsonl(path, CLASSES).values()
    except RunError as error:
        said = error.message
    else:
        found.check()
        said = "row 1"
    assert "row 1" in said.encode("utf-8").decode()  # it can be printed


def wrong(change: Callable[[Predictions], dict[str, Any]]) -> Predictions:
    """A table of five pictures, changed."""
    one = table(5)
    return dataclasses.replace(one, **change(one))


def changed(array: np.ndarray, row: int, value: Any) -> np.ndarray:
    """A copy with another value in a row."""
    array = array.copy()
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: {"probabilities": changed(one.probabilities, 2, [np.nan, 1])}, r"row 3 \(test/2\): .* is nan"),
        (lambda one: {"logits": changed(one.logits, 1, np.inf)}, r"row 2 \(test/1\): the logit of 'class 1' is inf"),
        (lambda one: {"labels": changed(one.labels, 4, 2)}, r"row 5 \(test/4\): label 2 is out of range for 2"),
        (lambda one: {"labels": changed(one.labels, 4, -1)}, "label -1"),
        (lambda one: {"ids": [*one.ids[:4], "test/0"]}, r"row 5 \(test/0\): the same picture"),
        (lambda one: {"ids": one.ids[:4]}, "4 ids for 5 labels"),
        (lambda one: {"classes": ("a", "a")}, "occurs twice"),
        (lambda one: {"classes": ("a", "b", "c")}, "for 3 classes"),
        (lambda one: {"probabilities": one.probabilities / 2}, "row 1 .*add up to 0.5"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_a_table_that_no_figure_can_be_made_of_is_refused(
    change: Callable[[Predictions], dict[str, Any]], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        wrong(change).check()


def test_no_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="no pictures"):
        rows_of(table(5), np.arange(0)).check()


def test_reading_and_scoring_and_comparing_need_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(table(50).to_jsonl())
    code = f"""
import sys
from pathlib import Path
from sevensteps.trust.comparison import compare
from sevensteps.trust.predictions import from_jsonl
from sevensteps.trust.scores import score_table
found = from_jsonl(Path({str(path)!r}), {CLASSES!r})["test"]
score_table(found)
compare(found, found)
print([name for name in ("torch", "PIL", "scipy.stats", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
