"""What is printed is true where it is printed, and what it advises can be typed."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from typed import here, three_classes

FEW = ("train", "--epochs", "2", "--lr", "0.0005")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that ends while it still improves, which the doctor says."""
    from sevensteps.cli.app import run

    folder = tmp_path_factory.mktemp("said")
    assert run([*FEW, "--out", str(folder / "runs/slow"), "--json"]) == 0
    return folder


@pytest.mark.parametrize("verb", ["runs", "doctor", "judge"])
def test_a_fix_in_json_names_the_run(slow: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    typed = [verb] if verb == "runs" else [verb, "slow"]
    said = json.loads(here(*typed, "--json", cwd=slow, capsys=capsys).out)
    (finding,) = (said["runs"][0] if verb == "runs" else said)["findings"]
    assert finding["fix"].startswith(f"Continue the run: sevensteps resume {said_run(said, verb)} --epochs 5. ")
    assert "RUN" not in finding["fix"]


def said_run(said: dict[str, object], verb: str) -> object:
    """What the answer calls the run."""
    runs = said["runs"] if verb == "runs" else [said]
    assert isinstance(runs, list)
    return runs[0]["run"]


def test_a_fix_that_is_printed_names_the_run(slow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(*FEW, "--numbers", "--out", "mine", cwd=tmp_path, capsys=capsys)
    assert "resume mine --epochs 5" in done.err
    assert "RUN" not in done.err + done.out
    assert "RUN" not in here("doctor", "mine", cwd=tmp_path, capsys=capsys).out
    here("report", "mine", cwd=tmp_path, capsys=capsys)
    page = html.unescape(re.sub(r"<[^>]+>", " ", (tmp_path / "mine/report.html").read_text()))
    assert "resume mine --epochs 5" in page
    assert "resume RUN" not in page
    assert json.loads(here(*FEW, "--json", cwd=tmp_path, capsys=capsys).out)["findings"][0]["fix"].count("RUN") == 0


@pytest.mark.parametrize("typed", ["verify runs/a --rerun", "report runs/a"])
def test_a_hint_names_the_run_whose_pictures_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    three_classes(tmp_path / "three")
    assert here("train", "three", "--epochs", "1", "--out", "runs/a", cwd=tmp_path, capsys=capsys).code == 0
    (tmp_path / "three").rename(tmp_path / "moved")
    done = here(*typed.split(), cwd=tmp_path, capsys=capsys)
    assert "RUN" not in done.out + done.err
    assert done.code == 0 or "sevensteps train PATH --recipe runs/a" in done.err
