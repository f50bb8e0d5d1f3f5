"""Learn from validation pictures, after training: which model to keep, the temperature, and when not to answer."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ..base import memory
from ..data.balance import class_weights
from ..data.images import Splits
from ..learner.learner import Learner
from ..recipes.recipe import Recipe
from ..trust.abstain import fit_abstention
from ..trust.calibration import fit_temperature
from ..trust.predictions import predict_split
from .fine_tuning import FineTuning, keep_the_better


def learn_from_validation(learn: Learner, splits: Splits, recipe: Recipe) -> FineTuning | None:
    """Choose the parameters to keep, if a network was fine-tuned; then fit the temperature, and when to refuse.

    Validation pictures are used, never test pictures. Without any, or if the recipe validates on the test pictures,
    the temperature stays 1 and every picture is answered. The last parameters are restored afterwards, since a
    longer run goes on with them.

    Args:
        learn: The trained learner.
        splits: The pictures.
        recipe: The settled recipe.

    Returns:
        How a fine-tuned model compares with the probe that it started from; None if nothing was fine-tuned.
    """
    fine_tuning = keep_the_better(learn, splits, recipe)
    valid, best = splits.valid, learn.state.best
    learn.temperature, learn.abstention = 1.0, None
    if valid is None or recipe.validate_on == "test":
        return fine_tuning
    last = copy.deepcopy(learn.model.state_dict()) if best else {}
    try:
        if best:
            learn.model.load_state_dict(best)
        memory.give_back()
        table = predict_split(learn, valid, "valid")
        if not np.isfinite(table.logits).all():
            return fine_tuning
        if learn.objective.activation is None:  # another says itself what its scores mean
            # Of a run in balance probabilities are as if each class came equally often, and are held to that.
            each = class_weights(np.bincount(valid.labels, minlength=len(valid.classes)))[valid.labels]
            is_balanced = recipe.balance != "none"
            learn.temperature = fit_temperature(table.logits, table.labels, weights=each if is_balanced else None)
        confidences = learn.probabilities(torch.from_numpy(table.logits)).numpy().max(1)
        memory.give_back()
        learn.abstention = fit_abstention(splits.train, valid, confidences, recipe.coverage, recipe.seed)
    finally:
        if best:
            learn.model.load_state_dict(last)
    return fine_tuning
