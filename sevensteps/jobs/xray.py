"""Seeing: a saved run put up again where it was saved, and one batch of it through the seven steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SevenstepsError
from ..records.steps import Chain, XRay
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..learner.learner import Learner
    from ..recipes.recipe import Recipe


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
    saved = Saved.open(run)
    if not start:
        saved.need_checkpoint("or xray --start")
    splits, recipe = saved.pictures(lambda event: None)
    with saved.learner(splits, recipe, at_start=start) as learn:
        return _looked_at(saved.folder, learn, start, picture)


def _looked_at(folder: Path, learn: Learner, start: bool, picture: int | None) -> View:
    from ..learner.xray import as_arrays, chain
    from ..runs.run import place

    seen = learn.xray()
    followed = None if picture is None else chain(learn, seen, picture)
    return View(folder, "as it began" if start else place(learn), as_arrays(seen), followed, tuple(learn.classes or ()))


def view_with_a_mistake(saved: Saved, splits: Splits, recipe: Recipe) -> tuple[View | None, str]:
    """The batch that would come next, with its first wrong picture all the way; or why there is none."""
    from ..learner.xray import chain

    try:
        with saved.learner(splits, recipe) as learn:
            view = _looked_at(saved.folder, learn, False, None)
            values = view.xray[2].values
            targets = values["targets"]
            if targets.dtype.kind == "f":  # shares of the classes
                targets = targets.argmax(1) if targets.ndim == 2 and targets.shape[1] > 1 else targets > 0.5
            wrong = values["probabilities"].argmax(1) != targets.flatten()
            first = int(wrong.argmax()) + 1 if wrong.any() else 1
            followed = chain(learn, learn.xray(), first)
    except SevenstepsError as error:
        return None, error.message
    return View(view.folder, view.place, view.xray, followed, view.classes), ""
