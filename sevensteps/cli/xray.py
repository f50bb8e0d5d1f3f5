"""`sevensteps xray`."""

from __future__ import annotations

from pathlib import Path

from .flags import Common, Own
from .printed_json import print_json


def xray(
    run: Path,
    *,
    start: bool = False,
    picture: int | None = None,
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
