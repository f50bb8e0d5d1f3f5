"""Classify picture files with a saved model. Models of linear layers and ReLU are computed in NumPy, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from .. import model_file
from ..data.decode import MOST_PIXELS, read_picture
from ..errors import DataError, ModelError


@dataclass(frozen=True)
class Answer:
    """What a model says of one file: the class and its probability, or why there is none."""

    file: str
    probabilities: dict[str, float] | None = None
    error: str | None = None

    @property
    def best(self) -> str:
        """The class with the highest probability."""
        assert self.probabilities is not None
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def as_json(self) -> dict[str, Any]:
        """The keys that `predict --json` promises."""
        if self.probabilities is None:
            return {"file": self.file, "error": self.error}
        return {
            "file": self.file,
            "class": self.best,
            "probability": self.probabilities[self.best],
            "probabilities": self.probabilities,
            "abstained": False,
        }


@dataclass(frozen=True)
class Model:
    """A saved model, ready: class names, the shape of its pictures, and what turns pixels into probabilities."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    probabilities: Callable[[UInt8[np.ndarray, "n channels height width"]], Float[np.ndarray, "n classes"]]

    def predict(self, files: Iterable[Path]) -> Iterator[Answer]:
        """An answer for each file, in order; a file that cannot be read gets its error and ends nothing."""
        for path in files:
            try:
                pixels = read_picture(path, self.shape)
            except DataError as error:
                yield Answer(str(path), error=error.message)
                continue
            shares = self.probabilities(pixels[None])[0].tolist()
            yield Answer(str(path), dict(zip(self.classes, shares, strict=True)))


def load_model(path: Path) -> Model:
    """The model in a run's folder or a model.safetensors.

    Raises:
        ModelError: missing, damaged, or of pictures or layers that are not known.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, about = model_file.read(path)
    classes, shape, temperature = _facts(about, path)
    layers = _numpy_layers(about.get("model"))
    if layers is not None and about.get("loss") != "mse_loss" and about.get("activation") is None:
        scores = _with_numpy(layers, arrays)
        model = Model(classes, shape, lambda pixels: _shares(scores(pixels) / temperature))
    else:
        model = Model(classes, shape, _with_torch(path))
    try:
        columns = model.probabilities(np.zeros((1, *shape), dtype=np.uint8)).shape[1]
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise ModelError(
            f"{path}: its description, its tensors and its pictures do not go together ({error}).", hint=_DAMAGED
        ) from error
    if columns != len(classes):
        raise ModelError(f"{path}: it tells {columns} classes apart, and names {len(classes)}.", hint=_DAMAGED)
    return model


_DAMAGED = "Export the model again."


def _facts(about: dict[str, Any], path: Path) -> tuple[tuple[str, ...], tuple[int, int, int], float]:
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
        and math.prod(shape) <= MOST_PIXELS,
        "temperature": isinstance(temperature, (int, float)) and 0 < temperature < math.inf,
    }
    for name, fit in fits.items():
        if not fit:
            raise ModelError(f"{path}: its {name} cannot be {about.get(name)!r:.80}.", hint=_DAMAGED)
    return tuple(classes), tuple(shape), float(temperature)


def _with_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Any model, by the learner that loads it."""
    import torch

    from ..saving import load_learner

    learn = load_learner(path)
    flat = bool(getattr(learn.dls.train, "flat", False))

    def shares(pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.array(pixels)).float() / 255  # a copy: decoded pixels are read-only
        with learn.looking():
            found: np.ndarray = learn.probabilities(learn.model(x.flatten(1) if flat else x)).numpy()
        return found

    return shares


def _numpy_layers(description: Any) -> list[dict[str, Any]] | None:
    """The layers of a model that NumPy can compute, or None."""
    if not isinstance(description, dict):
        return None
    layers = description.get("layers") if description.get("layer") == "Sequential" else [description]
    known = {"Linear", "ReLU", "Flatten", "Normalize"}
    if isinstance(layers, list) and all(isinstance(layer, dict) and layer.get("layer") in known for layer in layers):
        return layers
    return None


def _with_numpy(layers: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Raw scores of uint8 pictures."""

    def scores(pixels: np.ndarray) -> np.ndarray:
        x = pixels.astype(np.float32) / 255
        for place, layer in enumerate(layers):
            prefix = f"{place}." if f"{place}.weight" in arrays or f"{place}.mean" in arrays else ""
            match layer["layer"]:
                case "Normalize":
                    mean, std = arrays[f"{prefix}mean"], arrays[f"{prefix}std"]
                    if max(mean.size, std.size) > x.shape[1]:  # else it would make each picture larger
                        raise ValueError(f"{mean.size} means for {x.shape[1]} channels")
                    x = (x - mean) / std
                case "Linear":
                    weight = arrays[f"{prefix}weight"]
                    bias = arrays.get(f"{prefix}bias", np.zeros(weight.shape[:1], weight.dtype))
                    if bias.shape != weight.shape[:1]:
                        raise ValueError(f"a bias {bias.shape} for weights {weight.shape}")
                    x = x.reshape(len(x), -1) @ weight.T + bias
                case "ReLU":
                    x = np.maximum(x, 0)
        if x.ndim != 2:
            raise ValueError(f"scores of shape {x.shape}")
        return x

    return scores


def _shares(scores: np.ndarray) -> np.ndarray:
    """Probabilities of raw scores: the sigmoid of one column, the softmax of several; each row adds up to 1."""
    scores = scores.astype(np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(1, keepdims=True)
    return shares
