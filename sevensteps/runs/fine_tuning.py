"""Compare a fine-tuned model with the probe that it started from, on validation pictures, and keep the better one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base.words import counted
from ..records.comparison import Comparison
from ..trust.comparison import compare
from ..trust.predictions import Predictions, predict_split
from ..trust.scores import log_losses

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.images import Splits
    from ..learner.learner import Learner
    from ..recipes.recipe import Recipe


NAMES = ("probe", "fine-tuned")


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """The probe and the fine-tuned model on the validation pictures; None where there are none to choose by."""

    comparison: Comparison | None
    losses: tuple[float, float] | None  # of the probe and the fine-tuned model: they decide if both are right as often

    @property
    def kept(self) -> str:
        """The model that is kept: "probe" or "fine-tuned"."""
        if self.comparison is None or self.losses is None:
            return NAMES[1]
        probe, tuned = self.comparison.correct
        is_better = tuned > probe or (tuned == probe and self.losses[1] < self.losses[0])
        return NAMES[is_better]

    @property
    def in_words(self) -> str:
        """Which model is kept, and why."""
        if self.comparison is None:
            return "the fine-tuned model is kept: there are no validation pictures to compare it on"
        probe, tuned = self.comparison.correct
        of = counted(self.comparison.n, "validation picture")
        if self.kept == NAMES[1]:
            than = (
                "as many as the linear model, with a lower loss" if probe == tuned else f"{probe} by the linear model"
            )
            return f"the fine-tuned model is kept: {tuned} of {of} right, {than}"
        than = "as many as fine-tuned, with a lower loss" if probe == tuned else f"{tuned} fine-tuned"
        return f"the linear model is kept: {probe} of {of} right, {than}"

    def as_json(self) -> dict[str, Any]:
        """Return what judgement.json says."""
        losses = None if self.losses is None else dict(zip(NAMES, self.losses, strict=True))
        return {"kept": self.kept, "losses": losses, "comparison": self.comparison and self.comparison.as_json()}


def compared(learn: Learner, splits: Splits, recipe: Recipe) -> FineTuning | None:
    """Compare a fine-tuned model with its probe; the learner stays as it is. None if nothing was fine-tuned.

    Args:
        learn: The trained learner.
        splits: The pictures.
        recipe: The settled recipe.
    """
    if not recipe.unfreeze:
        return None
    if splits.valid is None or recipe.validate_on == "test":
        return FineTuning(comparison=None, losses=None)
    last, temperature = copy.deepcopy(learn.model.state_dict()), learn.temperature
    learn.temperature = 1.0
    try:
        first, second = (_answers(learn, splits, parameters) for parameters in (_probe(learn, splits, recipe), last))
    finally:
        learn.model.load_state_dict(last)
        learn.temperature = temperature
    losses = [float(log_losses(table.labels, table.probabilities).mean()) for table in (first, second)]
    return FineTuning(comparison=compare(first, second, NAMES), losses=(losses[0], losses[1]))


def keep_the_better(learn: Learner, splits: Splits, recipe: Recipe) -> FineTuning | None:
    """Compare a fine-tuned model with its probe, and keep the probe as the learner's best if it is the better one.

    Args:
        learn: The trained learner.
        splits: The pictures.
        recipe: The settled recipe.
    """
    result = compared(learn, splits, recipe)
    if result is not None and result.kept == NAMES[0]:
        learn.state.best_epoch, learn.state.best = 0, _probe(learn, splits, recipe)
    return result


def _probe(learn: Learner, splits: Splits, recipe: Recipe) -> dict[str, Tensor]:
    """Return the parameters that fine-tuning started from."""
    return recipe.initialized_model(splits).to(learn.device).state_dict()


def _answers(learn: Learner, splits: Splits, parameters: dict[str, Tensor]) -> Predictions:
    """Return the predictions of a model with these parameters for the validation pictures."""
    assert splits.valid is not None
    learn.model.load_state_dict(parameters)
    return predict_split(learn, splits.valid, "valid")
