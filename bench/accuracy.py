"""Test accuracy of a recipe over seeds: mean and spread, and the seconds of training.

    python bench/accuracy.py linear --seeds 20

Each seed decides start, order, augmentation and what is held out. Settings were chosen on held-out training pictures
(`--held-out` prints those figures and does not touch the test pictures).
"""

from __future__ import annotations

import argparse
import os
import statistics

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is imported

import torch
from machine import describe

import sevensteps as ss


def main() -> None:
    """Print a line a seed, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--held-out", action="store_true", help="validation accuracy only; for choosing settings")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings in place of the recipe's")
    arguments = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    text = "\n".join(f"{key} = {value}" for key, value in settings.items())
    changed = vars(ss.Recipe.from_toml(text)) if text else {}
    recipe = ss.Recipe.load(arguments.recipe).replace(**{key: changed[key] for key in settings})
    print(describe())
    accuracies, seconds = [], []
    for seed in range(arguments.seeds):
        if arguments.held_out:
            splits = recipe.replace(seed=seed).held_out(ss.load(recipe.source, recipe.classes or None))
            torch.set_num_threads(recipe.settled(splits).threads)
            learn = recipe.replace(seed=seed).learner(splits)
            learn.fit(show=False)
            accuracies.append(learn.recorder.values[-1][2])
            seconds.append(learn.state.seconds)
        else:
            run = ss.train(recipe=recipe, seed=seed)
            assert run.test is not None
            learn = run.learn
            accuracies.append(run.test.accuracy)
            seconds.append(run.seconds["train"])
        print(f"seed {seed:3}: {accuracies[-1]:.2%} in {seconds[-1]:.2f} s", flush=True)
    spread = f"deviation {100 * statistics.stdev(accuracies):.3f} points, " if len(accuracies) > 1 else ""
    split = "held-out" if arguments.held_out else "test"
    print(
        f"{recipe.name}: {learn.parameter_count:,} parameters, "
        f"mean {split} accuracy {statistics.mean(accuracies):.2%}, "
        f"{spread}lowest {min(accuracies):.2%}, highest {max(accuracies):.2%} over {len(accuracies)} seeds; "
        f"training {statistics.median(seconds):.2f} s (median)"
    )


if __name__ == "__main__":
    main()
