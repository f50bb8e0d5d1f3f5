"""Train an image classifier in seven steps you can see, trust the result, and ship the model.

    import sevensteps as ss

    run = ss.train("pullover-dress", recipe="linear")
    print(run.test)

Names are looked up when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .data.batches import Batches, DataLoaders
    from .data.images import Images, Splits
    from .data.sources import load
    from .errors import SevenstepsError
    from .jobs import resume, train
    from .learner import Learner
    from .lr_find import LRFind
    from .metrics import accuracy
    from .recipe import Recipe
    from .records import Batch, Epoch, Finding, Interval, Score, XRay
    from .saving import load_learner
    from .show.figures import plot_function
    from .steps.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
    from .steps.step import SGD, cosine, one_cycle
    from .steps.stop import after, when_flat, when_not_finite, when_reached
    from .training import Run

__all__ = [
    "SGD",
    "Batch",
    "Batches",
    "DataLoaders",
    "Epoch",
    "Finding",
    "Images",
    "Interval",
    "LRFind",
    "Learner",
    "Recipe",
    "Run",
    "Score",
    "SevenstepsError",
    "Splits",
    "XRay",
    "accuracy",
    "after",
    "binary_cross_entropy_with_logits",
    "cosine",
    "cross_entropy",
    "load",
    "load_learner",
    "mse_loss",
    "one_cycle",
    "plot_function",
    "resume",
    "sigmoid_l1_loss",
    "train",
    "when_flat",
    "when_not_finite",
    "when_reached",
]

_ROOMS = {
    "data.batches": ("Batches", "DataLoaders"),
    "data.images": ("Images", "Splits"),
    "data.sources": ("load",),
    "errors": ("SevenstepsError",),
    "jobs": ("resume", "train"),
    "learner": ("Learner",),
    "lr_find": ("LRFind",),
    "metrics": ("accuracy",),
    "recipe": ("Recipe",),
    "records": ("Batch", "Epoch", "Finding", "Interval", "Score", "XRay"),
    "saving": ("load_learner",),
    "show.figures": ("plot_function",),
    "steps.loss": ("binary_cross_entropy_with_logits", "cross_entropy", "mse_loss", "sigmoid_l1_loss"),
    "steps.step": ("SGD", "cosine", "one_cycle"),
    "steps.stop": ("after", "when_flat", "when_not_finite", "when_reached"),
    "training": ("Run",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, imported from its room on first use."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sevensteps' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
