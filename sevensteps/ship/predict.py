"""Classify picture files with a saved model. Models of linear layers and ReLU are computed in NumPy, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..data.decode import Fit, read_picture
from ..errors import DataError, ModelError
from . import file as model_file
from .abstention import NONE_OF_THESE, Abstention, in_file
from .facts import EXPORT_AGAIN, Facts

Bound = tuple[str, Any, Any]  # "Normalize", mean, std; "Linear", weight, bias; or "ReLU" and nothing


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
            yield answer_of(
                str(path), self.classes, self.probabilities(pixels[None])[0].tolist(), pixels[None], self.abstention
            )


def answer_of(
    file: str,
    classes: Sequence[str],
    shares: Sequence[float],
    pixels: UInt8[np.ndarray, "1 channels height width"],
    abstention: Abstention | None,
) -> Answer:
    """Return the answer for one picture, with the reason to doubt it where there is one.

    Args:
        file: the name of the picture.
        classes: names, in the order of `shares`.
        shares: the probability of each class.
        pixels: the picture, for its distance from those of training.
        abstention: when the model gives no answer; None: it always answers.
    """
    if not all(map(math.isfinite, shares)):  # which JSON cannot hold, and nobody can use
        return Answer(file, error=f"{file}: the model's scores of this picture are no numbers.")
    reason, distance = None, None
    if abstention is not None:
        distance = float(abstention.distances(pixels)[0])
        (reason,) = abstention.reasons(np.array([max(shares)]), np.array([distance]))
    return Answer(file, dict(zip(classes, shares, strict=True)), None, reason, distance)


def load_model(path: Path) -> Model:
    """The model in a run's folder or a model.safetensors, which anybody may have written.

    Raises:
        ModelError: missing, damaged, of pictures or layers that are not known, or one that would take long or much
            memory for a picture.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, about = model_file.read(path)
    facts = Facts.from_json(about, path)
    classes, shape = facts.pictures(path)
    arrays, abstention = in_file(arrays, about, path)
    layers = numpy_layers(facts.model, shape, facts.flat)
    if layers is not None and facts.loss != "mse_loss" and not facts.activation_is_own:
        bound, temperature = bound_layers(layers, arrays, path), facts.temperature
        model = Model(
            classes,
            shape,
            lambda pixels: _shares(_scores(bound, pixels) / temperature),
            abstention,
            facts.fit or "squash",
        )
    else:
        model = Model(classes, shape, _with_torch(arrays, facts, path), abstention, facts.fit or "squash")
    try:
        shares = model.probabilities(np.zeros((1, *shape), dtype=np.uint8))
    except ModelError:
        raise
    except Exception as error:  # layers raise whatever the tensors of a foreign file run into
        raise ModelError(
            f"{path}: its description, its tensors and its pictures do not go together ({error!s:.200}).",
            hint=EXPORT_AGAIN,
        ) from error
    if shares.shape[1] != len(classes):
        raise ModelError(
            f"{path}: it tells {shares.shape[1]} classes apart, and names {len(classes)}.", hint=EXPORT_AGAIN
        )
    if not np.isfinite(shares).all():
        raise ModelError(f"{path}: its scores of a black picture are no numbers.", hint=EXPORT_AGAIN)
    return model


def _with_torch(arrays: dict[str, np.ndarray], facts: Facts, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Probabilities of uint8 pictures, by PyTorch."""
    import torch

    from .torch_model import load_torch_model

    model = load_torch_model(arrays, facts, path)

    def shares(pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.array(pixels)).float() / 255  # a copy: decoded pixels are read-only
        probabilities: np.ndarray = model.probabilities(x).numpy()
        return probabilities

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
