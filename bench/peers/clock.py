"""Run one script of this folder, and print its times as JSON, one line for each of the settings.

`../speed.py` starts it, in the environment that the script needs.

    python clock.py NAME PICTURES.npz '[{"lr": 0.1}]' [--seeds 20]

A script that does a whole job has `prepare(pictures, settings)`, `train(data, settings, seed)` and
`predict(model, pixels)`. One that repeats something has `epochs(pictures, settings)`, a generator that yields after
each pass. `pictures` are the raw uint8 arrays, which are in memory before the clock starts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from types import ModuleType
from typing import Any

AGAIN = 5  # how often a job is repeated in the same process at most,
AGAIN_SECONDS = 2.0  # and for how long
PACKAGES = {"sklearn": "scikit-learn"} | {
    name: name for name in ("sevensteps", "torch", "numpy", "fastai", "lightning", "keras", "skorch")
}


def main() -> None:
    """Measure, and print a line for each of the settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("pictures", help="an .npz of pixels and labels, or a number of made-up pictures")
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("--seeds", type=int, default=0, help="measure accuracy over this many seeds, and no time")
    arguments = parser.parse_args()
    began = time.perf_counter()
    script = importlib.import_module(arguments.name)
    imported = time.perf_counter() - began
    pictures = made_up(int(arguments.pictures)) if arguments.pictures.isdigit() else read(arguments.pictures)
    for settings in arguments.settings:
        if arguments.seeds:
            measured = over_seeds(script, pictures, settings, arguments.seeds)
        else:
            measured = (passes if hasattr(script, "epochs") else job)(script, pictures, settings)
        versions = {package: version(package) for module, package in PACKAGES.items() if module in sys.modules}
        both = {"import + job": imported + measured["first"]} if "first" in measured else {}
        print(json.dumps({"import": imported, **measured, **both, "versions": versions}), flush=True)


def read(path: str) -> dict[str, Any]:
    """Read the arrays that `speed.py` wrote."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:  # noqa: TID251 - scripts of other frameworks have no other reader
        return dict(file)


def made_up(count: int) -> dict[str, Any]:
    """Return noise of the pictures' shape."""
    import numpy as np

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return {"train_pixels": pixels, "train_labels": random.integers(0, 2, count)}


def job(script: ModuleType, pictures: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds from raw pictures to a trained model, for the first job in this process and for later ones."""
    times = []
    while len(times) <= AGAIN and sum(sum(both) for both in times[1:]) < AGAIN_SECONDS:
        began = time.perf_counter()
        data = script.prepare(pictures, settings)
        prepared = time.perf_counter()
        script.train(data, settings, 0)
        times.append((prepared - began, time.perf_counter() - prepared))
    (data_seconds, train_seconds), *again = times
    return {
        "data": data_seconds,
        "train": train_seconds,
        "first": data_seconds + train_seconds,
        "again": statistics.median(sum(both) for both in again),
    }


def passes(script: ModuleType, pictures: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds of a pass, the median of `settings["epochs"]` after a warm-up, and the same per picture."""
    times = []
    running = script.epochs(pictures, settings)
    for _ in range(settings["epochs"] + 1):
        began = time.perf_counter()
        next(running)
        times.append(time.perf_counter() - began)
    epoch = statistics.median(times[1:])
    count = len(pictures["train_pixels"])
    return {"epoch": epoch, "a second": count / epoch, "ns": 1e9 * epoch / count}


def over_seeds(
    script: ModuleType, pictures: Mapping[str, Any], settings: Mapping[str, Any], seeds: int
) -> dict[str, Any]:
    """Return the test accuracy for each seed, and the seconds of each job."""
    accuracies, times = [], []
    for seed in range(seeds):
        began = time.perf_counter()
        model = script.train(script.prepare(pictures, settings), settings, seed)
        times.append(time.perf_counter() - began)
        right = script.predict(model, pictures["test_pixels"]) == pictures["test_labels"]
        accuracies.append(float(right.mean()))
    return {"accuracies": accuracies, "seconds": statistics.median(times)}


if __name__ == "__main__":
    main()
