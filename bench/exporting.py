"""Measure ONNX files that `export` wrote in onnxruntime, beside the same models in PyTorch.

    python bench/exporting.py

One picture: one thread, microseconds of CPU. 256 pictures: two threads, pictures a second by the clock, and on one
thread by CPU time. All take turns; each figure is the best of all rounds. onnxruntime takes bytes and computes
probabilities and the distance of "none of these". "torch" computes the probabilities in PyTorch's eager mode and the
distance as a learner does; "without" leaves the distance out.
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


def by_torch(folder: Path, with_distance: bool) -> Callable[[np.ndarray], object]:
    """Return a model in PyTorch's eager mode: from bytes to probabilities, and to distances if these are wanted."""
    learn = ss.load_learner(folder)
    model, abstention = learn.model.eval(), learn.abstention
    assert abstention is not None

    def run(pixels: np.ndarray) -> object:
        with torch.inference_mode():
            x = torch.from_numpy(pixels).float() / 255
            scores = model(x.flatten(1) if learn.flat else x) / learn.temperature
            shares = scores.softmax(1) if scores.shape[1] > 1 else scores.sigmoid()
            return shares.numpy(), abstention.distances(pixels) if with_distance else None

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
    whole, without = by_torch(folder, True), by_torch(folder, False)
    one, two = session_of(file, 1), session_of(file, 2)
    random = np.random.default_rng(0)
    shape = one.get_inputs()[0].shape[1:]

    def ways(session: onnxruntime.InferenceSession, count: int) -> dict[str, Callable[[], object]]:
        pixels = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        return {
            "onnx": lambda: session.run(None, {"pixels": pixels}),
            "torch": lambda: whole(pixels),
            "without": lambda: without(pixels),
        }

    torch.set_num_threads(1)
    alone = best_in_turns(ways(one, 1), 200)
    on_one = best_in_turns(ways(one, BATCH), 4)
    torch.set_num_threads(2)
    on_two = best_in_turns(ways(two, BATCH), 4, time.perf_counter)
    cells = [f"{alone['onnx'] * 1e6:.1f} us"]
    for found in (alone, on_two, on_one):
        cells += [] if found is alone else [f"{BATCH / found['onnx']:,.0f}/s"]
        cells += [f"{found[name] / found['onnx']:.1f}" for name in ("torch", "without")]
    return cells


def main() -> None:
    """Print the table."""
    load = f"{os.getloadavg()[0]:.1f} processes ran or waited on average in the last minute"
    print(f"{describe()}, onnxruntime {onnxruntime.__version__}; {load}", flush=True)
    ratios = ("torch", "without")  # their time, as a multiple of onnxruntime's
    heads = ("1 picture", *ratios, "256, 2 threads", *ratios, "256, 1 thread", *ratios)
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
