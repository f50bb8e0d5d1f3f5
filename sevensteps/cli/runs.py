"""`sevensteps runs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.range_ends import BY_TYPE
from ..data.sources.fashion_facts import SETS
from ..recipes.on_features import chosen_for
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import shipped_recipes
from .flags import Common
from .hints import chosen_classes
from .hints import program as _program
from .printed_json import print_json


def runs(folder: Path | None = None, *, common: Common = Common()) -> int:
    """List runs with their results.

    Parameters
    ----------
    folder
        The folder that contains the runs. Default: runs/.
    """
    from ..runs import folder as folders
    from ..runs.saved import Saved, list_runs
    from ..show import terminal

    console, error = terminal.consoles()
    found = list_runs(folder or folders.ROOT)
    saved = [run for run in found if isinstance(run, Saved)]
    damaged = [run for run in found if not isinstance(run, Saved)]
    for problem in damaged:
        error.print(terminal.printable(f"! {problem.message}"))
    if common.json:
        rows = [run.as_json() for run in saved]
        print_json({"runs": rows, "damaged": [problem.message for problem in damaged]})
        return 0
    if not found:
        place = terminal.printable(str(folder or folders.ROOT))
        terminal.sentence(console, f"There are no runs in {place}; {_program()} train makes the first one.")
        return 0
    terminal.print_table(
        console,
        ("run", "recipe", "changed", "epochs", "accuracy", "95 % interval", "n", "stopped because"),
        [_row(run, saved) for run in saved],
    )
    return 0


def _row(run: Any, runs: Sequence[Any]) -> list[str]:
    """A line of the list of runs."""
    from ..show.sentences import stop_in_words

    test = next(filter(None, map(run.judgement.get, ("test", "cross_validation", "valid"))), None)
    folds = f", {test['folds']} folds" if test and "folds" in test else ""
    shown = (
        [f"{test['accuracy']:.2%}", f"{test['low']:.2%} to {test['high']:.2%}", f"{test['n']:,}{folds}"]
        if test
        else ["", "", ""]
    )
    resume = f"{_program()} resume {run.folder.name}"
    stopped = run.stopped_because
    reason = stop_in_words(stopped) if stopped else f"still training, or interrupted: {resume}"
    return [
        run.folder.name,
        f"{run.recipe.name} on features" if run.recipe.features != "none" else run.recipe.name,
        _changed(run.recipe, [other.recipe for other in runs]),
        str(len(run.history)),
        *shown,
        reason,
    ]


# Settings that a run fills in by itself, or that have a column of their own.
_FILLED_IN = frozenset(
    {
        "name", "source", "classes", "size", "loss", "gradient", "keep", "device", "threads", "shards", "folds",
        "epochs", "checkpoint_every", "fix", "track",
    }
)  # fmt: skip


# Of these, the ones that are shown where runs of one recipe on the same pictures differ in them.
_TOLD_APART_BY = ("size", "keep", "loss", "gradient", "fix", "batch_size")


def _changed(recipe: Recipe, others: Sequence[Recipe]) -> str:
    """Return the settings in which a run differs from its recipe as it ships, such as `lr 0.1, width 3`."""
    shipped = shipped_recipes()
    usual = {**vars(Recipe.from_toml(shipped[recipe.name]) if recipe.name in shipped else Recipe()), **_chosen(recipe)}
    changed = {
        key: value
        for key, value in vars(recipe).items()
        if key not in _FILLED_IN and value != usual[key] and not (key == "width" and not usual[key])
    }
    if changed.get("range") == BY_TYPE:  # what nobody typed
        del changed["range"]
    alike = [other for other in others if _kind(other) == _kind(recipe)]
    for key in _TOLD_APART_BY:
        if len({getattr(other, key) for other in alike}) > 1 and getattr(recipe, key):
            changed[key] = Path(recipe.fix).name if key == "fix" else getattr(recipe, key)
    classes = chosen_classes(recipe) if recipe.source in SETS else ()
    changed |= {"classes": " ".join(classes)} if classes else {}
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in changed.items()
    )


def _chosen(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of a model on features that nobody typed; the recipe's own batch size may be one of them."""
    if recipe.features == "none":
        return {}
    return {"features": recipe.features, **chosen_for(recipe.unfreeze, recipe.batch_size)}


def _kind(recipe: Recipe) -> tuple[str, str, str, int]:
    """Return what runs have in common that are told apart by the settings that they choose by themselves."""
    return recipe.name, recipe.source, recipe.features, recipe.unfreeze
