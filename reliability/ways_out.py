"""Compare every way in which a model answers, on 10,000 test pictures: learner, run, ONNX, server and program.

    python -m reliability.ways_out

Prints, for each model and each way, the largest difference of a probability and of a distance (as a share of it) from
the saved run, and how many pictures get another class or another refusal. Exits with 1 if a probability or a distance
differs by more than 0.00001, or if any class or refusal differs. The pictures are Fashion-MNIST's; where it is not on
this machine, pullovers and dresses of the package (2,000). `python bench/page.py` does the same for web pages.
"""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import sevensteps as ss
from sevensteps.errors import SevenstepsError
from sevensteps.ship.abstention import Limits
from sevensteps.ship.agreement import Agreement, Answers, compare, image_of
from sevensteps.ship.onnx.run import OnnxModel, read_onnx
from sevensteps.ship.predict import load_model

from .served import ours

MODELS: dict[str, dict[str, Any]] = {
    "linear": {"recipe": "linear", "loss": "auto", "epochs": 3},
    "cnn": {"recipe": "cnn", "loss": "auto", "epochs": 1},
    "cnn, mirrored": {"recipe": "cnn", "loss": "auto", "epochs": 1, "test_time_flip": True},
    # With a loss that takes two classes, too.
    "fashion-10": {"recipe": "fashion-10", "loss": "auto", "label_smoothing": 0.0, "epochs": 1},
}

Way = tuple[str, Answers, np.ndarray]  # its name, its answers, and which pictures it refuses, as it says itself

# Answers to the bytes in a file, from a program that `export --to python` wrote.
PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import model
content, shape = bytearray(Path(sys.argv[2]).read_bytes()), (-1, *model.SHAPE)
if hasattr(model, "np"):
    pixels = model.np.frombuffer(content, "u1").reshape(shape)
else:
    pixels = model.torch.frombuffer(content, dtype=model.torch.uint8).reshape(shape)
for start in range(0, len(pixels), 1000):
    print(json.dumps(model.answers(pixels[start : start + 1000])))
"""


def answers_in_each_way(folder: Path, pixels: np.ndarray) -> Iterator[Way]:
    """Yield each way; the saved run comes first."""
    model = load_model(folder)
    limits = model.abstention
    blocks = [pixels[start : start + 64] for start in range(0, len(pixels), 64)]
    shares = np.concatenate([model.probabilities(block) for block in blocks])
    saved = Answers(shares, None if limits is None else limits.distances(pixels, each_alone=True))
    yield "saved run", saved, _beyond(limits, saved)

    learn = ss.load_learner(folder)
    images = ss.Images(pixels, np.zeros(len(pixels), np.int64), model.classes)
    logits, _ = learn.get_logits(dl=ss.Batches(images, 500))
    own = learn.abstention
    learned = Answers(learn.probabilities(logits).numpy(), None if own is None else own.distances(pixels))
    yield "learner", learned, _beyond(own, learned)

    for name, any_size in (("ONNX", False), ("ONNX of any size", True)):
        file = ss.export(folder, out=folder / f"{name}.onnx", any_size=any_size).file
        onnx = OnnxModel(read_onnx(file), file)
        yield name, (answers := onnx.answers(pixels)), onnx.refused(answers)

    for name, thing in (("server", folder), ("server, ONNX", folder / "ONNX.onnx")):
        with ours(thing) as served:
            yield name, *_of_rows(_sent(served.port, pixels))

    ss.export(folder, to="python", out=folder / "away/model.py")
    (folder / "pixels").write_bytes(pixels.tobytes())
    command = [sys.executable, "-I", "-c", PROGRAM, str(folder / "away"), str(folder / "pixels")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    yield "program", *_of_rows(row for line in said.splitlines() for row in json.loads(line))


def _beyond(limits: Limits | None, answers: Answers) -> np.ndarray:
    """Return which pictures are beyond the limits of a model; none if it always answers."""
    if limits is None or answers.distances is None:
        return np.zeros(len(answers.probabilities), dtype=bool)
    return ~limits.answered(answers.probabilities.astype(np.float64).max(1), answers.distances)


def _sent(port: int, pixels: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield the answers of a server to pictures, each sent as a PNG file."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for picture in pixels:
        image_of(picture).save(content := io.BytesIO(), "PNG")
        connection.request("POST", "/predict", content.getvalue())
        yield json.load(connection.getresponse())
    connection.close()


def _of_rows(rows: Iterable[dict[str, Any]]) -> tuple[Answers, np.ndarray]:
    """Return answers in JSON as arrays, and which of them have a reason to doubt them."""
    rows = list(rows)
    shares = np.array([list(row["probabilities"].values()) for row in rows])
    distances = None if rows[0]["distance"] is None else np.array([row["distance"] for row in rows])
    return Answers(shares, distances), np.array([row["reason"] is not None for row in rows])


def agreements(folder: Path, pixels: np.ndarray) -> dict[str, Agreement]:
    """Return how far each way is from the saved run.

    Args:
        folder: The run.
        pixels: The pictures.
    """
    ways = answers_in_each_way(folder, pixels)
    _, wanted, refused = next(ways)
    return {name: _compared(wanted, refused, answers, other) for name, answers, other in ways}


def _compared(wanted: Answers, refused: np.ndarray, given: Answers, other: np.ndarray) -> Agreement:
    """Return how far two answers are apart, and how many pictures only one of the two refuses."""
    agreement = compare(wanted, given, lambda answers: np.zeros(len(answers.probabilities), dtype=bool))
    return dataclasses.replace(agreement, refusals=int((refused != other).sum()))


def main() -> int:
    """Train, compare and print; return the exit code."""
    try:
        source, test = "fashion-mnist", ss.load("fashion-mnist").test
    except SevenstepsError:
        source, test = "pullover-dress", ss.load("pullover-dress").test
    assert test is not None
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for name, how in MODELS.items():
            folder = Path(place) / name
            ss.train(source, **how, out=folder, observe=lambda event: None)
            for way, agreement in agreements(folder, test.pixels).items():
                verdict = "" if agreement.passed else "  FAILED"
                print(f"{name:<15}{way:<18}{agreement.in_words}{verdict}", flush=True)
                failed += not agreement.passed
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
