"""A model in a file: the names of its tensors without torch.compile's, and its extra state as JSON holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import ModelError

_COMPILED = "_orig_mod"  # where the module that torch.compile returns keeps the one that it was given


def plain_name(name: str) -> str:
    """Return the name of a tensor, or of a module, as it is without torch.compile.

    Args:
        name: As PyTorch has it, such as "_orig_mod.0.weight".
    """
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def without_compiler(module: nn.Module) -> nn.Module:
    """Return the module that torch.compile was given; any other module as it is.

    Args:
        module: Any module.
    """
    inner = getattr(module, _COMPILED, None)
    return inner if isinstance(inner, nn.Module) else module


def named_as(own: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved state of a model under the names that it has here, with or without torch.compile.

    Args:
        own: The model's `state_dict`.
        saved: Tensors, and extra state that `get_extra_state` gave, under any of the two names.

    Raises:
        ValueError: There are other names here, or a tensor has another shape.
    """
    saved = {plain_name(name): value for name, value in saved.items()}
    shapes, saved_shapes = ({plain_name(name): _shape(value) for name, value in of.items()} for of in (own, saved))
    if shapes != saved_shapes:
        name = min(name for name, _ in shapes.items() ^ saved_shapes.items())
        here, there = (of.get(name, "missing") for of in (shapes, saved_shapes))
        raise ValueError(f"{name} is {here} here and was {there}")
    return {name: saved[plain_name(name)] for name in own}


def _shape(value: Any) -> str:
    """Describe a tensor by its shape, and extra state, which may be anything, by its kind."""
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else "extra state"


def exactly_in_json(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra state of modules, which JSON must be able to hold exactly.

    Args:
        extra: What `get_extra_state` gave, by name.

    Raises:
        ModelError: Something in it is not a number, a word, a list of these or a dictionary of them by words.
    """
    for name, value in extra.items():
        try:
            same = _is_same(json.loads(json.dumps(value, allow_nan=False)), value)
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise ModelError(
                f"{name} is extra state that a file cannot hold: {value!r:.200}",
                hint="Let get_extra_state() return a tensor, or numbers, words, lists and dictionaries of these.",
            )
    return dict(extra)


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of the same types throughout."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)
