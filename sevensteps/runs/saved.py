"""Open a saved run."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.device import computing_with
from ..base.files import regular
from ..errors import RunError, SevenstepsError, nearest
from ..recipes.recipe import Recipe
from ..records.events import Epoch, Finding
from ..ship import abstention
from . import checkpoint
from .checkpoint import (
    CHECKPOINT,
    HISTORY,
    JUDGEMENT,
    MODEL,
    PREDICTIONS,
    RECIPE,
    TIMINGS,
    Checkpoint,
)
from .folder import CORRECTIONS, ROOT, entries

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..learner.learner import Learner
    from ..trust.predictions import Predictions


def tables_of(folder: Path, found: checkpoint.Checkpoint) -> tuple[dict[str, Predictions], str]:
    """The tables of predictions of a run's own model; none where they are missing, or damaged, which is said."""
    _, problem = judgement_of(folder, found)
    if not problem:
        return tables_in(folder, found.about.get("classes") or ()), ""
    is_new = not any((folder / name).exists() for name in (checkpoint.JUDGEMENT, checkpoint.PREDICTIONS))
    return {}, "" if is_new or not found.stopped else f"{folder}: {problem}"


def take_up(learn: Learner, found: checkpoint.Checkpoint, folder: Path) -> None:
    """Put a learner where the checkpoint was saved.

    Raises:
        TrainingError: the checkpoint is of another model or optimizer than the recipe's.
    """
    import torch

    state = learn.state
    state.restore({name: torch.from_numpy(array) for name, array in found.arrays.items()}, found.facts)
    state.history, state.seconds = with_timings(folder, state.history)
    learn.temperature = float(found.about.get("temperature") or 1.0)
    _, learn.abstention = abstention.in_file(found.arrays, found.about, folder / checkpoint.CHECKPOINT)


def tables_in(folder: Path, classes: Sequence[str]) -> dict[str, Predictions]:
    """What the model said of each picture, by split.

    Raises:
        RunError: the file is damaged.
    """
    from ..trust.predictions import from_jsonl

    return from_jsonl(folder / checkpoint.PREDICTIONS, classes)


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
    known = [path.name for path in entries(beside) if (path / RECIPE).is_file()]
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
    if (folder / MODEL).exists() or not (_is_run(folder) or entries(folder)):
        return
    checkpoint_of(folder)
    raise RunError(f"{folder} has no {MODEL}.", hint=f"sevensteps resume {folder} makes it again from the checkpoint.")


def refuse_if_no_run(folder: Path) -> None:
    """Raise if a folder holds neither a recipe nor a checkpoint.

    Raises:
        RunError: saying so.
    """
    if not _is_run(folder):
        inside = next((path for path in entries(folder) if path.is_dir() and _is_run(path)), None)
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
    for folder in entries(root):
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


@contextlib.contextmanager
def reading_judgement() -> Iterator[None]:
    """Inside, what is read from a judgement and is not as it was written raises an error that names the file.

    Raises:
        RunError: saying so.
    """
    try:
        yield
    except ValueError as error:
        raise RunError(f"{JUDGEMENT} is damaged: {error}.", hint="sevensteps judge RUN") from error


def findings_of(found: Checkpoint) -> list[Finding]:
    """The doctor's findings that a checkpoint holds.

    Raises:
        RunError: it holds something else.
    """
    try:
        return list(map(Finding.from_json, found.findings))
    except ValueError as error:
        raise RunError(f"{CHECKPOINT} is damaged: {error}.", hint="Train the run again.") from error


def mapping(value: Any) -> dict[str, Any]:
    """A table of a JSON file; an empty one where the file holds something else."""
    return value if isinstance(value, dict) else {}


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


def _epoch(row: dict[str, Any]) -> Epoch:
    """The epoch that a line of the history tells of."""
    valid_loss = None if row["valid_loss"] is None else float(row["valid_loss"])
    metrics = {str(name): float(value) for name, value in row["metrics"].items()}
    return Epoch(int(row["number"]), float(row["train_loss"]), valid_loss, metrics, float(row["lr"]))


@contextlib.contextmanager
def learner_of(folder: Path, found: Checkpoint | None, recipe: Recipe, splits: Splits) -> Iterator[Learner]:
    """The run's learner where it was saved, or at its start; inside, with as many threads as it was trained with."""
    recipe = recipe.settled(splits)
    with computing_with(recipe.threads):
        learn = recipe.learner(splits)
        if found is not None:
            take_up(learn, found, folder)
        yield learn
