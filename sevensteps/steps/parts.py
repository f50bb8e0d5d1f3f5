"""Steps 2 to 4 of a batch in parts, whose losses and gradients are added in the order of the parts.

The gradient of a mean over pictures is the mean of the parts' gradients, each by its number of pictures. There are two
kinds of parts. Where memory is too small for a large batch, several batches of the loader make one step: they are
computed one after another (`accumulate`). And a batch is divided into `shards` fixed parts, each computed by one thread
on a twin of the model: side by side where there are several cores. Several processes share out the parts, and each adds
all of them (`exchange.py`). Since no sum depends on who computes a part, the numbers are the same on one core and on
many, and in one process and in many.

Batch norm takes the statistics of each part alone ("ghost" batch norm: Hoffer, Hubara and Soudry, "Train longer,
generalize better", 2017), so that parts do not wait for each other; its running statistics are the mean over the parts.
docs/decisions/0040-fixed-parts-of-a-batch.md has the figures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..base.one_thread import each_in_one_thread, in_one_thread
from .draws import Place, drawn_at
from .exchange import Exchange
from .gradient import CalculateGradient
from .predict import predict
from .twin import has_hooks, keep_statistics, keeps_numbers, refuse_hooks_of_parameters, twin, versions

LEAST = 16  # pictures of a part, under which batch norm's statistics say little: a smaller batch has fewer parts


Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Part:
    """What computes a part: steps 2 and 4, on the model or on a twin of it."""

    predict: Callable[[Tensor], Tensor]  # step 2, from `x` to logits
    calculate_gradient: CalculateGradient  # step 4
    parameters: Sequence[Tensor]  # those that receive the gradient
    model: nn.Module
    number: int = 0  # of the part in the batch


Steps = Callable[[Part, Tensor, Tensor], Tensor]  # steps 2 to 4 of a part: they return its loss, without a graph


# Steps 2 to 4 of a batch, and of those whose gradients are added to its: they return the mean loss over the pictures,
# and their number.
Compute = Callable[[Steps, Pair, Iterable[Pair], Place], tuple[Tensor, int]]


def parts_of(x: Tensor, targets: Tensor, shards: int) -> list[Pair]:
    """Divide a batch into parts as equal as possible, by its size alone; small batches have fewer parts.

    Args:
        x: The inputs.
        targets: Their targets.
        shards: The number of parts; 0 leaves the batch whole.

    Returns:
        The parts, in the order of the batch.
    """
    count = max(min(shards, len(x) // LEAST), 1)
    return list(zip(x.tensor_split(count), targets.tensor_split(count), strict=True))


class Sum:
    """The mean loss and the mean gradient of several parts, added one by one."""

    def __init__(self) -> None:
        self._losses: list[tuple[Tensor, int]] = []
        self._totals: dict[int, Tensor] = {}

    def add(self, loss: Tensor, size: int, parameters: Sequence[Tensor]) -> None:
        """Add a part.

        Args:
            loss: Its mean loss.
            size: The number of its pictures.
            parameters: They hold its gradient.
        """
        self._losses.append((loss, size))
        for place, parameter in enumerate(parameters):
            if parameter.grad is not None:
                gradient = parameter.grad.detach() * size
                total = self._totals.get(place)
                self._totals[place] = gradient if total is None else total.add_(gradient)

    def put_into(self, parameters: Sequence[Tensor]) -> tuple[Tensor, int]:
        """Put the mean gradient into the parameters.

        Args:
            parameters: As those of each part.

        Returns:
            The mean loss over the pictures, and their number.
        """
        size = sum(count for _, count in self._losses)
        for place, total in self._totals.items():
            parameters[place].grad = total.div_(size)
        if len(self._losses) == 1:
            return self._losses[0]
        return torch.stack([loss * (count / size) for loss, count in self._losses]).sum(), size


def whole(part: Part, *, draws: bool, accumulate: int) -> Compute:
    """Return steps 2 to 4 that leave each batch whole, and compute it with all of PyTorch's threads.

    Args:
        part: Steps 2 and 4.
        draws: Whether autograd records and layers draw random numbers; by formula, neither happens.
        accumulate: Batches whose gradients are averaged for one step.
    """

    def compute(steps: Steps, batch: Pair, more: Iterable[Pair], place: Place) -> tuple[Tensor, int]:
        drawing = drawn_at(place, batch[0].device) if draws else _AS_IT_IS
        with torch.set_grad_enabled(draws), drawing:
            if accumulate == 1:
                return steps(part, *batch), len(batch[0])
            total = Sum()
            for x, targets in itertools.chain([batch], more):
                total.add(steps(part, x, targets), len(x), part.parameters)
        return total.put_into(part.parameters)

    return compute


def divided_formula(part: Part, shards: int, exchange: Exchange | None = None) -> Compute:
    """Return steps 2 to 4 by formula that divide each batch, and compute its parts one after another.

    Args:
        part: Steps 2 and 4.
        shards: Parts of a batch.
        exchange: How parts get to other processes; None where this one computes all of them.
    """

    def compute(steps: Steps, batch: Pair, more: Iterable[Pair], place: Place) -> tuple[Tensor, int]:
        total, before = Sum(), 0
        for x, targets in itertools.chain([batch], more):
            pieces = parts_of(x, targets, shards)
            for number, loss in each_part(steps, pieces, before):
                total.add(loss, len(pieces[number][0]), part.parameters)
            before += len(pieces)
        return total.put_into(part.parameters)

    def each_part(steps: Steps, pieces: Sequence[Pair], before: int) -> Iterator[tuple[int, Tensor]]:
        """Give the number and the loss of one part after another, while the parameters hold its gradient."""
        numbers = range(len(pieces))
        for number in numbers if exchange is None else numbers[exchange.own(len(pieces))]:
            own = dataclasses.replace(part, number=before + number)
            loss = in_one_thread(functools.partial(_computed, steps, own, *pieces[number], draws=False))
            if exchange is None:
                yield number, loss
            else:
                exchange.put(number, loss, part.parameters, part.model)
        if exchange is not None:
            exchange.gather()
            yield from ((number, exchange.take(number, part.parameters, part.model)) for number in numbers)

    return compute


class Divided:
    """Steps 2 to 4 that divide each batch into parts, and compute each part on a twin of the model: a `Compute`.

    Random layers draw from a generator that all threads share. So a model that draws numbers computes its parts one
    after another, each from a seed of its own.

    Args:
        model: The model.
        part_of: Makes steps 2 and 4 of a twin.
        shards: Parts of a batch.
        exchange: How parts get to other processes; None where this one computes all of them.
    """

    def __init__(
        self,
        model: nn.Module,
        part_of: Callable[[nn.Module, int], Part],
        shards: int,
        exchange: Exchange | None = None,
    ) -> None:
        self._model, self._part_of, self._shards, self._exchange = model, part_of, shards, exchange
        self._parameters = list(model.parameters())
        self._draws = False  # which its first batch shows
        self._of_others: dict[int, Part] = {}  # receive what other processes send, by the number of the part
        refuse_hooks_of_parameters(model)

    def __call__(self, steps: Steps, batch: Pair, more: Iterable[Pair], place: Place) -> tuple[Tensor, int]:
        """Compute the gradient of a batch, and of those whose gradients are added to its."""
        for parameter in self._parameters:
            parameter.grad = None
        total, before, shared = Sum(), 0, versions(self._model)
        for x, targets in itertools.chain([batch], more):
            pieces = parts_of(x, targets, self._shards)
            places = [dataclasses.replace(place, part=before + number) for number in range(len(pieces))]
            twins, results = self._every_part(steps, pieces, places)
            sizes = [len(piece) for piece, _ in pieces]
            for part, loss, size in zip(twins, results, sizes, strict=True):
                total.add(loss, size, part.parameters)
            keep_statistics(self._model, [part.model for part in twins], sizes)
            before += len(pieces)
        for (module, version), (_, now) in zip(shared, versions(self._model), strict=True):
            if version != now:
                raise keeps_numbers(module)
        return total.put_into(self._parameters)

    def _every_part(
        self, steps: Steps, pieces: Sequence[Pair], places: Sequence[Place]
    ) -> tuple[list[Part], list[Tensor]]:
        """Compute the parts, or those that are for this process to compute, and receive the others."""
        exchange = self._exchange
        if exchange is None:
            return self._side_by_side(steps, pieces, places)
        own = exchange.own(len(pieces))
        numbers = range(len(pieces))
        parts = {}
        if mine := pieces[own]:  # there may be fewer parts than processes
            computed, losses = self._side_by_side(steps, mine, places[own])
            parts = dict(zip(numbers[own], computed, strict=True))
            for (number, part), loss in zip(parts.items(), losses, strict=True):
                exchange.put(number, loss, part.parameters, part.model)
        exchange.gather()
        every = [parts.get(number) or self._of_another(number) for number in numbers]
        return every, [exchange.take(number, part.parameters, part.model) for number, part in enumerate(every)]

    def _of_another(self, number: int) -> Part:
        """Return the same part for each batch, since making a twin takes as long as adding a part."""
        if number not in self._of_others:
            self._of_others[number] = self._part_of(twin(self._model), number)
        return self._of_others[number]

    def _side_by_side(
        self, steps: Steps, pieces: Sequence[Pair], places: Sequence[Place]
    ) -> tuple[list[Part], list[Tensor]]:
        """Compute parts at the same time; or in turn, if the model draws random numbers or has hooks."""
        device = pieces[0][0].device
        if self._draws or device.type != "cpu" or has_hooks(self._model):
            return self._in_turn(steps, pieces, places)
        parts = [self._part_of(twin(self._model), place.part or 0) for place in places]
        with drawn_at(places[0], device):
            untouched = torch.default_generator.get_state()
            losses = each_in_one_thread(
                [functools.partial(_computed, steps, part, *piece) for part, piece in zip(parts, pieces, strict=True)]
            )
            self._draws = not torch.equal(untouched, torch.default_generator.get_state())
        return self._in_turn(steps, pieces, places) if self._draws else (parts, losses)

    def _in_turn(
        self, steps: Steps, pieces: Sequence[Pair], places: Sequence[Place]
    ) -> tuple[list[Part], list[Tensor]]:
        """Compute one part after another, each with the random numbers of its place."""
        parts, losses = [], []
        for (x, targets), place in zip(pieces, places, strict=True):
            part = self._part_of(twin(self._model), place.part or 0)
            task = functools.partial(_computed, steps, part, x, targets, place=place)
            losses.append(in_one_thread(task) if x.device.type == "cpu" else task())
            parts.append(part)
        return parts, losses


def predict_in_parts(model: nn.Module, x: Tensor, shards: int) -> Tensor:
    """Return the predictions of a model in evaluation mode, of each part of the batch by one thread.

    Args:
        model: The model.
        x: The inputs.
        shards: Parts of the batch; 0 leaves it whole.
    """
    if not shards or x.device.type != "cpu":
        return predict(model, x)
    records, untouched = torch.is_grad_enabled(), torch.default_generator.get_state()

    def predicted(x: Tensor) -> Tensor:
        with torch.set_grad_enabled(records):
            return predict(model, x)

    tasks = [functools.partial(predicted, inputs) for inputs, _ in parts_of(x, x, shards)]
    predictions = each_in_one_thread(tasks)
    if not torch.equal(untouched, torch.default_generator.get_state()):  # drawn from the threads' common generator
        torch.default_generator.set_state(untouched)
        predictions = in_one_thread(lambda: [task() for task in tasks])
    return torch.cat(predictions) if len(predictions) > 1 else predictions[0]


def _computed(
    steps: Steps, part: Part, x: Tensor, targets: Tensor, *, draws: bool = True, place: Place | None = None
) -> Tensor:
    """Take one part through steps 2 to 4, in the thread that calls; return its loss."""
    drawing = _AS_IT_IS if place is None else drawn_at(place, x.device)
    with torch.set_grad_enabled(draws), drawing:
        return steps(part, x, targets)


_AS_IT_IS = contextlib.nullcontext()
