"""Parts of a batch that several processes compute: each process sends its parts, and all receive every part.

A part is its loss, its gradients and batch norm's statistics of its twin. They lie in one row of bytes, which has the
same size on all processes, so that one message a batch is enough. Nothing is added here: each process adds the parts
itself, in their order, so that the sums do not depend on how many processes there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

HEAD = 8  # bytes before the parts, for the team itself


_ALIGNED = 8  # bytes: a number of any type may begin at each multiple


@runtime_checkable
class Team(Protocol):
    """The processes that compute a training together."""

    @property
    def rank(self) -> int:
        """The place of this process among them, from 0."""

    @property
    def world(self) -> int:
        """How many there are."""

    def gather(self, mine: Tensor, every: Sequence[Tensor]) -> None:
        """Send a row of bytes to all processes, and put theirs into `every`, by rank. The first `HEAD` are its own."""


class Exchange:
    """The parts of a batch as they travel between processes.

    Args:
        team: The processes.
        model: Its parameters have gradients, and its batch norms statistics.
        shards: The largest number of parts of a batch.
    """

    def __init__(self, team: Team, model: nn.Module, shards: int) -> None:
        self._team = team
        device = next(model.parameters()).device
        parameters, statistics = list(model.parameters()), statistics_of(model)
        self._slots = math.ceil(shards / team.world)
        size = _size_of(parameters, statistics)
        self._mine = torch.zeros(HEAD + self._slots * size, dtype=torch.uint8, device=device)
        self._every = [torch.zeros_like(self._mine) for _ in range(team.world)]
        starts = range(HEAD, len(self._mine), size) if size else ()
        self._sent = [_Row(self._mine, start, parameters, statistics) for start in starts]
        self._received = [[_Row(row, start, parameters, statistics) for start in starts] for row in self._every]

    @property
    def size(self) -> int:
        """The number of bytes that each process sends for a batch."""
        return len(self._mine)

    def own(self, count: int) -> slice:
        """Return which parts this process computes.

        Args:
            count: The number of parts of the batch.
        """
        return slice(self._team.rank, count, self._team.world)

    def put(self, number: int, loss: Tensor, parameters: Sequence[Tensor], model: nn.Module) -> None:
        """Put a part that this process has computed into its row.

        Args:
            number: The number of the part in the batch.
            loss: Its loss.
            parameters: They hold its gradients.
            model: It holds its statistics.
        """
        self._sent[number // self._team.world].write(loss, parameters, statistics_of(model))

    def gather(self) -> None:
        """Exchange the rows: all processes wait for each other here."""
        self._team.gather(self._mine, self._every)

    def take(self, number: int, parameters: Sequence[Tensor], model: nn.Module) -> Tensor:
        """Put the gradients and statistics of a part where its process had them, until the next batch overwrites them.

        Args:
            number: The number of the part in the batch.
            parameters: They receive its gradients.
            model: It receives its statistics.

        Returns:
            The part's loss.
        """
        row = self._received[number % self._team.world][number // self._team.world]
        return row.read(parameters, statistics_of(model))


def statistics_of(model: nn.Module) -> list[Tensor]:
    """Return the running statistics of a model's batch norms.

    Args:
        model: Any model.
    """
    norms = [module for module in model.modules() if isinstance(module, _NormBase)]
    return [value for norm in norms for value in norm._buffers.values() if value is not None]


_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)  # of a loss


class _Row:
    """One part in a row of bytes, as tensors that share its memory."""

    def __init__(self, row: Tensor, start: int, parameters: Sequence[Tensor], statistics: Sequence[Tensor]) -> None:
        self._loss, start = _view(row, start, torch.empty(1, dtype=torch.float64))
        # Of which type the loss is, and for each parameter whether it has a gradient.
        self._flags, start = _view(row, start, torch.empty(1 + len(parameters), dtype=torch.uint8))
        self._gradients: list[Tensor] = []
        self._statistics: list[Tensor] = []
        for like, views in [(each, self._gradients) for each in parameters] + [
            (each, self._statistics) for each in statistics
        ]:
            view, start = _view(row, start, like)
            views.append(view)

    def write(self, loss: Tensor, parameters: Sequence[Tensor], statistics: Sequence[Tensor]) -> None:
        """Write a part."""
        self._loss[0] = loss
        has = [parameter.grad is not None for parameter in parameters]
        self._flags.copy_(torch.tensor([_DTYPES.index(loss.dtype), *has], dtype=torch.uint8))
        for view, parameter in zip(self._gradients, parameters, strict=True):
            if parameter.grad is not None:
                view.copy_(parameter.grad)
        for view, value in zip(self._statistics, statistics, strict=True):
            view.copy_(value)

    def read(self, parameters: Sequence[Tensor], statistics: Sequence[Tensor]) -> Tensor:
        """Read a part."""
        kind, *has = self._flags.tolist()
        for view, parameter, is_there in zip(self._gradients, parameters, has, strict=True):
            parameter.grad = view if is_there else None
        for view, value in zip(self._statistics, statistics, strict=True):
            value.copy_(view)
        return self._loss[0].to(_DTYPES[kind], copy=True)


def _size_of(parameters: Sequence[Tensor], statistics: Sequence[Tensor]) -> int:
    """Return the number of bytes of a part."""
    tensors = [each.numel() * each.element_size() for each in (*parameters, *statistics)]
    return sum(map(_aligned, [_ALIGNED, 1 + len(parameters), *tensors]))


def _view(row: Tensor, start: int, like: Tensor) -> tuple[Tensor, int]:
    """Return the bytes from `start` on as a tensor like another, and where the next may begin.

    The numbers lie in memory as autograd puts a gradient: as those of the parameter, where these have no gaps.
    """
    end = start + like.numel() * like.element_size()
    flat = row[start:end].view(like.dtype)
    dense = torch.empty_like(like, device="meta", memory_format=torch.preserve_format)
    return flat.as_strided(like.shape, dense.stride()), _aligned(end)


def _aligned(size: int) -> int:
    """Return the next place where a number of any type may begin."""
    return math.ceil(size / _ALIGNED) * _ALIGNED
