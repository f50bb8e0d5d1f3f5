"""Measure the test accuracy of a recipe over seeds, with its spread, and the seconds of training.

    python bench/accuracy.py linear --seeds 20

The seed decides the starting weights, the order, augmentation and which pictures are held out. Settings were chosen on
held-out training pictures; `--held-out` prints that accuracy and does not use the test pictures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is imported

import torch
from machine import describe

import sevensteps as ss


@dataclass(frozen=True)
class Trained:
    """The result of training with one seed."""

    accuracy: float  # from 0 to 1, on the test or held-out pictures
    seconds: float  # of training, including validation
    parameters: int


def trained(recipe: ss.Recipe, seeds: Sequence[int], held_out: bool = False) -> Iterator[Trained]:
    """Train once for each seed; with `held_out`, the test pictures are not used."""
    for seed in seeds:
        seeded = recipe.replace(seed=seed)
        if held_out:
            splits = seeded.held_out(ss.load(recipe.source, recipe.classes or None))
            torch.set_num_threads(seeded.settled(splits).threads or 1)
            learn = seeded.learner(splits)
            learn.fit(show=False)
            yield Trained(learn.recorder.values[-1][2], learn.state.seconds, learn.parameter_count)
        else:
            run = ss.train(recipe=seeded, seed=seed)
            if run.test is None:
                raise SystemExit("It was interrupted.")
            yield Trained(run.test.accuracy, run.seconds["train"], run.learn.parameter_count)


def changed(recipe: ss.Recipe, pairs: Sequence[str]) -> ss.Recipe:
    """Return the recipe with some settings replaced, each given as `KEY=VALUE` with a TOML value."""
    settings = tomllib.loads("\n".join(pairs))
    return recipe.replace(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    )


def main() -> None:
    """Print a line for each seed, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--held-out", action="store_true", help="validation accuracy only; for choosing settings")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings in place of the recipe's")
    arguments = parser.parse_args()
    recipe = changed(ss.Recipe.load(arguments.recipe), arguments.set)
    print(describe(), flush=True)
    done = []
    for seed, one in enumerate(trained(recipe, range(arguments.seeds), arguments.held_out)):
        done.append(one)
        print(f"seed {seed:3}: {one.accuracy:.2%} in {one.seconds:.2f} s", flush=True)
    accuracies = [one.accuracy for one in done]
    spread = f"deviation {100 * statistics.stdev(accuracies):.3f} points, " if len(accuracies) > 1 else ""
    split = "held-out" if arguments.held_out else "test"
    print(
        f"{recipe.name}: {done[0].parameters:,} parameters, "
        f"mean {split} accuracy {statistics.mean(accuracies):.2%}, "
        f"{spread}lowest {min(accuracies):.2%}, highest {max(accuracies):.2%} over {len(accuracies)} seeds; "
        f"training {statistics.median(one.seconds for one in done):.2f} s (median)"
    )


if __name__ == "__main__":
    main()
