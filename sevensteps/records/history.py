"""Convert a run's history to arrays, as a checkpoint holds it, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from .events import Epoch

_FIGURES = ("train_loss", "valid_loss", "lr")  # the first columns; metrics follow


def to_arrays(history: Sequence[Epoch]) -> dict[str, np.ndarray]:
    """Return a history as two arrays, with one row for each epoch. Seconds are not included.

    Args:
        history: The epochs, from the first on.

    Returns:
        "history.figures" with losses, learning rate and metrics, and "history.present", which says which of them
        exist. Model files allow values that are not finite only in names that begin with "history.".
    """
    metrics = metric_names(history)
    rows = [[epoch.train_loss, epoch.valid_loss, epoch.lr, *map(epoch.metrics.get, metrics)] for epoch in history]
    shape = (len(history), len(_FIGURES) + len(metrics))
    figures = [[0.0 if figure is None else float(figure) for figure in row] for row in rows]
    present = [[figure is not None for figure in row] for row in rows]
    return {
        "history.figures": np.array(figures, dtype=np.float64).reshape(shape),
        "history.present": np.array(present, dtype=np.bool_).reshape(shape),
    }


def from_arrays(arrays: Mapping[str, Any], metrics: Sequence[str]) -> list[Epoch]:
    """Return the epochs from the arrays of `to_arrays`.

    Args:
        arrays: The two arrays, or tensors.
        metrics: The names of the metrics, in the order of the columns.

    Returns:
        The epochs, with 0 seconds each.

    Raises:
        ValueError, KeyError, TypeError: The arrays and the names do not fit together.
    """
    if not isinstance(metrics, list) or not all(isinstance(name, str) for name in metrics):
        raise ValueError(f"metrics are {metrics!r:.80}")
    names = [*_FIGURES, *metrics]
    history = []
    rows = zip(arrays["history.figures"].tolist(), arrays["history.present"].tolist(), strict=True)
    for number, (row, present) in enumerate(rows, 1):
        figures = {name: float(figure) for name, figure, exists in zip(names, row, present, strict=True) if exists}
        train_loss, valid_loss, lr = figures.pop("train_loss"), figures.pop("valid_loss", None), figures.pop("lr")
        history.append(Epoch(number=number, train_loss=train_loss, valid_loss=valid_loss, metrics=figures, lr=lr))
    return history


def metric_names(history: Sequence[Epoch]) -> list[str]:
    """Return the names of all metrics, in the order of their first epoch.

    Args:
        history: The epochs.
    """
    return list(dict.fromkeys(name for epoch in history for name in epoch.metrics))


def lines(epochs: Iterable[Epoch]) -> str:
    """Return one line of JSON for each epoch, without the seconds, which differ between runs.

    Args:
        epochs: The epochs.

    Returns:
        The text of history.jsonl.
    """
    rows = []
    for epoch in epochs:
        row = {key: _as_json(value) for key, value in asdict(epoch).items() if key not in ("seconds", "metrics")}
        rows.append({**row, "metrics": {name: _as_json(value) for name, value in epoch.metrics.items()}})
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def _as_json(value: Any) -> Any:
    """Return a value as JSON takes it: infinity and NaN, which it lacks, become words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
