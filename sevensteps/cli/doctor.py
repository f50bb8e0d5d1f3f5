"""`sevensteps doctor`."""

from __future__ import annotations

from pathlib import Path

from ..base.words import with_names
from .flags import Common
from .hints import as_called
from .printed_json import print_json


def doctor(run: Path, *, common: Common = Common()) -> int:
    """Explain what went wrong with a run, and how to fix it.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    """
    from ..jobs.doctor import doctor as doctor_job
    from ..show import terminal
    from ..show.findings import evidence_of, passed_in_words, title_of

    console, _ = terminal.consoles(quiet_stdout=common.json)
    examined = doctor_job(run)
    if common.json:
        print_json(examined.as_json())
        return 0
    if not examined.findings:
        console.print(terminal.printable(repr(examined)))
    for finding in examined.findings:
        console.print(terminal.printable(title_of(finding)))
        console.print(terminal.printable(f"  {finding.message}"))
        advice = passed_in_words(finding) or as_called(with_names(finding.fix, {"run": run}))
        console.print(terminal.printable(f"  {advice}"))
        lines = evidence_of(finding)
        if lines:  # the sentence above keeps its first numbers
            console.print(terminal.printable("  The latest numbers:"))
        for line in lines:
            console.print(terminal.printable(f"    {line}"))
    return 0
