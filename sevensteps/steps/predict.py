"""Step 2, predict: the models, from pictures to raw scores.

Each model takes pictures `(b, c, h, w)` of the shape it was made for and gives `(b, 1)` for two classes, the logit of
the second, or `(b, classes)` logits. All are sequences of known layers (see `architecture.py`), so that a saved model
is a list of layers and never code. To add one, write a function here and name it in `MODELS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError, ShapeError

Shape = tuple[int, int, int]  # channels, height, width


class Normalize(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel; both travel with the model."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """The picture with each channel centered and scaled."""
        return (x - self.mean).div_(self.std)  # in place: half the memory to go through

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


class MaxAndMeanPool(nn.Module):
    """The largest and the mean value of each channel, side by side: how strongly and how widely a thing is seen."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch twice_channels"]:
        """Twice as many columns as channels."""
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1)


class WithMirror(nn.Module):
    """After training, each picture and then each picture's mirror image; in training, the pictures as they are."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "more channels height width"]:
        """Twice as many pictures, where the layer is not in training."""
        return x if self.training else torch.cat([x, x.flip(3)])


class MeanWithMirror(nn.Module):
    """What `WithMirror` began is ended: the mean of the scores of a picture and of its mirror image."""

    def forward(self, x: Float[Tensor, "batch scores"]) -> Float[Tensor, "fewer scores"]:
        """Half as many rows, where the layer is not in training."""
        return x if self.training else (x[: len(x) // 2] + x[len(x) // 2 :]) / 2


def mirrored(model: nn.Sequential) -> nn.Sequential:
    """The model that answers with the mean of what it says of a picture and of its mirror image.

    Training is as before; an answer takes twice as long. (Test-time augmentation: Krizhevsky, Sutskever and Hinton,
    "ImageNet classification with deep convolutional neural networks", 2012, section 4.1.)
    """
    return nn.Sequential(WithMirror(), *model, MeanWithMirror())


def outputs(classes: int) -> int:
    """Columns of raw scores: one for two classes, else one a class."""
    return 1 if classes == 2 else classes


def linear(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 0) -> nn.Sequential:
    """A weighted sum of the pixels for each score: the model of the walk-through. It has no width."""
    channels, height, wide = shape
    return nn.Sequential(*_first(normalize), nn.Flatten(), nn.Linear(channels * height * wide, outputs(classes)))


def relu(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 30) -> nn.Sequential:
    """One hidden layer of `width` units with a nonlinearity: two linear layers that do not collapse into one."""
    channels, height, wide = shape
    return nn.Sequential(
        *_first(normalize),
        nn.Flatten(),
        nn.Linear(channels * height * wide, width),
        nn.ReLU(),
        nn.Linear(width, outputs(classes)),
    )


def cnn(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 16) -> nn.Sequential:
    """A small convolutional network: a strided stem of `width` channels, three 3x3 stages, max and mean pooling.

    Each stage doubles the channels up to four times `width` and, while the picture is larger than 3 pixels, halves
    it. Pooling stands before the ReLU: the same function, and less to compute. Pictures under 8 pixels keep their
    size in the stem.
    """
    channels, height, wide = shape
    small = min(height, wide) < 8
    stem = nn.Conv2d(channels, width, 3 if small else 4, stride=1 if small else 2, padding=1, bias=False)
    layers: list[nn.Module] = [*_first(normalize), stem, nn.BatchNorm2d(width), nn.ReLU()]
    side, before = min(height, wide) // (1 if small else 2), width
    for after in (2 * width, 4 * width, 4 * width):
        layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
        if side > 3:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    model = nn.Sequential(*layers, MaxAndMeanPool(), nn.Linear(2 * before, outputs(classes)))
    # Faster on a CPU, with the same numbers but for rounding; torch's stubs do not know the argument.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _first(normalize: Normalize | None) -> list[nn.Module]:
    return [] if normalize is None else [normalize]


MODELS: dict[str, Callable[..., nn.Sequential]] = {"linear": linear, "relu": relu, "cnn": cnn}


def usual_width(model: str) -> int:
    """The width that a model of `MODELS` has unless it is given another; 0 for one that has none."""
    return int(inspect.signature(MODELS[model]).parameters["width"].default)


def predict(model: nn.Module, x: Tensor) -> Tensor:
    """What the model says of a batch.

    Raises:
        ShapeError: the model cannot take it, with its shape and type and what would fit.
    """
    try:
        answer: Tensor = model(x)
    except TORCHS as error:
        if type(error) not in TORCHS:  # out of memory, for one, or an error of ours
            raise
        raise misfit(model, x, error) from error
    return answer


# What torch raises where tensors do not go together.
TORCHS = (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError)


def misfit(model: nn.Module, x: Tensor, error: Exception) -> ShapeError:
    """The error that says what was given and what would fit, as far as the model's first layer tells."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    first = next((layer for layer in model.modules() if next(layer.parameters(recurse=False), None) is not None), model)
    kind = next((parameter.dtype for parameter in first.parameters()), torch.float32)
    message = f"The model cannot take a batch of shape {tuple(x.shape)} and type {x.dtype}: {said:.200}"
    if x.dtype != kind and "type" in said:
        scaled = " / 255" if x.dtype == torch.uint8 else ""
        wanted = {torch.float32: "x.float()", torch.float64: "x.double()"}.get(kind, f"x.to({kind})")
        return ShapeError(message, hint=f"Its parameters are {kind}: give it {wanted}{scaled}.")
    if isinstance(first, nn.Linear) and x.ndim > 2 and x[0].numel() == first.in_features:
        return ShapeError(
            message,
            hint="It takes rows of pixels: DataLoaders.from_images(..., flat=True), or nn.Flatten() before it.",
        )
    return ShapeError(message, hint=f"Its first layer with parameters is {first!s:.200}.")


def probabilities(
    predictions: Float[Tensor, "batch scores"],
    activation: Callable[[Tensor], Tensor] | None = None,
    temperature: float = 1.0,
) -> Float[Tensor, "batch classes"]:
    """Raw scores as probabilities, one column a class also where there are two, each row adding up to 1.

    Without an activation one column goes through the sigmoid and several through the softmax, divided by the
    temperature. An activation that gives one column gives the probability of the second class.

    Raises:
        ModelError: predictions that are not one row a picture.
    """
    if predictions.ndim != 2:
        raise ModelError(
            f"Predictions have shape {tuple(predictions.shape)}, and must have one row a picture.",
            hint="End the model with a linear layer.",
        )
    if activation is not None:
        given = activation(predictions)
    elif predictions.shape[1] == 1:
        given = torch.sigmoid(predictions / temperature)
    else:
        given = F.softmax(predictions / temperature, dim=1)
    return torch.cat([1 - given, given], dim=1) if given.shape[1] == 1 else given
