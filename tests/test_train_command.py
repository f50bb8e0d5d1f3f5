"""`sevensteps train`, typed: real files, exit codes, stdout and stderr."""

from __future__ import annotations

import json
from pathlib import Path

from typed import sevensteps


def test_the_first_job_needs_no_arguments(tmp_path: Path) -> None:
    done = sevensteps("train", cwd=tmp_path)
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line[:13].strip() for line in lines if line[:1].isdigit()] == [
        "1 initialize",
        "2 predict",
        "3 loss",
        "4 gradient",
        "5 step",
        "6 repeat",
        "7 stop",
    ]
    assert "accuracy     9" in done.out
    assert "95 % interval" in done.out
    assert "pixel similarity" in done.out
    assert "\x1b" not in done.out + done.err
    assert (tmp_path / "runs/pullover-dress-linear-1/model.safetensors").is_file()


def test_json_is_one_object_with_the_promised_keys(tmp_path: Path) -> None:
    done = sevensteps("train", "--json", "--epochs", "2", cwd=tmp_path)
    result = json.loads(done.out)
    assert {
        "run",
        "test",
        "valid",
        "baselines",
        "epochs",
        "seconds",
        "stopped_because",
        "gradient",
        "model",
        "findings",
    } <= set(result)
    assert set(result["test"]) == {"accuracy", "low", "high", "n", "correct"}
    assert result["test"]["n"] == 2000
    assert result["test"]["low"] < result["test"]["accuracy"] < result["test"]["high"]
    assert set(result["seconds"]) == {"import", "data", "train", "judge"}
    assert result["model"] == {"name": "linear", "parameters": 785}
    assert result["gradient"] == "formula"
    assert result["epochs"] == 2


def test_a_run_is_repeated_bit_for_bit_by_its_recipe(tmp_path: Path) -> None:
    for arguments in (["--epochs", "3", "--out", "one"], ["--recipe", "one/recipe.toml", "--out", "two"]):
        assert sevensteps("train", *arguments, cwd=tmp_path).code == 0
    for name in ("recipe.toml", "history.jsonl", "model.safetensors", "judgement.json", "predictions.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_folder_that_is_there_is_not_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me")
    refused = sevensteps("train", "--epochs", "1", "--out", "mine", cwd=tmp_path)
    assert refused.code == 1
    assert "--force" in refused.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert sevensteps("train", "--epochs", "1", "--out", "mine", "--force", cwd=tmp_path).code == 0
    assert (tmp_path / "mine/notes.txt").read_text() == "keep me"
