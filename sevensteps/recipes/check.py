"""Check the value of a setting against its type and limits."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field
from typing import Any, Literal

from ..base.own_code import is_own
from ..base.setting import MOST
from ..data.range_ends import Ends, check_ends
from ..errors import RecipeError, UsageError, nearest
from ..ship.backbone.names import is_of_timm

# What some settings may be beside their words, and how that is said.
_IS_ALSO: Mapping[str, Callable[[str], bool]] = {"model": is_own, "features": is_of_timm}


_ALSO = {
    "model": " A network of your own is named package.module:function.",
    "features": " A network of timm is named timm:NAME, or timm:NAME@FILE.safetensors.",
}


def check_setting(known: Field[Any], kind: Any, value: Any) -> None:
    """Check a value of a setting against its type and limits.

    Args:
        known: The setting: its name, help and limits.
        kind: Its type.
        value: The value.

    Raises:
        RecipeError: A wrong type, a number out of range, or a word that is not one of the choices.
    """
    key, rules = known.name, known.metadata
    choices = choices_of(kind)
    if choices:
        if value not in choices and not (key in _IS_ALSO and isinstance(value, str) and _IS_ALSO[key](value)):
            raise RecipeError(f"{key} is {value!r:.80}.", hint=nearest(str(value), choices) + _ALSO.get(key, ""))
        return
    if kind == Ends:
        try:
            check_ends(value)
        except UsageError as error:
            raise error.as_kind(RecipeError) from error
        return
    if kind == tuple[str, ...]:
        if not isinstance(value, tuple) or not all(isinstance(part, str) for part in value):
            raise RecipeError(
                f"{key} is {value!r}, but must be a list of words.",
                hint=f"{{{key}}}",
                settings={key: ["Pullover", "Dress"]},
            )
        return
    wanted = {int: "a whole number", float: "a number", str: "words", bool: "true or false"}[kind]
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"{key} is {value!r}, but must be {wanted}.", hint=rules["help"])
    if kind is str and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RecipeError(
                f"{key} is {value!a}, which is not valid UTF-8 and cannot be stored in a recipe.",
                hint="Rename it first.",
            ) from error
    if kind in (int, float) and not (rules["least"] <= value <= rules["most"] and math.isfinite(value)):
        most = f"{rules['most']:g}" if isinstance(rules["most"], float) else rules["most"]
        is_open = rules["most"] == math.inf or (rules["most"] >= MOST and value < rules["least"])
        bounds = f"{rules['least']} or more" if is_open else f"{rules['least']} to {most}"
        raise RecipeError(f"{key} is {value!r:.40}, but must be {bounds}.", hint=rules["help"])


def choices_of(kind: Any) -> tuple[str, ...]:
    """Return the words that a setting may be; none for a setting of another kind.

    Args:
        kind: Its type.
    """
    words = next((part for part in (kind, *typing.get_args(kind)) if typing.get_origin(part) is Literal), None)
    return typing.get_args(words)
