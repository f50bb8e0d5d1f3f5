"""Every setting of a recipe, and the TOML files that hold them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError

if TYPE_CHECKING:
    from ..data.files.catalog import How


FILE_SETTINGS = ("size", "fit", "bad_files", "group", "file_column", "label_column")  # how picture files are read


LARGEST = 1 << 20  # characters of a recipe's file; a run's own has some 2,000


def setting(default: Any, help: str, *, least: int | float = -math.inf, most: int | float = math.inf) -> Any:
    """A field of the recipe: its default, what it does, and the numbers it may take."""
    return field(default=default, metadata={"help": help, "least": least, "most": most})


def how_read(settings: Mapping[str, Any]) -> How:
    """How picture files are to be read, of all settings."""
    from ..data.files.catalog import How

    return How(**{key: settings[key] for key in FILE_SETTINGS if key in settings})


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
