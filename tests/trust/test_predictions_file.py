"""Predictions of many pictures: one file of arrays, read back whole, and refused in words where it is damaged."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import images
from tables import assert_same, table
from typed import here

import sevensteps as ss
from sevensteps.errors import RunError
from sevensteps.ship import file as model_file
from sevensteps.trust.predictions_file import from_file, to_bytes


@pytest.mark.parametrize("classes", [2, 5])
def test_what_is_written_is_read_back(classes: int, tmp_path: Path) -> None:
    ids = ["a b/ü.png", os.fsdecode(b"\xff\xfe.png"), "line\nbreak", "猫\0", *(f"x/{row}" for row in range(66))]
    valid = dataclasses.replace(table(70, classes, seed=1, split="valid"), ids=ids)
    tables = {"test": table(9000, classes), "valid": valid}
    path = tmp_path / "predictions.safetensors"
    path.write_bytes(to_bytes(tables))
    found = from_file(path, valid.classes)
    assert list(found) == ["test", "valid"]
    for split, one in tables.items():
        assert_same(one, found[split])
        assert found[split].probabilities.dtype == np.float64


def changed(about: dict[str, Any], arrays: dict[str, np.ndarray], what: str) -> None:
    """Change a file's facts or columns, as somebody could who computes a new checksum."""
    match what:
        case "other classes":
            about["classes"] = ["class 1", "class 0"]
        case "no splits":
            del about["splits"]
        case "a split twice":
            about["splits"] = ["test", "test"]
        case "more splits":
            about["splits"] = ["test", "valid"]
        case "a label too large":
            arrays["0.labels"][3] = 2
        case "fewer labels":
            arrays["0.labels"] = arrays["0.labels"][:-1]
        case "three logits":
            arrays["0.logits"] = np.zeros((9, 3), np.float32)
        case "flat probabilities":
            arrays["0.probabilities"] = np.zeros(9, np.float32)
        case "whole probabilities":
            arrays["0.probabilities"] = arrays["0.probabilities"].astype(np.int64)
        case "a sum of 2":
            arrays["0.probabilities"][5] = 1
        case "long ids":
            arrays["0.id_lengths"][0] += 1
        case "an empty id":
            arrays["0.id_lengths"][0], arrays["0.id_lengths"][1] = 0, 12
        case "bytes that are not text":
            arrays["0.ids"][0] = 0xFF
        case "the same picture":
            arrays["0.ids"][11] = ord("0")
        case "not finite":
            arrays["0.logits"][2] = np.nan


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("other classes", "its classes are not those of the model."),
        ("no splits", "it does not name its splits."),
        ("a split twice", "it names a split twice."),
        ("more splits", "it does not hold the columns of its splits."),
        ("a label too large", "test, row 4 (test/3): label 2 is out of range for 2 classes."),
        ("fewer labels", "its logits have the shape (9, 1), not (8, 1)."),
        ("three logits", "it has 3 logits a picture for 2 classes."),
        ("flat probabilities", "its probabilities have the shape (9,), not (9, 2)."),
        ("whole probabilities", "its probabilities are of type int64."),
        ("a sum of 2", "test, row 6 (test/5): the probabilities add up to 2 instead of 1."),
        ("long ids", "the lengths of its ids do not fit their text."),
        ("an empty id", "the lengths of its ids do not fit their text."),
        ("bytes that are not text", "its ids are not text."),
        ("the same picture", "test, row 2 (test/0): the same picture is in an earlier row."),
        ("not finite", "holds numbers that are not finite"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(what: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.safetensors"
    path.write_bytes(to_bytes({"test": table(9)}))
    arrays, about = model_file.read(path)
    changed(about, arrays, what)
    path.write_bytes(model_file.to_bytes(arrays, about))
    with pytest.raises(RunError) as refused:
        from_file(path, ("class 0", "class 1"))
    assert said in refused.value.message
    assert str(path) in refused.value.message
    assert refused.value.hint == f"Write it again: sevensteps judge {tmp_path}"


def test_no_byte_can_be_changed_and_no_end_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "predictions.safetensors"
    content = to_bytes({"test": table(9)})
    for place in range(0, len(content), 7):
        for case in (content[:place], content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :]):
            path.write_bytes(case)
            with pytest.raises(RunError):
                from_file(path, ("class 0", "class 1"))
    path.unlink()
    with pytest.raises(RunError):
        from_file(path, ("class 0", "class 1"))


@pytest.mark.slow
def test_every_verb_reads_the_predictions_of_many_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = images(2000, (1, 2, 2)), images(100_500, (1, 2, 2), seed=1)
    both = {"x_train": train.pixels, "y_train": train.labels, "x_test": test.pixels, "y_test": test.labels}
    np.savez(tmp_path / "many.npz", **both, allow_pickle=False)  # noqa: TID251
    runs = [tmp_path / name for name in ("one", "other")]
    for seed, run in enumerate(runs):
        ss.train(tmp_path / "many.npz", "linear", epochs=1, seed=seed, out=run, observe=print)
    (path,) = runs[0].glob("predictions.*")
    assert path.name == "predictions.safetensors"
    files = json.loads((runs[0] / "judgement.json").read_text())["files"]
    assert set(files) == {"model.safetensors", "predictions.safetensors"}

    judged = ss.judge(runs[0])
    assert judged.scores.n == 100_500
    assert judged.scores.metrics["roc_auc"].method == "jackknife"
    assert ss.compare(*runs).comparisons[0].n == 100_500
    assert ss.verify(runs[0]).passed
    assert files["predictions.safetensors"] in ss.report(runs[0]).path.read_text()
    for typed in ("runs", "doctor one", "xray one", "judge one", "compare one other", "verify one"):
        shutil.copytree(runs[0], tmp_path / "runs/one", dirs_exist_ok=True)
        shutil.copytree(runs[1], tmp_path / "runs/other", dirs_exist_ok=True)
        assert here(*typed.split(), cwd=tmp_path, capsys=capsys).code == 0

    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert not ss.verify(runs[0]).passed
    again = ss.judge(runs[0])  # predicts again
    assert path.read_bytes() == content
    assert again.scores == judged.scores
    path.unlink()
    ss.resume(runs[0], observe=print)
    assert path.read_bytes() == content
    assert not (runs[0] / "predictions.jsonl").exists()


def test_few_predictions_stay_lines_and_replace_those_of_many(tmp_path: Path) -> None:
    from sevensteps.runs.judged import save_judgement

    (tmp_path / "model.safetensors").write_bytes(b"a model")
    for count, name in ((100_001, "predictions.safetensors"), (100_000, "predictions.jsonl")):
        save_judgement(tmp_path, {}, {"test": table(count)})
        assert [found.name for found in tmp_path.glob("predictions.*")] == [name]
