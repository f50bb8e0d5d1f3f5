"""Take it: the zip holds the model with a self-test that passes where it should and fails where it should."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import sevensteps as ss
from sevensteps.errors import RunError
from sevensteps.runs.saved import Saved
from sevensteps.studio.taking import Pack, pack

pytestmark = pytest.mark.slow  # ONNX and the report, with all shapes checked, take half a minute


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("take") / "my run"
    ss.train("pullover-dress", "linear", out=out, epochs=2, observe=lambda event: None)
    return out


@pytest.fixture(scope="module")
def packed(run: Path) -> Pack:
    saved = Saved.open(run)
    return pack(saved, saved.pictures(lambda event: None)[0].test)


def unpacked(packed: Pack, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        archive.extractall(folder)
    (inside,) = folder.iterdir()
    return inside


def self_test(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "selftest.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_zip_has_every_file_and_passes_its_own_test(packed: Pack, tmp_path: Path) -> None:
    there = unpacked(packed, tmp_path)
    listed = {one["name"] for one in packed.about["files"]}
    assert listed >= {"model.safetensors", "model.onnx", "model.html", "recipe.toml", "report.html", "selftest.py"}
    assert {path.name for path in there.iterdir()} == listed | {"pictures"}
    assert packed.about["missing"] == []
    done = self_test(there)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == packed.about["tested"]
    assert "model.onnx, by onnxruntime: 16 pictures, the same answers" in done.stdout


def test_its_model_answers_as_the_run_does(packed: Pack, run: Path, tmp_path: Path) -> None:
    there = unpacked(packed, tmp_path)
    files = sorted((there / "pictures").glob("*.png"))
    ours, theirs = ss.predict(run, files), ss.predict(there / "model.safetensors", files)
    assert [one.probabilities for one in ours] == [one.probabilities for one in theirs]
    noted = json.loads((there / "selftest.json").read_text())["answers"]
    assert [one.reason or one.best for one in ours] == [one["answer"] for one in noted]


def test_a_changed_file_and_a_changed_answer_fail_the_self_test(packed: Pack, tmp_path: Path) -> None:
    there = unpacked(packed, tmp_path)
    page = there / "model.html"
    page.write_bytes(page.read_bytes() + b" ")
    done = self_test(there)
    assert (done.returncode, "model.html has changed" in done.stdout) == (1, True)
    page.write_bytes(page.read_bytes()[:-1])
    noted = json.loads((there / "selftest.json").read_text())
    noted["answers"][3]["probabilities"] = noted["answers"][3]["probabilities"][::-1]
    (there / "selftest.json").write_text(json.dumps(noted))
    done = self_test(there)
    assert (done.returncode, "OTHER ANSWERS: pictures/04.png" in done.stdout) == (1, True)


def test_no_folder_of_this_machine_is_in_it(packed: Pack, run: Path, tmp_path: Path) -> None:
    there = unpacked(packed, tmp_path)
    for path in there.rglob("*"):
        if path.is_file() and path.suffix in (".toml", ".txt", ".json", ".py"):
            assert str(run.parent) not in path.read_text("utf-8"), path


def test_a_corrected_run_trains_again_from_what_is_in_its_zip(tmp_path: Path) -> None:
    edits = tmp_path / "edits.csv"
    edits.write_text("picture,now,was,why\ntrain/0,,Dress,\n")
    out, quiet = tmp_path / "run", lambda event: None
    ss.train("pullover-dress", "linear", out=out, epochs=1, fix=str(edits), yes=True, observe=quiet)
    there = unpacked(pack(Saved.open(out), None), tmp_path / "zip")
    edits.unlink()
    again = [sys.executable, "-m", "sevensteps", "train", "pullover-dress", "--recipe", "recipe.toml", "--out", "again"]
    done = subprocess.run(again, cwd=there, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (there / "again" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_the_same_run_gives_the_same_bytes(packed: Pack, run: Path) -> None:
    saved = Saved.open(run)
    again = pack(saved, saved.pictures(lambda event: None)[0].test)
    assert np.array_equal(np.frombuffer(again.content, np.uint8), np.frombuffer(packed.content, np.uint8))
    assert packed.name == "my-run.zip"


def test_a_run_without_a_model_says_what_to_do(tmp_path: Path, run: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes((run / "recipe.toml").read_bytes())
    with pytest.raises(RunError, match="There is no finished model yet"):
        pack(Saved.open(tmp_path), None)
