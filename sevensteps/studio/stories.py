"""New runs that the page asks for: other settings, another start, or one of the stories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trainer import Trainer

from ..errors import UsageError
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import shipped_recipes
from .wire import number_in, text_in

STORIES: list[dict[str, str]] = []


def changed(trainer: Trainer, values: Mapping[str, Any]) -> None:
    """Begin a new run whose parent is the one that is open.

    Args:
        trainer: Begins it.
        values: What is to be different: recipe, model, loss, start, lr, epochs, batch_size, seed ("same" or "new").

    Raises:
        SevenstepsError: There is no run, or the settings make no sense.
    """
    run = trainer.need_run()
    recipe, base = run.chosen, run.base
    if values.get("recipe") is not None:
        base = text_in(values, "recipe")
        if base not in shipped_recipes():
            raise UsageError(f"There is no recipe {base!r:.80}.", hint=f"There are: {', '.join(shipped_recipes())}.")
        recipe = Recipe.load(base).replace(**trainer.about_pictures(recipe))
    settings: dict[str, Any] = {
        key: text_in(values, name)
        for name, key in (("model", "model"), ("loss", "loss"), ("start", "init"))
        if values.get(name) is not None
    }
    settings |= {
        name: number_in(values, name, kind)
        for name, kind in (("lr", float), ("epochs", int), ("batch_size", int))
        if values.get(name) is not None
    }
    if settings.get("model", recipe.model) != recipe.model:
        settings.setdefault("width", 0)
    if settings.get("init", recipe.init) != "normal":
        settings.setdefault("init_std", 1.0)
    if values.get("seed") == "new":
        settings["seed"] = recipe.seed + 1
    trainer.begin(recipe.replace(**settings), parent=run.work.folder.name if run.work.folder else "", base=base)
