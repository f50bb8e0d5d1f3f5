"""A picture gets the same answer alone and among others, to the last bit, from models of every kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sevensteps as ss
from sevensteps.ship.predict import load_model

COUNT = 90  # more than the largest batch


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes in an odd size, whose rows have no even addresses."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir()
        for number in range(60):
            pixels = random.integers(0, 120, (19, 17, 3), dtype=np.uint8)
            pixels[9 * label : 9 * label + 9] += np.uint8(100)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def asked() -> list[np.ndarray]:
    """Pictures like those of training, inverted ones and noise: every kind of answer."""
    pixels = ss.load("pullover-dress").test.pixels[: COUNT - 20]
    noise = np.random.default_rng(1).integers(0, 256, (10, 1, 28, 28), dtype=np.uint8)
    return [*pixels, *(255 - pixels[:10]), *noise]


def as_json(answers: Any) -> list[dict[str, Any]]:
    return [{**answer.as_json(), "file": ""} for answer in answers]


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("linear", {"epochs": 2}),
        ("relu", {"epochs": 2}),
        ("cnn", {"epochs": 1}),
        ("fashion-10", {"epochs": 1, "width": 4, "loss": "auto", "label_smoothing": 0.0}),
    ],
)
def test_alone_and_among_others(tmp_path: Path, asked: list[np.ndarray], recipe: str, settings: dict[str, Any]) -> None:
    run = ss.train("pullover-dress", recipe=recipe, **settings, out=tmp_path / "run")  # type: ignore[arg-type]
    together = as_json(ss.predict(run, asked))
    model = load_model(tmp_path / "run")
    alone = as_json(model.answer(picture) for picture in asked)
    assert together == alone
    assert {answer["reason"] for answer in together} > {None}
    some = [70, 3, 3, 12, 89, 41]
    assert as_json(ss.predict(run, [asked[place] for place in some])) == [alone[place] for place in some]
    assert as_json(ss.predict(run, asked[::-1])) == alone[::-1]


def test_color_of_an_odd_size(tmp_path: Path, photos: Path) -> None:
    run = ss.train(photos, recipe="linear", epochs=2, out=tmp_path / "run")
    files = sorted(photos.glob("*/*.png"))
    model = load_model(tmp_path / "run")
    assert as_json(ss.predict(run, photos)) == as_json(map(model.answer, files))


def test_files_that_cannot_be_read_keep_their_places(tmp_path: Path, photos: Path) -> None:
    ss.train(photos, recipe="linear", epochs=1, out=tmp_path / "run")
    files = [str(file) for file in sorted(photos.glob("*/*.png"))]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    typed = [*files[:5], "bad.png", "none.png", *files[5:20], "empty", *files[20:]]
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "sevensteps", "predict", "run", *typed, "--jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [line["file"] for line in lines] == typed
    assert [line["file"] for line in lines if "error" in line] == ["bad.png", "none.png", "empty"]


def test_the_first_answer_waits_for_no_other(tmp_path: Path, photos: Path) -> None:
    from sevensteps.jobs.predict import stream

    run = ss.train(photos, recipe="linear", epochs=1, out=tmp_path / "run")
    files = [*sorted(photos.glob("*/*.png")), photos / "gone.png"]
    answers = stream(run, files)
    assert next(answers).file == str(files[0])
    Image.new("RGB", (17, 19)).save(photos / "gone.png")  # read only when its turn comes
    try:
        assert [answer.error for answer in answers] == [None] * (len(files) - 1)
    finally:
        (photos / "gone.png").unlink()
