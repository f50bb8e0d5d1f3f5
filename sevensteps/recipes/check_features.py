"""Check that the settings of a recipe go together with features of a pretrained network."""

from __future__ import annotations

from typing import Any

from ..errors import RecipeError
from ..ship.backbone.names import NAME


def check_features(recipe: Any) -> None:
    """Raise if a setting is for pixels, and the model learns from features; or for another model than is trained.

    Args:
        recipe: The settings.

    Raises:
        RecipeError: The setting.
    """
    if recipe.unfreeze and recipe.model != "linear":
        raise RecipeError(
            f"unfreeze trains a pretrained network together with a linear model, not with {recipe.model}.",
            hint="Set {model}, or {unfreeze}.",
            settings={"model": "linear", "unfreeze": 0},
        )
    if recipe.unfreeze and recipe.features != NAME:
        raise RecipeError(
            f"unfreeze trains the last stages of {NAME}, but features is {recipe.features}.",
            hint="Set {features}, or {unfreeze}.",
            settings={"features": NAME, "unfreeze": 0},
        )
    if recipe.unfreeze and recipe.keep == "best":
        raise RecipeError(
            "unfreeze compares the fine-tuned model with the linear one at the end, and keep chooses an epoch.",
            hint="Set {keep}, or {unfreeze}.",
            settings={"keep": "last", "unfreeze": 0},
        )
    if recipe.model in ("cnn", "vgg"):
        raise RecipeError(
            f"{recipe.model} learns from pixels, but {recipe.features} gives features instead.",
            hint="Set {model}.",
            settings={"model": "linear"},
        )
    for key, off in (("augment", "none"), ("test_time_flip", False)):
        if getattr(recipe, key) != off:
            raise RecipeError(
                f"{key} varies pixels, but the features of {recipe.features} are computed once for each picture.",
                hint=f"Set {{{key}}}.",
                settings={key: off},
            )
