"""Choose between pixels and the features of a pretrained network, by cross-validation on the training pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.images import Splits
from ..learner.features import with_features
from ..recipes.choose import Chosen, by_features, may_use_features
from ..records.events import Note
from ..runs.pictures import as_it_is, with_test
from ..ship.backbone.weights import INSTALL, NAME, is_installed
from ..trust.features import Compared, compared

if TYPE_CHECKING:
    from ..records.events import Observe


def pixels_or_features(
    source: str | Path | None, chosen: Chosen, given: Mapping[str, Any], observe: Observe
) -> tuple[Chosen, Splits | None]:
    """Return the choice for a source, and its pictures if they were opened to make it.

    Args:
        source: As for `train`.
        chosen: The choice for its pixels.
        given: Settings by name.
        observe: Receives what was compared.

    Returns:
        The choice, and the pictures as their source has them, with features if those were chosen.

    Raises:
        DataError, RecipeError: The pictures cannot be used.
    """
    if not may_use_features(source, given):
        return chosen, None
    if not is_installed():
        observe(Note(f"photos learn better with a pretrained network: {INSTALL}"))
        return chosen, None
    recipe = chosen.with_given({**given, **({"source": str(source)} if source else {})})
    splits = as_it_is(recipe, observe)

    def say(line: str) -> None:
        observe(Note(line, detail=True))

    featured = with_features(splits, recipe.source, recipe.how, NAME, say)
    result = compared(with_test(recipe, featured, lambda event: None).train, recipe.seed)
    if result is None or result.is_better:
        why = f"Without --recipe these pictures are for features of {NAME}{in_words(result)}."
        return by_features(NAME, len(featured.train), why), featured
    observe(Note(f"features of {NAME} do not help here{in_words(result)}", detail=True))
    return chosen, splits


def in_words(result: Compared | None) -> str:
    """Return what was compared, as the rest of a sentence.

    Args:
        result: The comparison; None if there was none.
    """
    if result is None:
        return ""
    features, pixels = (
        f"{score.accuracy:.1%} (95 % interval {score.interval.low:.1%} to {score.interval.high:.1%})"
        for score in (result.features, result.pixels)
    )
    return (
        f": in cross-validation on the training pictures a quick model of them has {features}, one of pixels {pixels}"
    )
