"""What a model must be like so that it can be written in a format that other programs read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from .facts import Facts

UNWRITABLE = "unwritable"  # the kind of an error about a model that this package alone can compute
_USUAL = ("sigmoid_l1_loss", "binary_cross_entropy_with_logits", "cross_entropy")  # sigmoid or softmax


def refuse_unwritable(
    facts: Facts, arrays: Mapping[str, np.ndarray], where: str | Path, form: str, hint: str = "Send the run instead."
) -> None:
    """Raise for a model that only this package can compute.

    Args:
        facts: What its file says.
        arrays: Its tensors.
        where: Its file, for errors.
        form: The format, as in "written as ONNX".
        hint: What to do about a network of the user's own.

    Raises:
        ModelError: Says what of it cannot be written; its kind is `UNWRITABLE`.
    """
    if facts.model is None or facts.needs_code:
        raise ModelError(
            f"{where}: only models whose layers are in our list can be written as {form}, and {facts.kind} is not one.",
            hint=hint,
            kind=UNWRITABLE,
        )
    if facts.activation_is_own or facts.loss not in (None, "mse_loss", *_USUAL):
        raise ModelError(
            f"{where}: its activation cannot be written as {form}.", hint="Train with a built-in loss.", kind=UNWRITABLE
        )
    other = {name: array.dtype for name, array in arrays.items() if array.dtype.kind == "f"}
    wrong = next((name for name, dtype in other.items() if dtype != np.float32), None) or next(iter(facts.bfloat16), "")
    if wrong:
        raise ModelError(
            f"{where}: {wrong} is not of type float32, which the file needs.",
            hint="Train in float32.",
            kind=UNWRITABLE,
        )


def kinds_in(layer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of a layer and of those inside it.

    Args:
        layer: The layer, as `architecture.describe` returns it.
    """
    yield str(layer["layer"])
    for part in [*layer.get("layers", ()), *(part for _, part in layer.get("named", ()))]:
        yield from kinds_in(part)
