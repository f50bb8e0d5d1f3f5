"""`doctor`: explain what went wrong with a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..runs.saved import Saved


def doctor(run: str | Path) -> tuple[Path, int, list[Mapping[str, Any]]]:
    """What the doctor found wrong with a saved run while it trained, as plain data; nothing is trained or read anew.

    The first two are the run's folder and how many epochs it has trained.

    Raises:
        RunError: no such run, one that has not trained yet, or none of its checkpoints is whole.
    """
    saved = Saved.open(run)
    folder, found = saved.folder, saved.found
    failed = saved.failure  # a run that diverged may have saved nothing but why, or only what was before
    if found is None and not failed:
        raise RunError(
            f"{folder} has not trained yet: there is nothing to examine.", hint=f"sevensteps resume {folder}"
        )
    findings = failed.get("findings") or [] if failed else found.findings if found else []
    return folder, len(saved.history), [finding for finding in findings if isinstance(finding, dict)]
