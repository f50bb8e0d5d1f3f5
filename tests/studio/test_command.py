"""`sevensteps studio` as a user types it: one line, Ctrl-C saves, and the run goes on later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_studio import Page, array

STARTED: list[Any] = []


def started(folder: Path, *words: str) -> tuple[Any, str]:
    """Start the command in a folder, and return it with its first line."""
    command = [sys.executable, "-m", "sevensteps", "studio", *words, "--no-browser"]
    env = {**os.environ, "PATH": os.defpath}  # where the program is called by another name than its own
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    STARTED.append(process)
    assert process.stdout is not None
    return process, process.stdout.readline()


def ended(process: Any, number: signal.Signals = signal.SIGINT) -> tuple[str, str]:
    """Send a signal, and return what the command said."""
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return out, err


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """End every command that a test has started and left."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_a_run_saves_it_and_says_how_to_go_on(tmp_path: Path) -> None:
    process, line = started(tmp_path, "pullover-dress")
    assert line.startswith("Studio: http://127.0.0.1:")
    assert line.rstrip().endswith("(Ctrl-C ends it)")
    page = Page(line.split()[1])
    page.rest()
    page.do("speed", value=50)
    page.do("run")
    page.wait(lambda state: state["place"]["batch"] > 20)
    out, err = ended(process)
    batch = int(
        json.loads(
            subprocess.run(
                [sys.executable, "-m", "sevensteps", "xray", "runs/pullover-dress-plain-1", "--json"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )["steps"][5]["line"]
        .split("batch ")[1]
        .split()[0]
    )
    assert process.returncode == 0, err
    assert out == (
        "The run is saved. To go on: python -m sevensteps studio runs/pullover-dress-plain-1 "
        "or python -m sevensteps resume runs/pullover-dress-plain-1\n"
    )
    assert (err, process.returncode) == ("", 0)
    assert batch > 20
    # It goes on in the Studio, where its past is computed again.
    process, line = started(tmp_path, "runs/pullover-dress-plain-1", "--json")
    page = Page(json.loads(line)["url"])
    page.rest()
    assert page.place["batch"] == batch - 1
    page.do("back", to=5)
    page.do("batch")
    losses = array(page.state["curve"]["values"])
    assert np.isfinite(losses).all()
    assert len(losses) == 6
    ended(process, signal.SIGTERM)
    # And `resume` ends it as if nothing had happened.
    for words in (["resume", "runs/pullover-dress-plain-1"], ["train", "--recipe", "plain", "--out", "whole"]):
        command = [sys.executable, "-m", "sevensteps", *words]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    models = [tmp_path / name / "model.safetensors" for name in ("runs/pullover-dress-plain-1", "whole")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "There is no port 70000"),
        (["--port", "1", "x", "y"], ""),
        (["--fix", "edits.csv"], "--fix corrects pictures, and none are named."),
    ],
)
def test_bad_usage_is_an_error_in_words(tmp_path: Path, words: list[str], said: str) -> None:
    command = [sys.executable, "-m", "sevensteps", "studio", *words, "--no-browser"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_source_that_is_not_there_is_said_on_the_page(tmp_path: Path) -> None:
    process, line = started(tmp_path, "no-such-folder", "--json")
    page = Page(json.loads(line)["url"])
    state = page.wait(lambda state: state["place"]["error"])
    assert "no-such-folder" in state["place"]["error"]["message"]
    page.do("open", source="pullover-dress")
    assert page.rest()["place"]["phase"] == "paused"
    ended(process)
