"""`sevensteps xray`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .flags import Common, Own
from .printed_json import print_json


def _place(kind: Any, tokens: Sequence[Any]) -> int:
    """Return the place of a picture as typed."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(
            f"{tokens[0].value!r} is not the number of a picture in the batch (1 for the first)."
        ) from error


def xray(
    run: Path,
    *,
    start: bool = False,
    picture: Annotated[int | None, Parameter(converter=_place)] = None,
    model: Own = None,
    common: Common = Common(),
) -> int:
    """Show the seven steps of one batch, with numbers and pictures.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    start
        Show the first batch, with untrained parameters, instead of the next batch.
    picture
        Follow one picture of the batch (from 1) from its pixels to its loss and back to the gradient.
    """
    from ..jobs.xray import xray as xray_job
    from ..show import terminal, terminal_steps

    view = xray_job(run, start=start, picture=picture, model=model)
    if common.json:
        print_json(view.as_json())
        return 0
    console, _ = terminal.consoles()
    console.print(terminal.printable(f"{view.folder}, {view.place}"))
    if view.chain is None:
        terminal_steps.print_xray(console, view.xray, view.classes)
    else:
        terminal_steps.print_chain(console, view.chain)
    return 0
