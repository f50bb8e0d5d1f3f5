"""`compare`: test whether runs differ on the same pictures."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.words import split_in_words
from ..errors import RunError, UsageError
from ..records.comparison import Comparison, Spread
from ..records.scores import OUT_OF_FOLD
from ..runs.folder import AnyRun, find_run
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..trust.predictions import Predictions

BY_FLAG = " (--split valid)"  # how to choose on validation pictures, for those who type


@dataclass(frozen=True, repr=False)
class Compared:
    """Whether runs differ on the same pictures."""

    comparisons: tuple[Comparison, ...]  # one for each pair of runs
    spread: Spread | None  # over seeds, where these are all in which the runs differ
    effect: str  # of looking often at the same test pictures, in words; "" where there is none
    on_test: tuple[str, ...] = ()  # runs that checked the test pictures after every epoch

    @property
    def warning(self) -> str:
        """That some of the runs validated on the test pictures; "" if none did."""
        if not self.on_test:
            return ""
        their = "its accuracy" if len(self.on_test) == 1 else "their accuracy"
        checked = f"{' and '.join(self.on_test)} checked the test pictures after every epoch"
        return f"{checked}, so {their} may be too high."

    def as_json(self) -> dict[str, Any]:
        """Return what `compare --json` prints."""
        rows = [comparison.as_json() for comparison in self.comparisons]
        result: dict[str, Any] = rows[0] if len(rows) == 1 else {"comparisons": rows}
        return {
            **result,
            "spread": self.spread and self.spread.as_json(),
            "effect_of_looking": self.effect,
            "validated_on_test": list(self.on_test),
        }

    def __repr__(self) -> str:
        lines = [comparison.verdict for comparison in self.comparisons]
        return "\n".join(filter(None, [*lines, self.spread.line if self.spread else "", self.warning, self.effect]))

    def _repr_html_(self) -> str:
        """Return the verdicts and a table of the differences, as a notebook shows them."""
        from ..show import notebook

        rows = [
            [
                f"{pair.names[1]} minus {pair.names[0]}",
                f"{100 * pair.difference:+.2f} points",
                f"{100 * pair.interval.low:+.2f} to {100 * pair.interval.high:+.2f}",
                f"{pair.only_a:,} and {pair.only_b:,}",
                f"{pair.adjusted_p_value:.3g}",
            ]
            for pair in self.comparisons
        ]
        titles = ("runs", "difference", "95 % interval", "right only in one", "p")
        return notebook.framed(notebook.paragraphs(repr(self)), notebook.grid(titles, rows))


def compare(*runs: AnyRun, split: str | None = None) -> Compared:
    """Test whether saved runs differ on the same pictures, pair by pair.

    Neither pictures nor PyTorch are needed. The p-values of more than two runs are corrected for their number. If
    all were cross-validated, recipes are compared, and since their models share most training pictures, p is
    somewhat too small (Dietterich, "Approximate statistical tests for comparing supervised classification learning
    algorithms", 1998).

    Args:
        runs: Two runs or more: folders, names under `runs/`, or runs that `train` returned.
        split: The pictures to compare them on. Default: test. If all runs were cross-validated, out-of-fold: each
            picture is answered by a model that has not seen it.

    Returns:
        The comparisons, the spread if the runs differ only in their seeds, and what choosing by these pictures
        does.

    Raises:
        RunError: There is no such run, it has no predictions of this split, or the runs were judged on
            different pictures.
        UsageError: Fewer than two runs.
    """
    from ..trust import ledger
    from ..trust.comparison import compare_all, over_seeds

    if len(runs) < 2:
        first = shlex.quote(_name_of(runs[0])) if runs else "RUN"
        raise UsageError("compare needs two or more runs.", hint=f"sevensteps compare {first} ANOTHER-RUN")
    all_tables: dict[str, dict[str, Predictions]] = {}
    opened = []
    for run in runs:
        name = _name_of(run)
        while name in all_tables:  # the same run, which is no better than itself
            name += " again"
        opened.append(Saved.open(run))
        all_tables[name], _ = opened[-1].tables()
    if split is None:
        split = "test"
        if all(OUT_OF_FOLD in of_run and "test" not in of_run for of_run in all_tables.values()):
            split = OUT_OF_FOLD
    tables: dict[str, Predictions] = {}
    pictures = {}
    recipes = [saved.recipe for saved in opened]
    for saved, (name, of_run) in zip(opened, all_tables.items(), strict=True):
        if split not in of_run:
            folds = f", and was judged by {OUT_OF_FOLD} ones" if OUT_OF_FOLD in of_run else ""
            hint = f"sevensteps judge {saved.folder} --split {split}"
            if folds:
                hint = "Train both with --folds 5 and compare these, or both with --folds 1."
            raise RunError(f"{saved.folder} has no predictions of {split_in_words(split)} pictures{folds}.", hint=hint)
        tables[name] = of_run[split]
        data = saved.recorded.get("data", {})
        pictures[name] = data.get({"test": "test", OUT_OF_FOLD: OUT_OF_FOLD}.get(split, "train"), "")
    first, *others = pictures
    for other in others:
        if pictures[other] != pictures[first]:
            names = list(tables)
            one, two = (opened[names.index(name)] for name in (first, other))
            raise _differ(one, two, (tables[first], tables[other]))
    if split == "test" and pictures[first]:
        tables = {name: _named_as(tables[first], table) for name, table in tables.items()}
    seeds = {recipe.seed for recipe in recipes}
    is_batch = len(seeds) == len(recipes) and all(
        recipe.replace(seed=recipes[0].seed) == recipes[0] for recipe in recipes
    )
    spread = over_seeds(list(tables.values())) if is_batch else None
    validated = [saved.recipe.validate_on == "test" for saved in opened]
    on_test = tuple(name for name, is_on_test in zip(tables, validated, strict=True) if is_on_test)
    if split != "test":
        on_test = ()
    effect = ""
    looks = len(ledger.looks_at(pictures[first])) if split == "test" else 0
    if looks > 1:
        best = max(tables.values(), key=lambda table: table.score.accuracy).score
        points = 100 * ledger.luck_of_the_best(looks, best.accuracy, best.n)
        advice = "test the choice on new pictures"
        if not on_test:
            advice = f"choose on validation pictures{BY_FLAG}, or {advice}"
        effect = (
            f"{looks:,} models have been tested on these pictures on this machine. If you keep the best of them, up to "
            f"{points:.2f} points of its score may be luck: {advice}."
        )
    return Compared(compare_all(tables), spread, effect, on_test)


def _differ(first: Saved, other: Saved, tables: Sequence[Predictions]) -> RunError:
    """Return the error for runs that were judged on different pictures, or, once corrected, on different labels."""
    names = f"{first.folder} and {other.folder}"
    labels, others = (
        {name: table.classes[label] for name, label in zip(table.ids, table.labels.tolist(), strict=True)}
        for table in tables
    )
    changed = sum(labels[name] != others.get(name) for name in labels)
    is_corrected = first.recipe.source == other.recipe.source and (
        first.recorded.get("corrections") != other.recorded.get("corrections")
    )
    if is_corrected and changed and labels.keys() == others.keys():
        differ = "1 label differs" if changed == 1 else f"{changed:,} labels differ"
        return RunError(
            f"{names} were judged on the same {len(labels):,} pictures, but {differ}.",
            hint="Train both with the same corrections (--fix), or both without.",
        )
    same = "the same source, seed and corrections (--fix)" if is_corrected else "the same source with the same seed"
    return RunError(
        f"{names} were judged on different pictures.",
        hint=f"Train both on {same}, so that the same pictures are held out.",
    )


def _name_of(run: AnyRun) -> str:
    """Return the name of a run as it was given."""
    return str(run) if isinstance(run, (str, Path)) else str(find_run(run))


def _named_as(first: Predictions, other: Predictions) -> Predictions:
    """Return the table with the names that the first table has for the same pictures in the same order.

    The pullovers and dresses of Fashion-MNIST are the embedded ones, but named by their numbers in the whole set.
    """
    labels, others = ([table.classes[label] for label in table.labels.tolist()] for table in (first, other))
    return dataclasses.replace(other, ids=first.ids) if labels == others else other
