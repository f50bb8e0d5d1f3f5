"""A learner as a file, and back: whole with `save` and `load`, the model alone with `export` and `load_learner`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..data.decode import FITS, Fit
from ..errors import DataError, ModelError
from ..ship import abstention, architecture
from ..ship import file as model_file
from ..steps.loss import LOSSES, settings_of
from ..steps.repeat import begin_epoch_anew_if_needed

if TYPE_CHECKING:
    from .learner import Learner


def save(learn: Learner, path: Path) -> Path:
    """Write weights, optimizer, history and position; `.safetensors` is added to the name if it is missing.

    Raises:
        FileError: it cannot be written.
        ModelError: there are numbers that are not finite.
    """
    path = _named(path)
    model_file.write(path, finite_arrays(learn.state.tensors()), {"state": learn.state.facts()})
    return path


def load(learn: Learner, path: Path) -> None:
    """Give the learner what `save` wrote.

    Raises:
        ModelError: no such file, a damaged one, or one of another kind.
        TrainingError: it belongs to another model or optimizer.
    """
    path = _named(path)
    arrays, about = model_file.read(path)
    if "state" not in about:
        raise ModelError(f"{path} holds an exported model and no optimizer.", hint="Use ss.load_learner(path).")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    learn.state.restore(tensors, about["state"])
    learn.temperature, learn.abstention = 1.0, None  # which were of other parameters
    if cost := begin_epoch_anew_if_needed(learn.dls.train, learn.state):
        print(cost)


def export(learn: Learner, path: Path) -> Path:
    """Write the model alone, with class names, picture shape and what turns scores into probabilities.

    Raises:
        FileError: it cannot be written.
        ModelError: there are numbers that are not finite.
    """
    model_file.write(path, model_arrays(learn), about(learn))
    return path


def model_arrays(learn: Learner) -> dict[str, np.ndarray]:
    """What an exported file holds: the model's tensors, and what it needs to abstain.

    Raises:
        ModelError: there are numbers that are not finite.
    """
    more = learn.abstention.arrays() if learn.abstention else {}
    return {**finite_arrays(learn.model.state_dict()), **more}


def about(learn: Learner) -> dict[str, Any]:
    """What an exported file says beside the tensors."""
    known = settings_of(learn.loss_func)
    return {
        "model": architecture.describe(learn.model),
        "class": type(learn.model).__name__,
        "classes": list(learn.classes) if learn.classes else None,
        "shape": list(learn.picture_shape) if learn.picture_shape else None,
        **({"fit": learn.picture_fit} if learn.picture_fit else {}),
        "flat": learn.flat,
        "loss": known[0] if known else None,
        "label_smoothing": known[1].get("label_smoothing") if known else None,
        **({"class_weights": known[1]["weight"].tolist()} if known and "weight" in known[1] else {}),
        "activation": "own" if learn.objective.activation_is_own else None,
        "temperature": learn.temperature,
        abstention.KEY: learn.abstention.facts() if learn.abstention else None,
    }


def _check_about(about: Mapping[str, Any], path: str | Path) -> None:
    """Hold what a file says of itself against what `about` can say.

    Raises:
        ModelError: naming the first thing that cannot be.
    """

    def words(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)

    def shape(value: Any) -> bool:
        return isinstance(value, list) and len(value) == 3 and all(type(n) is int and n > 0 for n in value)

    def temperature(value: Any) -> bool:
        return isinstance(value, (int, float)) and 0 < value < math.inf

    def weights(value: Any) -> bool:
        is_list = isinstance(value, list) and all(isinstance(w, float) and 0 < w < math.inf for w in value)
        return is_list and about.get("loss") in LOSSES and len(value) == len(about.get("classes") or ())

    fits: dict[str, Callable[[Any], bool]] = {
        "classes": words,
        "shape": shape,
        "fit": lambda value: value in FITS,
        "flat": lambda value: isinstance(value, bool),
        "loss": lambda value: isinstance(value, str),
        "label_smoothing": lambda value: isinstance(value, float) and about.get("loss") == "cross_entropy",
        "class_weights": weights,
        "activation": lambda value: value == "own",
        "temperature": temperature,
    }
    for name, fit in fits.items():
        value = about.get(name)
        if value is not None and not fit(value):
            raise ModelError(f"{path} is damaged: its {name} is {value!r:.80}.", hint="Export the model again.")


def finite_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors as arrays for a file, which is read back only if every number is finite.

    Raises:
        ModelError: one that is not.
    """
    for name, tensor in tensors.items():
        # A run's history may hold a figure that is infinite; so says model_file, too.
        if not name.startswith("history.") and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name} holds numbers that are not finite.", hint="Train with a lower learning rate.")
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


class _NoPictures:
    """Stands where a training loader would in a learner that only predicts: class names, a shape and a fit."""

    def __init__(
        self, classes: tuple[str, ...] | None, shape: Sequence[int] | None, flat: bool | None, fit: Fit | None
    ) -> None:
        self.classes, self.flat, self.fit = classes, bool(flat), fit
        self.images = self if shape else None
        self.shape = tuple(shape or ())

    def __iter__(self) -> Iterator[Any]:
        raise DataError("A loaded learner has no training pictures.", hint="ss.load_learner(path, dls=dls)")


def _named(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
