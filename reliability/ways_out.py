"""Compare every way in which a model answers, on 10,000 test pictures: the learner, the saved run, ONNX, and a program.

    python -m reliability.ways_out

Prints, for each model and each way, the largest difference of a probability and of a distance (as a share of it) from
the saved run, and how many pictures get another class or another refusal. Exits with 1 if a probability or a distance
differs by more than 0.00001, or if any class or refusal differs. The pictures are Fashion-MNIST's; where it is not on
this machine, pullovers and dresses of the package (2,000).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import sevensteps as ss
from sevensteps.errors import SevenstepsError
from sevensteps.ship.agreement import Agreement, Answers, compare
from sevensteps.ship.onnx.run import OnnxModel, read_onnx
from sevensteps.ship.predict import load_model

MODELS: dict[str, dict[str, Any]] = {
    "linear": {"recipe": "linear", "loss": "auto", "epochs": 3},
    "cnn": {"recipe": "cnn", "loss": "auto", "epochs": 1},
    "cnn, mirrored": {"recipe": "cnn", "loss": "auto", "epochs": 1, "test_time_flip": True},
}

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


def answers_in_each_way(folder: Path, pixels: np.ndarray) -> Iterator[tuple[str, Answers]]:
    """Yield each way's name with its answers; the saved run comes first."""
    model = load_model(folder)
    limits = model.abstention
    blocks = [pixels[start : start + 64] for start in range(0, len(pixels), 64)]
    shares = np.concatenate([model.probabilities(block) for block in blocks])
    yield "saved run", Answers(shares, None if limits is None else limits.distances(pixels, each_alone=True))

    learn = ss.load_learner(folder)
    images = ss.Images(pixels, np.zeros(len(pixels), np.int64), model.classes)
    logits, _ = learn.get_logits(dl=ss.Batches(images, 500))
    own = learn.abstention
    yield "learner", Answers(learn.probabilities(logits).numpy(), None if own is None else own.distances(pixels))

    for name, any_size in (("ONNX", False), ("ONNX of any size", True)):
        file = ss.export(folder, out=folder / f"{name}.onnx", any_size=any_size).file
        yield name, OnnxModel(read_onnx(file), file).answers(pixels)

    ss.export(folder, to="python", out=folder / "away/model.py")
    (folder / "pixels").write_bytes(pixels.tobytes())
    command = [sys.executable, "-I", "-c", PROGRAM, str(folder / "away"), str(folder / "pixels")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [row for line in said.splitlines() for row in json.loads(line)]
    distances = None if limits is None else np.array([row["distance"] for row in rows])
    yield "program", Answers(np.array([list(row["probabilities"].values()) for row in rows]), distances)


def agreements(folder: Path, pixels: np.ndarray) -> dict[str, Agreement]:
    """Return how far each way is from the saved run.

    Args:
        folder: The run.
        pixels: The pictures.
    """
    ways = answers_in_each_way(folder, pixels)
    _, wanted = next(ways)
    limits = load_model(folder).abstention

    def refused(answers: Answers) -> np.ndarray:
        if limits is None or answers.distances is None:
            return np.zeros(len(answers.probabilities), dtype=bool)
        return ~limits.answered(answers.probabilities.astype(np.float64).max(1), answers.distances.astype(np.float64))

    return {name: compare(wanted, answers, refused) for name, answers in ways}


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
