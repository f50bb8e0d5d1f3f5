"""`sevensteps doctor`."""

from __future__ import annotations

import json
from pathlib import Path

from .flags import Common
from .usage import with_names


def doctor(run: Path, *, common: Common = Common()) -> int:
    """Explain what went wrong with a run: since when, by what evidence, and what to type.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    """
    from ..jobs.doctor import doctor as doctor_job
    from ..show import terminal

    console, _ = terminal.consoles(quiet_stdout=common.json)
    folder, epochs, findings = doctor_job(run)
    if common.json:
        print(json.dumps({"run": str(folder), "findings": findings}))
        return 0
    if not findings:
        line = f"{folder}: nothing was found wrong in {epochs} epoch{'s' * (epochs != 1)}."
        console.print(terminal.printable(line))
    for finding in findings:
        until = finding.get("recovered_at")
        when = f"since epoch {finding.get('epoch')}" + (f", recovered at epoch {until}" if until else "")
        console.print(terminal.printable(f"{finding.get('code')}, {when}"))
        console.print(terminal.printable(f"  {finding.get('message')}"))
        console.print(terminal.printable(f"  {with_names(str(finding.get('fix')), {'run': run})}"))
        evidence = finding.get("evidence")
        for name, value in (evidence if isinstance(evidence, dict) else {}).items():
            console.print(terminal.printable(f"    {str(name).replace('_', ' ')}: {value}"))
    return 0
