"""A run's folder: the recipe that repeats it, its history, its model, and how it was judged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import files
from .errors import RunError, nearest
from .recipe import Recipe
from .records import Epoch

ROOT = Path("runs")  # where runs go unless --out says otherwise
RECIPE, HISTORY, MODEL, JUDGEMENT, PREDICTIONS, TIMINGS = FILES = (
    "recipe.toml",
    "history.jsonl",
    "model.safetensors",
    "judgement.json",
    "predictions.jsonl",
    "timings.jsonl",
)


@dataclass(frozen=True)
class SavedRun:
    """What a run's folder holds, without its model's tensors."""

    folder: Path
    recipe: Recipe
    history: Sequence[Epoch]
    judgement: Mapping[str, Any]

    @property
    def model_file(self) -> Path:
        """The model of the run."""
        return self.folder / MODEL


def new_folder(recipe: Recipe, out: Path | None, *, force: bool = False) -> Path:
    """The folder of a new run, made and found writable: `out`, or the next free `runs/SOURCE-RECIPE-1`, `-2`, ….

    With `force` an earlier run's files in `out` make way; other files there are left alone.

    Raises:
        RunError: `out` is there already and is not empty.
        FileError: the folder cannot be made or written.
    """
    if out is None:
        stem = f"{_plain(Path(recipe.source).name)}-{_plain(recipe.name)}"
        numbers = (re.fullmatch(re.escape(stem) + r"-(\d+)", path.name) for path in _entries(ROOT))
        out = ROOT / f"{stem}-{max((int(match[1]) for match in numbers if match), default=0) + 1}"
    elif out.is_file():
        raise RunError(f"{out} is a file, and a run needs a folder.", hint="Choose another folder with --out.")
    elif any(_entries(out)):
        if not force:
            raise RunError(
                f"{out} is there already and is not empty; nothing was changed.",
                hint="Choose another folder with --out, or replace the run in it with --force.",
            )
        for name in FILES:
            files.remove(out / name)
    files.make_folder(out)
    return out


def save_recipe(folder: Path, recipe: Recipe, recorded: Mapping[str, Any]) -> None:
    """Write what repeats the run.

    Raises:
        FileError: it cannot be written.
    """
    files.write(folder / RECIPE, recipe.to_toml(recorded))


def save_history(folder: Path, history: Iterable[Epoch]) -> None:
    """Write a line an epoch; seconds, which no two runs share, go to a file of their own.

    Raises:
        FileError: it cannot be written.
    """
    rows = [asdict(epoch) for epoch in history]
    seconds = [{"number": row["number"], "seconds": row.pop("seconds")} for row in rows]
    files.write(folder / HISTORY, _lines(rows))
    files.write(folder / TIMINGS, _lines(seconds))


def save_judgement(folder: Path, judgement: Mapping[str, Any]) -> None:
    """Write how the run was judged.

    Raises:
        FileError: it cannot be written.
    """
    files.write(folder / JUDGEMENT, json.dumps(judgement, indent=1, sort_keys=True) + "\n")


def open_run(folder: Path) -> SavedRun:
    """What a run's folder holds.

    Raises:
        RunError: no such folder, or not a run's, with the nearest name there is.
        RecipeError: its recipe is damaged.
    """
    if not folder.is_dir():
        named = ROOT / folder.name
        if len(folder.parts) == 1 and named.is_dir():
            return open_run(named)
        known = [path.name for path in _entries(folder.parent if len(folder.parts) > 1 else ROOT) if path.is_dir()]
        raise RunError(
            f"There is no run {str(folder)!r}.", hint=nearest(folder.name, known) or "sevensteps train makes one."
        )
    if not (folder / RECIPE).is_file():
        raise RunError(f"{folder} is not a run's folder: it has no {RECIPE}.", hint="sevensteps runs lists the runs.")
    return SavedRun(folder, Recipe.load(folder / RECIPE), _read_history(folder), _read_judgement(folder))


def list_runs(root: Path = ROOT) -> list[SavedRun | RunError]:
    """Every run in a folder by name; one that cannot be read is given as its error.

    Raises:
        RunError: there is no such folder.
    """
    from .errors import SevenstepsError

    if not root.is_dir():
        raise RunError(f"There is no folder {root} with runs.", hint="sevensteps train makes the first.")
    found: list[SavedRun | RunError] = []
    for folder in _entries(root):
        if (folder / RECIPE).is_file():
            try:
                found.append(open_run(folder))
            except SevenstepsError as error:
                found.append(RunError(f"{folder}: {error.message}", hint=error.hint))
    return found


def _read_history(folder: Path) -> list[Epoch]:
    path = folder / HISTORY
    if not path.is_file():
        return []
    try:
        return [Epoch(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="Train again from the run's recipe.toml.") from error


def _read_judgement(folder: Path) -> dict[str, Any]:
    path = folder / JUDGEMENT
    if not path.is_file():
        return {}
    try:
        judgement = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="Train again from the run's recipe.toml.") from error
    if not isinstance(judgement, dict):
        raise RunError(f"{path} is damaged: it holds no table.", hint="Train again from the run's recipe.toml.")
    return judgement


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def _plain(name: str) -> str:
    """A name that is safe as a part of a folder's name everywhere."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:60] or "run"
