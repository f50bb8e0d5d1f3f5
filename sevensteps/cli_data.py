"""The verb that prepares data: `prepare`. `cli` names it; results to stdout, progress to stderr."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .cli_common import Common, as_flags, program, quoted
from .errors import SevenstepsError


def prepare(
    source: str,
    *,
    out: Path | None = None,
    classes: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None))] = (),
    hold_out: float = 0.1,
    seed: int = 0,
    size: int = 0,
    fit: Literal["letterbox", "squash", "crop"] = "letterbox",
    bad_files: Literal["stop", "skip"] = "stop",
    common: Common = Common(),
) -> int:
    """Write a source into one file that is trained on without fitting into memory.

    What was broken off goes on where it was. `train`, `judge`, `data` and `verify` take the file as any source.

    Parameters
    ----------
    source
        pullover-dress, fashion-mnist, a folder of class folders, or the path of IDX files.
    out
        The file to write; NAME.store in this folder unless given.
    classes
        Only these classes; the order given is the label.
    hold_out
        Share of the training pictures held out for validation, where the source has none for it.
    seed
        Decides the order of the pictures and what is held out.
    size
        Pixels a side that a folder's pictures are made. 0: their own size if they share one of at most 64, else 64.
    fit
        How a folder's pictures are made that size: with black beside them, changed in shape, or cut.
    bad_files
        What files in a folder do that are no whole pictures.
    """
    from . import jobs
    from .data.store import in_words
    from .show import terminal

    console, error = terminal.consoles(quiet_stdout=common.json)
    with terminal.working(error) as observe:
        try:
            made = jobs.prepare(
                source,
                out,
                classes=classes,
                hold_out=hold_out,
                seed=seed,
                size=size,
                fit=fit,
                bad_files=bad_files,
                observe=observe,
            )
        except SevenstepsError as failure:
            failure.hint = as_flags(failure.hint)
            raise
        except KeyboardInterrupt:
            error.print("What is done is kept: the same command goes on where it was.")
            raise
    if common.json:
        print(json.dumps(dataclasses.asdict(made)))
        return 0
    purposes = {"train": "to train on", "valid": "held out for validation", "test": "to test on"}
    counts = ", ".join(f"{count:,} {purposes[split]}" for split, count in made.counts.items())
    console.print(terminal.printable(f"{made.store}: {in_words(made.bytes)}; {counts}"))
    terminal.print_next(console, None, [f"{program()} train {quoted(made.store)}"])
    return 0
