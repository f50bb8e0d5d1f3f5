"""Every setting of a recipe, and the TOML files that hold them."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import RecipeError

LARGEST = 1 << 20  # characters of a recipe's file; a run's own has some 2,000


def read_recipe(path: Path) -> str:
    """The text of a recipe's file.

    Raises:
        RecipeError: it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            return file.read(4 * LARGEST + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}", hint="A recipe is a TOML file in UTF-8.") from error


def recorded_in(text: str, where: str = "the recipe") -> dict[str, Any]:
    """What stands under `[recorded]` in a run's recipe: what the run was made with. Empty in a recipe of a person's.

    Raises:
        RecipeError: damaged TOML.
    """
    recorded = _parsed(text, where).get("recorded", {})
    return recorded if isinstance(recorded, dict) else {}


def _parsed(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        RecipeError: damaged, or larger than any recipe.
    """
    if len(text) > LARGEST:
        raise RecipeError(
            f"{where} has {len(text):,} characters, and a recipe {LARGEST:,} at most.", hint="It is another file."
        )
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise RecipeError(f"{where} is not TOML: {error}", hint="Compare it with a recipe that ships.") from error


def shipped_recipes() -> dict[str, str]:
    """The recipes that ship, as TOML text by name."""
    folder = resources.files(__package__)
    found = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {name: found[name].read_text("utf-8") for name in sorted(found)}
