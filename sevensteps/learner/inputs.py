"""Inputs: what a model takes, and how to turn any kind of picture into a batch of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base.words import counted
from ..data.decode import Fit, as_pixels
from ..data.loaders import Loader
from ..data.value_range import Range
from ..errors import DataError


@dataclass(frozen=True)
class Inputs:
    """What a model takes: the classes, shape and fit of its pictures; None where they are not known."""

    classes: tuple[str, ...] | None = None
    shape: tuple[int, int, int] | None = None  # channels, height, width
    fit: Fit | None = None  # how pictures of other sizes are fitted to that shape
    range: Range | None = None  # the values of black and white in pictures of more than 8 bits
    features: Mapping[str, Any] | None = None  # the network that gives what the model takes, if any: `Features.facts`
    flat: bool = False  # whether pictures come as rows of pixels

    @classmethod
    def of(cls, loader: Loader) -> Inputs:
        """Return what a model on this loader takes.

        Args:
            loader: The training loader.
        """
        images = loader.images
        if images is None:
            return cls(loader.classes, flat=loader.flat)
        network = images.features.facts if images.features else None
        return cls(loader.classes, images.input_shape, images.fit, images.range, network, loader.flat)

    def rows(self) -> list[tuple[str, str]]:
        """Return names and values for a notebook."""
        rows = []
        if self.classes:
            names = ", ".join(self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
            rows.append(("classes", f"{len(self.classes)}: {names}"))
        if self.shape is not None:
            channels, height, width = self.shape
            size = f"{width}x{height} pixels, {counted(channels, 'channel')}"
            if self.features:
                size = f"{math.prod(self.shape):,} features of {self.features['name']}"
            rows.append(("pictures", size))
        return rows

    def pixels_of(self, picture: Any) -> np.ndarray:
        """Return a picture as the model takes it, uint8 (channels, height, width): its pixels, or its features.

        Args:
            picture: As `as_pixels` takes it.

        Raises:
            DataError: The picture cannot be read, or does not show a picture of this shape.
            ModelError: The network that computes the features is not installed.
        """
        assert self.shape is not None
        if self.features is None:
            return as_pixels(picture, self.shape, self.fit or "squash", self.range)
        named = (self.features[key] for key in ("name", "sha256"))
        layers = self.features.get("layers")
        features: np.ndarray = _reader(*named, self.fit or "squash", self.range, layers, self.shape)(picture)
        return features

    def batch_of(self, picture: Any) -> Tensor:
        """Return any kind of picture as a batch of one, in the shape of the training batches.

        Args:
            picture: As `Predictor.predict` takes it.

        Raises:
            DataError: The picture cannot be read, has another shape, or values that no training picture has.
        """
        picture = picture[0] if isinstance(picture, tuple) else picture  # (picture, label), as Images gives
        shape = self.shape
        if isinstance(picture, np.ndarray) and picture.dtype.kind == "f":
            picture = torch.from_numpy(np.array(picture))  # a copy: it may be read-only, or a reversed view
        is_float = isinstance(picture, Tensor) and picture.is_floating_point()
        if shape is None:
            if not is_float:
                raise DataError("This learner was not trained on pictures.", hint="Give it a float tensor.")
            if not bool(torch.isfinite(picture).all()):
                raise DataError("The input holds NaN or infinity.", hint="Clean it; the model cannot repair it.")
            x: Tensor = picture.float().unsqueeze(0)
            return x
        if is_float and self.features is not None and _shows_pixels(picture, shape):
            x = picture.float().cpu()
            _refuse_outside(x)
            x = torch.from_numpy(np.array(self.pixels_of(x.numpy()))).float() / 255
        elif is_float:
            x = picture.float()
            if shape[0] == 3 and tuple(x.shape) == (*shape[1:], 3) != shape:
                x = x.permute(2, 0, 1)  # channels last, as Matplotlib reads pictures
        else:
            x = torch.from_numpy(np.array(self.pixels_of(picture))).float() / 255
        if tuple(x.shape) not in {shape, (1, *shape), shape[1:] if shape[0] == 1 else shape, (math.prod(shape),)}:
            hint = _SEVERAL if x.shape[1:] == shape else "Resize it."
            if self.features is not None:
                raise DataError(f"The picture has shape {tuple(x.shape)}.", hint=_ORIGINAL)
            raise DataError(f"The picture has shape {tuple(x.shape)}, but the model needs {shape}.", hint=hint)
        _refuse_outside(x)
        return x.reshape(1, -1) if self.flat else x.reshape(1, *shape)


def _shows_pixels(picture: Tensor, features: tuple[int, int, int]) -> bool:
    """Return whether a tensor is a picture, channels first or last, and not the features that a model takes."""
    sizes = tuple(picture.shape)
    return len(sizes) == 3 and sizes != features and not {1, 3}.isdisjoint((sizes[0], sizes[2]))


def _refuse_outside(x: Tensor) -> None:
    """Raise if there are values that no training picture has.

    Raises:
        DataError: A value is below 0 or above 1, or is not a number.
    """
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise DataError("The picture has values outside [0, 1].", hint="Divide by 255, or give a uint8 array.")


_SEVERAL = "predict() takes one, or a list of them; learn.get_preds(dl=DataLoader(...)) takes many."


_ORIGINAL = "Give its file, or an array (3, height, width): the model computes features from the picture."


def refuse_several(scores: Tensor) -> None:
    """Raise if a model that tells classes apart was given several rows instead of one.

    Args:
        scores: What it returned, one row for each picture.

    Raises:
        DataError: There are more dimensions.
    """
    if scores.ndim > 2:
        raise DataError(f"The model returned scores of shape {tuple(scores.shape)} for one picture.", hint=_SEVERAL)


def not_finite(x: Tensor, targets: Tensor, where: str) -> str | None:
    """Return a sentence about the first row of a batch that holds NaN or infinity; None where no row does.

    Args:
        x: The batch's inputs.
        targets: The batch's targets.
        where: The batch, in words.
    """
    for what, tensor in (("input", x), ("target", targets)):
        bad = (~torch.isfinite(tensor.reshape(len(tensor), -1))).any(1).nonzero().flatten().tolist()
        if bad:
            return (
                f"The {what} itself is not finite: row {bad[0]} of {where} holds NaN or infinity "
                f"({len(bad)} of {len(tensor)} rows do)."
            )
    return None


@functools.lru_cache(maxsize=4)
def _reader(
    name: str, sha256: str, fit: Fit, range: Range | None, layers: int | None, shape: tuple[int, int, int]
) -> Any:
    """Return the function from pictures to features, made once."""
    from ..ship.backbone.extract import reader

    return reader(name, sha256, fit, range, layers=layers, shape=shape)
