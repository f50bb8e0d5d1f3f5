"""The checkpoint of a run: one file that holds everything, from which the other files of its folder are made.

`checkpoint.safetensors` holds the state (parameters, optimizer, position, history, the best parameters), the recipe,
the description of the model, and the doctor's findings, under a checksum. The previous one is kept too. Reading and
rebuilding need no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


RECIPE, HISTORY, MODEL, JUDGEMENT, PREDICTIONS, MANY_PREDICTIONS, TIMINGS = (
    "recipe.toml",
    "history.jsonl",
    "model.safetensors",
    "judgement.json",
    "predictions.jsonl",
    "predictions.safetensors",  # in its place for many pictures
    "timings.jsonl",
)


REPORT = "report.html"


TABLES = (PREDICTIONS, MANY_PREDICTIONS)  # the files that hold predictions; a run has one of them


_PROCESSES = re.compile(rb"(?m)^\[recorded\]\nprocesses = \d+\n")


JUDGED = (JUDGEMENT, *TABLES, REPORT)  # what is of a model, and goes with it


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at one moment: the tensors and facts of its state, and what the folder's other files are made from."""

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]  # of the state
    recipe: str  # the text of recipe.toml
    about: Mapping[str, Any]  # what model.safetensors says beside its tensors
    findings: Sequence[Mapping[str, Any]]

    @property
    def stopped(self) -> str | None:
        """Why training ended; None while it goes on."""
        return self.facts["stopped"]  # type: ignore[no-any-return]

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The epochs done."""
        return history.from_arrays(self.arrays, self.facts["metrics"])

    @property
    def kept_epoch(self) -> int:
        """The epoch whose parameters are the run's model."""
        return int(self.facts["best_epoch"] if self._has_best else self.facts["best_epoch"] or self.facts["epoch"])

    @property
    def _has_best(self) -> bool:
        """Whether other parameters than the last are kept."""
        return any(name.startswith("best.") for name in self.arrays)

    def model_bytes(self) -> bytes:
        """Return the bytes of model.safetensors: the best parameters if they were kept, else the last.

        Raises:
            ModelError: There are numbers that are not finite.
        """
        prefix = "best." if self._has_best else "model."
        arrays = {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}
        arrays |= {name: a for name, a in self.arrays.items() if name.startswith(abstention.PREFIX)}
        return model_file.to_bytes(arrays, self.about)

    def to_bytes(self) -> bytes:
        """Return the bytes of the checkpoint's file: the same for the same state.

        Raises:
            ModelError: There are numbers that are not finite.
        """
        return model_file.to_bytes(
            self.arrays,
            {"state": self.facts, "recipe": self.recipe, "about": self.about, "findings": self.findings},
        )


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the run's checkpoint and keep the previous one; it is on the disk when this returns.

    Args:
        folder: The run's folder.
        checkpoint: Its checkpoint.

    Raises:
        FileError: It cannot be written; the previous one is still there.
        ModelError: There are numbers that are not finite.
    """
    files.write(folder / CHECKPOINT, checkpoint.to_bytes(), keep=folder / PREVIOUS)


def load(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Load the run's checkpoint, or the previous one if that is damaged.

    Args:
        folder: The run's folder.

    Returns:
        The checkpoint, None where nothing was saved yet; and what was wrong, in words.

    Raises:
        RunError: All checkpoints are damaged, or one cannot be read at the moment.
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
            problems.append(f"Continuing from the previous save, after batch {found.facts['batch']:,}.")
        return found, problems
    if problems:
        raise RunError(
            f"{folder} has no intact checkpoint: {' '.join(problems)}",
            hint=f"Train it again from the start: sevensteps train --recipe {folder / RECIPE}",
        )
    return None, problems


def read(path: Path) -> Checkpoint:
    """Read the checkpoint in one file.

    Args:
        path: The file.

    Returns:
        The checkpoint.

    Raises:
        ModelError: The file is missing, damaged, or not a checkpoint.
    """
    return _checked(*model_file.read(path), path)


def from_bytes(content: bytes, where: str) -> Checkpoint:
    """Read a checkpoint from the bytes of its file.

    Args:
        content: The bytes.
        where: What to call the file in an error.

    Returns:
        The checkpoint.

    Raises:
        ModelError: As `read`.
    """
    return _checked(*model_file.from_bytes(content, where), where)


def _checked(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], path: Path | str) -> Checkpoint:
    """Return the checkpoint that arrays and facts of a file make.

    Raises:
        ModelError: They are not a checkpoint's.
    """
    kinds = {"state": dict, "recipe": str, "about": dict, "findings": list}
    try:
        if any(not isinstance(about.get(name), kind) for name, kind in kinds.items()):
            raise ValueError("it does not contain a run")
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
            f"{path} is not the checkpoint of a run: {error}", hint="Name a folder that train created."
        ) from error
    return found


def promote(folder: Path) -> None:
    """Make the previous checkpoint the current one, and put the damaged one aside.

    Args:
        folder: The run's folder.

    Raises:
        FileError: The folder cannot be written.
    """
    if (folder / CHECKPOINT).exists():
        files.rename(folder / CHECKPOINT, DAMAGED)
    files.rename(folder / PREVIOUS, CHECKPOINT)


def derived(checkpoint: Checkpoint, folder: Path | None = None) -> dict[str, bytes]:
    """Return the files of a run's folder that are made from its checkpoint.

    Args:
        checkpoint: The checkpoint.
        folder: The run's, whose recipe may also name the number of processes: that is not in the checkpoint, since a
            run's bytes do not depend on it.

    Returns:
        The content of each file by its name.

    Raises:
        ModelError: There are numbers that are not finite.
    """
    recipe = checkpoint.recipe.encode()
    if several := _PROCESSES.search((folder and content_of(folder / RECIPE)) or b""):
        recipe = recipe.replace(b"[recorded]\n", several[0], 1)
    return {
        RECIPE: recipe,
        HISTORY: history.lines(checkpoint.epochs).encode(),
        MODEL: checkpoint.model_bytes(),
    }


def put_damaged_aside(folder: Path) -> str | None:
    """If the previous checkpoint is damaged (the current one is intact), rename it and return a message.

    Args:
        folder: The run's folder.

    Returns:
        The message; None if it is intact or not there.

    Raises:
        FileError: The folder cannot be written.
        RunError: It cannot be read at the moment.
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
        return f"{error.message} It was renamed to {DAMAGED}; the current checkpoint is intact."
    return None


def rebuild(folder: Path, checkpoint: Checkpoint) -> list[str]:
    """Write recipe, history and model as the checkpoint has them, and remove a judgement of another model.

    Args:
        folder: The run's folder.
        checkpoint: Its checkpoint.

    Returns:
        The names of the files that changed.

    Raises:
        FileError: The folder cannot be written.
    """
    changed = []
    for name, content in derived(checkpoint, folder).items():
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
    """Return whether the folder's judgement is intact, and of this model and these predictions.

    Args:
        folder: The run's folder.
        checkpoint: Its checkpoint.

    Returns:
        True if the checksums in it are those of the files.
    """
    try:
        text = (content_of(folder / JUDGEMENT) or b"").decode("utf-8")
        judgement = json.loads(text)
        table = table_in(judgement) or PREDICTIONS
        predictions = content_of(folder / table) or b""
        wanted = {MODEL: digest(checkpoint.model_bytes()), table: digest(predictions)}
        del judgement["sha256"]
        return bool(judgement["files"] == wanted and judgement_text(judgement) == text)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def table_in(judgement: Mapping[str, Any]) -> str | None:
    """Return the file that holds the predictions of a judgement.

    Args:
        judgement: What judgement.json holds.

    Returns:
        One of `TABLES`; None where nothing was predicted.
    """
    named = judgement.get("files")
    return next((name for name in TABLES if isinstance(named, dict) and name in named), None)


def judgement_text(judgement: Mapping[str, Any]) -> str:
    """Return the text of judgement.json, with a checksum of its own.

    Args:
        judgement: What it holds.

    Returns:
        The text.
    """
    plain = json.dumps(judgement, indent=1, sort_keys=True)
    return json.dumps({**judgement, "sha256": digest(plain.encode())}, indent=1, sort_keys=True) + "\n"


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes, as a judgement and `verify` show it.

    Args:
        content: The bytes.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(content).hexdigest()


def content_of(path: Path) -> bytes | None:
    """Return the content of a file.

    Args:
        path: The file.

    Returns:
        Its bytes; None if it does not exist or is not a regular file, which might block.
    """
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
