"""Choose the peers' settings for the linear job from a grid, by accuracy on held-out training pictures.

    python bench/choose.py torch_bare      (or sklearn_logistic, sklearn_sgd, ours_job)

Prints a line for each setting, the fastest first: the seconds of a job, and the mean accuracy on a held-out tenth of
the training pictures, over several choices of that tenth. The test pictures are not used. `speed.py` has the chosen
settings.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from environments import OURS, python_of
from machine import describe
from speed import ENVIRONMENTS, export
from turns import clocked

import sevensteps as ss

GRIDS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "ours_job": (
        OURS,
        {
            "recipe": ["linear"],
            "hold_out": [0.0],
            "batch_size": [128, 256, 512],
            "epochs": [2, 3, 4, 6, 8],
            "lr": [0.05, 0.1, 0.2],
        },
    ),
    "torch_bare": (
        OURS,
        {"batch_size": [128, 256, 512, 1024], "epochs": [2, 3, 4, 6, 8, 12], "lr": [0.02, 0.05, 0.1, 0.2]},
    ),
    "sklearn_logistic": ("scikit-learn", {"C": [0.001, 0.003, 0.01, 0.1, 1.0], "max_iter": [5, 7, 10, 15, 20, 30, 50]}),
    "sklearn_sgd": (
        "scikit-learn",
        {"epochs": [1, 2, 3, 5], "lr": [0.001, 0.003, 0.01, 0.03], "alpha": [1e-6, 1e-4, 1e-3, 1e-2]},
    ),
}


def seconds(tried: Sequence[dict[str, Any]]) -> float:
    """Return the median seconds of a job with one setting."""
    return float(statistics.median(one["seconds"] for one in tried[1:]))


def main() -> None:
    """Try every setting of a grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("script", choices=GRIDS)
    parser.add_argument("--ways", type=int, default=5, help="how many times a tenth is held out")
    parser.add_argument("--envs", type=Path, default=ENVIRONMENTS)
    arguments = parser.parse_args()
    print(describe())
    environment, grid = GRIDS[arguments.script]
    python = python_of(environment, arguments.envs)
    assert python, "its environment cannot be made"
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    with tempfile.TemporaryDirectory() as folder:
        ways = []
        for seed in range(arguments.ways):
            splits = ss.load("pullover-dress").hold_out(0.1, seed)
            data = export(Path(folder) / f"{seed}.npz", splits.train, splits.valid)
            ways.append(clocked(python, arguments.script, data, settings, threads=1, seeds=1))
    for tried in sorted(zip(settings, *ways, strict=True), key=seconds):
        setting, *measured = tried
        accuracy = statistics.mean(one["accuracies"][0] for one in measured)
        print(f"{seconds(tried):7.3f} s  {accuracy:.2%}  {setting}")


if __name__ == "__main__":
    main()
