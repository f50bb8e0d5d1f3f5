"""Step 2, predict: the models, which turn pictures into logits.

Each model takes pictures `(b, c, h, w)` of the shape it was built for. It returns `(b, 1)` for two classes, the logit
of the second, or `(b, classes)` logits. All are sequences of known layers (see `ship/architecture.py`), so a saved
model is a list of layers and never code. To add one, write a function here and add it to `MODELS`.
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
    """A layer that subtracts each channel's mean and divides by its standard deviation; both are saved with the model.

    Args:
        mean: The mean of each channel, for pixels in [0, 1].
        std: The standard deviation of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return the pictures with each channel centered and scaled."""
        return (x - self.mean).div_(self.std)  # in place, which moves half the memory

    def extra_repr(self) -> str:
        """Return the settings that `print(model)` shows."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


class MaxAndMeanPool(nn.Module):
    """A layer that returns each channel's maximum and mean: how strongly, and how widely, something is seen."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch twice_channels"]:
        """Return the maxima of all channels, then their means: twice as many columns as channels."""
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1)


class WithMirror(nn.Module):
    """A layer that adds the mirror image of every picture when predicting; while training it does nothing."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "more channels height width"]:
        """Return all pictures followed by all mirror images, or in training mode the pictures alone."""
        return x if self.training else torch.cat([x, x.flip(3)])


class MeanWithMirror(nn.Module):
    """The counterpart of `WithMirror`: a layer that averages the scores of each picture and its mirror image."""

    def forward(self, x: Float[Tensor, "batch scores"]) -> Float[Tensor, "fewer scores"]:
        """Return the mean of the first and second half of the rows, or in training mode the rows as they are."""
        return x if self.training else (x[: len(x) // 2] + x[len(x) // 2 :]) / 2


class Residual(nn.Sequential):
    """Layers whose output is added to their input (He et al., "Deep residual learning", 2016, section 3.1)."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Return the input plus what the layers make of it; both have the same shape."""
        added: Tensor = x
        for layer in self:
            added = layer(added)
        return x + added


class RootOfShare(nn.Module):
    """A layer that divides each feature by the mean of its row and takes the square root.

    Few large features no longer outweigh the many small ones, and each row has the same length (the power and L2
    normalization of Perronnin, Sanchez and Mensink, "Improving the Fisher kernel", 2010, section 3, for features that
    are not negative).

    Args:
        eps: The smallest mean to divide by, so that a row of zeros stays zeros.
    """

    eps: float
    least = 1e-4  # share of a feature that has a gradient; in 8 bits, the root of a smaller one is 0

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Return rows whose squares have mean 1.

        The root of 0 has an infinite slope, so features near 0 have no gradient.
        """
        share = x / x.mean(1, keepdim=True).clamp(min=self.eps)
        flat = share.detach().clamp(min=0).sqrt()
        return torch.where(share < self.least, flat, share.clamp(min=self.least).sqrt())


def mirrored(model: nn.Sequential) -> nn.Sequential:
    """Wrap a model so that it averages its scores for a picture and the mirror image.

    Training does not change; a prediction takes twice as long. (Test-time augmentation: Krizhevsky, Sutskever and
    Hinton, "ImageNet classification with deep convolutional neural networks", 2012, section 4.1.)

    Args:
        model: A model that takes pictures `(b, c, h, w)`.

    Returns:
        A new model that shares the layers.
    """
    return nn.Sequential(WithMirror(), *model, MeanWithMirror())


def outputs(classes: int) -> int:
    """Return the number of logits per picture: one for two classes, otherwise one for each class.

    Args:
        classes: The number of classes.
    """
    return 1 if classes == 2 else classes


def linear(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 0) -> nn.Sequential:
    """Build the walk-through's model: each logit is a weighted sum of the pixels.

    Args:
        shape: Channels, height and width of the pictures.
        classes: The number of classes.
        normalize: A first layer, if pixels are to be normalized.
        width: Ignored: a linear model has no hidden units.

    Returns:
        The model, as PyTorch initializes it.
    """
    channels, height, wide = shape
    return nn.Sequential(*_first(normalize), nn.Flatten(), nn.Linear(channels * height * wide, outputs(classes)))


def relu(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 30) -> nn.Sequential:
    """Build a model with one hidden layer; the ReLU keeps its two linear layers from collapsing into one.

    Args:
        shape: Channels, height and width of the pictures.
        classes: The number of classes.
        normalize: A first layer, if pixels are to be normalized.
        width: The number of hidden units.

    Returns:
        The model, as PyTorch initializes it.
    """
    channels, height, wide = shape
    return nn.Sequential(
        *_first(normalize),
        nn.Flatten(),
        nn.Linear(channels * height * wide, width),
        nn.ReLU(),
        nn.Linear(width, outputs(classes)),
    )


def cnn(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 16) -> nn.Sequential:
    """Build a small convolutional network: a strided stem, three 3x3 stages, max and mean pooling.

    Each stage doubles the channels, up to four times `width`, and halves the picture while it is larger than 3
    pixels. Pooling comes before the ReLU: the same function with less computing. The stem does not shrink pictures
    under 8 pixels.

    Args:
        shape: Channels, height and width of the pictures.
        classes: The number of classes.
        normalize: A first layer, if pixels are to be normalized.
        width: The number of channels of the stem.

    Returns:
        The model, as PyTorch initializes it.
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
    # Faster on a CPU, with the same numbers up to rounding; torch's stubs lack the argument.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def vgg(shape: Shape, classes: int, normalize: Normalize | None = None, width: int = 16) -> nn.Sequential:
    """Build a network of six 3x3 convolutions that sees small pictures at full resolution; slower than `cnn`.

    Two convolutions with `width` channels, two with twice as many and two with four times as many, each pair after a
    pooling that halves the picture while it is larger than 7 pixels (after Simonyan and Zisserman, "Very deep
    convolutional networks for large-scale image recognition", 2014, with batch normalization). As in `cnn`, pooling
    comes before the ReLU, and the end is max and mean pooling.

    Args:
        shape: Channels, height and width of the pictures.
        classes: The number of classes.
        normalize: A first layer, if pixels are to be normalized.
        width: The number of channels of the first two convolutions.

    Returns:
        The model, as PyTorch initializes it.
    """
    before, height, wide = shape
    side = min(height, wide)
    layers: list[nn.Module] = [*_first(normalize)]
    for place, after in enumerate((width, width, 2 * width, 2 * width, 4 * width, 4 * width)):
        layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
        if place in (1, 3) and side > 7:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    model = nn.Sequential(*layers, MaxAndMeanPool(), nn.Linear(2 * before, outputs(classes)))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # see `cnn`
    return model


def _first(normalize: Normalize | None) -> list[nn.Module]:
    """Return the layers that a model begins with."""
    return [] if normalize is None else [normalize]


MODELS: dict[str, Callable[..., nn.Sequential]] = {"linear": linear, "relu": relu, "cnn": cnn, "vgg": vgg}


def usual_width(model: str) -> int:
    """Return the default width of a model; 0 for a model without hidden units.

    Args:
        model: A name in `MODELS`.
    """
    return int(inspect.signature(MODELS[model]).parameters["width"].default)


def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Return the model's predictions for a batch.

    Args:
        model: Any model.
        x: A batch as the model takes it.

    Returns:
        What the model returns: for our models logits, `(b, 1)` or `(b, classes)`.

    Raises:
        ShapeError: The model cannot take the batch; the error names its shape and type, and what would fit.
    """
    try:
        predictions: Tensor = model(x)
    except TORCHS as error:
        if type(error) not in TORCHS:  # a subclass, such as out of memory or one of our own errors
            raise
        raise misfit(model, x, error) from error
    if not isinstance(predictions, Tensor):
        raise ModelError(
            f"The model returns a {type(predictions).__name__}, but must return one tensor of scores.",
            hint="Return the scores alone, or wrap the model in a module whose forward returns model(x)[0].",
        )
    return predictions


# The errors that torch raises if tensors do not fit together.
TORCHS = (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError)


def misfit(model: nn.Module, x: Tensor, error: Exception) -> ShapeError:
    """Return the error to raise if a model cannot take a batch: what was given and what the first layer needs.

    Args:
        model: The model.
        x: The batch that it refused.
        error: What torch raised.

    Returns:
        A `ShapeError` with a hint.
    """
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    first = next((layer for layer in model.modules() if next(layer.parameters(recurse=False), None) is not None), model)
    kind = next((parameter.dtype for parameter in first.parameters()), torch.float32)
    message = f"The model cannot take a batch of shape {tuple(x.shape)} and type {x.dtype}: {reason:.200}"
    normed = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training for layer in model.modules())
    if len(x) == 1 and normed:
        return ShapeError(
            message,
            hint="Batch norm cannot train on a batch of 1: use DataLoader(..., drop_last=True), or another batch size.",
        )
    if x.dtype != kind and "type" in reason:
        scaled = " / 255" if x.dtype == torch.uint8 else ""
        converted = {torch.float32: "x.float()", torch.float64: "x.double()"}.get(kind, f"x.to({kind})")
        return ShapeError(message, hint=f"Its parameters are {kind}: give it {converted}{scaled}.")
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
    """Turn logits into probabilities, with one column for each class and rows that add up to 1.

    Args:
        predictions: Logits, `(b, 1)` for two classes or `(b, classes)`.
        activation: Turns logits into probabilities; if it returns one column, that is the probability of the second
            class. By default the sigmoid for one column and the softmax for several.
        temperature: What the default activation divides the logits by.

    Returns:
        Probabilities `(b, classes)`, with two columns for two classes.

    Raises:
        ModelError: The predictions do not have two dimensions.
    """
    if predictions.ndim != 2:
        raise ModelError(
            f"Predictions have shape {tuple(predictions.shape)}; they must have one row for each picture.",
            hint="End the model with a linear layer.",
        )
    if activation is not None:
        shares = activation(predictions)
    elif predictions.shape[1] == 1:
        shares = torch.sigmoid(predictions / temperature)
    else:
        shares = F.softmax(predictions / temperature, dim=1)
    return torch.cat([1 - shares, shares], dim=1) if shares.shape[1] == 1 else shares
