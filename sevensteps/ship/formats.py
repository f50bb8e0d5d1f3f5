"""The formats in which a model can leave: their suffixes, and the function that writes each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import Agreement


@dataclass(frozen=True)
class Order:
    """What a format's writer gets: a model's file, where to write, and what the file says of its training."""

    file: Path  # a model.safetensors
    out: Path
    more: Mapping[str, Any]
    any_size: bool = False  # whether the file takes pictures of any size; not every format has a choice


@dataclass(frozen=True)
class Written:
    """What a writer returns, beside the file that was ordered."""

    agreement: Agreement | None  # how far its answers are from those of the model; None if it checks that when opened
    golden: Path | None = None  # the file with pictures and answers, if they are not inside


@dataclass(frozen=True)
class Format:
    """A format."""

    suffix: str
    write: Callable[[Order], Written]


def _onnx(order: Order) -> Written:
    """Write an ONNX file."""
    from .onnx.export import export_onnx, golden_of

    agreement = export_onnx(order.file, order.out, order.more, any_size=order.any_size)
    return Written(agreement, golden_of(order.out))


def _python(order: Order) -> Written:
    """Write a program, and the file of its numbers."""
    from .plain_python.export import export_python

    return Written(export_python(order.file, order.out))


def _page(order: Order) -> Written:
    """Write a web page, which checks itself whenever it is opened."""
    from .page.export import export_page

    export_page(order.file, order.out)
    return Written(None)


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _onnx),
    "page": Format(".html", _page),
    "python": Format(".py", _python),
}


def format_of(path: Path) -> Format | None:
    """Return the format that the suffix of a file names; None if there is none.

    Args:
        path: The file.
    """
    return next((each for each in FORMATS.values() if each.suffix == path.suffix.lower()), None)
