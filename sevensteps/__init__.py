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
    from .integrations.sklearn import SevenStepsClassifier
    from .jobs.compare import compare
    from .jobs.data import audit
    from .jobs.doctor import doctor
    from .jobs.export import export
    from .jobs.judge import judge
    from .jobs.predict import predict
    from .jobs.prepare import prepare
    from .jobs.report import report
    from .jobs.resume import resume
    from .jobs.serve import serve
    from .jobs.train import train
    from .jobs.verify import verify
    from .jobs.xray import xray
    from .learner.learner import Learner
    from .learner.load import load_learner
    from .learner.lr_find import LRFind
    from .learner.metrics import accuracy
    from .learner.predictor import Predictor
    from .recipes.recipe import Recipe
    from .records.events import Batch, Epoch, Finding
    from .records.scores import Interval, Score
    from .records.steps import XRay
    from .runs.run import Run
    from .show.curves import plot_function
    from .steps.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
    from .steps.step import SGD, Muon, cosine, one_cycle
    from .steps.stop import after, when_flat, when_not_finite, when_reached
    from .studio.notebook import open_studio

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
    "Muon",
    "Predictor",
    "Recipe",
    "Run",
    "Score",
    "SevenStepsClassifier",
    "SevenstepsError",
    "Splits",
    "XRay",
    "accuracy",
    "after",
    "audit",
    "binary_cross_entropy_with_logits",
    "compare",
    "cosine",
    "cross_entropy",
    "doctor",
    "export",
    "judge",
    "load",
    "load_learner",
    "mse_loss",
    "one_cycle",
    "open_studio",
    "plot_function",
    "predict",
    "prepare",
    "report",
    "resume",
    "serve",
    "sigmoid_l1_loss",
    "train",
    "verify",
    "when_flat",
    "when_not_finite",
    "when_reached",
    "xray",
]

_ROOMS = {
    "data.batches": ("Batches", "DataLoaders"),
    "data.images": ("Images", "Splits"),
    "data.sources.load": ("load",),
    "errors": ("SevenstepsError",),
    "integrations.sklearn": ("SevenStepsClassifier",),
    "jobs.compare": ("compare",),
    "jobs.data": ("audit",),
    "jobs.doctor": ("doctor",),
    "jobs.export": ("export",),
    "jobs.judge": ("judge",),
    "jobs.predict": ("predict",),
    "jobs.prepare": ("prepare",),
    "jobs.report": ("report",),
    "jobs.resume": ("resume",),
    "jobs.serve": ("serve",),
    "jobs.train": ("train",),
    "jobs.verify": ("verify",),
    "jobs.xray": ("xray",),
    "learner.learner": ("Learner",),
    "learner.load": ("load_learner",),
    "learner.lr_find": ("LRFind",),
    "learner.metrics": ("accuracy",),
    "learner.predictor": ("Predictor",),
    "recipes.recipe": ("Recipe",),
    "records": ("Batch", "Epoch", "Finding", "Interval", "Score", "XRay"),
    "runs.run": ("Run",),
    "show.curves": ("plot_function",),
    "steps.loss": ("binary_cross_entropy_with_logits", "cross_entropy", "mse_loss", "sigmoid_l1_loss"),
    "steps.step": ("SGD", "Muon", "cosine", "one_cycle"),
    "steps.stop": ("after", "when_flat", "when_not_finite", "when_reached"),
    "studio.notebook": ("open_studio",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sevensteps' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names alone, whatever has been imported."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
