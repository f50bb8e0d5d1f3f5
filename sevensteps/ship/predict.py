"""Classify picture files with a saved model. Models of linear layers and ReLUs run in NumPy, without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..base.words import readable
from ..data.decode import Fit, as_pixels
from ..data.value_range import Range
from ..errors import DataError, ModelError
from . import file as model_file
from .abstention import NONE_OF_THESE, Abstention, in_file
from .covered import Covered
from .facts import EXPORT_AGAIN, Facts

Bound = tuple[str, Any, Any]  # "Normalize", mean, std; "Linear", weight, bias; or "ReLU" and nothing


@dataclass(frozen=True)
class Answer:
    """The answer of a model for one file: the class and its probability, or why there is none.

    A model that may abstain still names the most probable class, with a `reason` to doubt it.
    """

    file: str
    probabilities: dict[str, float] | None = None
    error: str | None = None
    reason: str | None = None  # "not sure" or "none of these"; None for an answer
    distance: float | None = None  # from the nearest class; about 1 for a picture like those of training
    explanation: str | None = None  # the file that shows why
    covered: Covered | None = None  # why, of a model of features
    hint: str = ""  # what to do about the error, or about the reason
    never_says: tuple[str, ...] = ()  # the reasons that this model can never give: see `Abstention.never_says`

    @property
    def best(self) -> str:
        """The class with the highest probability."""
        assert self.probabilities is not None
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def in_words(self) -> str:
        """The answer in a few words: "Dress (98.0%)", or with the reason to doubt it."""
        assert self.probabilities is not None
        best, share = self.best, f"{self.probabilities[self.best]:.1%}"
        if self.reason == NONE_OF_THESE:
            return f"{NONE_OF_THESE}; {best} is the nearest ({share})"
        return f"{best}? ({share}, {self.reason})" if self.reason else f"{best} ({share})"

    def as_json(self) -> dict[str, Any]:
        """Return the keys that `predict --json` promises."""
        if self.probabilities is None:
            return {"file": readable(self.file), "error": readable(self.error or "")}
        why: dict[str, Any] = {} if self.explanation is None else {"explanation": readable(self.explanation)}
        why |= {} if self.covered is None else {"covered": self.covered.as_json()}
        return {
            "file": readable(self.file),
            "class": self.best,
            "probability": self.probabilities[self.best],
            "probabilities": self.probabilities,
            "abstained": self.reason is not None,
            "reason": self.reason,
            "distance": self.distance,
            **({"hint": self.hint} if self.hint else {}),
            **why,
        }


@dataclass(frozen=True)
class Model:
    """A loaded model: class names, the shape of its pictures, and the function from pixels to probabilities."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    probabilities: Callable[[UInt8[np.ndarray, "n channels height width"]], Float[np.ndarray, "n classes"]]
    abstention: Abstention | None = None
    fit: Fit = "squash"  # how pictures of another size are fitted to the shape, as in training
    range: Range | None = None  # the values of black and white in pictures of more than 8 bits, as in training
    read: Callable[[Any], UInt8[np.ndarray, "channels height width"]] | None = None  # for a model of features

    def pixels_of(self, picture: Any) -> UInt8[np.ndarray, "channels height width"]:
        """Return a picture as the model takes it: its pixels, or its features as channels of one pixel.

        Args:
            picture: See `predict`.

        Raises:
            DataError: It cannot be read as a picture.
        """
        return self.read(picture) if self.read else as_pixels(picture, self.shape, self.fit, self.range)

    def predict(self, pictures: Iterable[Any]) -> Iterator[Answer]:
        """Yield an answer for each picture, in order; the answer for one that cannot be read has an `error`.

        Args:
            pictures: Paths, or pictures of any kind that `data.decode.as_pixels` takes.
        """
        for place, picture in enumerate(pictures, 1):
            yield self.answer(picture, place)[0]

    def answer(self, picture: Any, place: int = 1) -> tuple[Answer, UInt8[np.ndarray, "channels height width"] | None]:
        """Return the answer for a picture, and its pixels as the model sees them; None if it cannot be read.

        Args:
            picture: See `predict`.
            place: Its place among the pictures, from 1, which names it if it is not a file.
        """
        named = getattr(picture, "name", None) if hasattr(picture, "read") else picture
        name = str(named) if isinstance(named, (str, Path)) else f"picture {place}"
        try:
            pixels = self.pixels_of(picture)
        except DataError as error:
            return Answer(name, error=error.message, hint=error.hint or ""), None
        shares = self.probabilities(pixels[None])[0].tolist()
        return answer_of(name, self.classes, shares, pixels[None], self.abstention), pixels


def answer_of(
    file: str,
    classes: Sequence[str],
    shares: Sequence[float],
    pixels: UInt8[np.ndarray, "1 channels height width"],
    abstention: Abstention | None,
) -> Answer:
    """Return the answer for one picture, with the reason to doubt it where there is one.

    Args:
        file: The name of the picture.
        classes: Names, in the order of `shares`.
        shares: The probability of each class.
        pixels: The picture, for its distance from those of training.
        abstention: When the model gives no answer; None: it always answers.
    """
    if not all(map(math.isfinite, shares)):  # which JSON cannot hold, and nobody can use
        return Answer(file, error=f"{file}: the model's scores of this picture are not finite.")
    reason, distance, hint = None, None, ""
    if abstention is not None:
        distance = float(abstention.distances(pixels)[0])
        (reason,) = abstention.reasons(np.array([max(shares)]), np.array([distance]))
        is_picture = pixels.shape[1] in (1, 3)  # and not what a pretrained network returned
        hint = _about_inverted(pixels, distance, abstention) if reason and is_picture else ""
    never = abstention.never_says if abstention is not None else ()
    shared = dict(zip(classes, shares, strict=True))
    return Answer(file, shared, None, reason, distance, hint=hint, never_says=never)


def _about_inverted(
    pixels: UInt8[np.ndarray, "1 channels height width"], distance: float, abstention: Abstention
) -> str:
    """Return a hint if the pictures of training are light where this one is dark; "" if inverting it does not help."""
    inverted = float(abstention.distances(255 - pixels)[0])
    if inverted > abstention.distance or inverted >= distance:
        return ""
    around = np.concatenate([pixels[..., 0, :], pixels[..., -1, :], pixels[..., 0], pixels[..., -1]], axis=-1)
    yours, theirs = ("dark on light", "light on dark") if around.mean() > 127 else ("light on dark", "dark on light")
    return f"Your picture is {yours}, those of training are {theirs}: invert it."


def load_model(path: Path) -> Model:
    """Load the model in a run's folder or a model.safetensors, which anyone may have written.

    Args:
        path: The folder or the file.

    Raises:
        ModelError: The file is missing or damaged, does not take pictures, has unknown layers, or would need too much
            time or memory for a picture.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, about = model_file.read(path)
    facts = Facts.from_json(about, path)
    facts.refuse_idle_code(path)
    classes, shape = facts.pictures(path)
    arrays, abstention = in_file(arrays, about, path)
    layers = numpy_layers(facts.model, shape, facts.flat)
    fit, read = facts.fit or "squash", None
    if facts.features is not None:
        from .backbone.extract import reader

        network = facts.features
        read = reader(network["name"], network["sha256"], fit, facts.range, path, network.get("layers"), shape)
    if layers is not None and facts.loss != "mse_loss" and not facts.activation_is_own:
        bound, temperature = bound_layers(layers, arrays, path), facts.temperature
        model = Model(
            classes,
            shape,
            lambda pixels: _shares(_scores(bound, pixels) / temperature),
            abstention,
            fit,
            facts.range,
            read,
        )
    else:
        model = Model(classes, shape, _with_torch(arrays, facts, path), abstention, fit, facts.range, read)
    try:
        shares = model.probabilities(np.zeros((1, *shape), dtype=np.uint8))
    except ModelError:
        raise
    except Exception as error:  # layers raise whatever the tensors of a foreign file run into
        raise ModelError(
            f"{path}: its description, its tensors and its pictures do not fit each other ({error!s:.200}).",
            hint=EXPORT_AGAIN,
        ) from error
    if shares.shape[1] != len(classes):
        raise ModelError(
            f"{path}: its model has {shares.shape[1]} classes, but the file names {len(classes)}.", hint=EXPORT_AGAIN
        )
    if not np.isfinite(shares).all():
        raise ModelError(f"{path}: its scores of a black picture are not finite.", hint=EXPORT_AGAIN)
    return model


def _with_torch(arrays: dict[str, np.ndarray], facts: Facts, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from uint8 pictures to probabilities, by PyTorch."""
    import torch

    from .torch_model import load_torch_model

    model = load_torch_model(arrays, facts, path)

    def shares(pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.array(pixels)).float() / 255  # a copy: decoded pixels are read-only
        probabilities: np.ndarray = model.probabilities(x).numpy()
        return probabilities

    return shares


def numpy_layers(description: Any, shape: tuple[int, int, int], flat: bool) -> list[dict[str, Any]] | None:
    """Return the layers of a model that NumPy can compute, or None if PyTorch is needed.

    NumPy computes a normalization of each channel, flattening, and linear layers and ReLUs that fit each other.

    Args:
        description: The model, as a file describes it.
        shape: Channels, height and width of the pictures.
        flat: Whether the model takes pictures as rows of pixels.
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
            case {"layer": "Linear", "in_features": int(size), "out_features": int(size_out), "bias": bool(), **more}:
                if more or not flat or size != values or size_out < 1:
                    return None
                values = size_out
            case {"layer": "ReLU", **more} if not more:
                pass
            case _:
                return None
    return layers if flat else None


def bound_layers(layers: list[dict[str, Any]], arrays: dict[str, np.ndarray], path: Path) -> list[Bound]:
    """Return the layers that compute something, with their tensors.

    Args:
        layers: As `numpy_layers` returns them.
        arrays: The tensors of the file.
        path: The file, for errors.

    Raises:
        ModelError: The tensors do not fit the layers.
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
    present = {name: array.shape for name, array in arrays.items() if array.dtype.kind == "f"}
    if present != wanted or len(arrays) > len(present):
        name = min({name for name, _ in wanted.items() ^ present.items()} or arrays.keys() - present.keys())
        raise ModelError(
            f"{path}: its description and its tensors differ at {name!r:.80}: the description says "
            f"{wanted.get(name, 'nothing')}, the tensors say {present.get(name, 'nothing')}.",
            hint="The file is damaged, or was put together from two.",
        )

    names = {"Normalize": ("mean", "std"), "Linear": ("weight", "bias"), "ReLU": ("", "")}
    return [
        (layer["layer"], *(arrays.get(f"{prefix}{name}", np.zeros(1)) for name in names[layer["layer"]]))
        for prefix, layer in zip(prefixes, layers, strict=True)
        if layer["layer"] in names
    ]


def _scores(layers: list[Bound], pixels: UInt8[np.ndarray, "n channels height width"]) -> np.ndarray:
    """Return the raw scores of pictures."""
    x = pixels.astype(np.float32) / 255
    with np.errstate(all="ignore"):  # an overflow shows in the answer
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
    """Return raw scores as probabilities: the sigmoid of one column, the softmax of several; each row sums to 1."""
    scores = scores.astype(np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    with np.errstate(invalid="ignore"):  # infinite scores give NaN, which the caller checks
        powers = np.exp(scores - scores.max(1, keepdims=True))
        shares: np.ndarray = powers / powers.sum(1, keepdims=True)
    return shares
