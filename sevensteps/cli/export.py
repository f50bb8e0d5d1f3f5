"""`sevensteps export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .flags import Common
from .hints import program, quoted
from .printed_json import print_json


def export(
    model: Path,
    *,
    to: Literal["onnx"] = "onnx",
    out: Path | None = None,
    any_size: bool = False,
    common: Common = Common(),
) -> int:
    """Write a model in a format that other programs read, and check that it gives the same answers there.

    Parameters
    ----------
    model
        A run's folder, its name under runs/, or a model.safetensors.
    to
        The format: onnx.
    out
        The file to write. Default: model.onnx beside the model.
    any_size
        The file takes pictures of any size, and resizes them itself, to the same pixels as predict.
    """
    from ..jobs.export import export as export_job
    from ..show import terminal

    exported = export_job(model, to, out, any_size=any_size)
    if common.json:
        print_json(exported.as_json())
        return 0
    console, _ = terminal.consoles()
    console.print(terminal.printable(exported.in_words))
    console.print(terminal.printable(exported.check_in_words))
    terminal.print_next(console, None, [f"{program()} verify {quoted(str(exported.file))}"])
    return 0
