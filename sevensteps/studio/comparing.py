"""Compare two runs side by side, picture by picture, with the paired test."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import counted, pictures
from ..errors import RunError, UsageError, nearest
from ..records.comparison import Comparison
from ..runs.folder import ROOT
from ..runs.saved import Saved, list_runs
from .asked import Asked, get, opened
from .results import Result, result_of

if TYPE_CHECKING:
    from starlette.routing import Route

    from ..data.images import Splits
    from ..trust.predictions import Predictions
    from .session import Session

SHOWN = 24  # pictures that only one of two models gets right

# Settings that say where a run stood and not how it was trained.
_NO_SETTINGS = ("name", "threads", "device", "checkpoint_every", "track")


@dataclasses.dataclass(frozen=True)
class Side:
    """Two runs on the same pictures with the same labels, and what there is to know about that."""

    comparison: Comparison
    tables: tuple[Predictions, Predictions]  # with the same pictures in the same order
    notes: Sequence[str]


def side_by_side(before: Result, after: Result) -> Side:
    """Compare two runs with the paired test.

    Runs on the same pictures and labels are compared as `sevensteps compare` does. If only corrections differ, both
    are compared on the pictures that both held out, with the newer labels.

    Args:
        before: The first run.
        after: The second run.

    Raises:
        RunError: They were judged on other pictures.
    """
    from ..jobs.compare import BY_FLAG, compare
    from ..trust.comparison import compare as compare_tables

    one, other = before.need_saved(), after.need_saved()
    names = (one.folder.name, other.folder.name)
    try:
        found = compare(one.folder, other.folder, split=after.table.split)
    except RunError:
        if not _differ_by_corrections(one, other) or before.table.split != after.table.split:
            raise
    else:
        same = _aligned(before.table, after.table)
        notes = [note.replace(BY_FLAG, "") for note in (found.warning, found.effect) if note]
        return Side(compare_tables(*same, names), same, notes)
    tables = _aligned(before.table, after.table)
    if not len(tables[0]):
        raise RunError(
            "The corrections changed which pictures are held out, and no picture was held out by both runs.",
            hint="Compare their verdicts instead.",
        )
    relabeled = int((_labels_of(before.table, tables[0].ids) != _labels_of(after.table, tables[0].ids)).sum())
    return Side(compare_tables(*tables, names), tables, _what_changed(before.table, after.table, tables[0], relabeled))


def _what_changed(before: Predictions, after: Predictions, shared: Predictions, relabeled: int) -> list[str]:
    """Say on which pictures and labels two runs were compared whose labels differ."""
    notes = []
    if len(shared) < max(len(before), len(after)):
        notes.append(
            f"Compared on the {pictures(len(shared), shared.split)} that both runs held out: the corrections changed "
            "which pictures are held out."
        )
    if relabeled:
        notes.append(
            f"{counted(relabeled, 'label')} of these pictures changed. Both models are judged by the new labels, so "
            "the first one has another accuracy here than in its own verdict."
        )
    if relabeled or len(shared) < len(before):
        notes.append("Only labels that looked wrong were corrected, so both accuracies may be a little too high.")
    return notes


def _differ_by_corrections(before: Saved, after: Saved) -> bool:
    """Return whether two runs have the same source, and only other corrections."""
    one, other = before.recipe, after.recipe
    same = (one.source, one.classes, one.seed, one.how) == (other.source, other.classes, other.seed, other.how)
    return same and before.recorded.get("corrections") != after.recorded.get("corrections")


def _labels_of(table: Predictions, ids: Sequence[str]) -> np.ndarray:
    """Return the class names of some pictures of a table."""
    place = {name: row for row, name in enumerate(table.ids)}
    names: np.ndarray = np.array(table.classes)[table.labels[[place[name] for name in ids]]]
    return names


def _aligned(before: Predictions, after: Predictions) -> tuple[Predictions, Predictions]:
    """Return the pictures that both tables have, in one order, with the labels and classes of the second."""
    place = {name: row for row, name in enumerate(before.ids)}
    if not set(before.ids) & set(after.ids) and len(before) == len(after):  # named in another way, in the same order
        place = {name: row for row, name in enumerate(after.ids)}
    rows = np.array([row for row, name in enumerate(after.ids) if name in place], dtype=np.int64)
    ids = [after.ids[row] for row in rows.tolist()]
    theirs = np.array([place[name] for name in ids], dtype=np.int64)
    columns = [before.classes.index(name) for name in after.classes]
    second = _taken(after, ids, rows)
    first = dataclasses.replace(
        second,
        logits=before.logits[theirs],
        probabilities=before.probabilities[theirs][:, columns],
    )
    return first, second


def _taken(table: Predictions, ids: Sequence[str], rows: np.ndarray) -> Predictions:
    return dataclasses.replace(
        table,
        ids=ids,
        labels=table.labels[rows],
        logits=table.logits[rows],
        probabilities=table.probabilities[rows],
    )


def about(result: Result) -> dict[str, Any]:
    """Return what the page shows of a run beside another one.

    Args:
        result: The judged run.
    """
    saved, score = result.need_saved(), result.table.score
    return {
        "name": saved.folder.name,
        "recipe": saved.recipe.name,
        "source": saved.recipe.source,
        "model": saved.recipe.model,
        "parameters": saved.judgement.get("model", {}).get("parameters"),
        "epochs": len(saved.history),
        "score": score.as_json(),
        "history": [
            {"number": epoch.number, "train_loss": epoch.train_loss, "valid_loss": epoch.valid_loss}
            for epoch in saved.history
        ],
    }


def differences(before: Saved, after: Saved) -> list[dict[str, str]]:
    """Return the settings in which two runs differ.

    Args:
        before: The first run.
        after: The second run.
    """
    one, other = vars(before.recipe), vars(after.recipe)
    found = [
        {"setting": name, "before": _in_words(one[name]), "after": _in_words(other[name])}
        for name in one
        if name not in (*_NO_SETTINGS, "fix") and one[name] != other[name]
    ]
    corrected = [saved.recorded.get("corrections") or {} for saved in (before, after)]
    if corrected[0] != corrected[1]:
        counts = [counted(one.get("relabeled", 0) + one.get("excluded", 0), "correction") for one in corrected]
        found.append({"setting": "labels", "before": counts[0], "after": counts[1]})
    return found


def _in_words(value: Any) -> str:
    """Return the value of a setting as a person writes it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def comparison(before: Result, after: Result) -> dict[str, Any]:
    """Return everything that the page shows of two runs.

    Args:
        before: The first run.
        after: The second run.

    Raises:
        RunError: They cannot be compared.
    """
    side = side_by_side(before, after)
    right = [table.right for table in side.tables]
    place = {name: row for row, name in enumerate(after.table.ids)}
    ids = side.tables[1].ids
    only = [right[0] & ~right[1], right[1] & ~right[0]]
    rows = [[place[ids[row]] for row in np.flatnonzero(one)[:SHOWN].tolist()] for one in only]
    answers = [table.predicted for table in side.tables]
    return {
        "runs": [about(before), about(after)],
        "classes": list(after.table.classes),
        "comparison": side.comparison.as_json(),
        "told": side.comparison.is_told,
        "notes": list(side.notes),
        "differences": differences(before.need_saved(), after.need_saved()),
        "only": [
            {
                **after.shown(some),
                "count": int(one.sum()),
                "answers": [int(answers[other][row]) for row in np.flatnonzero(one)[:SHOWN].tolist()],
            }
            for some, one, other in zip(rows, only, (1, 0), strict=True)
        ],
    }


def named(name: str, root: Path = ROOT) -> Path:
    """Return the folder of a saved run by its name, which is looked up and never made into a path.

    Args:
        name: What a request names.
        root: The folder of the runs.

    Raises:
        UsageError: There is no such run.
    """
    runs = {run.folder.name: run.folder for run in list_runs(root) if isinstance(run, Saved)} if root.is_dir() else {}
    if name not in runs:
        raise UsageError(f"There is no run {name!r:.80}.", hint=nearest(name, runs) or "Train one first.")
    return runs[name]


def routes(session: Session) -> list[Route]:
    """Return the routes of Compare.

    Args:
        session: The state that the page shows.
    """

    def compared(asked: Asked) -> dict[str, Any]:
        now = opened(session)

        def result(name: str) -> Result:
            if name in ("", now.name):
                return result_of(now.need_folder(), now.splits)
            return result_of(named(name), _same_pictures(now.splits, named(name)))

        return comparison(result(str(asked.get("with", ""))), result(str(asked.get("run", ""))))

    return [get("/compare", compared)]


def _same_pictures(splits: Splits | None, folder: Path) -> Splits | None:
    """Return the open pictures if a run was judged on them, so that they can be shown beside its answers."""
    if splits is None or splits.test is None:
        return None
    data = Saved.open(folder).recorded.get("data", {})
    return splits if data.get("test") == splits.test.fingerprint else None
