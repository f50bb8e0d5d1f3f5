"""The checkpoint of a run: all that it is in one file, the one truth of its folder. Everything else is made from it.

`checkpoint.safetensors` holds the state (parameters, optimizer, position, history, the best parameters), the recipe,
what the model's file says, and the doctor's findings, under a checksum; the one before is kept beside it. Reading and
rebuilding need no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..base import files
from ..errors import FileError, ModelError, RunError, UnreadableError
from ..records import history
from ..records.events import Epoch
from ..ship import abstention
from ..ship import file as model_file

CHECKPOINT, PREVIOUS, DAMAGED = (
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "checkpoint.damaged.safetensors",
)


BOTH = (CHECKPOINT, PREVIOUS)


LARGEST = 1 << 34  # bytes of a file that is made of a checkpoint, as of a model's


RECIPE, HISTORY, MODEL, JUDGEMENT, PREDICTIONS, TIMINGS = (
    "recipe.toml",
    "history.jsonl",
    "model.safetensors",
    "judgement.json",
    "predictions.jsonl",
    "timings.jsonl",
)


REPORT = "report.html"


JUDGED = (JUDGEMENT, PREDICTIONS, REPORT)  # what is of a model, and goes with it


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at one moment: the state's tensors and facts, and what the folder's other files are made of."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]  # of the state
    recipe: str  # the text of recipe.toml
    about: Mapping[str, Any]  # what model.safetensors says beside its tensors
    findings: Sequence[Mapping[str, Any]]

    @property
    def stopped(self) -> str | None:
        """Why training ended; None where it is under way."""
        return self.facts["stopped"]  # type: ignore[no-any-return]

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The epochs done."""
        return history.from_arrays(self.arrays, self.facts["metrics"])

    @property
    def kept_epoch(self) -> int:
        """The epoch whose parameters are the run's model."""
        return int(self.facts["best_epoch"] or self.facts["epoch"])

    def model_bytes(self) -> bytes:
        """The bytes of model.safetensors: the best parameters where they were kept, else the last."""
        prefix = "best." if self.facts["best_epoch"] else "model."
        arrays = {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}
        arrays |= {name: a for name, a in self.arrays.items() if name.startswith(abstention.PREFIX)}
        return model_file.to_bytes(arrays, self.about)

    def to_bytes(self) -> bytes:
        """The bytes of the checkpoint's file: the same for the same state."""
        return model_file.to_bytes(
            self.arrays,
            {"state": self.facts, "recipe": self.recipe, "about": self.about, "findings": self.findings},
        )


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Make this the run's checkpoint, and keep the one before. What returns is on the disk to stay.

    Raises:
        FileError: it cannot be written; the one before is still there.
        ModelError: there are numbers that are not finite.
    """
    files.write(folder / CHECKPOINT, checkpoint.to_bytes(), keep=folder / PREVIOUS)


def load(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The run's checkpoint, or the one before where that is damaged, or None where nothing was saved yet.

    The second is what was wrong, in words.

    Raises:
        RunError: there are checkpoints, and none of them is whole; or one cannot be read here and now.
    """
    problems: list[str] = []
    for name in BOTH:
        if not (folder / name).exists():
            continue
        try:
            found = read(folder / name)
        except UnreadableError as error:  # nothing says that it is damaged: the save before would be a step back
            raise error.as_kind(RunError) from error
        except ModelError as error:
            problems.append(error.message)
            continue
        if problems:
            problems.append(f"Going on from the save before, after batch {found.facts['batch']:,}.")
        return found, problems
    if problems:
        raise RunError(
            f"No checkpoint of {folder} is whole: {' '.join(problems)}",
            hint=f"Train it again from the start: sevensteps train --recipe {folder / RECIPE}",
        )
    return None, problems


def read(path: Path) -> Checkpoint:
    """The checkpoint in one file.

    Raises:
        ModelError: missing, damaged, or a file of another kind.
    """
    arrays, about = model_file.read(path)
    kinds = {"state": dict, "recipe": str, "about": dict, "findings": list}
    try:
        if any(not isinstance(about.get(name), kind) for name, kind in kinds.items()):
            raise ValueError("it holds no run")
        found = Checkpoint(arrays, about["state"], about["recipe"], about["about"], about["findings"])
        known = {
            "stopped": found.stopped is None or isinstance(found.stopped, str),
            "batch": isinstance(found.facts["batch"], int),
            "epoch": isinstance(found.facts["epoch"], int) and found.facts["epoch"] == len(found.epochs),
            "best_epoch": isinstance(found.facts["best_epoch"], int),
            "findings": all(isinstance(finding, dict) for finding in found.findings),
        }
        if not all(known.values()):
            raise ValueError(f"its {min(known, key=lambda name: known[name])} cannot be so")
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} is no checkpoint of a run: {error}", hint="Name a folder that train has made."
        ) from error
    return found


def promote(folder: Path) -> None:
    """After a fall back to the save before: make it the checkpoint again, and put the damaged one aside.

    Raises:
        FileError: the folder cannot be written.
    """
    if (folder / CHECKPOINT).exists():
        files.rename(folder / CHECKPOINT, DAMAGED)
    files.rename(folder / PREVIOUS, CHECKPOINT)


def derived(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of a run's folder that are made of its checkpoint, by name."""
    return {
        RECIPE: checkpoint.recipe.encode(),
        HISTORY: history_lines(checkpoint.epochs).encode(),
        MODEL: checkpoint.model_bytes(),
    }


def put_damaged_aside(folder: Path) -> str | None:
    """Beside a checkpoint that is whole: put a save before it that is not where it does no harm, and say so.

    Raises:
        FileError: the folder cannot be written.
        RunError: it cannot be read here and now.
    """
    if not os.path.lexists(folder / PREVIOUS):
        return None
    try:
        read(folder / PREVIOUS)
    except UnreadableError as error:
        raise error.as_kind(RunError) from error
    except ModelError as error:
        _refuse_folder(folder / PREVIOUS)
        files.rename(folder / PREVIOUS, DAMAGED)
        return f"{error.message} It was put aside as {DAMAGED}; the checkpoint itself is whole."
    return None


def rebuild(folder: Path, checkpoint: Checkpoint) -> list[str]:
    """Make recipe, history and model what the checkpoint says; a judgement of another model goes. Names what changed.

    Raises:
        FileError: the folder cannot be written.
    """
    changed = []
    for name, content in derived(checkpoint).items():
        _refuse_folder(folder / name)
        if content_of(folder / name) != content:
            files.write(folder / name, content)
            changed.append(name)
    if not is_judged(folder, checkpoint):
        for name in JUDGED:
            _refuse_folder(folder / name)
            if os.path.lexists(folder / name):
                files.remove(folder / name)
                changed.append(name)
    return changed


def is_judged(folder: Path, checkpoint: Checkpoint) -> bool:
    """Whether the folder's judgement is whole, of this model, and of the predictions beside it."""
    try:
        text = (content_of(folder / JUDGEMENT) or b"").decode("utf-8")
        judgement = json.loads(text)
        predictions = content_of(folder / PREDICTIONS) or b""
        wanted = {MODEL: digest(checkpoint.model_bytes()), PREDICTIONS: digest(predictions)}
        del judgement["sha256"]
        return bool(judgement["files"] == wanted and judgement_text(judgement) == text)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def judgement_text(judgement: Mapping[str, Any]) -> str:
    """The text of judgement.json, under a checksum of its own."""
    plain = json.dumps(judgement, indent=1, sort_keys=True)
    return json.dumps({**judgement, "sha256": digest(plain.encode())}, indent=1, sort_keys=True) + "\n"


def digest(content: bytes) -> str:
    """SHA-256, as it stands in a judgement and in what `verify` says."""
    return hashlib.sha256(content).hexdigest()


def history_lines(epochs: Iterable[Epoch]) -> str:
    """A line of JSON an epoch. Seconds, which no two runs share, are no part of it."""
    rows = []
    for epoch in epochs:
        row = {key: _as_json(value) for key, value in asdict(epoch).items() if key not in ("seconds", "metrics")}
        rows.append({**row, "metrics": {name: _as_json(value) for name, value in epoch.metrics.items()}})
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def _as_json(value: Any) -> Any:
    """JSON has no infinity and no NaN, so they are words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def content_of(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none, or something that is no file and might be waited for."""
    try:
        with files.regular(path, LARGEST) as (file, _):
            return file.read()
    except OSError:
        return None


def _refuse_folder(path: Path) -> None:
    """Raise if a folder is where a file of the run's belongs: nothing of it is ours to remove.

    Raises:
        FileError: saying so.
    """
    if path.is_dir():
        raise FileError(f"Cannot write {path}: a folder is in its place.", hint="Move that folder away.")
