"""What only a learner with loaders can do, and the error for asking a loaded model for it."""

from __future__ import annotations

from ..errors import DataError


class NoTrainingError(DataError, AttributeError):
    """Something was asked of a loaded model that only a learner with loaders can do."""


# What a learner has and a loaded model has not: asking for it names the way to get it.
TRAINING = frozenset(
    {
        "accumulate",
        "batches_per_epoch",
        "check_finite",
        "clip",
        "close",
        "copy",
        "dls",
        "exchange",
        "fit",
        "fit_one_cycle",
        "follow",
        "gradient",
    }
    | {
        "interrupts_between_batches",
        "keep",
        "load",
        "loader",
        "lr",
        "lr_find",
        "modes",
        "opt",
        "opt_func",
        "plan",
        "rate_changes",
        "recorder",
    }
    | {"save", "schedule", "set", "state", "stop", "stopped_because", "stream", "total_batches", "trained_classes"}
    | {"frozen", "frozen_at_first", "hold_trainable", "lost"}
    | {"wanted_gradient", "xray"}
)
