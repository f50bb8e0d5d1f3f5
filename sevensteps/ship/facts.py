"""Facts: what a model's file says in addition to its tensors, written and checked here, without PyTorch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..base.own_code import is_given
from ..data.decode import FITS, Fit
from ..data.value_range import Range
from ..errors import ModelError, UsageError
from .abstention import KEY

MOST_VALUES = 1 << 25  # of the pictures that a model takes: 3 x 3,344 x 3,344


LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-6, 1e6  # beyond, scores become infinite, or all the same


EXPORT_AGAIN = "Export the model again."


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of a model's file: how to build the model, what it takes, and how scores become probabilities."""

    model: Any = None  # the layers, as `architecture.describe` gives them; None: the file needs an instance
    kind: str | None = None  # the name of the model's class
    classes: tuple[str, ...] | None = None
    shape: tuple[int, int, int] | None = None  # channels, height, width
    fit: Fit | None = None  # how pictures of other sizes are fitted to that shape
    range: Range | None = None  # the values that become black and white in pictures of more than 8 bits
    features: Mapping[str, Any] | None = None  # the network that turns pictures into what the model takes, if any
    flat: bool = False  # whether the model takes pictures as rows of pixels
    loss: str | None = None  # the name of a loss of ours
    label_smoothing: float | None = None
    class_weights: tuple[float, ...] | None = None
    activation_is_own: bool = False  # neither sigmoid, nor softmax, nor that of the loss
    temperature: float = 1.0
    abstention: Any = None  # its limits, which `abstention.in_file` checks
    bfloat16: tuple[str, ...] = ()  # the tensors of this type, which the file holds as float32
    extra: Mapping[str, Any] = field(default_factory=dict)  # what modules keep beside tensors (`get_extra_state`)

    def as_json(self) -> dict[str, Any]:
        """Return the facts under the keys that files have had since the first version."""
        return {
            "model": self.model,
            "class": self.kind,
            "classes": list(self.classes) if self.classes else None,
            "shape": list(self.shape) if self.shape else None,
            **({"fit": self.fit} if self.fit else {}),
            **({"range": self.range.as_json()} if self.range else {}),
            **({"features": dict(self.features)} if self.features else {}),
            "flat": self.flat,
            "loss": self.loss,
            "label_smoothing": self.label_smoothing,
            **({"class_weights": list(self.class_weights)} if self.class_weights is not None else {}),
            "activation": "own" if self.activation_is_own else None,
            "temperature": self.temperature,
            KEY: self.abstention,
            **({"bfloat16": list(self.bfloat16)} if self.bfloat16 else {}),
            **({"extra": dict(self.extra)} if self.extra else {}),
        }

    @classmethod
    def from_json(cls, about: Mapping[str, Any], where: str | Path) -> Facts:
        """Read the facts of a file, which anyone may have written.

        The model's description and the abstention are checked where they are used: `architecture.build` and
        `abstention.in_file`.

        Args:
            about: The facts as `file.read` gives them.
            where: The file, for errors.

        Raises:
            ModelError: Naming the first fact that is not valid.
        """
        for name, is_valid in _CHECKS.items():
            value = about.get(name)
            if value is not None and not is_valid(value):
                raise ModelError(f"{where}: its {name} cannot be {value!r:.80}.", hint=EXPORT_AGAIN)
        classes, shape, weights = about.get("classes"), about.get("shape"), about.get("class_weights")
        smoothing = about.get("label_smoothing")
        if (smoothing is not None and about.get("loss") != "cross_entropy") or (
            weights is not None and len(weights) != len(classes or ())
        ):
            raise ModelError(f"{where}: its loss, classes and class weights do not fit.", hint=EXPORT_AGAIN)
        return cls(
            model=about.get("model"),
            kind=about.get("class"),
            classes=tuple(classes) if classes else None,
            shape=(shape[0], shape[1], shape[2]) if shape else None,
            fit=about.get("fit"),
            range=Range.from_json(about.get("range")),
            features=about.get("features"),
            flat=bool(about.get("flat")),
            loss=about.get("loss"),
            label_smoothing=smoothing,
            class_weights=tuple(weights) if weights is not None else None,
            activation_is_own=about.get("activation") is not None,
            temperature=1.0 if about.get("temperature") is None else float(about["temperature"]),
            abstention=about.get(KEY),
            bfloat16=tuple(about.get("bfloat16") or ()),
            extra=about.get("extra") or {},
        )

    @property
    def needs_code(self) -> bool:
        """Whether a layer of the model is a network that code of its author's makes."""
        return '"OwnModel"' in json.dumps(self.model)

    def refuse_idle_code(self, where: str | Path) -> None:
        """Raise if a network of the user's own was given for a model that does not need it.

        Args:
            where: The file, for errors.

        Raises:
            UsageError: It needs no code.
        """
        if is_given() and not self.needs_code:
            raise UsageError(f"The model in {where} needs no code of your own.", hint="Leave --model out.")

    def pictures(self, where: str | Path) -> tuple[tuple[str, ...], tuple[int, int, int]]:
        """Return class names and picture shape of a model that classifies picture files.

        Args:
            where: The file, for errors.

        Raises:
            ModelError: The file does not say them, or no picture file has such channels.
        """
        if self.classes is None or self.shape is None:
            raise ModelError(
                f"{where} does not say which pictures it takes.", hint="Export a model trained on pictures."
            )
        if len(self.classes) < 2:
            raise ModelError(f"{where}: its classes cannot be {list(self.classes)!r:.80}.", hint=EXPORT_AGAIN)
        if self.shape[0] not in (1, 3) and not self.features:
            raise ModelError(f"{where}: its shape cannot be {list(self.shape)}.", hint=EXPORT_AGAIN)
        return self.classes, self.shape


def _are_classes(value: Any) -> bool:
    """Whether these are names, each once."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _is_shape(value: Any) -> bool:
    """Whether this is the shape of a picture that fits into memory."""
    is_whole = isinstance(value, list) and len(value) == 3 and all(type(size) is int and size > 0 for size in value)
    return is_whole and math.prod(value) <= MOST_VALUES


def _is_range(value: Any) -> bool:
    """Whether this is a range that `Range.as_json` has written."""
    try:
        return Range.from_json(value) is not None
    except ValueError:
        return False


def _is_network(value: Any) -> bool:
    """Whether this names a pretrained network, and after how many layers it is cut, if it is.

    Never a file, as in timm:NAME@FILE: what somebody else wrote does not choose what is read on this machine.
    """
    if not isinstance(value, dict) or not {"name", "sha256"} <= set(value) <= {"name", "sha256", "layers"}:
        return False
    if not all(type(value[key]) is str for key in ("name", "sha256")) or type(value.get("layers", 0)) is not int:
        return False
    of_timm = re.fullmatch(r"timm:[\w.-]+", value["name"]) is not None  # whose networks are never cut
    return "layers" not in value if of_timm else re.fullmatch(r"[\w.-]+", value["name"]) is not None


def _are_weights(value: Any) -> bool:
    """Whether these are positive numbers."""
    return isinstance(value, list) and all(type(weight) is float and 0 < weight < math.inf for weight in value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "class": lambda value: isinstance(value, str),
    "classes": _are_classes,
    "shape": _is_shape,
    "fit": lambda value: value in FITS,
    "range": _is_range,
    "features": _is_network,
    "flat": lambda value: type(value) is bool,
    "loss": lambda value: isinstance(value, str),
    "label_smoothing": lambda value: type(value) is float,
    "class_weights": _are_weights,
    "bfloat16": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "extra": lambda value: isinstance(value, dict),
    "activation": lambda value: value == "own",
    "temperature": lambda value: type(value) in (int, float) and LOWEST_TEMPERATURE <= value <= HIGHEST_TEMPERATURE,
}
