"""`sevensteps xray`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .flags import Common

if TYPE_CHECKING:
    from ..records.steps import Chain


def xray(run: Path, *, start: bool = False, picture: int | None = None, common: Common = Common()) -> int:
    """Show the seven steps of one batch of a saved run, with real numbers and pictures.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    start
        The run's first batch, with the parameters as they started, and not the one that would come next.
    picture
        Follow one picture of the batch (from 1) from its pixels to its loss and back to the gradient.
    """
    from ..jobs.xray import look
    from ..show import terminal, terminal_steps

    view = look(run, start=start, picture=picture)
    if common.json:
        steps = [{"number": step.number, "name": step.name, "line": step.line} for step in view.xray.steps]
        followed = {} if view.chain is None else {"picture": _as_json(view.chain)}
        print(json.dumps({"run": str(view.folder), "steps": steps, **followed}))
        return 0
    console, _ = terminal.consoles()
    console.print(terminal.printable(f"{view.folder}, {view.place}"))
    if view.chain is None:
        terminal_steps.print_xray(console, view.xray, view.classes)
    else:
        terminal_steps.print_chain(console, view.chain)
    return 0


def _as_json(chain: Chain) -> dict[str, Any]:
    """Every number of the chain, with arrays as lists."""
    found = {known.name: getattr(chain, known.name) for known in dataclasses.fields(chain)}
    found["layers"] = [{"layer": name, "shape": list(value.shape)} for name, value in chain.layers]
    found["gradients"] = {name: gradient.tolist() for name, gradient in chain.gradients.items()}
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in found.items()}
