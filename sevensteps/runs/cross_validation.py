"""Cross-validation: a model trained without a picture's fold, as the recipe says, classifies that picture.

The accuracy is that of the procedure, not of one model: of models that learned from all pictures but one fold's. See
docs/decisions/0019-folds.md for what its interval means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import memory
from ..data.folds import folds_in, is_held_out, whole
from ..data.images import Images, Splits
from ..errors import DataError, TrainingError
from ..recipes.recipe import Recipe
from ..records.events import Epoch, Note, Observe
from ..records.scores import OUT_OF_FOLD, Coverage
from ..trust.abstain import home_coverage
from ..trust.baselines import baseline_answers
from ..trust.intervals import score, wilson
from ..trust.predictions import Predictions, predict_split
from .validation import learn_from_validation


def cross_validate(
    splits: Splits, recipe: Recipe, epochs: int, observe: Observe
) -> tuple[Predictions, Coverage | None]:
    """Train one model for each fold and let it classify the pictures of its fold.

    Args:
        splits: The pictures.
        recipe: The settled recipe; `folds` is their number.
        epochs: How many epochs the model of all pictures was trained; a time limit would not repeat itself.
        observe: Receives a note for each fold.

    Returns:
        The predictions for all pictures, in their order; and how many of them the models answer, None for all.

    Raises:
        TrainingError: The loss of a fold, which is named, became infinite or not a number.
        DataError: A fold leaves too few pictures to hold any out.
    """
    recipe = recipe.replace(stop_seconds=0.0, epochs=max(epochs, 1)) if recipe.stop_seconds else recipe
    tables: list[Predictions] = []
    coverages: list[Coverage | None] = []
    parts = parts_of(splits, recipe)
    for number, (part, out) in enumerate(parts, 1):
        memory.give_back()
        learn = recipe.replace(folds=1).learner(part)
        for event in learn.stream():
            if isinstance(event, Epoch) and recipe.keep == "best":
                learn.state.keep_if_best()
        try:
            learn.check_finite()
        except TrainingError as error:
            error.message = f"Fold {number} of {len(parts)}: {error.message}"
            raise
        learn_from_validation(learn, part, recipe)
        if learn.state.best:
            learn.model.load_state_dict(learn.state.best)
        table = predict_split(learn, out, OUT_OF_FOLD)
        tables.append(table)
        abstention = learn.abstention
        found = home_coverage(abstention, out, table.probabilities, OUT_OF_FOLD) if abstention else None
        coverages.append(found)
        right = int(table.right.sum())
        line = f"fold {number} of {len(parts)}: {right:,} of {len(table):,} right ({right / len(table):.1%})"
        observe(Note(line, detail=True))
    return _pooled(tables, [out for _, out in parts]), _summed(coverages, tables)


def out_of_fold_answers(splits: Splits, recipe: Recipe) -> dict[str, Any]:
    """Let each baseline classify each picture, from the same training pictures as the model of its fold.

    Args:
        splits: The pictures.
        recipe: The settled recipe.

    Returns:
        The class indices by the baseline's name, in the order of all pictures.
    """
    parts = parts_of(splits, recipe)
    total = sum(len(out) for _, out in parts)
    found = [baseline_answers(part.train, out, total=total) for part, out in parts]
    order = _order([out for _, out in parts])
    return {name: np.concatenate([answers[name] for answers in found])[order] for name in found[0]}


def parts_of(splits: Splits, recipe: Recipe) -> list[tuple[Splits, Images]]:
    """Return the training and held-out pictures of each fold.

    Args:
        splits: The pictures.
        recipe: The settled recipe.

    Returns:
        For each fold, what its model learns from (with validation pictures) and what it classifies.

    Raises:
        DataError: A fold leaves too few pictures to hold any out.
    """
    valid = None if is_held_out(splits) else splits.valid
    folds = folds_in(whole(splits), recipe.folds, recipe.seed)
    parts = []
    for number, (rest, out) in enumerate(folds, 1):
        try:
            parts.append((recipe.held_out(Splits(rest, valid=valid), left=True), out))
        except DataError as error:
            error.message = f"While fold {number} of {len(folds)} is tested: {error.message}"
            raise
    return parts


def _order(outs: Sequence[Images]) -> np.ndarray:
    """Return the place of each picture when the folds stand one after the other."""
    return np.argsort(np.concatenate([out.rows for out in outs]), kind="stable")


def _pooled(tables: Sequence[Predictions], outs: Sequence[Images]) -> Predictions:
    order = _order(outs)
    names = [name for table in tables for name in table.ids]
    labels, logits, shares = (
        np.concatenate([getattr(table, column) for table in tables])[order]
        for column in ("labels", "logits", "probabilities")
    )
    return dataclasses.replace(
        tables[0], ids=[names[place] for place in order.tolist()], labels=labels, logits=logits, probabilities=shares
    )


def _summed(coverages: Sequence[Coverage | None], tables: Sequence[Predictions]) -> Coverage | None:
    """Return how many pictures the models of all folds answer together; None where each answers all."""
    if all(coverage is None for coverage in coverages):
        return None
    stated = next(coverage.stated for coverage in coverages if coverage is not None)
    n, answered, right, unsure, far = sum(map(len, tables)), 0, 0, 0, 0
    for coverage, table in zip(coverages, tables, strict=True):
        if coverage is None:
            answered, right = answered + len(table), right + int(table.right.sum())
            continue
        answered, unsure, far = (
            answered + coverage.answered,
            unsure + coverage.not_sure,
            far + coverage.none_of_these,
        )
        right += coverage.score.correct if coverage.score else 0
    of_answered = score(OUT_OF_FOLD, right, answered) if answered else None
    return Coverage(
        split=OUT_OF_FOLD,
        n=n,
        stated=stated,
        answered=answered,
        interval=wilson(answered, n),
        not_sure=unsure,
        none_of_these=far,
        score=of_answered,
    )
