"""A run's folder: the recipe that repeats it, its history, its model, and how it was judged."""

from __future__ import annotations

import json
import math
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
FIGURES = ("curves.png", "results.png", "mistakes.png", "confusion.png", "weights.png")


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

    @property
    def epoch(self) -> int:
        """The epoch after which the model's parameters were kept."""
        kept = self.judgement.get("kept_epoch")
        return kept if isinstance(kept, int) else len(self.history)


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
        for name in (*FILES, *FIGURES):
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
    for row in rows:
        row["metrics"] = {name: _as_json(value) for name, value in row["metrics"].items()}
    files.write(folder / HISTORY, _lines({key: _as_json(value) for key, value in row.items()} for row in rows))
    files.write(folder / TIMINGS, _lines(seconds))


def save_judgement(folder: Path, judgement: Mapping[str, Any]) -> None:
    """Write how the run was judged.

    Raises:
        FileError: it cannot be written.
    """
    files.write(folder / JUDGEMENT, json.dumps(judgement, indent=1, sort_keys=True) + "\n")


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
        return [_epoch(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="Train again from the run's recipe.toml.") from error


def _read_judgement(folder: Path) -> dict[str, Any]:
    path = folder / JUDGEMENT
    if not path.is_file():
        return {}
    try:
        judgement = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="Train again from the run's recipe.toml.") from error
    if not isinstance(judgement, dict) or not all(_is_score(judgement.get(split)) for split in ("test", "valid")):
        raise RunError(f"{path} is damaged: it holds no scores.", hint="Train again from the run's recipe.toml.")
    return judgement


def _is_score(score: Any) -> bool:
    """Whether it is as `Score.as_json` gives it, or None for a split that is not there."""
    numbers = ("accuracy", "low", "high", "n", "correct")
    return score is None or (isinstance(score, dict) and all(isinstance(score.get(n), (int, float)) for n in numbers))


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, by name, and -2 before -10."""

    def numbers_as_numbers(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]

    return sorted(folder.iterdir(), key=numbers_as_numbers) if folder.is_dir() else []


def _as_json(value: Any) -> Any:
    """JSON has no infinity and no NaN, so they are words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _epoch(row: dict[str, Any]) -> Epoch:
    """The epoch that a line of the history tells of."""
    valid_loss = None if row["valid_loss"] is None else float(row["valid_loss"])
    metrics = {str(name): float(value) for name, value in row["metrics"].items()}
    return Epoch(int(row["number"]), float(row["train_loss"]), valid_loss, metrics, float(row["lr"]))


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def _plain(name: str) -> str:
    """A name that is safe as a part of a folder's name everywhere."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:60] or "run"
