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
    to: Literal["onnx", "page", "python", "card"] = "onnx",
    out: Path | None = None,
    any_size: bool = False,
    force: bool = False,
    common: Common = Common(),
) -> int:
    """Write a model in a format that other programs read, and check that it gives the same answers there.

    Parameters
    ----------
    model
        A run's folder, its name under runs/, or a model.safetensors.
    to
        The format: onnx; page, a web page that works offline; python, a program; or card, a folder for a model hub.
    out
        The file or folder to write. Default: model.onnx, model.html, model.py or card beside the model.
    any_size
        Write an ONNX file that takes pictures of any size, and resizes them to the same pixels as predict.
    force
        Also replace files that are not earlier exports, or were changed since.
    """
    from ..jobs.export import export as export_job
    from ..show import terminal

    exported = export_job(model, to, out, any_size=any_size, force=force)
    if common.json:
        print_json(exported.as_json())
        return 0
    console, _ = terminal.consoles()
    console.print(terminal.printable(exported.in_words))
    console.print(terminal.printable(exported.check_in_words))
    file = quoted(str(exported.file))
    following = {"onnx": f"{program()} verify {file}", "python": f"python {file} picture.png"}
    if to in following:
        terminal.print_next(console, None, [following[to]])
    return 0
