"""The folders of runs: make a new one, find one, and write its files."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..base import files
from ..errors import RunError, UsageError, nearest
from ..recipes.recipe import Recipe
from ..records.audit import Corrected
from ..records.events import Epoch
from ..records.history import lines as history_lines
from . import checkpoint
from .checkpoint import CHECKPOINT, DAMAGED, HISTORY, JUDGEMENT, MODEL, PREVIOUS, RECIPE, REPORT, TABLES, TIMINGS

ROOT = Path("runs")  # where runs go unless --out says otherwise


CORRECTIONS = "corrections.csv"  # a copy of the file that the pictures were corrected by
EDITS = "edits.csv"  # corrections that were made in the Studio since, for the next run
FILES = (RECIPE, CHECKPOINT, PREVIOUS, DAMAGED, HISTORY, MODEL, JUDGEMENT, *TABLES, TIMINGS, REPORT, CORRECTIONS, EDITS)


FIGURES = ("curves.png", "results.png", "mistakes.png", "confusion.png", "weights.png")


@contextlib.contextmanager
def new_folder(recipe: Recipe, out: Path | None, *, force: bool = False) -> Iterator[Path]:
    """Make the folder of a new run, which is locked inside the block.

    With `force`, an earlier run's files in `out` are removed; other files there stay.

    Args:
        recipe: The recipe, which names the folder.
        out: The folder; None for the next free `runs/SOURCE-RECIPE-1`, `-2`, ….
        force: Whether to replace an earlier run.

    Raises:
        RunError: `out` exists and is not empty, or another process trains in it.
        FileError: The folder cannot be made or written.
    """
    if out is None:
        stem = f"{_plain(_source_named(recipe.source))}-{_plain(recipe.name)}"
        numbers = (re.fullmatch(re.escape(stem) + r"-(\d+)", path.name) for path in entries(ROOT))
        number = max((int(match[1]) for match in numbers if match), default=0) + 1
        while not files.make_folder(ROOT / f"{stem}-{number}"):  # another process was faster
            number += 1
        out = ROOT / f"{stem}-{number}"
    else:
        _refuse_full(out, force)
        files.make_folder(out)
    with files.locked(out):
        _refuse_full(out, force)
        files.remove_parts(out)
        for name in (*FILES, *FIGURES):
            files.remove(out / name)
        yield out


def _refuse_full(out: Path, force: bool) -> None:
    """Raise if something is in the way of a new run.

    Raises:
        RunError: a file, or a folder that is not empty.
    """
    if out.is_file():
        raise RunError(f"{out} is a file, and a run needs a folder.", hint="Choose another folder with --out.")
    if not force and any(not files.is_ours(path.name) for path in entries(out)):
        raise RunError(
            f"{out} already exists and is not empty; nothing was changed.",
            hint="Choose another folder with --out, or replace the run in it with --force.",
        )


def save_recipe(folder: Path, recipe: Recipe, recorded: Mapping[str, Any], processes: int = 1) -> None:
    """Write recipe.toml, which repeats the run.

    Args:
        folder: The run's folder.
        recipe: The settled recipe.
        recorded: What was observed: versions, fingerprints and the like.
        processes: How many processes train it.

    Raises:
        FileError: It cannot be written.
    """
    several = {"processes": processes} if processes > 1 else {}
    files.write(folder / RECIPE, recipe.to_toml({**several, **recorded}))


def save_corrections(folder: Path, corrected: Corrected | None) -> None:
    """Write a copy of the corrections file, if there was one.

    Args:
        folder: The run's folder.
        corrected: What was corrected, with the file's content; None for nothing.

    Raises:
        FileError: It cannot be written.
    """
    if corrected is not None:
        files.write(folder / CORRECTIONS, corrected.content)


def save_history(folder: Path, history: Iterable[Epoch]) -> None:
    """Write history.jsonl, one line for each epoch.

    Args:
        folder: The run's folder.
        history: The epochs.

    Raises:
        FileError: It cannot be written.
    """
    files.write(folder / HISTORY, history_lines(history))


def save_timings(folder: Path, history: Iterable[Epoch], batch: int, seconds: float) -> None:
    """Write timings.jsonl: the seconds of each epoch, and of all training up to a batch.

    Args:
        folder: The run's folder.
        history: The epochs.
        batch: The number of batches done.
        seconds: The seconds of all training.

    Raises:
        FileError: It cannot be written.
    """
    rows = [{"number": epoch.number, "seconds": round(epoch.seconds, 4)} for epoch in history]
    lines = [json.dumps(row) for row in [*rows, {"batch": batch, "seconds": round(seconds, 4)}]]
    files.write(folder / TIMINGS, "\n".join(lines) + "\n")


def save_judgement(folder: Path, judgement: Mapping[str, Any]) -> None:
    """Write judgement.json.

    Args:
        folder: The run's folder.
        judgement: What it holds.

    Raises:
        FileError: It cannot be written.
    """
    files.write(folder / JUDGEMENT, checkpoint.judgement_text(judgement))


def _source_named(source: str) -> str:
    """Return what the folder of a run calls its source: a table or an archive goes by its name without the ending."""
    from ..data.files.archive import is_archive
    from ..data.files.table import is_table

    path = Path(source)
    return path.stem.removesuffix(".tar") if is_table(path.name) or is_archive(path.name) else path.name


def _plain(name: str) -> str:
    """Return a name that is safe as part of a folder's name on every system."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:60] or "run"


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name, with -2 before -10.

    Args:
        folder: Any folder.

    Returns:
        The paths; none where it is not a folder.
    """

    def numbers_as_numbers(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]

    return sorted(folder.iterdir(), key=numbers_as_numbers) if folder.is_dir() else []


@runtime_checkable
class HasFolder(Protocol):
    """A run as `train` or `judge` returns it."""

    @property
    def folder(self) -> Path | None:
        """Where the run was saved; None where it was not."""


AnyRun = str | Path | HasFolder  # how the verbs take a run: its folder, its name under `runs/`, or a record of it


def find_run(run: AnyRun) -> Path:
    """Return the folder of a run.

    Args:
        run: The path of a folder, the name of a folder under `runs/`, or a record that has a folder.

    Returns:
        The path itself where it is a folder, else `runs/NAME`.

    Raises:
        UsageError: The run was not saved, or is not a run.
        RunError: There is no such folder; the hint names the nearest run.
    """
    if not isinstance(run, (str, Path)):
        if not hasattr(run, "folder"):
            raise UsageError(
                f"{run!r:.80} is not a run.", hint='Name its folder, "runs/NAME", or pass what train returned.'
            )
        if run.folder is None:
            raise UsageError("This run was not saved.", hint='Train it with save=True or out="FOLDER".')
        run = run.folder
    path = Path(run)
    is_name = len(path.parts) == 1 and (ROOT / path).is_dir()
    if is_name and (ROOT / path / RECIPE).is_file() and not (path / RECIPE).is_file():
        return ROOT / path  # also beside a folder of this name, such as that of the pictures
    if path.is_dir():
        return path
    if is_name:
        return ROOT / path
    if path.is_file():
        raise RunError(f"{path} is a file, and a run is a folder.", hint=f"Name the folder: {path.parent}")
    neighbors = path.parent if len(path.parts) > 1 else ROOT
    names = [entry.name for entry in entries(neighbors) if (entry / RECIPE).is_file()]
    raise RunError(
        f"There is no run or path {str(path)!r}.", hint=nearest(path.name, names) or "sevensteps train creates one."
    )


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a recipe or a checkpoint.

    Args:
        folder: Any folder.

    Returns:
        True for a run's folder.

    Raises:
        RunError: The folder cannot be read.
    """
    try:
        return any((folder / name).is_file() for name in (RECIPE, *checkpoint.BOTH))
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error.strerror}).", hint="Check its permissions.") from error


def check_run(folder: Path) -> None:
    """Raise an error if a folder is not a run's folder.

    Args:
        folder: Any folder.

    Raises:
        RunError: It holds neither a recipe nor a checkpoint, or it cannot be read.
    """
    if not is_run(folder):
        inside = next((path for path in entries(folder) if path.is_dir() and is_run(path)), None)
        hint = f"It holds runs: name one of them, such as {inside}." if inside else "sevensteps runs lists the runs."
        raise RunError(f"{folder} is not a run's folder: it has no {RECIPE}.", hint=hint)
