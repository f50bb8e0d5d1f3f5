"""Every verb from Python: its record gives the same JSON as the command, and shows itself in a few lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small import unchecked
from typed import here, three_classes

import sevensteps as ss
from sevensteps.errors import UsageError

VERBS = ("train", "resume", "judge", "compare", "report", "doctor", "audit", "prepare", "predict", "verify", "xray")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source, and two runs on it."""
    folder = tmp_path_factory.mktemp("verbs")
    three_classes(folder / "three")
    for seed in (0, 1):
        ss.train(folder / "three", epochs=2, seed=seed, out=folder / f"run-{seed}")
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def printed(*typed: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints with --json."""
    done = here(*typed, "--json", cwd=Path.cwd(), capsys=capsys)
    return json.loads(done.out)


def alike(value: Any) -> Any:
    """JSON as it is read again, without the seconds, which no two runs share."""
    value = json.loads(json.dumps(value))
    value.pop("seconds", None)
    return value


def test_every_verb_is_a_function_of_the_package() -> None:
    assert all(callable(getattr(ss, verb)) and verb in ss.__all__ for verb in VERBS)


def test_train_and_resume(capsys: pytest.CaptureFixture[str]) -> None:
    run = ss.train("three", epochs=2, out="python")
    typed = printed("train", "three", "--epochs", "2", "--recipe", "linear", "--out", "typed", capsys=capsys)
    given = ss.train("three", "linear", epochs=2, out="named")
    assert {"import", "data", "train", "judge"} == set(given.as_json()["seconds"]) == set(typed["seconds"])
    for record in (given, ss.resume("named")):
        mine, theirs = alike(record.as_json()), alike(typed)
        assert mine.pop("run") == "named"
        assert theirs.pop("run") == "typed"
        mine.pop("test_looks"), theirs.pop("test_looks")
        for finding in mine["findings"]:  # whose commands name the run
            finding["fix"] = finding["fix"].replace(" named ", " typed ")
        assert mine == theirs
    assert len(repr(run)) < 1_000
    assert "python" in repr(run)
    assert "<table" in run._repr_html_()


@pytest.mark.parametrize(
    ("typed", "call"),
    [
        (["judge", "run-0"], lambda: ss.judge("run-0")),
        (
            ["judge", "run-0", "--split", "valid", "--clopper-pearson"],
            lambda: ss.judge("run-0", "valid", clopper_pearson=True),
        ),
        (["compare", "run-0", "run-1"], lambda: ss.compare("run-0", "run-1")),
        (["compare", "run-0", "run-1", "run-0"], lambda: ss.compare("run-0", "run-1", "run-0")),
        (["doctor", "run-0"], lambda: ss.doctor("run-0")),
        (["report", "run-0"], lambda: ss.report("run-0")),
        (["verify", "run-0"], lambda: ss.verify("run-0")),
        (["xray", "run-0"], lambda: ss.xray("run-0")),
        (["xray", "run-0", "--start", "--picture", "2"], lambda: ss.xray("run-0", start=True, picture=2)),
        (["data", "three"], lambda: ss.audit("three")),
        (["data", "three", "--classes", "0", "2"], lambda: ss.audit("three", ["0", "2"])),
        (["predict", "run-0", "run-0/curves.png"], lambda: ss.predict("run-0", "run-0/curves.png")),
    ],
)
def test_a_record_gives_the_json_that_the_command_prints(
    typed: list[str], call: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record = call()
    assert alike(record.as_json()) == alike(printed(*typed, capsys=capsys))
    assert len(repr(record)) < 1_500


def test_prepare(capsys: pytest.CaptureFixture[str]) -> None:
    typed = printed("prepare", "three", "--out", "typed.store", capsys=capsys)
    prepared = ss.prepare("three", "python.store")
    assert {**alike(prepared.as_json()), "store": "typed.store"} == typed
    assert len(repr(prepared)) < 500


def test_the_run_itself_is_taken_where_a_run_is_named() -> None:
    run = ss.train("three", epochs=1, out="mine")
    assert ss.judge(run).score == run.test
    assert ss.verify(run).passed
    assert ss.compare(run, "run-0").comparisons[0].names == ("mine", "run-0")
    assert ss.doctor(run).findings == tuple(run.findings)
    assert ss.report(run).path == Path("mine/report.html")
    assert ss.xray(run).folder == Path("mine")
    with pytest.raises(ss.SevenstepsError, match="was not saved"):
        ss.judge(ss.train("three", epochs=1))


@pytest.mark.parametrize(
    "call", [lambda: ss.judge("run-0"), lambda: ss.compare("run-0", "run-1"), lambda: ss.xray("run-0", picture=1)]
)
def test_a_notebook_shows_records_as_html(call: Any) -> None:
    shown = call()._repr_html_()
    assert shown.startswith('<div class="sevensteps">')
    assert "<table" in shown


def test_an_xray_in_a_notebook_has_pictures() -> None:
    assert 'src="data:image/png;base64,' in ss.xray("run-0")._repr_html_()


NAMES = """
import sevensteps as ss
from sevensteps import *
import sevensteps.jobs.report, sevensteps.data.images, sevensteps.runs.saved
public = [name for name in dir(ss) if not (name.startswith("__") and name.endswith("__"))]
assert public == sorted(ss.__all__), set(public) ^ set(ss.__all__)
assert all(callable(getattr(ss, name)) for name in public)
"""


def test_only_public_names_are_offered_whatever_was_imported() -> None:
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("wrong", [None, 3, ["run"]])
def test_what_is_not_a_run_is_refused_in_words(wrong: Any) -> None:
    with unchecked(), pytest.raises(UsageError, match="is not a run"):
        ss.doctor(wrong)


def test_one_epoch_and_one_batch_are_said_as_one() -> None:
    run = ss.train("three", epochs=1, batch_size=1000, out="once")
    assert "whole: 1 epoch, 1 batch" in repr(ss.verify(run))
