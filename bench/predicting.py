"""Measure `predict` over 5,000 PNG files, beside a loop that decodes with Pillow and computes one batch at the end.

    python bench/predicting.py [--json predicting.json]

Each is a process of its own on one core; what a process with one picture takes (imports, loading) is subtracted from
both. "Median" and "least" are those of the seconds of all rounds, with the pictures and with one. The loop answers with
the class alone, from all pictures in large batches; `predict` also gives calibrated probabilities, the distance, and
the reason to doubt, each with the same digits as for the picture alone. The pictures are pullovers and dresses, and the
models were trained on them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from machine import describe
from PIL import Image

import sevensteps as ss

COUNT, ROUNDS = 5_000, 5
MODELS = {
    "linear": {"recipe": "linear"},
    "cnn": {"recipe": "cnn", "epochs": 1},
    # The network of `fashion-10`, with a loss that takes two classes.
    "fashion-10": {"recipe": "fashion-10", "epochs": 1, "loss": "auto", "label_smoothing": 0.0},
}
LOOP = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
import torch
import sevensteps as ss
learn = ss.load_learner(sys.argv[1] + "/model.safetensors")
pixels = np.stack([np.asarray(Image.open(path).convert("L")) for path in sorted(Path(sys.argv[2]).glob("*.png"))])
answers = []
for first in range(0, len(pixels), 1000):  # a network's layers do not fit into memory for all at once
    x = torch.from_numpy(pixels[first : first + 1000, None]).float() / 255
    with torch.no_grad():
        scores = learn.model.eval()(x.flatten(1) if learn.flat else x)
    answers += learn.probabilities(scores).argmax(1).tolist()
print(len(answers))
"""


def write_pictures(folder: Path, count: int) -> Path:
    """Write the first pictures of the embedded set as PNG files, and return the folder."""
    folder.mkdir()
    pixels = ss.load("pullover-dress").train.pixels
    for number in range(count):
        Image.fromarray(pixels[number, 0]).save(folder / f"{number:05}.png")
    return folder


def seconds(command: Sequence[str | Path]) -> float:
    """Return the CPU seconds of a command on one core."""
    one = min(os.sched_getaffinity(0))
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **threads},
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    print(describe(), flush=True)
    print("pictures a CPU second")
    print(f"{'':<12}{'predict: median':>16}{'least':>10}{'loop: least':>16}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        many, one = write_pictures(folder / "many", COUNT), write_pictures(folder / "one", 1)
        for name, how in MODELS.items():
            ss.train("pullover-dress", **how, out=folder / name, observe=lambda event: None)  # type: ignore[arg-type]
            commands = {
                "predict": [sys.executable, "-m", "sevensteps", "predict", folder / name, "--jsonl"],
                "loop": [sys.executable, "-c", LOOP, folder / name],
            }
            taken: dict[tuple[str, Path], list[float]] = {(what, of): [] for what in commands for of in (many, one)}
            for _ in range(ROUNDS):
                for (what, of), values in taken.items():
                    values.append(seconds([*commands[what], of]))
            # Not the difference of each round: starting takes longer than the work, and varies by as much.
            ours, loop = (COUNT / (min(taken[what, many]) - min(taken[what, one])) for what in commands)
            middle = statistics.median
            median = COUNT / (middle(taken["predict", many]) - middle(taken["predict", one]))
            print(f"{name:<12}{median:>16,.0f}{ours:>10,.0f}{loop:>16,.0f}{ours / loop:>8.2f}", flush=True)
            figures[name] = {"median": median, "least": ours, "loop": loop}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
