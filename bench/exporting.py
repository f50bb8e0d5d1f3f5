"""Measure ONNX files that `export` wrote in onnxruntime, beside the same models in PyTorch.

    python bench/exporting.py

One picture: one thread, microseconds of CPU. 256 pictures: two threads, pictures a second by the clock, and on one
thread by CPU time. The two take turns; each figure is the best of all rounds. onnxruntime takes bytes and computes
probabilities and the distance of "none of these"; PyTorch takes bytes and computes probabilities alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from machine import describe

import sevensteps as ss

ROUNDS, BATCH = 15, 256
MODELS = {
    "linear": ("pullover-dress", {"recipe": "linear"}),
    "cnn": ("pullover-dress", {"recipe": "cnn", "epochs": 1}),
    "fashion-10": ("fashion-mnist", {"recipe": "fashion-10", "epochs": 1}),  # 61,802 parameters
}


def session_of(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """Return a file in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def by_torch(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model in PyTorch's eager mode: from bytes to probabilities."""
    learn = ss.load_learner(folder)
    model = learn.model.eval()

    def run(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(pixels).float() / 255
            scores = model(x.flatten(1) if learn.flat else x) / learn.temperature
            shares = scores.softmax(1) if scores.shape[1] > 1 else scores.sigmoid()
            result: np.ndarray = shares.numpy()
            return result

    return run


def best_in_turns(
    ways: dict[str, Callable[[], object]], times: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Return the least seconds of each way over the rounds."""
    least = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = clock()
            for _ in range(times):
                way()
            least[name] = min(least[name], (clock() - began) / times)
    return least


def row_of(folder: Path, file: Path) -> list[str]:
    """Measure a model, and return what the table says of it."""
    eager, one, two = by_torch(folder), session_of(file, 1), session_of(file, 2)
    random = np.random.default_rng(0)
    shape = one.get_inputs()[0].shape[1:]
    picture, batch = (random.integers(0, 256, (count, *shape), dtype=np.uint8) for count in (1, BATCH))
    torch.set_num_threads(1)
    alone = best_in_turns({"onnx": lambda: one.run(None, {"pixels": picture}), "torch": lambda: eager(picture)}, 200)
    on_one = best_in_turns({"onnx": lambda: one.run(None, {"pixels": batch}), "torch": lambda: eager(batch)}, 4)
    torch.set_num_threads(2)
    by_two = {"onnx": lambda: two.run(None, {"pixels": batch}), "torch": lambda: eager(batch)}
    on_two = best_in_turns(by_two, 4, time.perf_counter)
    return [
        f"{alone['onnx'] * 1e6:.1f} us",
        f"{alone['torch'] * 1e6:.0f} us",
        f"{alone['torch'] / alone['onnx']:.1f}",
        f"{BATCH / on_two['onnx']:,.0f}/s",
        f"{BATCH / on_two['torch']:,.0f}/s",
        f"{on_two['torch'] / on_two['onnx']:.1f}",
        f"{BATCH / on_one['onnx']:,.0f}/s",
        f"{on_one['torch'] / on_one['onnx']:.1f}",
    ]


def main() -> None:
    """Print the table."""
    load = f"{os.getloadavg()[0]:.1f} processes ran or waited on average in the last minute"
    print(f"{describe()}, onnxruntime {onnxruntime.__version__}; {load}", flush=True)
    heads = ("1 picture: onnx", "torch", "ratio", "256, 2 threads: onnx", "torch", "ratio", "1 thread: onnx", "ratio")
    print(" " * 12 + "".join(f"{head:>{max(len(head), 9) + 2}}" for head in heads))
    with tempfile.TemporaryDirectory() as place:
        for name, (source, how) in MODELS.items():
            folder = Path(place) / name
            ss.train(source, **how, out=folder, observe=lambda event: None)  # type: ignore[arg-type]
            cells = row_of(folder, ss.export(folder).file)
            row = "".join(f"{cell:>{max(len(head), 9) + 2}}" for cell, head in zip(cells, heads, strict=True))
            print(f"{name:<12}{row}", flush=True)


if __name__ == "__main__":
    main()
