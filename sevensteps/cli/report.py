"""`sevensteps report`."""

from __future__ import annotations

from pathlib import Path

from .flags import Common, Own
from .printed_json import print_json


def report(run: Path, *, out: Path | None = None, model: Own = None, common: Common = Common()) -> int:
    """Write one HTML page: how good a run is, what it gets wrong, and what to do next.

    It is complete in itself: it needs no network and no script, and is the same for the same run.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    out
        The file to write. Default: report.html in the run's folder.
    """
    from ..jobs.report import report as report_job
    from ..show import terminal

    written = report_job(run, out, model=model)
    if common.json:
        print_json(written.as_json())
        return 0
    console, _ = terminal.consoles()
    console.print(terminal.printable(str(written.path)))
    return 0
