"""`compare`: test whether runs differ on the same pictures."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError, UsageError
from ..records.comparison import Comparison, Spread
from ..records.scores import OUT_OF_FOLD
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..trust.predictions import Predictions


def compare(names: Sequence[str | Path], split: str | None = None) -> tuple[tuple[Comparison, ...], Spread | None, str]:
    """Whether saved runs differ on the same pictures, pair by pair, and what choosing between them by these does.

    The second is how far seeds differ, where that is all in which the runs do. Unless a split is named it is that of
    the test pictures, or out of folds where all were cross-validated instead: then recipes are compared, and models
    that share most of their training pictures make p somewhat too small (Dietterich, "Approximate statistical tests for
    comparing supervised classification learning algorithms", 1998).

    Needs neither pictures nor PyTorch. More than two are corrected for their number.

    Raises:
        RunError: no such run, one without predictions of this split, or runs that were judged on different pictures.
        UsageError: fewer than two runs.
    """
    from ..trust import ledger
    from ..trust.comparison import compare_all, over_seeds

    if len(names) < 2:
        first = shlex.quote(str(names[0])) if names else "RUN"
        raise UsageError("compare takes two runs or more.", hint=f"sevensteps compare {first} ANOTHER-RUN")
    all_tables: dict[str, dict[str, Predictions]] = {}
    runs = []
    for typed in names:
        name = str(typed)
        while name in all_tables:  # the same run, which is no better than itself
            name += " again"
        runs.append(Saved.open(typed))
        all_tables[name], _ = runs[-1].tables()
    if split is None:
        split = "test"
        if all(OUT_OF_FOLD in of_run and "test" not in of_run for of_run in all_tables.values()):
            split = OUT_OF_FOLD
    tables: dict[str, Predictions] = {}
    pictures = {}
    recipes = [run.recipe for run in runs]
    for run, (name, of_run) in zip(runs, all_tables.items(), strict=True):
        if split not in of_run:
            folds = f", and was judged by {OUT_OF_FOLD} ones" if OUT_OF_FOLD in of_run else ""
            hint = f"sevensteps judge {run.folder} --split {split}"
            if folds:
                hint = "Train both with --folds 5 and compare these, or both with --folds 1."
            raise RunError(f"{run.folder} has no predictions of {split} pictures{folds}.", hint=hint)
        tables[name] = of_run[split]
        data = run.recorded.get("data", {})
        pictures[name] = data.get({"test": "test", OUT_OF_FOLD: OUT_OF_FOLD}.get(split, "train"), "")
    first, *others = pictures
    for other in others:
        if pictures[other] != pictures[first]:
            raise RunError(
                f"{first} and {other} were judged on different pictures.",
                hint="Train both on the same source, with the same seed for what is held out.",
            )
    if split == "test" and pictures[first]:
        tables = {name: _named_as(tables[first], table) for name, table in tables.items()}
    seeds = {recipe.seed for recipe in recipes}
    is_batch = len(seeds) == len(recipes) and all(
        recipe.replace(seed=recipes[0].seed) == recipes[0] for recipe in recipes
    )
    spread = over_seeds(list(tables.values())) if is_batch else None
    effect = ""
    looks = len(ledger.looks_at(pictures[first])) if split == "test" else 0
    if looks > 1:
        best = max(tables.values(), key=lambda table: table.score.accuracy).score
        points = 100 * ledger.luck_of_the_best(looks, best.accuracy, best.n)
        effect = (
            f"These test pictures have judged {looks} models on this machine. Whoever keeps the best of so many by "
            f"them may report up to {points:.2f} points of luck: choose on validation pictures (--split valid), or "
            "test the choice on new ones."
        )
    return compare_all(tables), spread, effect


def _named_as(first: Predictions, other: Predictions) -> Predictions:
    """The table with the names that the first has for the same pictures in the same order, which have others elsewhere.

    Fashion-MNIST's pullovers and dresses are the embedded ones, under their numbers in the whole set.
    """
    labels, others = ([table.classes[label] for label in table.labels.tolist()] for table in (first, other))
    return dataclasses.replace(other, ids=first.ids) if labels == others else other
