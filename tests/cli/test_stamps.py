"""What 195 photographs from a Debian package show: wrong labels are found, and foreign pictures are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from typed import here

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    """The photographs, in seven class folders."""
    made = subprocess.run(
        [sys.executable, str(ROOT / "tools/make_stamps.py"), str(tmp_path / "stamps")],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("the Debian package tuxpaint-stamps-default is not installed")
    return tmp_path / "stamps"


def test_two_planted_wrong_labels_are_among_the_first_five(
    stamps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stamps / "mammals/bear.png").rename(stamps / "vehicles/planted_bear.png")
    (stamps / "flowers/daffodil.png").rename(stamps / "birds/planted_daffodil.png")
    done = here("data", "stamps", "--json", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    first = [suspect["picture"] for suspect in json.loads(done.out)["suspects"]][:5]
    assert {"vehicles/planted_bear.png", "birds/planted_daffodil.png"} <= set(first)


def test_noise_white_and_other_pictures_are_none_of_these_though_few_are_held_out(
    stamps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("train", "stamps", "--folds", "1", "--epochs", "20", "--out", "run", "--json")
    done = here(*typed, cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    coverage = json.loads(done.out)["coverage"]
    assert coverage["never_says"] == ["not sure"]
    assert coverage["coverage"] > 0.85
    random, china = np.random.default_rng(0), Image.fromarray(load_sample_images().images[0])
    for number in range(20):
        Image.fromarray(random.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(tmp_path / f"noise-{number}.png")
        Image.new("RGB", (96, 96), (255 - number,) * 3).save(tmp_path / f"white-{number}.png")
        corner = int(random.integers(0, china.width - 96)), int(random.integers(0, china.height - 96))
        china.crop((*corner, corner[0] + 96, corner[1] + 96)).save(tmp_path / f"tile-{number}.png")
    files = [path.name for path in sorted(tmp_path.glob("*-*.png"))]
    answers = json.loads(here("predict", "run", *files, "--json", cwd=tmp_path, capsys=capsys).out)["results"]
    refused = {
        kind: sum(answer["reason"] == "none of these" for answer in answers if answer["file"].startswith(kind))
        for kind in ("noise", "white", "tile")
    }
    assert refused["noise"] == 20
    assert refused["white"] >= 18
    assert refused["tile"] >= 5
