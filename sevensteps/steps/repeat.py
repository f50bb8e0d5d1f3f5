"""Step 6, repeat: train as a stream of events, with everything that is needed to continue in one `State` (state.py).

`stream` is the whole process: its loop does steps 2 to 5 for each batch. It yields a `Batch` after each batch and an
`Epoch` after each pass; the consumer decides what happens in between. It hides no state: leave it at any yield, and a
new stream over the same state continues as if nothing had happened.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, TrainingError
from ..records.events import Batch, Epoch
from .draws import Place
from .loss import Loss
from .parts import Part
from .state import State
from .step import Schedule
from .stop import StopRule
from .way import Way

Validate = Callable[[], tuple[float | None, Mapping[str, float]]]


def stream(
    state: State,
    prepare: Callable[[], Way],
    loss_func: Loss,
    validate: Validate,
    stop: StopRule,
    schedule: Schedule,
    *,
    batches_per_epoch: int | None,
) -> Iterator[Batch | Epoch]:
    """Do steps 2 to 5 for batch after batch until `stop` gives a reason, which is then in `state.stopped`.

    After a batch, `.grad` holds that batch's gradient. No context (such as `no_grad`) is open across a yield.

    Args:
        state: The model, the optimizer and the position; it is updated in place.
        prepare: Called before each epoch: puts the model into training mode and says how to train it.
        loss_func: Step 3.
        validate: Returns the validation loss and the metrics; called after each epoch.
        stop: Step 7.
        schedule: The factor of the learning rate for each batch.
        batches_per_epoch: The number of batches in an epoch, if known.

    Yields:
        A `Batch` after each batch and an `Epoch` after each epoch.

    Raises:
        TrainingError: The loader has no batches, or none for a second epoch.
        ShapeError: Model and batch, or predictions and targets, do not fit together.
    """

    def steps_2_to_4(part: Part, x: Tensor, targets: Tensor) -> Tensor:
        predictions = part.predict(x)  # step 2
        loss = loss_func(predictions, targets)  # step 3
        part.calculate_gradient(x, targets, predictions, loss)  # step 4
        return loss.detach()

    total = stop.total(batches_per_epoch, state.fit_position)
    upcoming = None
    epoch_began = state.seconds
    while not (reason := stop.reason(state.progress())):
        began = time.perf_counter()
        if upcoming is None:
            way = prepare()
            upcoming = way.batches(state.epoch, state.position * way.accumulate)
        batch = next(upcoming, None)
        event: Batch | Epoch
        if batch is not None:
            lr = state.set_rates(schedule(state.batch - state.fit_batch, total))
            # One batch, unless gradients are accumulated; one part, unless batches are divided.
            more = itertools.islice(upcoming, way.accumulate - 1)
            loss, size = way.compute(steps_2_to_4, batch, more, Place(state.seed, state.epoch, state.position))
            way.step()  # step 5
            state.count_batch(loss, size)
            event = Batch(
                epoch=state.epoch + 1, number=state.position, total=batches_per_epoch, size=size, loss=loss, lr=lr
            )
            state.seconds += time.perf_counter() - began
        else:
            upcoming = None
            if not state.seen and state.epoch:
                raise TrainingError(
                    f"The training loader is exhausted: epoch {state.epoch + 1} needs its batches again.",
                    hint="Give a DataLoader or a list of batches, which can be iterated more than once.",
                )
            if not state.seen:
                raise TrainingError("The training loader has no batches.", hint="Give it at least one (x, y).")
            valid_loss, metrics = validate()
            state.seconds += time.perf_counter() - began
            event = state.count_epoch(valid_loss, metrics, state.rates.last, state.seconds - epoch_began)
            epoch_began = state.seconds
        yield event
        if upcoming is not None and not way.applies():
            way, before = prepare(), way
            if way.batches != before.batches:  # by formula they may be of another scale
                upcoming = way.batches(state.epoch, state.position * way.accumulate)
    state.stopped = reason  # step 7


def pair(batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the x and y of a batch, on the device. A batch may be empty: validation leaves it out.

    Args:
        batch: What a loader yields.
        device: Where the tensors go.

    Returns:
        Two tensors.

    Raises:
        DataError: The batch is not a pair of tensors.
    """
    try:
        if isinstance(batch, Tensor):  # of which two rows would pass for a pair
            raise TypeError
        x, y = batch
        return x.to(device), y.to(device)
    except (TypeError, ValueError, AttributeError) as error:
        parts = len(batch) if isinstance(batch, (tuple, list)) else 0
        what = f"has {parts} parts" if parts not in (0, 2) else f"is {_in_words(batch)}"
        raise DataError(
            f"A batch {what}; it must be a pair of tensors (x, y).",
            hint="Use a DataLoader over list(zip(x, y)); torch.from_numpy(array) turns an array into a tensor.",
        ) from error


def _in_words(batch: Any) -> str:
    """Name the type of a batch, or the types of its parts."""
    if isinstance(batch, (tuple, list)):
        return f"({', '.join(type(part).__name__ for part in batch)})"
    return type(batch).__name__
