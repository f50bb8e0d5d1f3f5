"""Compute a network for several pictures at once, where that gives each picture the very digits that it gets alone.

Most layers treat each picture of a batch by itself. But a product of matrices, and a convolution that PyTorch computes
in another way for one small picture, add in another order in a batch, and last digits change. So each layer is tried
once on made-up pictures: one that gives the same bits for all of them at once is computed at once from then on, another
picture by picture. Batches have one fixed size, since other sizes might be computed in other ways; a smaller one is
filled up. What was measured: docs/decisions/0045-batches-with-the-same-digits.md.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..steps.own_model import has_own_code
from ..steps.predict import probabilities
from .torch_model import TorchModel

AT_ONCE = 32  # pictures in a batch; in larger ones, a picture takes hardly less time


WORTH_IT = 8  # pictures from which a batch is filled up, instead of taking one after the other


MOST_VALUES = 1 << 14  # of a picture; a larger one takes its time in the layers, and not in starting them


MOST_NUMBERS = 1 << 20  # that a layer makes of a picture, for the same reason


Layer = Callable[[Tensor], Tensor]


class Together:
    """A model's probabilities of pictures, each with the digits that it gets alone.

    Args:
        model: The model.
        shape: Channels, height and width of a picture.
    """

    def __init__(self, model: TorchModel, shape: tuple[int, int, int]) -> None:
        self._model, self._shape = model, shape
        # Code of one's own may change its input, or draw.
        self._is_tried = math.prod(shape) > MOST_VALUES or has_own_code(model.module)
        self._at_once: Layer | None = None

    def probabilities(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        """Return the probabilities of pictures.

        Args:
            x: Pixels in [0, 1].
        """
        if not self._is_tried and len(x) >= AT_ONCE:  # trying takes as long as so many pictures
            self._is_tried = True
            with contextlib.suppress(Exception):  # layers raise whatever a batch of a foreign file runs into
                self._at_once = _way_at_once(self._model, self._shape)
        parts = [x[at : at + AT_ONCE] for at in range(0, len(x), AT_ONCE)]
        return torch.cat([self._of_some(part) for part in parts])

    def _of_some(self, x: Tensor) -> Tensor:
        """Return the probabilities of at most `AT_ONCE` pictures."""
        if self._at_once is None or len(x) < WORTH_IT:
            return torch.cat([self._model.probabilities(x[at : at + 1]) for at in range(len(x))])
        filled = torch.cat([x, x.new_zeros((AT_ONCE - len(x), *x.shape[1:]))])
        with torch.no_grad():
            return self._at_once(filled)[: len(x)]


@torch.no_grad()
def _way_at_once(model: TorchModel, shape: tuple[int, int, int]) -> Layer | None:
    """Return what computes the probabilities of `AT_ONCE` pictures; None if only each alone gets its digits."""
    draw = torch.Generator().manual_seed(0)
    pictures = torch.rand((AT_ONCE, *shape), generator=draw)
    alone, layers = list(_one_by_one(pictures)), list[Layer]()
    together = pictures
    every = list(_layers(model))
    for layer in every:
        first = layer(alone[0])
        if first.numel() + _unfolded(layer, first) > MOST_NUMBERS:
            return None
        alone = [first, *(layer(picture) for picture in alone[1:])]
        expected = _joined(alone)
        result = layer(together)
        is_same = result.shape == expected.shape and torch.equal(result, expected)
        # The sigmoid of several scores has another last digit than that of one, but only for some scores, which the few
        # of made-up pictures need not show.
        layers.append(layer if is_same and layer is not every[-1] else _each_by_itself(layer))
        together = result if is_same else expected

    def at_once(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    is_same = torch.equal(at_once(pictures), together)
    return at_once if is_same else None


def _unfolded(layer: Layer, result: Tensor) -> int:
    """Return how many numbers a convolution may copy to compute a result."""
    if not isinstance(layer, nn.Conv2d):
        return 0
    return math.prod(layer.kernel_size) * layer.in_channels * math.prod(result.shape[-2:])


def _layers(model: TorchModel) -> Iterator[Layer]:
    """Give what the model computes, one after the other, from pictures to probabilities."""
    if model.flat:
        yield lambda x: x.flatten(1)
    yield from _within(model.module)
    yield lambda scores: probabilities(scores, model.activation, model.temperature)


def _within(module: nn.Module) -> Iterator[nn.Module]:
    """Give the layers of sequences in sequences; any other module is one layer."""
    if type(module) is not nn.Sequential:
        yield module
        return
    for layer in module:
        yield from _within(layer)


def _each_by_itself(layer: Layer) -> Layer:
    """Return a layer that computes the rows of each of `AT_ONCE` pictures by themselves."""

    def computed(x: Tensor) -> Tensor:
        return _joined([layer(rows) for rows in _one_by_one(x)])

    return computed


def _one_by_one(x: Tensor) -> Iterator[Tensor]:
    """Give the rows of each picture: one, or with test-time flip two, the mirrored one after those of all others."""
    for at in range(AT_ONCE):
        rows = [x[row : row + 1] for row in range(at, len(x), AT_ONCE)]
        yield rows[0] if len(rows) == 1 else torch.cat(rows)


def _joined(alone: Sequence[Tensor]) -> Tensor:
    """Return the rows of all pictures, in the order in which `_one_by_one` finds them."""
    return torch.cat([rows[at : at + 1] for at in range(len(alone[0])) for rows in alone])
