"""`doctor`: explain what went wrong with a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..runs import checkpoint
from ..runs.saved import failure_of, find, open_run, refuse_if_no_run


def doctor(run: str | Path) -> tuple[Path, int, list[Mapping[str, Any]]]:
    """What the doctor found wrong with a saved run while it trained, as plain data; nothing is trained or read anew.

    The first two are the run's folder and how many epochs it has trained.

    Raises:
        RunError: no such run, one that has not trained yet, or none of its checkpoints is whole.
    """
    folder = find(Path(run))
    refuse_if_no_run(folder)
    found, _ = checkpoint.load(folder)
    failed = failure_of(folder)  # a run that diverged may have saved nothing but why, or only what was before
    if found is None and not failed:
        raise RunError(
            f"{folder} has not trained yet: there is nothing to examine.", hint=f"sevensteps resume {folder}"
        )
    findings = failed.get("findings") or [] if failed else found.findings if found else []
    epochs = len(found.epochs if found else open_run(folder).history)
    return folder, epochs, [finding for finding in findings if isinstance(finding, dict)]
