"""Seeing: a saved run put up again where it was saved, and one batch of it through the seven steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checkpoint, jobs, runs
from .checkpoint import Checkpoint
from .errors import RunError, SevenstepsError
from .recipe import Recipe, read_recipe, recorded_in
from .records import Chain, XRay

if TYPE_CHECKING:
    from .data.images import Splits
    from .learner import Learner


@dataclass(frozen=True, eq=False)
class View:
    """The seven steps of one batch of a run, and perhaps one picture of it all the way; arrays are NumPy's."""

    folder: Path
    place: str  # in words
    xray: XRay
    chain: Chain | None
    classes: tuple[str, ...]


def look(run: Path, *, start: bool = False, picture: int | None = None) -> View:
    """The seven steps of one batch of a saved run: the batch that would come next, or with `start` the first.

    `picture` is the place in the batch, from 1, of one picture to follow all the way.

    Raises:
        RunError: no such run, one in which nothing was saved, or one whose pictures are others now.
        DataError: its pictures cannot be found any more.
        UsageError: the batch has no such picture.
    """
    saved = runs.open_run(run)
    found = None if start else checkpoint_of(saved.folder, "or xray --start")
    recipe = Recipe.from_toml(found.recipe) if found else saved.recipe
    splits = recipe.held_out(jobs.open_source(recipe, lambda event: None))
    before = recorded_in(found.recipe if found else read_recipe(saved.folder / checkpoint.RECIPE))
    if not is_same(before, splits):
        raise RunError(
            f"The pictures of {recipe.source} are others than those that {saved.folder} was trained on.",
            hint=f"Bring those back, or train anew: sevensteps train --recipe {saved.folder / checkpoint.RECIPE}",
        )
    with learner_of(saved.folder, found, recipe, splits) as learn:
        return _looked_at(saved.folder, learn, start, picture)


def _looked_at(folder: Path, learn: Learner, start: bool, picture: int | None) -> View:
    from .chain import as_arrays, chain
    from .training import place

    seen = learn.xray()
    followed = None if picture is None else chain(learn, seen, picture)
    return View(folder, "as it began" if start else place(learn), as_arrays(seen), followed, tuple(learn.classes or ()))


@contextlib.contextmanager
def learner_of(folder: Path, found: Checkpoint | None, recipe: Recipe, splits: Splits) -> Iterator[Learner]:
    """The run's learner where it was saved, or at its start; inside, with as many threads as it was trained with."""
    import torch

    recipe = recipe.settled(splits)
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        learn = recipe.learner(splits)
        if found is not None:
            jobs.take_up(learn, found, folder)
        yield learn
    finally:
        torch.set_num_threads(before)


def view_with_a_mistake(folder: Path, found: Checkpoint, recipe: Recipe, splits: Splits) -> tuple[View | None, str]:
    """The batch that would come next, with its first wrong picture all the way; or why there is none."""
    from .chain import chain

    try:
        with learner_of(folder, found, recipe, splits) as learn:
            view = _looked_at(folder, learn, False, None)
            values = view.xray[2].values
            wrong = values["probabilities"].argmax(1) != values["targets"].flatten()
            first = int(wrong.argmax()) + 1 if wrong.any() else 1
            followed = chain(learn, learn.xray(), first)
    except SevenstepsError as error:
        return None, error.message
    return View(view.folder, view.place, view.xray, followed, view.classes), ""


def checkpoint_of(folder: Path, more: str = "") -> Checkpoint:
    """The run's checkpoint, the one truth of its folder.

    Raises:
        RunError: no run's folder, nothing was saved in it yet, or nothing in it is whole.
    """
    runs.refuse_if_no_run(folder)
    found, _ = checkpoint.load(folder)
    if found is None:
        hint = ", ".join(filter(None, [f"sevensteps resume {folder}", more]))
        raise RunError(f"Nothing was saved in {folder} yet.", hint=hint)
    return found


def is_same(recorded: Mapping[str, Any], splits: Splits) -> bool:
    """Whether these are the pictures that a run was made with, as far as it recorded them."""
    now = {"train": splits.train.fingerprint, **({"test": splits.test.fingerprint} if splits.test else {})}
    return bool(recorded.get("data", now) == now)
