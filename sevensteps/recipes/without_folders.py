"""Settings as others may see them: without the folders of this machine, which are nobody's business but the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def without_folders(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which files have their names alone.

    Args:
        settings: Of a recipe, by name.
    """
    network, at, file = settings["features"].partition("@")
    return {
        **settings,
        "source": Path(settings["source"]).name,
        "fix": Path(settings["fix"]).name,
        "features": f"{network}{at}{Path(file).name}",
    }
