"""The examples run as they are, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_unknown_function_is_found_both_ways(tmp_path: Path) -> None:
    by_hand, by_learner = run("unknown_function.py", tmp_path)
    numbers = by_hand[by_hand.index("[") : by_hand.index("]") + 1]
    assert numbers == by_learner[by_learner.index("[") : by_learner.index("]") + 1]
    found = [float(number) for number in numbers.strip("[]").split(",")]
    # Three standard errors of the least-squares fit through 20 points with noise of 0.5.
    assert found == pytest.approx([3, 2, 1], abs=0.6)
    assert by_learner.endswith("it stopped because 200 epochs were asked for and done")


def test_the_walkthrough_of_a_reader_runs_unchanged(tmp_path: Path) -> None:
    lines = run("walkthrough.py", tmp_path)
    second_rung = [float(word) for word in lines[0].split()]
    assert len(second_rung) == 5
    assert second_rung[-1] > 0.95
    table = [line.split() for line in lines[1:] if line.split()[:1] == ["14"] or line.split()[:1] == ["15"]]
    assert float(table[-1][3]) > 0.955  # nn.Linear's own start: 96.75 to 97.0 % after 15 epochs
