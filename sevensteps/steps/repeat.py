"""Step 6, repeat: train as a stream of events, with everything that is needed to continue in one `State` (state.py).

`stream` is the whole process: its loop does steps 2 to 5 for each batch. It yields a `Batch` after each batch and an
`Epoch` after each pass; the consumer decides what happens in between. It hides no state: leave it at any yield, and a
new stream over the same state continues as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..base.seeds import LAYERS, one_thread_draws, seed_of
from ..errors import DataError, TrainingError
from ..records.events import Batch, Epoch
from .loss import Loss
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
            device, losses = batch[0].device, []
            drawing = drawn_at(state.seed, state.epoch, state.position, device) if way.draws else _AS_IT_IS
            with torch.set_grad_enabled(way.draws), drawing:
                # One batch, unless gradients are accumulated.
                for x, targets in itertools.chain([batch], itertools.islice(upcoming, way.accumulate - 1)):
                    predictions = way.predict(x)  # step 2
                    loss = loss_func(predictions, targets)  # step 3
                    way.calculate_gradient(x, targets, predictions, loss)  # step 4
                    losses.append((loss.detach(), len(x)))
            way.step()  # step 5
            loss, size = mean_of(losses)
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


def mean_of(losses: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, int]:
    """Return the mean loss over the pictures of several batches, and their number.

    Args:
        losses: The mean loss and the number of pictures of each batch.
    """
    if len(losses) == 1:
        return losses[0]
    size = sum(count for _, count in losses)
    return torch.stack([loss * (count / size) for loss, count in losses]).sum(), size


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


_AS_IT_IS = contextlib.nullcontext()


def drawn_at(seed: int, epoch: int, position: int, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Make random layers draw the numbers that belong to one batch of one epoch in training, inside the context.

    Args:
        seed: The seed of the run.
        epoch: The epoch, from 0.
        position: The batch in the epoch, from 0.
        device: Where the model is.

    Returns:
        A context manager.
    """
    return drawn_from(seed_of(seed, epoch, position, LAYERS), device)


@contextlib.contextmanager
def drawn_from(seed: int, device: torch.device, own: Sequence[tuple[torch.Generator, int]] = ()) -> Iterator[None]:
    """Seed torch's global generators, and others, inside the context; restore them afterward.

    All threads share them, so another thread waits until the context ends.

    Args:
        seed: The seed.
        device: An accelerator's own generator is seeded too.
        own: More generators, each seeded from `seed` and a seed of its own.

    Yields:
        Nothing.
    """
    with one_thread_draws():
        before = [(generator, generator.get_state()) for generator in (torch.default_generator, *dict(own))]
        torch.default_generator.manual_seed(seed)
        for generator, own_seed in own:
            generator.manual_seed(seed_of(seed, own_seed))
        accelerator: Any = None if device.type == "cpu" else getattr(torch, device.type)
        if accelerator is not None:
            accelerator_before = accelerator.get_rng_state()
            accelerator.manual_seed(seed)
        try:
            yield
        finally:
            for generator, generator_before in before:
                generator.set_state(generator_before)
            if accelerator is not None:
                accelerator.set_rng_state(accelerator_before)
