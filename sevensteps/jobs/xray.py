"""`xray`: show one batch of a saved run in the seven steps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.own_code import OwnCode, given
from ..errors import SevenstepsError
from ..records.steps import Chain, XRay
from ..runs.folder import AnyRun
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..learner.learner import Learner
    from ..recipes.recipe import Recipe


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """The seven steps of one batch of a run, and possibly one picture of it all the way; arrays are NumPy's."""

    folder: Path
    place: str  # in words
    xray: XRay
    chain: Chain | None
    classes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `xray --json` prints."""
        steps = [{"number": step.number, "name": step.name, "line": step.line} for step in self.xray.steps]
        followed = {} if self.chain is None else {"picture": _chain_as_json(self.chain)}
        return {"run": str(self.folder), "steps": steps, **followed}

    def __repr__(self) -> str:
        return f"{self.folder}, {self.place}\n{self.xray}"

    def _repr_html_(self) -> str:
        """Return the seven steps with their pictures and numbers, as a notebook shows them."""
        from ..show import notebook
        from ..show.report.steps import steps_html

        return notebook.framed(*steps_html(self.xray, self.place, self.classes, self.chain))


def xray(run: AnyRun, *, start: bool = False, picture: int | None = None, model: OwnCode = None) -> View:
    """Return the seven steps of one batch of a saved run: the batch that would come next.

    Args:
        run: A run's folder, its name under `runs/`, or the run that `train` returned.
        start: Whether to show the run's first batch, with the parameters as they started.
        picture: The place in the batch, from 1, of one picture to follow all the way.
        model: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`.

    Returns:
        The steps, with arrays of NumPy.

    Raises:
        RunError: There is no such run, nothing was saved in it, or its pictures have changed.
        DataError: Its pictures cannot be found any more.
        UsageError: The batch has no such picture.
        ModelError: The run was trained with a network of your own, and `model` is not given.
    """
    saved = Saved.open(run)
    saved.check_recipe_file()
    if not start:
        saved.need_checkpoint("or xray --start")
    with given(model):
        splits, recipe = saved.pictures(lambda event: None)
        with saved.learner(splits, recipe, at_start=start) as learn:
            return _looked_at(saved.folder, learn, start, picture)


def _looked_at(folder: Path, learn: Learner, start: bool, picture: int | None) -> View:
    """Return the steps of the batch that would come next."""
    from ..learner.xray import as_arrays, chain
    from ..runs.run import place

    seen = learn.xray()
    followed = None if picture is None else chain(learn, seen, picture)
    return View(folder, "as it began" if start else place(learn), as_arrays(seen), followed, tuple(learn.classes or ()))


def view_with_a_mistake(saved: Saved, splits: Splits, recipe: Recipe) -> tuple[View | None, str]:
    """Return the batch that would come next, following its first wrongly classified picture.

    Args:
        saved: The run.
        splits: Its pictures.
        recipe: Its settled recipe.

    Returns:
        The steps and an empty text; or None and why they cannot be shown.
    """
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


def _chain_as_json(chain: Chain) -> dict[str, Any]:
    """Return every number of the chain, with arrays as lists."""
    values = {known.name: getattr(chain, known.name) for known in dataclasses.fields(chain)}
    values["layers"] = [{"layer": name, "shape": list(value.shape)} for name, value in chain.layers]
    values["gradients"] = {name: gradient.tolist() for name, gradient in chain.gradients.items()}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
