"""Classify picture files with a saved model. Models of linear layers and ReLU are computed in NumPy, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from ..data.decode import FITS, Fit, read_picture
from ..errors import DataError, ModelError
from . import file as model_file
from .abstention import NONE_OF_THESE, Abstention, in_file

if TYPE_CHECKING:
    from ..learner.learner import Learner


Bound = tuple[str, Any, Any]  # "Normalize", mean, std; "Linear", weight, bias; or "ReLU" and nothing


MOST_VALUES = 1 << 25  # of the pictures that a model takes: 3 x 3,344 x 3,344


@dataclass(frozen=True)
class Answer:
    """What a model says of one file: the class and its probability, or why there is none.

    A model that may abstain gives the class that it holds for the best all the same, and `reason` to doubt it.
    """

    file: str
    probabilities: dict[str, float] | None = None
    error: str | None = None
    reason: str | None = None  # "not sure" or "none of these"; None for an answer
    distance: float | None = None  # from the nearest class; about 1 for a picture like those of training
    explanation: str | None = None  # the file that shows why

    @property
    def best(self) -> str:
        """The class with the highest probability."""
        assert self.probabilities is not None
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def in_words(self) -> str:
        """The answer as a line has it: "Dress (98.0%)", or with the reason to doubt it."""
        assert self.probabilities is not None
        best, share = self.best, f"{self.probabilities[self.best]:.1%}"
        if self.reason == NONE_OF_THESE:
            return f"{NONE_OF_THESE}; {best} is the nearest ({share})"
        return f"{best}? ({share}, {self.reason})" if self.reason else f"{best} ({share})"

    def as_json(self) -> dict[str, Any]:
        """The keys that `predict --json` promises."""
        if self.probabilities is None:
            return {"file": self.file, "error": self.error}
        why = {} if self.explanation is None else {"explanation": self.explanation}
        return {
            "file": self.file,
            "class": self.best,
            "probability": self.probabilities[self.best],
            "probabilities": self.probabilities,
            "abstained": self.reason is not None,
            "reason": self.reason,
            "distance": self.distance,
            **why,
        }


@dataclass(frozen=True)
class Model:
    """A saved model, ready: class names, the shape of its pictures, and what turns pixels into probabilities."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    probabilities: Callable[[UInt8[np.ndarray, "n channels height width"]], Float[np.ndarray, "n classes"]]
    abstention: Abstention | None = None
    fit: Fit = "squash"  # how pictures of another size come to the shape: as those did that it was trained on

    def predict(self, files: Iterable[Path]) -> Iterator[Answer]:
        """An answer for each file, in order; a file that cannot be read gets its error and ends nothing."""
        for path in files:
            try:
                pixels = read_picture(path, self.shape, self.fit)
            except DataError as error:
                yield Answer(str(path), error=error.message)
                continue
            shares = self.probabilities(pixels[None])[0].tolist()
            if not all(map(math.isfinite, shares)):  # which JSON cannot hold, and nobody can use
                yield Answer(str(path), error=f"{path}: the model's scores of this picture are no numbers.")
                continue
            reason, distance = None, None
            if self.abstention is not None:
                distance = float(self.abstention.distances(pixels[None])[0])
                (reason,) = self.abstention.reasons(np.array([max(shares)]), np.array([distance]))
            yield Answer(str(path), dict(zip(self.classes, shares, strict=True)), None, reason, distance)


def load_model(path: Path) -> Model:
    """The model in a run's folder or a model.safetensors, which anybody may have written.

    Raises:
        ModelError: missing, damaged, of pictures or layers that are not known, or one that would take long or much
            memory for a picture.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, about = model_file.read(path)
    classes, shape, temperature = checked_facts(about, path)
    fit: Fit = about.get("fit") or "squash"
    arrays, abstention = in_file(arrays, about, path)
    layers = numpy_layers(about.get("model"), shape, about.get("flat") is True)
    if layers is not None and about.get("loss") != "mse_loss" and about.get("activation") is None:
        bound = bound_layers(layers, arrays, path)
        model = Model(classes, shape, lambda pixels: _shares(_scores(bound, pixels) / temperature), abstention, fit)
    else:
        model = Model(classes, shape, _with_torch(learner_from(path, shape)), abstention, fit)
    try:
        shares = model.probabilities(np.zeros((1, *shape), dtype=np.uint8))
    except ModelError:
        raise
    except Exception as error:  # layers raise whatever the tensors of a foreign file run into
        raise ModelError(
            f"{path}: its description, its tensors and its pictures do not go together ({error!s:.200}).",
            hint=_DAMAGED,
        ) from error
    if shares.shape[1] != len(classes):
        raise ModelError(f"{path}: it tells {shares.shape[1]} classes apart, and names {len(classes)}.", hint=_DAMAGED)
    if not np.isfinite(shares).all():
        raise ModelError(f"{path}: its scores of a black picture are no numbers.", hint=_DAMAGED)
    return model


_DAMAGED = "Export the model again."


def checked_facts(about: dict[str, Any], path: Path) -> tuple[tuple[str, ...], tuple[int, int, int], float]:
    """Class names, picture shape and temperature, as a file from anywhere has them.

    Raises:
        ModelError: not there, or not what they can be.
    """
    classes, shape, temperature = about.get("classes"), about.get("shape"), about.get("temperature", 1.0)
    if classes is None or shape is None:
        raise ModelError(f"{path} does not say which pictures it takes.", hint="Export a model trained on pictures.")
    fits = {
        "classes": isinstance(classes, list)
        and len(set(map(str, classes))) == len(classes) > 1
        and all(isinstance(name, str) for name in classes),
        "shape": isinstance(shape, list)
        and len(shape) == 3
        and all(type(size) is int and size > 0 for size in shape)
        and shape[0] in (1, 3)
        and math.prod(shape) <= MOST_VALUES,
        # The smallest that do not divide a score to infinity, or all scores to one.
        "flat": about.get("flat") is None or isinstance(about["flat"], bool),
        "fit": about.get("fit") in (None, *FITS),
        "loss": about.get("loss") is None or isinstance(about["loss"], str),
        "temperature": type(temperature) in (int, float) and 1e-6 <= temperature <= 1e6,
    }
    for name, fit in fits.items():
        if not fit:
            raise ModelError(f"{path}: its {name} cannot be {about.get(name)!r:.80}.", hint=_DAMAGED)
    return tuple(classes), tuple(shape), float(temperature)


def learner_from(path: Path, shape: tuple[int, int, int]) -> Learner:
    """The learner of any saved model.

    Raises:
        ModelError: as `load_learner` and `check_work`.
    """
    from ..learner.load import load_learner
    from .architecture import check_work

    learn = load_learner(path)
    try:
        check_work(learn.model, (math.prod(shape),) if learn.flat else shape)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", hint=error.hint) from error
    return learn


def _with_torch(learn: Learner) -> Callable[[np.ndarray], np.ndarray]:
    """Probabilities of uint8 pictures, by a learner."""
    import torch

    def shares(pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.array(pixels)).float() / 255  # a copy: decoded pixels are read-only
        with learn.looking():
            found: np.ndarray = learn.probabilities(learn.model(x.flatten(1) if learn.flat else x)).numpy()
        return found

    return shares


def numpy_layers(description: Any, shape: tuple[int, int, int], flat: bool) -> list[dict[str, Any]] | None:
    """The layers of a model that NumPy can compute, or None.

    These are means and deviations of each channel, then flat pixels, then linear layers that fit each other, and
    ReLUs; a foreign description that is not quite so is left to PyTorch, which knows what it means.
    """
    layers: Any = [description]
    if isinstance(description, dict) and description.get("layer") == "Sequential":
        layers = description.get("layers") if set(description) <= {"layer", "layers", "channels_last"} else None
    if not isinstance(layers, list) or not 1 <= len(layers) <= 100:
        return None
    values = math.prod(shape)
    for layer in layers:
        match layer:
            case {"layer": "Normalize", "mean": list(mean), "std": list(std), **more} if not (flat or more):
                if {len(mean), len(std)} - {1, shape[0]}:
                    return None
            case {"layer": "Flatten", "start_dim": 1, "end_dim": -1, **more} if not more:
                flat = True
            case {"layer": "Linear", "in_features": int(size), "out_features": int(made), "bias": bool(), **more}:
                if more or not flat or size != values or made < 1:
                    return None
                values = made
            case {"layer": "ReLU", **more} if not more:
                pass
            case _:
                return None
    return layers if flat else None


def bound_layers(layers: list[dict[str, Any]], arrays: dict[str, np.ndarray], path: Path) -> list[Bound]:
    """The layers that do something, with their tensors.

    Raises:
        ModelError: the tensors are not those of the layers.
    """
    prefixes = [f"{place}." for place in range(len(layers))] if "0.weight" in arrays or len(layers) > 1 else [""]
    wanted: dict[str, tuple[int, ...]] = {}
    for prefix, layer in zip(prefixes, layers, strict=True):
        if layer["layer"] == "Normalize":
            wanted |= {f"{prefix}{name}": (len(layer[name]), 1, 1) for name in ("mean", "std")}
        elif layer["layer"] == "Linear":
            wanted[f"{prefix}weight"] = layer["out_features"], layer["in_features"]
            if layer["bias"]:
                wanted[f"{prefix}bias"] = (layer["out_features"],)
    there = {name: array.shape for name, array in arrays.items() if array.dtype.kind == "f"}
    if there != wanted or len(arrays) > len(there):
        name = min({name for name, _ in wanted.items() ^ there.items()} or arrays.keys() - there.keys())
        raise ModelError(
            f"{path}: its description and its tensors differ at {name!r:.80}: {wanted.get(name, 'nothing')} is "
            f"described and {there.get(name, 'nothing')} is there.",
            hint="The file is damaged, or was put together from two.",
        )

    names = {"Normalize": ("mean", "std"), "Linear": ("weight", "bias"), "ReLU": ("", "")}
    return [
        (layer["layer"], *(arrays.get(f"{prefix}{name}", np.zeros(1)) for name in names[layer["layer"]]))
        for prefix, layer in zip(prefixes, layers, strict=True)
        if layer["layer"] in names
    ]


def _scores(layers: list[Bound], pixels: UInt8[np.ndarray, "n channels height width"]) -> np.ndarray:
    """Raw scores of pictures."""
    x = pixels.astype(np.float32) / 255
    with np.errstate(all="ignore"):  # what comes of numbers that grow without end is seen in the answer
        for layer, first, second in layers:
            match layer:
                case "Normalize":
                    x = (x - first) / second
                case "Linear":
                    x = x.reshape(len(x), -1) @ first.T + second
                case "ReLU":
                    x = np.maximum(x, 0)
    return x.reshape(len(x), -1)


def _shares(scores: np.ndarray) -> np.ndarray:
    """Probabilities of raw scores: the sigmoid of one column, the softmax of several; each row adds up to 1."""
    scores = scores.astype(np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    with np.errstate(invalid="ignore"):  # of scores that are no numbers, no numbers come
        powers = np.exp(scores - scores.max(1, keepdims=True))
        shares: np.ndarray = powers / powers.sum(1, keepdims=True)
    return shares
