"""Open the pictures of a run, and hold out test and validation pictures as its recipe says."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.device import cores
from ..base.words import counted, text_of
from ..data import augment_names
from ..data.folds import FEWEST_TO_TEST, SHOWN, SMALLER, in_one_group, nothing_held_out, why_kept_whole
from ..data.images import Splits
from ..data.near_copies import kept_together, said_of
from ..data.store.store import StoredImages
from ..errors import DataError, RecipeError
from ..recipes.recipe import Recipe
from ..recipes.settle import choose_folds
from ..records.events import Note
from ..trust.audit.audit import known

if TYPE_CHECKING:
    from ..records.events import Observe


def prepared(
    recipe: Recipe,
    seconds: dict[str, float],
    observe: Observe,
    fix: str | None = None,
    source: Splits | None = None,
) -> tuple[Splits, Recipe]:
    """Return the pictures with some held out, and the recipe with every open choice made for them.

    Args:
        recipe: The recipe, which may leave choices open.
        seconds: Receives the time that reading ("data") and importing ("import") take.
        observe: Receives what there is to say while they are read.
        fix: A corrections file in place of the recipe's.
        source: The pictures where they were opened already.

    Returns:
        The splits, and the settled recipe.

    Raises:
        DataError, RecipeError: pictures or settings that cannot be used.
    """
    began = time.perf_counter()
    if recipe.threads > cores():
        observe(Note(f"threads = {recipe.threads}: there {_are(cores())} here, and more threads wait for one another"))
    splits = open_source(recipe, observe, fix) if source is None else with_test(recipe, source, observe)
    folds, why = choose_folds(recipe, splits)
    if why:
        observe(Note(why, detail=recipe.folds == 0))
    recipe = recipe.replace(folds=folds)
    if kept := _what_groups_keep(splits, recipe.folds):
        observe(Note(f"! {kept} {SMALLER}"))
    splits = recipe.held_out(splits)
    data = time.perf_counter()
    settled = recipe.settled(splits)  # before training is imported, so that what does not fit is answered at once
    for line in augment_names.in_words(recipe.augment, settled.augment, splits.classes, splits.train.shape):
        observe(Note(line, detail=True))
    if recipe.test_time_flip and not settled.test_time_flip:
        why = augment_names.against_mirrors(splits.classes)
        observe(Note(f"test_time_flip = true: answers leave mirror images out, since {why}"))
    from . import training  # noqa: F401

    seconds |= {"data": data - began, "import": time.perf_counter() - data}
    return splits, settled


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {counted(count, 'core')}"


def open_source(recipe: Recipe, observe: Observe, fix: str | None = None) -> Splits:
    """Open the pictures that a recipe names, and hold out test pictures if the source has none.

    Args:
        recipe: The recipe that names them.
        observe: Receives what there is to say while they are read.
        fix: A corrections file in place of the recipe's.

    Returns:
        The splits.

    Raises:
        DataError: There is no such source, or its pictures cannot be used.
        RecipeError: Settings that do not fit these pictures.
    """
    return with_test(recipe, as_it_is(recipe, observe, fix), observe)


def as_it_is(recipe: Recipe, observe: Observe, fix: str | None = None) -> Splits:
    """Open the pictures that a recipe names as their source has them.

    Args:
        recipe: The recipe that names them.
        observe: Receives what there is to say while they are read.
        fix: A corrections file in place of the recipe's.

    Returns:
        The splits.

    Raises:
        DataError: There is no such source, or its pictures cannot be used.
    """
    from ..data.sources.load import load_as
    from ..data.sources.named import named

    if named(recipe.source) is None and Path(recipe.source).is_absolute() and not Path(recipe.source).exists():
        raise DataError(
            f"The pictures of recipe {recipe.name!r} are no longer at {recipe.source}.",
            hint="Move them back, or train on them where they are now: sevensteps train PATH --recipe RUN",
        )

    def say(line: str) -> None:
        observe(Note(line, detail=True))

    def warn(line: str) -> None:
        observe(Note(line))

    fix = recipe.fix if fix is None else fix
    splits = load_as(recipe.source, recipe.classes or None, recipe.how, fix=fix, say=say, warn=warn)
    if recipe.features == "none":
        return splits
    from ..learner.features import with_features

    return with_features(splits, recipe.source, recipe.how, recipe.features, say, recipe.unfreeze, warn)


def with_test(recipe: Recipe, splits: Splits, observe: Observe) -> Splits:
    """Hold out test pictures if the source has none and there are enough.

    Args:
        recipe: The recipe.
        splits: The pictures as their source has them.
        observe: Receives what there is to say.

    Returns:
        The splits.

    Raises:
        DataError, RecipeError: The pictures or settings cannot be used.
    """
    splits = dataclasses.replace(splits, audited=known(splits))
    for name, images in (("test", splits.test), ("valid", splits.valid)):
        if images is not None and not len(images):
            raise DataError(
                f"{recipe.source}: the {name} split has no pictures.",
                hint="Remove its files, and training pictures are held out in their place.",
            )
    if splits.valid is not None and recipe.hold_out not in (0, Recipe.hold_out):
        raise RecipeError(
            f"hold_out is {recipe.hold_out}, and {recipe.source} has validation pictures of its own.",
            hint="Leave it out.",
        )
    splits = _copies_kept_together(recipe, splits, observe)
    if splits.test is None and recipe.validate_on == "test":
        raise DataError(
            f"{recipe.source} has no test pictures to validate on.",
            hint="Set {validate_on}.",
            settings={"validate_on": "valid"},
        )
    if splits.test is None and recipe.folds < 2:
        train, test = splits.train.split(0.2, recipe.seed)
        if not len(test):
            few = f"{recipe.source} has no test pictures, and too few to hold any out: one of each class."
            raise nothing_held_out(splits.train, few, "Add pictures: four of each class or more.")
        is_few = len(test) < FEWEST_TO_TEST and recipe.test and not isinstance(splits.train, StoredImages)
        if not (is_few and recipe.folds == 0):
            splits = dataclasses.replace(splits, train=train, test=test)
    return splits


def _copies_kept_together(recipe: Recipe, splits: Splits, observe: Observe) -> Splits:
    """Put near-duplicates into one group where pictures of a user's files are held out.

    The split of the built-in sources, IDX files, arrays and stores stays as it was, whatever they hold.
    """
    is_split = splits.test is not None and (splits.valid is not None or not recipe.hold_out)
    if is_split or splits.train.fit is None or isinstance(splits.train, StoredImages):
        return splits
    train, copies = kept_together(splits.train)
    if copies:
        observe(Note(said_of(copies), detail=True))
    return dataclasses.replace(splits, train=train)


def _what_groups_keep(splits: Splits, folds: int) -> str:
    """Return, in words, the classes for which groups leave nothing to test with, or to learn from without a fold."""
    train, test = splits.train, splits.test
    if folds > 1 and in_one_group(train):
        why = why_kept_whole(train)
        return f"{why[0].upper()}{why[1:]}: the model tested on them has not learned from any."
    if test is None or test.origin != train.origin:
        return ""
    untested = [text_of(name) for name, count in test.counts.items() if not count and train.counts[name] > 1]
    if not untested:
        return ""
    more = f" and {len(untested) - SHOWN:,} more classes" if len(untested) > SHOWN else ""
    return f"Groups leave no test picture of {', '.join(untested[:SHOWN])}{more}: the accuracy says nothing about them."
