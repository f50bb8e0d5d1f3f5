"""`doctor`: explain what went wrong with a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.words import with_names
from ..errors import RunError
from ..records.events import Finding, with_run_named
from ..runs.checkpoint import JUDGEMENT
from ..runs.folder import AnyRun
from ..runs.saved import Saved


@dataclass(frozen=True, repr=False)
class Examined:
    """What the doctor found wrong with a run while it trained."""

    folder: Path
    epochs: int  # that the run has trained
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `doctor --json` prints."""
        run = str(self.folder)
        return {"run": run, "findings": with_run_named([finding.as_json() for finding in self.findings], run)}

    def __repr__(self) -> str:
        from ..show.findings import passed_in_words

        if not self.findings:
            return f"{self.folder}: nothing was found wrong in {self.epochs} epoch{'s' * (self.epochs != 1)}."
        lines = [str(self.folder)]
        for finding in self.findings:
            fix = passed_in_words(finding) or with_names(finding.fix, {"run": self.folder})
            lines += [f"  since epoch {finding.epoch}: {finding.message}", f"    {fix}"]
        return "\n".join(lines)


def doctor(run: AnyRun) -> Examined:
    """Return what the doctor found wrong with a saved run; nothing is trained, and no picture is read.

    Args:
        run: A run's folder, its name under `runs/`, or the run that `train` returned.

    Returns:
        The findings; none where nothing was wrong.

    Raises:
        RunError: There is no such run, it has not trained yet, or its files are damaged.
    """
    saved = Saved.open(run)
    failure = saved.failure  # a run that diverged may have saved nothing but why, or only what was before
    if saved.found is None and not failure:
        raise RunError(
            f"{saved.folder} has not trained yet: there is nothing to examine.",
            hint=f"sevensteps resume {saved.folder}",
        )
    findings = saved.findings
    if failure:
        try:
            findings = [Finding.from_json(finding) for finding in failure.get("findings") or []]
        except (TypeError, ValueError) as error:
            path = saved.folder / JUDGEMENT
            raise RunError(f"{path} is damaged: {error}.", hint="Train the run again.") from error
    return Examined(saved.folder, len(saved.history), tuple(findings))
