"""`sevensteps compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.words import pictures
from .flags import Common, Split
from .printed_json import print_json


def compare(
    runs: Annotated[tuple[Path, ...], Parameter(required=True)],
    *,
    split: Split | None = None,
    common: Common = Common(),
) -> int:
    """Test whether runs differ on the same pictures, and by how much.

    Parameters
    ----------
    runs
        Two or more runs: folders, or names under runs/.
    split
        The pictures to compare them on. Default: test.
        If all runs were cross-validated, out-of-fold: each picture answered by a model that has not seen it.
        Use valid (the validation pictures) to choose between runs.
        Runs with different seeds have different validation pictures, unless the source has a validation split.
    """
    from ..jobs.compare import compare as compare_job
    from ..show import terminal

    console, _ = terminal.consoles(quiet_stdout=common.json)
    compared = compare_job(*runs, split=split)
    if common.json:
        print_json(compared.as_json())
        return 0
    for pair in compared.comparisons:
        console.print(terminal.printable(pair.verdict))
        low, high = pair.interval.low, pair.interval.high
        difference = f"{100 * pair.difference:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f})"
        corrected = f", corrected for {pair.comparisons} comparisons (Holm)" if pair.comparisons > 1 else ""
        line = (
            f"  {pair.names[1]} minus {pair.names[0]}: {difference} on {pictures(pair.n, pair.split)}; "
            f"p = {pair.adjusted_p_value:.3g}{corrected}"
        )
        console.print(terminal.printable(line))
        only = (
            f"  Right only in {pair.names[0]}: {pictures(pair.only_a)}; right only in {pair.names[1]}: {pair.only_b:,}."
        )
        console.print(terminal.printable(only))
    if compared.spread:
        console.print(terminal.printable(compared.spread.line))
    if compared.warning:
        console.print(terminal.printable(compared.warning))
    if compared.effect:
        console.print(terminal.printable(compared.effect))
    return 0
