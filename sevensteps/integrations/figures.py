"""What a tracker is told: the settings of a run, the figures of an epoch, and the scores at the end, by name."""

from __future__ import annotations

from typing import Any

from ..recipes.without_folders import without_folders
from ..records.events import Epoch, Judged, Opening

LONGEST = 500  # characters of a setting, such as the names of a thousand classes


def parameters(opening: Opening) -> dict[str, str | bool | int | float]:
    """Return the settings of a run, without the folders of this machine.

    Args:
        opening: The start of the run.
    """
    settings = without_folders({**opening.settings, "source": opening.source})
    return {
        key: value if isinstance(value, (bool, int, float)) else _text(value) for key, value in sorted(settings.items())
    }


def _text(value: Any) -> str:
    """Return a setting as text, with commas between several values."""
    return (", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value))[:LONGEST]


def figures_of(epoch: Epoch) -> dict[str, float]:
    """Return the figures of an epoch.

    Args:
        epoch: The epoch.
    """
    figures = {"train_loss": epoch.train_loss, "valid_loss": epoch.valid_loss, "lr": epoch.lr, **epoch.metrics}
    return {name: value for name, value in figures.items() if value is not None}


def scores_of(judged: Judged) -> dict[str, float]:
    """Return the accuracy on each split that the model was judged on, with the ends of its 95 % interval.

    Args:
        judged: The judgement.
    """
    scores: dict[str, float] = {}
    for score in judged.scores:
        name = f"{score.split}_accuracy"
        scores |= {name: score.accuracy, f"{name}_low": score.interval.low, f"{name}_high": score.interval.high}
    return scores
