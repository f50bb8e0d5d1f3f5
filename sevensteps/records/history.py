"""A run's history as arrays, in which a checkpoint keeps it, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .events import Epoch

_FIGURES = ("train_loss", "valid_loss", "lr")  # of each epoch, before its metrics


def to_arrays(history: Sequence[Epoch]) -> dict[str, np.ndarray]:
    """A row an epoch: its losses, rate and metrics, and beside it which of these there are. Seconds are no part of it.

    Names begin with `history.`, where a model's file allows figures that are not finite.
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
    """The epochs that `to_arrays` made these of (arrays or tensors); `metrics` names the further columns.

    Raises:
        ValueError, KeyError, TypeError: they do not go together.
    """
    if not isinstance(metrics, list) or not all(isinstance(name, str) for name in metrics):
        raise ValueError(f"metrics are {metrics!r:.80}")
    names = [*_FIGURES, *metrics]
    history = []
    rows = zip(arrays["history.figures"].tolist(), arrays["history.present"].tolist(), strict=True)
    for number, (row, present) in enumerate(rows, 1):
        of = {name: float(figure) for name, figure, there in zip(names, row, present, strict=True) if there}
        train_loss, valid_loss, lr = of.pop("train_loss"), of.pop("valid_loss", None), of.pop("lr")
        history.append(Epoch(number, train_loss, valid_loss, of, lr))
    return history


def metric_names(history: Sequence[Epoch]) -> list[str]:
    """Every metric that some epoch has, in the order in which they came up."""
    return list(dict.fromkeys(name for epoch in history for name in epoch.metrics))
