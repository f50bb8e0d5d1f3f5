"""Read the files that stand beside a run's checkpoint: history, timings, judgement, predictions, corrections."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.files import regular
from ..errors import RunError
from ..records.events import Epoch, Finding
from .checkpoint import HISTORY, JUDGEMENT, MANY_PREDICTIONS, PREDICTIONS, TIMINGS, table_in

if TYPE_CHECKING:
    from ..trust.predictions import Predictions


LARGEST = 1 << 28  # bytes of a file of lines; a history of a million epochs has some 150 MB

_REPAIR = "sevensteps resume {} creates it again from the run's checkpoint."


def read_history(folder: Path) -> list[Epoch]:
    """Return the epochs in history.jsonl.

    Args:
        folder: The run's folder.

    Returns:
        The epochs without their seconds; an empty list where there is no such file.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / HISTORY
    if not path.is_file():
        return []
    try:
        return [_epoch(json.loads(line)) for line in _text(path).splitlines()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}.", hint=_REPAIR.format(folder)) from error


def with_timings(folder: Path, history: Sequence[Epoch]) -> tuple[list[Epoch], float]:
    """Add the seconds in timings.jsonl to the epochs.

    Args:
        folder: The run's folder.
        history: Its epochs.

    Returns:
        The epochs with their seconds, and the seconds of all training; 0 where the file does not say.
    """
    seconds: dict[int, float] = {}
    total = 0.0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, RunError):
        for line in _text(folder / TIMINGS).splitlines():
            row = json.loads(line)
            if "batch" in row:
                total = max(float(row["seconds"]), 0.0)
            else:
                seconds[int(row["number"])] = float(row["seconds"])
    return [replace(epoch, seconds=seconds.get(epoch.number, 0.0)) for epoch in history], total


def read_judgement(folder: Path) -> dict[str, Any]:
    """Return what judgement.json says, whichever model it is of.

    Args:
        folder: The run's folder.

    Returns:
        The judgement; an empty dictionary where there is no such file.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / JUDGEMENT
    if not path.is_file():
        return {}
    try:
        judgement = json.loads(_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}.", hint=_REPAIR.format(folder)) from error
    if not isinstance(judgement, dict) or not all(
        _is_score(judgement.get(split)) for split in ("test", "cross_validation", "valid")
    ):
        raise RunError(f"{path} is damaged: it does not contain scores.", hint=_REPAIR.format(folder))
    with reading_judgement(folder):
        findings = judgement.get("findings") or []
        if not isinstance(findings, list):
            raise ValueError("its findings are not a list")
        for finding in findings:
            Finding.from_json(finding)
    return judgement


@contextlib.contextmanager
def reading_judgement(folder: Path) -> Iterator[None]:
    """Turn a `ValueError` inside the block into an error that names judgement.json.

    Args:
        folder: The run's folder.

    Raises:
        RunError: A value in the judgement is not as it was written.
    """
    try:
        yield
    except ValueError as error:
        raise RunError(f"{folder / JUDGEMENT} is damaged: {error}.", hint=_REPAIR.format(folder)) from error


def read_tables(folder: Path, classes: Sequence[str]) -> dict[str, Predictions]:
    """Return the model's predictions for each picture.

    Args:
        folder: The run's folder.
        classes: The names of the classes, in the model's order.

    Returns:
        A table for each split.

    Raises:
        RunError: The file is damaged.
    """
    if table_in(read_judgement(folder)) == MANY_PREDICTIONS:
        from ..trust.predictions_file import from_file

        return from_file(folder / MANY_PREDICTIONS, classes)
    from ..trust.predictions import from_jsonl

    return from_jsonl(folder / PREDICTIONS, classes)


def is_corrections_file(path: Path, recorded: Mapping[str, Any]) -> bool:
    """Return whether a file is the one that a run's pictures were corrected by.

    Args:
        path: The file.
        recorded: The `[recorded]` table of the run's recipe.

    Returns:
        True if its checksum is the recorded one; False also where the file cannot be read.
    """
    with contextlib.suppress(OSError), regular(path, LARGEST) as (file, _):
        return bool(hashlib.sha256(file.read()).hexdigest() == recorded.get("corrections", {}).get("sha256"))
    return False


def mapping(value: Any) -> dict[str, Any]:
    """Return a table of a JSON file.

    Args:
        value: What the file holds.

    Returns:
        The value if it is a dictionary, else an empty one.
    """
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    """Return the text of a run's file, which is never large enough to fill the memory.

    Raises:
        RunError: It is too large, or not a regular file.
        OSError, UnicodeDecodeError: It cannot be read, or is not text.
    """
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise RunError(
            f"{path} is damaged: it is not a file of at most {LARGEST:,} bytes.", hint=_REPAIR.format(path.parent)
        )
    return path.read_text("utf-8")


def _is_score(score: Any) -> bool:
    """Return whether a value is as `Score.as_json` writes it, or None for a split that is not there."""
    numbers = ("accuracy", "low", "high", "n", "correct")
    return score is None or (isinstance(score, dict) and all(isinstance(score.get(n), (int, float)) for n in numbers))


def _epoch(row: dict[str, Any]) -> Epoch:
    """Return the epoch that a line of the history describes."""
    valid_loss = None if row["valid_loss"] is None else float(row["valid_loss"])
    metrics = {str(name): float(value) for name, value in row["metrics"].items()}
    return Epoch(
        number=int(row["number"]),
        train_loss=float(row["train_loss"]),
        valid_loss=valid_loss,
        metrics=metrics,
        lr=float(row["lr"]),
    )
