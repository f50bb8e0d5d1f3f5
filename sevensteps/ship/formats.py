"""The formats in which a model can leave: their suffixes, the function that writes each, and what it may replace."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import files
from ..errors import FileError, UsageError

if TYPE_CHECKING:
    from .agreement import Agreement


@dataclass(frozen=True)
class Order:
    """What a format's writer gets: a model's file, where to write, and what the file says of its training."""

    file: Path  # a model.safetensors
    out: Path
    more: Mapping[str, Any]
    any_size: bool = False  # whether the file takes pictures of any size; not every format has a choice
    force: bool = False  # whether to replace files that no export wrote
    instead: str = "Move it away, or choose another name."  # what to do about such a file


@dataclass(frozen=True)
class Written:
    """What a writer returns, beside the file that was ordered."""

    agreement: Agreement | None  # how far its answers are from those of the model; None if it checks that when opened
    golden: Path | None = None  # the file with pictures and answers, if they are not inside


@dataclass(frozen=True)
class Format:
    """A format."""

    suffix: str
    writer: Callable[[Order], Written]
    # The files that it writes, each with the function that says whether an export wrote what is there.
    outputs: Callable[[Order], Mapping[Path, Callable[[Path], bool]]]
    # The SHA-256, or its first digits, of the model's file that a file was written from; "" for a file of another kind.
    model_sha256: Callable[[bytes], str]

    def write(self, order: Order) -> Written:
        """Write a model's file in this format.

        Args:
            order: What to write, and where.

        Raises:
            UsageError: The model's own file, or a module of Python, is in the way.
            ModelError: The model cannot be written in this format, or its answers would differ.
            FileError: A file that no export wrote is in the way, or a file cannot be written.
        """
        for path, is_export in self.outputs(order).items():
            _refuse_in_the_way(path, is_export, order)
        return self.writer(order)


def _refuse_in_the_way(path: Path, is_export: Callable[[Path], bool], order: Order) -> None:
    """Raise if writing a file would lose one that is not an earlier export.

    Raises:
        UsageError: It is the model's file.
        FileError: It is a folder, or another file.
    """
    with files.said_in_words(path):
        if not path.exists():
            return
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if path.samefile(order.file):
            raise UsageError(
                f"{path} is the model itself. Nothing was written.", hint=f"Choose another name: --out {_other(order)}"
            )
    if not order.force and not is_export(path):
        raise FileError(
            f"{path} exists, and is not an export, or was changed since. Nothing was written.", hint=order.instead
        )


def _other(order: Order) -> Path:
    """Return another name for the file that was ordered."""
    return order.out.with_name(f"{order.out.stem}-exported{order.out.suffix}")


def _onnx(order: Order) -> Written:
    """Write an ONNX file."""
    from .onnx.export import export_onnx, golden_of

    agreement = export_onnx(order.file, order.out, order.more, any_size=order.any_size)
    return Written(agreement, golden_of(order.out))


def _onnx_outputs(order: Order) -> dict[Path, Callable[[Path], bool]]:
    from .onnx.export import golden_of, is_export, is_golden

    return {order.out: is_export, golden_of(order.out): is_golden}


def _onnx_model(content: bytes) -> str:
    from .onnx.run import model_sha256

    return model_sha256(content)


def _python(order: Order) -> Written:
    """Write a program, and the file of its numbers."""
    from .plain_python.export import export_python

    return Written(export_python(order.file, order.out))


def _python_outputs(order: Order) -> dict[Path, Callable[[Path], bool]]:
    from .plain_python.export import is_export, is_weights, weights_of

    return {order.out: is_export, weights_of(order.out): lambda path: is_weights(path, order.out, order.file)}


def _python_model(content: bytes) -> str:
    from .plain_python.export import model_sha256

    return model_sha256(content)


def _page(order: Order) -> Written:
    """Write a web page, which checks itself whenever it is opened."""
    from .page.export import export_page

    export_page(order.file, order.out)
    return Written(None)


def _page_outputs(order: Order) -> dict[Path, Callable[[Path], bool]]:
    from .page.export import is_export

    return {order.out: is_export}


def _page_model(content: bytes) -> str:
    from .page.export import model_sha256

    return model_sha256(content)


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _onnx, _onnx_outputs, _onnx_model),
    "page": Format(".html", _page, _page_outputs, _page_model),
    "python": Format(".py", _python, _python_outputs, _python_model),
}


def format_of(path: Path) -> Format | None:
    """Return the format that the suffix of a file names; None if there is none.

    Args:
        path: The file.
    """
    return next((each for each in FORMATS.values() if each.suffix == path.suffix.lower()), None)
