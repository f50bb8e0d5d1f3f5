"""The corrections that a person makes on the page: rows of a file as `--fix` reads it, kept beside the run.

Files of pictures stay as they are. Each change can be taken back.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import corrections
from ..data.corrections import HEADER, Correction
from ..errors import UsageError
from ..runs.folder import CORRECTIONS, EDITS

MOST_CHANGES = 10_000  # in one request

LISTED = 200  # corrections that the page lists; the file has them all


@dataclass
class Edits:
    """The corrections made on the page, on top of those that the run was trained with."""

    trained: Mapping[str, Correction] = field(default_factory=dict)  # what the run has seen, by the picture's id
    rows: dict[str, Correction] = field(default_factory=dict)  # all of them: what a training with them reads
    before: list[dict[str, Correction | None]] = field(default_factory=list)  # what each change replaced, to undo it

    @property
    def unseen(self) -> list[str]:
        """The pictures whose correction the run has not seen."""
        names = dict.fromkeys([*self.rows, *self.trained])
        return [name for name in names if now_of(self.rows.get(name)) != now_of(self.trained.get(name))]

    def change(self, wanted: Mapping[str, str], labels: Mapping[str, str], why: str = "changed in the Studio") -> None:
        """Give pictures another class, or leave them out.

        Args:
            wanted: The new class of each picture, by its id; "" leaves it out; its own class takes a correction back.
            labels: The class of each of these pictures as the source has it.
            why: The reason that the file gives.
        """
        self.before.append({name: self.rows.get(name) for name in wanted})
        for name, now in wanted.items():
            if now == labels[name]:
                self.rows.pop(name, None)
            else:
                self.rows[name] = Correction(name, now, labels[name], why)

    def undo(self) -> list[str]:
        """Take the last change back.

        Returns:
            The ids of its pictures; none if there is nothing to undo.
        """
        if not self.before:
            return []
        last = self.before.pop()
        for name, row in last.items():
            if row is None:
                self.rows.pop(name, None)
            else:
                self.rows[name] = row
        return list(last)

    def as_csv(self) -> str:
        """Return the file that `--fix` reads."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(self.rows.values())
        return text.getvalue()


def now_of(row: Correction | None) -> str | None:
    """Return the class that a correction gives, "" where it leaves the picture out; None for no correction.

    Args:
        row: The correction.
    """
    return None if row is None else row.now


def edits_of(folder: Path | None, fix: str = "") -> Edits:
    """Return the corrections that were made for a run: those that it was trained with, and those made since.

    Args:
        folder: The run's folder; None before its first batch.
        fix: The file of its corrections, which is read where there is no folder yet.

    Raises:
        DataError: A file of corrections is damaged.
    """
    if folder is None:
        trained, since = _rows(Path(fix)) if fix else None, None
    else:
        trained, since = (_rows(folder / name) for name in (CORRECTIONS, EDITS))
    return Edits(trained or {}, dict(trained or {}) if since is None else since)


def section_of(edits: Edits, tested: AbstractSet[str]) -> dict[str, int]:
    """Return the section `edits`: how many corrections the run has not seen, and how many there are.

    Args:
        edits: The corrections.
        tested: The pictures that the run's result is measured on.
    """
    unseen = edits.unseen
    return {"count": len(unseen), "test": len(tested & set(unseen)), "all": len(edits.rows)}


def _rows(path: Path) -> dict[str, Correction] | None:
    """Return the rows of a corrections file by the picture; None where there is no such file."""
    if not path.is_file():
        return None
    return {row.picture: row for _, row in corrections.read(path).rows}


def wanted_in(changes: Any, classes: Sequence[str]) -> dict[str, str]:
    """Return the new class of each picture that a request changes.

    Args:
        changes: A list of objects with the texts `id` and `now`.
        classes: The classes that there are.

    Raises:
        UsageError: The request is not of this form, or names another class.
    """
    if not isinstance(changes, list) or not changes or len(changes) > MOST_CHANGES:
        raise UsageError(f"changes must be a list of 1 to {MOST_CHANGES:,} objects.")
    wanted: dict[str, str] = {}
    for change in changes:
        name, now = (change.get(key) for key in ("id", "now")) if isinstance(change, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(now, str):
            raise UsageError("A change needs the texts id and now.")
        if now and now not in classes:
            raise UsageError(f"There is no class {now!r:.80}.", hint=f"The classes: {', '.join(classes)}")
        wanted[name] = now
    return wanted


def listed(edits: Edits) -> dict[str, Any]:
    """Return the corrections as the page lists them, the newest first.

    Args:
        edits: The corrections.
    """
    rows = list(edits.rows.values())[::-1]
    return {
        "rows": [{"id": row.picture, "was": row.was, "now": row.now} for row in rows[:LISTED]],
        "more": max(0, len(rows) - LISTED),
        "can_undo": bool(edits.before),
    }
