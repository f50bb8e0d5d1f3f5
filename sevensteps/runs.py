"""The folders of runs: new ones, found ones, and what one holds, whatever has happened to it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import checkpoint, files
from .checkpoint import (
    CHECKPOINT,
    DAMAGED,
    HISTORY,
    JUDGEMENT,
    MODEL,
    PREDICTIONS,
    PREVIOUS,
    RECIPE,
    REPORT,
    TIMINGS,
)
from .errors import RunError, SevenstepsError, nearest
from .reading import regular
from .recipe import Recipe
from .records import Corrected, Epoch

ROOT = Path("runs")  # where runs go unless --out says otherwise
CORRECTIONS = "corrections.csv"  # a copy of the file that the pictures were corrected by
FILES = (RECIPE, CHECKPOINT, PREVIOUS, DAMAGED, HISTORY, MODEL, JUDGEMENT, PREDICTIONS, TIMINGS, REPORT, CORRECTIONS)
FIGURES = ("curves.png", "results.png", "mistakes.png", "confusion.png", "weights.png")
LARGEST = 1 << 28  # bytes of a file of lines; a history of a million epochs has some 150 MB


@dataclass(frozen=True)
class SavedRun:
    """What a run's folder holds, without its model's tensors."""

    folder: Path
    recipe: Recipe
    history: Sequence[Epoch]
    judgement: Mapping[str, Any]
    is_done: bool = True

    @property
    def model_file(self) -> Path:
        """The model of the run."""
        return self.folder / MODEL

    @property
    def stopped_because(self) -> str | None:
        """Why it ended, in words; None where it did not get to its end."""
        reason = str(self.judgement.get("stopped_because") or "")
        # A judgement may be of before more epochs were asked for: the checkpoint knows whether training is at its end.
        return (reason or None) if self.is_done or reason.startswith("it was interrupted") else None


@contextlib.contextmanager
def new_folder(recipe: Recipe, out: Path | None, *, force: bool = False) -> Iterator[Path]:
    """The folder of a new run, made and ours alone inside: `out`, or the next free `runs/SOURCE-RECIPE-1`, `-2`, ….

    With `force` an earlier run's files in `out` make way; other files there are left alone.

    Raises:
        RunError: `out` is there already and is not empty, or another process trains in it.
        FileError: the folder cannot be made or written.
    """
    if out is None:
        stem = f"{_plain(Path(recipe.source).name)}-{_plain(recipe.name)}"
        numbers = (re.fullmatch(re.escape(stem) + r"-(\d+)", path.name) for path in _entries(ROOT))
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
    if not force and any(not files.is_ours(path.name) for path in _entries(out)):
        raise RunError(
            f"{out} is there already and is not empty; nothing was changed.",
            hint="Choose another folder with --out, or replace the run in it with --force.",
        )


def save_recipe(folder: Path, recipe: Recipe, recorded: Mapping[str, Any]) -> None:
    """Write what repeats the run.

    Raises:
        FileError: it cannot be written.
    """
    files.write(folder / RECIPE, recipe.to_toml(recorded))


def save_corrections(folder: Path, corrected: Corrected | None) -> None:
    """Write the copy of the corrections file, where there was one.

    Raises:
        FileError: it cannot be written.
    """
    if corrected is not None:
        files.write(folder / CORRECTIONS, corrected.content)


def has_corrections(path: Path, recorded: Mapping[str, Any]) -> bool:
    """Whether a file is the one that a run's pictures were corrected by, as far as it can be read."""
    with contextlib.suppress(OSError), regular(path, LARGEST) as (file, _):
        return bool(hashlib.sha256(file.read()).hexdigest() == recorded.get("corrections", {}).get("sha256"))
    return False


def corrections_of(folder: Path, recipe: Recipe, recorded: Mapping[str, Any]) -> str:
    """The corrections file to open a run's pictures with: its own copy, or else the one that it was made of; "" for
    none. Either has to be as it was.

    Raises:
        RunError: neither is.
    """
    if not recipe.fix:
        return ""
    for path in (folder / CORRECTIONS, Path(recipe.fix)):
        if has_corrections(path, recorded):
            return str(path)
    raise RunError(
        f"The corrections of {folder} are lost: {CORRECTIONS} in it and {recipe.fix} are gone, or others now.",
        hint=f"Bring one of them back, or train anew: sevensteps train --recipe {folder / RECIPE} --fix FILE",
    )


def save_history(folder: Path, history: Iterable[Epoch]) -> None:
    """Write a line an epoch.

    Raises:
        FileError: it cannot be written.
    """
    files.write(folder / HISTORY, checkpoint.history_lines(history))


def save_timings(folder: Path, history: Iterable[Epoch], batch: int, seconds: float) -> None:
    """Write what no two runs share: the seconds of each epoch, and of all training up to a batch.

    Raises:
        FileError: it cannot be written.
    """
    rows = [{"number": epoch.number, "seconds": round(epoch.seconds, 4)} for epoch in history]
    lines = [json.dumps(row) for row in [*rows, {"batch": batch, "seconds": round(seconds, 4)}]]
    files.write(folder / TIMINGS, "\n".join(lines) + "\n")


def with_timings(folder: Path, history: Sequence[Epoch]) -> tuple[list[Epoch], float]:
    """The epochs with their seconds, and the seconds of all training, as far as the folder knows them."""
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


def save_judgement(folder: Path, judgement: Mapping[str, Any]) -> None:
    """Write how the run was judged.

    Raises:
        FileError: it cannot be written.
    """
    files.write(folder / JUDGEMENT, checkpoint.judgement_text(judgement))


def find(run: Path) -> Path:
    """The folder of a run: the path itself, or the folder of that name under `runs/`.

    Raises:
        RunError: there is none, with the nearest name there is.
    """
    if run.is_dir():
        return run
    if len(run.parts) == 1 and (ROOT / run).is_dir():
        return ROOT / run
    if run.is_file():
        raise RunError(f"{run} is a file, and a run is a folder.", hint=f"Name the folder: {run.parent}")
    beside = run.parent if len(run.parts) > 1 else ROOT
    known = [path.name for path in _entries(beside) if (path / RECIPE).is_file()]
    raise RunError(
        f"There is no run or path {str(run)!r}.", hint=nearest(run.name, known) or "sevensteps train makes one."
    )


def open_run(folder: Path) -> SavedRun:
    """What a run's folder holds.

    Raises:
        RunError: no such folder, or not a run's, with the nearest name there is.
        RecipeError: its recipe is damaged.
    """
    folder = find(folder)
    refuse_if_no_run(folder)
    judgement = _read_judgement(folder)
    saved, _ = checkpoint.load(folder)  # which knows better than what is made of it, and may be all there is
    history = saved.epochs if saved else _read_history(folder)
    path = folder / RECIPE
    recipe = Recipe.load(path) if path.is_file() or saved is None else Recipe.from_toml(saved.recipe, str(folder))
    done = bool(saved.stopped) if saved else bool(judgement)
    return SavedRun(folder, recipe, history, judgement, done)


def judgement_of(folder: Path, found: checkpoint.Checkpoint) -> tuple[dict[str, Any], str]:
    """How the run was judged; or why that is not known, in words."""
    if not (folder / JUDGEMENT).is_file():
        return {}, "the run has not been judged."
    if not (folder / PREDICTIONS).is_file():
        return {}, f"there is no {PREDICTIONS}."
    if not checkpoint.is_judged(folder, found):
        return {}, "the judgement is damaged, or of another model."
    judgement = json.loads(_text(folder / JUDGEMENT))  # is_judged has read it
    return judgement if isinstance(judgement, dict) else {}, ""


def failure_of(folder: Path) -> Mapping[str, Any]:
    """Why training in a folder failed, as it was written when it did: the reason and the findings; else nothing."""
    with contextlib.suppress(RunError):
        judgement = _read_judgement(folder)
        if judgement.get("stopped_because") and "files" not in judgement:  # which name the model that was judged
            return judgement
    return {}


def checkpoint_of(folder: Path, more: str = "") -> checkpoint.Checkpoint:
    """The run's checkpoint, the one truth of its folder; `more` is what else can be done where there is none.

    Raises:
        RunError: no run's folder, nothing was saved in it yet, or nothing in it is whole.
    """
    refuse_if_no_run(folder)
    found, _ = checkpoint.load(folder)
    if found is None and (failed := failure_of(folder)):
        raise RunError(
            f"Training in {folder} failed before anything was saved: {failed['stopped_because']}.",
            hint=f"sevensteps doctor {folder} says what was wrong and what to type.",
        )
    if found is None:
        hint = ", ".join(filter(None, [f"sevensteps resume {folder}", more]))
        raise RunError(f"Nothing was saved in {folder} yet.", hint=hint)
    return found


def refuse_if_no_model(folder: Path) -> None:
    """Raise if a run has no model's file, saying how it is had again.

    Raises:
        RunError: it has none, or nothing was saved in it yet.
    """
    if (folder / MODEL).exists() or not (_is_run(folder) or _entries(folder)):
        return
    checkpoint_of(folder)
    raise RunError(f"{folder} has no {MODEL}.", hint=f"sevensteps resume {folder} makes it again from the checkpoint.")


def refuse_if_no_run(folder: Path) -> None:
    """Raise if a folder holds neither a recipe nor a checkpoint.

    Raises:
        RunError: saying so.
    """
    if not _is_run(folder):
        inside = next((path for path in _entries(folder) if path.is_dir() and _is_run(path)), None)
        hint = f"It holds runs: name one of them, such as {inside}." if inside else "sevensteps runs lists the runs."
        raise RunError(f"{folder} is not a run's folder: it has no {RECIPE}.", hint=hint)


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a recipe or a checkpoint.

    Raises:
        RunError: one may not look into it.
    """
    try:
        return any((folder / name).is_file() for name in (RECIPE, *checkpoint.BOTH))
    except OSError as error:
        raise RunError(f"{folder} cannot be read ({error.strerror}).", hint="Check its permissions.") from error


def list_runs(root: Path = ROOT) -> list[SavedRun | RunError]:
    """Every run in a folder by name; one that cannot be read is given as its error.

    Raises:
        RunError: there is no such folder.
    """
    if not root.is_dir():
        raise RunError(f"There is no folder {root} with runs.", hint="sevensteps train makes the first.")
    found: list[SavedRun | RunError] = []
    for folder in _entries(root):
        try:
            if folder.is_dir() and _is_run(folder):
                found.append(open_run(folder))
        except SevenstepsError as error:
            found.append(RunError(f"{folder}: {error.message}", hint=error.hint))
    return found


def _read_history(folder: Path) -> list[Epoch]:
    path = folder / HISTORY
    if not path.is_file():
        return []
    try:
        return [_epoch(json.loads(line)) for line in _text(path).splitlines()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", hint=_REPAIR.format(folder)) from error


def _read_judgement(folder: Path) -> dict[str, Any]:
    path = folder / JUDGEMENT
    if not path.is_file():
        return {}
    try:
        judgement = json.loads(_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", hint=_REPAIR.format(folder)) from error
    if not isinstance(judgement, dict) or not all(
        _is_score(judgement.get(split)) for split in ("test", "cross_validation", "valid")
    ):
        raise RunError(f"{path} is damaged: it holds no scores.", hint=_REPAIR.format(folder))
    return judgement


_REPAIR = "sevensteps resume {} makes it again from the run's checkpoint."


def _text(path: Path) -> str:
    """The text of a file of ours, which is never so large that it fills the memory.

    Raises:
        RunError: it is larger than that, or no file.
        OSError, UnicodeDecodeError: it cannot be read, or is no text.
    """
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise RunError(f"{path} is damaged: no file of at most {LARGEST:,} bytes.", hint=_REPAIR.format(path.parent))
    return path.read_text("utf-8")


def _is_score(score: Any) -> bool:
    """Whether it is as `Score.as_json` gives it, or None for a split that is not there."""
    numbers = ("accuracy", "low", "high", "n", "correct")
    return score is None or (isinstance(score, dict) and all(isinstance(score.get(n), (int, float)) for n in numbers))


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, by name, and -2 before -10."""

    def numbers_as_numbers(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]

    return sorted(folder.iterdir(), key=numbers_as_numbers) if folder.is_dir() else []


def _epoch(row: dict[str, Any]) -> Epoch:
    """The epoch that a line of the history tells of."""
    valid_loss = None if row["valid_loss"] is None else float(row["valid_loss"])
    metrics = {str(name): float(value) for name, value in row["metrics"].items()}
    return Epoch(int(row["number"]), float(row["train_loss"]), valid_loss, metrics, float(row["lr"]))


def _plain(name: str) -> str:
    """A name that is safe as a part of a folder's name everywhere."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:60] or "run"
