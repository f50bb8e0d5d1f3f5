"""`sevensteps doctor`."""

from __future__ import annotations

import json
from pathlib import Path

from .flags import Common
from .usage import with_names


def doctor(run: Path, *, common: Common = Common()) -> int:
    """Explain what went wrong with a run, and what to type.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    """
    from ..jobs.doctor import doctor as doctor_job
    from ..show import terminal

    console, _ = terminal.consoles(quiet_stdout=common.json)
    examined = doctor_job(run)
    if common.json:
        print(json.dumps(examined.as_json()))
        return 0
    if not examined.findings:
        console.print(terminal.printable(repr(examined)))
    for finding in examined.findings:
        until = finding.recovered_at
        when = f"since epoch {finding.epoch}" + (f", recovered at epoch {until}" if until else "")
        console.print(terminal.printable(f"{finding.code}, {when}"))
        console.print(terminal.printable(f"  {finding.message}"))
        console.print(terminal.printable(f"  {with_names(finding.fix, {'run': run})}"))
        for name, value in (finding.evidence or {}).items():
            console.print(terminal.printable(f"    {str(name).replace('_', ' ')}: {value}"))
    return 0
