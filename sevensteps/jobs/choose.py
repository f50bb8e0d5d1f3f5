"""Measure a recipe that was chosen automatically, on validation pictures, beside a logistic regression on pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.words import pictures
from ..records.events import Epoch, Note

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..recipes.recipe import Recipe
    from ..records.events import Observe

# Findings of the doctor that condemn the learning rate; and how often a tenth of it is tried then.
TOO_HIGH, TRIES = frozenset({"diverging", "oscillating", "exploding"}), 3

BASELINE = "logistic regression"


def measured(recipe: Recipe, others: Sequence[Recipe], splits: Splits, observe: Observe) -> tuple[Recipe, str]:
    """Return the recipe that an automatic choice comes to, once it is tried on these pictures.

    A rate that the doctor condemns is lowered. If a logistic regression then gets more validation pictures right, the
    other recipes are tried, and the best one is taken; of equal ones the first.

    Args:
        recipe: The choice by the number and size of the pictures.
        others: What to try where that loses.
        splits: The pictures, with validation pictures held out.
        observe: Receives a note.

    Returns:
        The recipe, and what was measured, in words.
    """
    from ..trust.baselines import baseline_answers, baseline_scores

    valid = splits.valid
    if valid is None or not len(valid) or recipe.validate_on == "test":
        return recipe, ""
    observe(Note(f"Trying {recipe.name} on {pictures(len(valid), 'validation')}.", detail=True))
    best, right = _tried(recipe, splits)
    answers = baseline_answers(splits.train, valid, (BASELINE,))
    score = baseline_scores(answers, splits.train, valid, "valid")[BASELINE]
    usual = round(len(valid) * score.accuracy)  # which may be that of a sample
    said = [_in_words(best, right)]
    for other in others if usual > right else ():
        tried, also = _tried(other, splits)
        said.append(_in_words(tried, also))
        if also > right:
            best, right = tried, also
    line = f"Of {pictures(len(valid), 'validation')}, right: {', '.join(said)}; {BASELINE} {usual:,}"
    observe(Note(f"{line}. Training {_named(best)}.", detail=True))
    return best, line


def _tried(recipe: Recipe, splits: Splits) -> tuple[Recipe, int]:
    """Return the recipe at a rate that the doctor does not condemn, and how many validation pictures it gets right."""
    assert splits.valid is not None
    for _ in range(TRIES):
        right = _right(recipe, splits)
        if right is not None:
            return recipe, right
        recipe = recipe.replace(lr=float(f"{recipe.lr / 10:.2g}"))
    return recipe, _right(recipe, splits, judged=False) or 0


def _right(recipe: Recipe, splits: Splits, judged: bool = True) -> int | None:
    """Return how many validation pictures the trained recipe gets right; None if the doctor condemns its rate."""
    from ..trust.doctor.doctor import Doctor
    from ..trust.predictions import predict_split

    assert splits.valid is not None
    with recipe.settled(splits).computing():
        learn = recipe.learner(splits)
        doctor = Doctor(learn)
        for event in learn.stream():
            if isinstance(event, Epoch) and recipe.keep == "best":
                learn.state.keep_if_best()
            if judged and any(finding.code in TOO_HIGH for finding in doctor.observe(event)):
                learn.close()
                return None
        if learn.state.best:
            learn.model.load_state_dict(learn.state.best)
        return int(predict_split(learn, splits.valid, "valid").right.sum())


def _named(recipe: Recipe) -> str:
    """Name a recipe by what differs between those that are tried."""
    return f"{recipe.name} (epochs = {recipe.epochs}, lr = {recipe.lr:g})"


def _in_words(recipe: Recipe, right: int) -> str:
    return f"{_named(recipe)} {right:,}"
