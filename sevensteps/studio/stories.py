"""New runs that the page asks for: other settings, another start, or one of the stories that the doctor explains."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import files
from ..base.user_folders import cache_folder
from ..data.corrections import HEADER, Correction, corrected, read
from ..data.files.how import file_settings
from ..data.images import Images, Splits
from ..errors import UsageError
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import shipped_recipes
from ..runs.pictures import as_it_is
from .beginning import raw_key
from .wire import number_in, text_in

if TYPE_CHECKING:
    from .trainer import Trainer

STORIES = [
    {
        "name": "rate",
        "say": "Learning rate ×10",
        "watch": "Watch the curve: the steps are too long, so the loss jumps up and down and does not settle.",
    },
    {
        "name": "zeros",
        "say": "All weights start at 0",
        "watch": "Watch step 4: no gradient reaches the first layer, so its weights stay at 0.",
    },
    {
        "name": "saturated",
        "say": "Stuck at 50 %",
        "watch": "Watch step 4: the answers start out sure, where the sigmoid is flat, so hardly any gradient is left.",
    },
    {
        "name": "shuffled",
        "say": "Shuffled labels",
        "watch": "Watch the verdict: labels dealt at random teach nothing about new pictures.",
    },
    {
        "name": "rare",
        "say": "One class is rare",
        "watch": "Watch the verdict: look at the rare class alone, and not only at the share of right answers.",
    },
]

RARE = 50  # times as many pictures as the rare class keeps

_KEPT = ("source", "classes", "fix", "hold_out", "folds", "seed", "device", "threads")  # with another recipe


def changed(trainer: Trainer, values: Mapping[str, Any]) -> None:
    """Begin a new run whose parent is the one that is open.

    Args:
        trainer: Begins it.
        values: What is to be different: recipe, model, loss, start, lr, epochs, batch_size, seed ("same" or "new"), or
            story; null ends a story.

    Raises:
        SevenstepsError: There is no run, or the settings make no sense; the run stays open.
    """
    run = trainer.need_run()
    parent = run.work.folder.name if run.work.folder else ""
    if "story" in values:
        if values["story"] is None:
            if run.before is not None:
                trainer.begin(run.before, parent=parent, base=run.base)
        else:
            _tell(trainer, text_in(values, "story"), parent)
        return
    recipe, base = run.chosen, run.base
    if values.get("recipe") is not None:
        base = text_in(values, "recipe")
        if base not in shipped_recipes():
            raise UsageError(f"There is no recipe {base!r:.80}.", hint=f"There are: {', '.join(shipped_recipes())}.")
        kept = {**file_settings(vars(recipe)), **{name: getattr(recipe, name) for name in _KEPT}}
        recipe = Recipe.load(base)
        recipe = recipe.replace(**{**kept, **({} if recipe.hold_out else {"hold_out": 0.0})})
    settings: dict[str, Any] = {
        key: text_in(values, name)
        for name, key in (("model", "model"), ("loss", "loss"), ("start", "init"))
        if values.get(name) is not None
    }
    settings |= {
        name: number_in(values, name, kind)
        for name, kind in (("lr", float), ("epochs", int), ("batch_size", int))
        if values.get(name) is not None
    }
    if settings.get("model", recipe.model) != recipe.model:
        settings["width"] = 0
    if settings.get("init", recipe.init) != "normal":
        settings["init_std"] = 1.0
    if values.get("seed") == "new":
        settings["seed"] = recipe.seed + 1
    trainer.begin(recipe.replace(**settings), parent=parent, base=base)


def _tell(trainer: Trainer, name: str, parent: str) -> None:
    """Begin the run of a story, at full speed.

    Raises:
        UsageError: There is no such story, or these pictures cannot tell it.
    """
    if name not in _TOLD:
        raise UsageError(f"There is no story {name!r:.80}.", hint=f"There are: {', '.join(_TOLD)}.")
    run = trainer.need_run()
    before = run.before or run.lasting
    recipe, splits = _TOLD[name](trainer, before)
    trainer.begin(recipe, parent=parent, story=name, source=splits, base="plain")
    trainer.need_run().before = before
    trainer.set_speed(0.0, "batches")
    trainer.walk("run")


def _plain(recipe: Recipe, **settings: Any) -> Recipe:
    """Return plain gradient descent on the pictures of a recipe."""
    kept = {**file_settings(vars(recipe)), **{name: getattr(recipe, name) for name in _KEPT if name != "hold_out"}}
    return Recipe.load("plain").replace(**{**kept, **settings})


def _rate(trainer: Trainer, recipe: Recipe) -> tuple[Recipe, Splits | None]:
    """Ten times the rate, under a loss whose slope has no end: the distance after a sigmoid would bear it."""
    return _plain(recipe, lr=2.0, loss="auto", epochs=5), None


def _zeros(trainer: Trainer, recipe: Recipe) -> tuple[Recipe, Splits | None]:
    """A hidden layer whose weights are all 0: no gradient passes it."""
    return _plain(recipe, model="relu", loss="auto", init="zeros", epochs=3), None


def _saturated(trainer: Trainer, recipe: Recipe) -> tuple[Recipe, Splits | None]:
    """Large weights at the start, so that the sigmoid is flat for nearly every picture."""
    if len(trainer.need_run().work.splits.classes) > 2:
        raise UsageError("This story needs pictures of two classes.", hint="Open pullover against dress.")
    return _plain(recipe, init="normal", lr=1.0, batch_size=256, seed=0, epochs=6), None


def _shuffled(trainer: Trainer, recipe: Recipe) -> tuple[Recipe, Splits | None]:
    """Labels that have nothing to do with the pictures."""

    def rows(train: Images) -> dict[str, str]:
        mixed = np.random.default_rng(0).permutation(train.labels)
        named = zip(train.ids, train.labels.tolist(), mixed.tolist(), strict=True)
        return {name: train.classes[now] for name, was, now in named if was != now}

    return _with_corrections(trainer, _plain(recipe, loss="auto", lr=0.02, epochs=4), rows)


def _rare(trainer: Trainer, recipe: Recipe) -> tuple[Recipe, Splits | None]:
    """One class of which there are few training pictures."""

    def rows(train: Images) -> dict[str, str]:
        last = len(train.classes) - 1
        own = np.flatnonzero(train.labels == last)
        keep = max(len(own) // RARE, 2)
        return {train.ids[row]: "" for row in own[keep:].tolist()}

    return _with_corrections(trainer, _plain(recipe, loss="auto", lr=0.02, epochs=4), rows)


def _with_corrections(
    trainer: Trainer, recipe: Recipe, rows_of: Callable[[Images], Mapping[str, str]]
) -> tuple[Recipe, Splits]:
    """Return a recipe that corrects the training pictures, and the pictures as it corrects them.

    What the run corrects already stays corrected. All of it is a file, as `train --fix` takes it; the run's folder gets
    a copy.
    """
    as_they_are = recipe.replace(fix="")
    is_open = trainer.raw is not None and trainer.raw_key == raw_key(as_they_are)
    raw = trainer.raw if is_open and trainer.raw is not None else as_it_is(as_they_are, lambda event: None)
    own = read(recipe.fix) if recipe.fix else None
    seen = raw if own is None else corrected(raw, own, recipe.classes)
    rows = {} if own is None else {row.picture: row for _, row in own.rows}
    rows |= {name: Correction(name, now, "", "a story of the Studio") for name, now in rows_of(seen.train).items()}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows.values())
    content = text.getvalue()
    folder = cache_folder() / "studio"
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.csv"
    files.make_folder(folder)
    files.write(path, content)
    return recipe.replace(fix=str(path)), corrected(raw, read(path), recipe.classes)


_TOLD: dict[str, Callable[[Any, Recipe], tuple[Recipe, Splits | None]]] = {
    "rate": _rate,
    "zeros": _zeros,
    "saturated": _saturated,
    "shuffled": _shuffled,
    "rare": _rare,
}
