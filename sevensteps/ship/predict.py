"""Classify picture files with a saved model. Models of linear layers and ReLUs run in NumPy, without PyTorch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..data.decode import Fit, as_pixels
from ..data.value_range import Range
from ..errors import DataError, ModelError
from . import file as model_file
from .abstention import Limits, in_file
from .answer import Answer, answers_of
from .facts import EXPORT_AGAIN, Facts

AT_ONCE = 64  # pictures in a batch


MOST_VALUES = 1 << 23  # of a batch: 32 MB as floats, and the layers of a network take several times that


LONGEST = 0.05  # seconds that an answer waits for other pictures to be read


_Read = tuple[str, Any]  # the name of a picture, and its pixels or the `Answer` that stands for it


Bound = tuple[str, Any, Any]  # "Normalize", mean, std; "Linear", weight, bias; or "ReLU" and nothing


@dataclass(frozen=True)
class Model:
    """A loaded model: class names, the shape of its pictures, and the function from pixels to probabilities."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    # Of each picture as if it were alone: in a batch, matrix products add in another order, which changes last digits.
    probabilities: Callable[[UInt8[np.ndarray, "n channels height width"]], Float[np.ndarray, "n classes"]]
    abstention: Limits | None = None
    fit: Fit = "squash"  # how pictures of another size are fitted to the shape, as in training
    range: Range | None = None  # the values of black and white in pictures of more than 8 bits, as in training
    read: Callable[[Any], UInt8[np.ndarray, "channels height width"]] | None = None  # for a model of features
    inverts: bool = False  # exchange dark and light of a doubtful picture that then looks like those of training

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
        return (answer for answer, _ in self.answers(pictures))

    def answer(self, picture: Any) -> Answer:
        """Return the answer for a picture.

        Args:
            picture: See `predict`.
        """
        return next(self.predict([picture]))

    def answers(
        self, pictures: Iterable[Any]
    ) -> Iterator[tuple[Answer, UInt8[np.ndarray, "channels height width"] | None]]:
        """Yield the answer for each picture, and its pixels as the model sees them; None if it cannot be read.

        Pictures are classified in batches of 1, 2, 4 and more, so that the first answers come at once. No answer
        depends on the other pictures of its batch, to the last bit.

        Args:
            pictures: See `predict`. An `Answer` among them is yielded in its place.
        """
        most = self._most_at_once
        batch, size, place, began = list[_Read](), 1, 0, time.monotonic()
        for picture in pictures:
            place += not isinstance(picture, Answer)
            batch.append(self._read(picture, place))
            if len(batch) >= size or time.monotonic() - began > LONGEST:
                yield from self._answered(batch)
                batch, size, began = [], min(2 * size, most), time.monotonic()
        yield from self._answered(batch)

    def together(
        self, names: Sequence[str], pixels: Sequence[UInt8[np.ndarray, "channels height width"]]
    ) -> list[Answer]:
        """Return the answers for pictures that have been read, classified at once.

        Args:
            names: What answers call them.
            pixels: As `pixels_of` returns them.
        """
        most, answers = self._most_at_once, list[Answer]()
        for at in range(0, len(pixels), most):
            some = np.stack(pixels[at : at + most])
            answers += answers_of(names[at : at + most], self.classes, self.probabilities(some), some, self.abstention)
        return answers

    @property
    def _most_at_once(self) -> int:
        """How many pictures a batch may have."""
        return max(1, min(AT_ONCE, MOST_VALUES // math.prod(self.shape)))

    def _read(self, picture: Any, place: int) -> _Read:
        """Return the name of a picture and its pixels, or the answer if it cannot be read."""
        if isinstance(picture, Answer):
            return "", picture
        named = getattr(picture, "name", None) if hasattr(picture, "read") else picture
        name = str(named) if isinstance(named, (str, Path)) else f"picture {place}"
        try:
            return name, self.pixels_of(picture)
        except DataError as error:
            return name, Answer(name, error=error.message, hint=error.hint or "")

    def _answered(
        self, batch: Sequence[_Read]
    ) -> Iterator[tuple[Answer, UInt8[np.ndarray, "channels height width"] | None]]:
        """Yield what `answers` does, for one batch."""
        names = [name for name, read in batch if not isinstance(read, Answer)]
        answers = iter(self.together(names, [read for _, read in batch if not isinstance(read, Answer)]))
        for name, read in batch:
            if isinstance(read, Answer):
                yield read, None
                continue
            answer = next(answers)
            if self.inverts and answer.looks_inverted:
                read = 255 - read
                answer = replace(*self.together([name], [read]), is_inverted=True)
            yield answer, read


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

    from .together import Together
    from .torch_model import load_torch_model

    model = Together(load_torch_model(arrays, facts, path), facts.pictures(path)[1])

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
    """Return the raw scores of pictures, each computed by itself: products of one row with a matrix."""
    x = pixels.astype(np.float32) / 255
    with np.errstate(all="ignore"):  # an overflow shows in the answer
        for layer, first, second in layers:
            match layer:
                case "Normalize":
                    x = (x - first) / second
                case "Linear":
                    x = (x.reshape(len(x), 1, -1) @ first.T)[:, 0] + second
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
