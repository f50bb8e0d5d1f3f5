"""Train an image classifier in seven steps you can see, trust the result, and ship the model.

    import sevensteps as ss

    run = ss.train("pullover-dress", recipe="linear")
    print(run.test)

Names are looked up when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .base.version import __version__ as __version__

if TYPE_CHECKING:
    from .data.batches import Batches, DataLoaders
    from .data.images import Images, Splits
    from .data.sources.load import load
    from .errors import SevenstepsError
    from .jobs.resume import resume
    from .jobs.train import train
    from .learner.learner import Learner
    from .learner.load import load_learner
    from .learner.lr_find import LRFind
    from .learner.metrics import accuracy
    from .recipes.recipe import Recipe
    from .records.events import Batch, Epoch, Finding
    from .records.scores import Interval, Score
    from .records.steps import XRay
    from .runs.run import Run
    from .show.figures import plot_function
    from .steps.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
    from .steps.step import SGD, cosine, one_cycle
    from .steps.stop import after, when_flat, when_not_finite, when_reached

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
    "data.sources.load": ("load",),
    "errors": ("SevenstepsError",),
    "jobs.resume": ("resume",),
    "jobs.train": ("train",),
    "learner.learner": ("Learner",),
    "learner.load": ("load_learner",),
    "learner.lr_find": ("LRFind",),
    "learner.metrics": ("accuracy",),
    "recipes.recipe": ("Recipe",),
    "records": ("Batch", "Epoch", "Finding", "Interval", "Score", "XRay"),
    "runs.run": ("Run",),
    "show.figures": ("plot_function",),
    "steps.loss": ("binary_cross_entropy_with_logits", "cross_entropy", "mse_loss", "sigmoid_l1_loss"),
    "steps.step": ("SGD", "cosine", "one_cycle"),
    "steps.stop": ("after", "when_flat", "when_not_finite", "when_reached"),
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
