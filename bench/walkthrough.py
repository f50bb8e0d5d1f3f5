"""Train the walk-through's by-hand recipe over 40 seeds: which start saturated, which recover, how the others end.

python bench/walkthrough.py
"""

from __future__ import annotations

import argparse
import statistics

from machine import describe

import sevensteps as ss
from sevensteps.trust.intervals import wilson


def main() -> None:
    """Train every seed for 30 epochs and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    arguments = parser.parse_args()
    print(describe())
    at_chance_early, recovered, never, others = [], [], [], []
    told = wrongly = 0
    for seed in range(arguments.seeds):
        run = ss.train(recipe="walkthrough-by-hand", seed=seed)
        accuracies = [epoch.metrics["accuracy"] for epoch in run.learn.state.history]
        above = [
            number for number, accuracy in enumerate(accuracies, 1) if wilson(round(accuracy * 2000), 2000).low > 0.5
        ]
        if not above:
            never.append(seed)
        else:
            others.append(accuracies[-1])
        if not above or above[0] > 2:
            at_chance_early.append(seed)
            told += bool(run.findings)
            if above:
                recovered.append(above[0])
        else:
            wrongly += bool(run.findings)
        print(
            f"seed {seed:3}: above chance from epoch {above[0] if above else '-'}, ends at {accuracies[-1]:.2%}",
            flush=True,
        )
    print(
        f"at chance after 2 epochs: {len(at_chance_early)} of {arguments.seeds} seeds; reported by the doctor: {told}"
    )
    print(
        f"of these recover: {len(recovered)}, at epochs {sorted(recovered)}; never in 30 epochs: {len(never)} ({never})"
    )
    print(f"above chance by epoch 2, and yet reported: {wrongly}")
    print(
        f"the {len(others)} that are above chance at the end: {min(others):.2%} to {max(others):.2%}, "
        f"median {statistics.median(others):.2%}"
    )


if __name__ == "__main__":
    main()
