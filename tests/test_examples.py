"""The examples run as they are, in a process of their own."""

from __future__ import annotations

import os
import re
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pullover_or_dress.py", r"relu is better than pullover-or-dress/linear"),
        ("ten_classes.py", r"8[5-9]\.\d+% of 3,000 test pictures"),
        ("few_photos.py", r"from features: (49|50|51) of 51"),
        (
            "handwriting.py",
            r"right on (8[5-9]|9\d)\.\d\s% of pictures it has never seen\.\npaper\.jpg: a 7 .*\n"
            r"chalk\.jpg: none of these.*\nchalk\.jpg: a 7 \(\d+\.\d%, inverted\)",
        ),
        ("messy_folder.py", r"before: 9[4-7]\.\d% of clean pictures right\nafter: 9[4-7]\.\d% of clean pictures right"),
    ],
)
def test_each_project_of_the_gallery_says_what_the_page_says(name: str, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "gallery" / name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "SEVENSTEPS_STATE": str(tmp_path / "state"), "SEVENSTEPS_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stdout), done.stdout
    assert list(tmp_path.rglob("*.png"))
