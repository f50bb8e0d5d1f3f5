"""The TOML files that hold recipes: those that ship, those of runs, and people's own."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import RecipeError

LARGEST = 1 << 20  # characters of a recipe's file; a run's own has some 2,000


def read_recipe(path: Path) -> str:
    """Read the text of a recipe's file.

    Args:
        path: The file.

    Returns:
        The text.

    Raises:
        RecipeError: It cannot be read, or is not text.
    """
    try:
        with path.open("rb") as file:
            return file.read(4 * LARGEST + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}", hint="A recipe is a TOML file in UTF-8.") from error


def recorded_in(text: str, where: str = "the recipe") -> dict[str, Any]:
    """Return the `[recorded]` table of a run's recipe: what was observed when it was trained.

    Args:
        text: The text of the recipe.
        where: What errors call it.

    Returns:
        The table; empty in a recipe that a person wrote.

    Raises:
        RecipeError: Damaged TOML.
    """
    recorded = parsed(text, where).get("recorded", {})
    return recorded if isinstance(recorded, dict) else {}


def keys_of(text: str) -> frozenset[str]:
    """Return the settings that the text of a recipe names: a recipe of an older version lacks the newer ones.

    Args:
        text: The text of the recipe.

    Returns:
        The keys.

    Raises:
        RecipeError: Damaged TOML.
    """
    return frozenset(parsed(text, "the recipe"))


def parsed(text: str, where: str) -> dict[str, Any]:
    """Parse the text of a recipe into its tables.

    Args:
        text: The text.
        where: What errors call it.

    Returns:
        The keys and tables.

    Raises:
        RecipeError: It is damaged, or larger than any recipe.
    """
    if len(text) > LARGEST:
        raise RecipeError(
            f"{where} has {len(text):,} characters, but a recipe may have at most {LARGEST:,}.",
            hint="This file is probably not a recipe.",
        )
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise RecipeError(f"{where} is not TOML: {error}", hint="Compare it with a recipe that ships.") from error


def shipped_recipes() -> dict[str, str]:
    """Return the recipes that ship.

    Returns:
        TOML text by name.
    """
    folder = resources.files(__package__)
    found = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {name: found[name].read_text("utf-8") for name in sorted(found)}
