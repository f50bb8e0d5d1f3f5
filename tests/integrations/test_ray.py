"""Ray as a launcher: the same command, and the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typed import sevensteps

HOME = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has Ray: it is large, so it may have an environment of its own."""
    python = os.environ.get("SEVENSTEPS_RAY", sys.executable)
    if subprocess.run([python, "-c", "import ray"], check=False, capture_output=True, cwd="/").returncode:
        pytest.skip("Ray is not installed; SEVENSTEPS_RAY may name an interpreter that has it")
    return python


def started(python: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command with Ray."""
    return subprocess.Popen(
        [python, "-m", "sevensteps", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_workers_of_ray_write_the_bytes_of_one_process(python: str, tmp_path: Path) -> None:
    words = ("train", "--recipe", "linear", "--shards", "2", "--epochs", "2", "--out")
    alone = sevensteps(*words, "alone", cwd=tmp_path)
    assert alone.code == 0, alone.err
    process = started(python, tmp_path, *words, "by-ray", "--on", "ray", "--workers=2")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.splitlines()[0] == alone.out.splitlines()[0]  # what the leader prints is passed on
    for name in ("model.safetensors", "checkpoint.safetensors", "history.jsonl"):
        assert (tmp_path / "by-ray" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert "processes = 2" in (tmp_path / "by-ray/recipe.toml").read_text()


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_goes_on_with_another_number(python: str, tmp_path: Path) -> None:
    process = started(
        python, tmp_path, "train", "--recipe", "cnn", "--epochs", "300", "--out", "R", "--on", "ray", "--workers", "2"
    )
    waits = time.monotonic() + 200
    while not (tmp_path / "R/checkpoint.safetensors").exists() and time.monotonic() < waits:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "sevensteps resume R" in err
    done = sevensteps("verify", "R", cwd=tmp_path)
    assert done.code == 0, done.err


@pytest.mark.slow
def test_more_workers_than_parts_are_refused(python: str, tmp_path: Path) -> None:
    process = started(python, tmp_path, "train", "--recipe", "linear", "--out", "R", "--on", "ray", "--workers", "2")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "--shards 2" in err
    assert not (tmp_path / "R").exists()


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    for words, said in (
        (("--workers", "2"), "--workers needs --on ray"),
        (("--on", "ray"), "--on ray needs the number of workers"),
        (("--on", "ray", "--workers", "0"), "--on ray needs the number of workers"),
        (("--on", "ray", "--workers", "2", "--processes", "2"), "Use only one of the two"),
    ):
        for verb in (("train",), ("resume", "R")):
            done = sevensteps(*verb, *words, cwd=tmp_path)
            assert done.code == 2
            assert said in done.err
    assert not list(tmp_path.iterdir())


def test_without_ray_the_error_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('as if it were missing')")
    done = subprocess.run(
        [sys.executable, "-m", "sevensteps", "train", "--on", "ray", "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'sevensteps[ray]'" in done.stderr
    assert "Traceback" not in done.stderr
