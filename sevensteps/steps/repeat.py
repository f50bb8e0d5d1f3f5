"""Step 6, repeat: training as a stream of events, with all that it needs to go on in one `State` (state.py).

`stream` is the whole process: its loop goes through steps 2 to 5 once a batch. It yields a `Batch` after each and an
`Epoch` after each pass; whoever consumes it decides what happens in between. It keeps nothing to itself: leave it at
any yield, and a new stream over the same state goes on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..base.seeds import LAYERS, LOADER, seed_of
from ..errors import DataError, TrainingError
from ..records.events import Batch, Epoch
from .gradient import CalculateGradient
from .loss import Loss
from .state import State
from .step import Schedule
from .stop import StopRule

Validate = Callable[[], tuple[float | None, Mapping[str, float]]]


def stream(
    state: State,
    batches: Callable[[int, int], Iterator[tuple[Tensor, Tensor]]],
    predict: Callable[[Tensor], Tensor],
    loss_func: Loss,
    calculate_gradient: CalculateGradient,
    step: Callable[[], Any],
    validate: Validate,
    stop: StopRule,
    schedule: Schedule,
    *,
    batches_per_epoch: int | None,
    draws: bool = True,
) -> Iterator[Batch | Epoch]:
    """Steps 2 to 5 for batch after batch, until `stop` gives a reason, which is then in `state.stopped`.

    `batches(epoch, start)` gives the batches of an epoch from `start` on. No context is open across a yield. The
    gradient in `.grad` after a batch is that batch's. By formula nothing is recorded for autograd, and no layer draws
    at random: `draws` says whether one may.

    Raises:
        TrainingError: the loader has no batches, or none for a second epoch.
        ShapeError: model and batch, or predictions and targets, do not go together.
    """
    model, optimizer = state.model, state.optimizer
    total = stop.total(batches_per_epoch, state.fit_position)
    upcoming = None
    epoch_began = state.seconds
    while not (reason := stop.reason(state.progress())):
        began = time.perf_counter()
        if upcoming is None:
            model.train()
            upcoming = batches(state.epoch, state.position)
        batch = next(upcoming, None)
        event: Batch | Epoch
        if batch is not None:
            x, targets = batch
            lr = state.lr * schedule(state.batch - state.fit_batch, total)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with torch.set_grad_enabled(draws), _drawn_at(state, x.device) if draws else _AS_IT_IS:
                predictions = predict(x)  # step 2
                loss = loss_func(predictions, targets)  # step 3
                calculate_gradient(x, targets, predictions, loss)  # step 4
            step()  # step 5
            loss = loss.detach()
            state.count_batch(loss, len(x))
            event = Batch(state.epoch + 1, state.position, batches_per_epoch, len(x), loss, lr)
            state.seconds += time.perf_counter() - began
        else:
            upcoming = None
            if not state.seen and state.epoch:
                raise TrainingError(
                    f"The training loader is used up: epoch {state.epoch + 1} needs its batches once more.",
                    hint="Give a DataLoader or a list of batches, which can be gone through again.",
                )
            if not state.seen:
                raise TrainingError("The training loader has no batches.", hint="Give it at least one (x, y).")
            valid_loss, metrics = validate()
            state.seconds += time.perf_counter() - began
            last_lr = optimizer.param_groups[0]["lr"]
            event = state.count_epoch(valid_loss, metrics, last_lr, state.seconds - epoch_began)
            epoch_began = state.seconds
        yield event
    state.stopped = reason  # step 7


def batches_from(
    loader: Iterable[Any], seed: int, epoch: int, start: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch of any loader, from batch `start` on.

    A loader with `epoch_batches(seed, epoch, start)`, as ours, enters the epoch there. Any other is iterated and its
    first batches are dropped; what it draws from torch's global generator, or from one it was given, is drawn from
    (seed, epoch, position), so that its order repeats exactly where it has no worker processes.
    """
    enter = getattr(loader, "epoch_batches", None)
    if enter is not None:
        for batch in enter(seed, epoch, start):
            yield pair(batch, device)
        return
    own = _generators_of(loader)
    with drawn_from(seed_of(seed, epoch, LOADER), device, own):
        iterator = iter(loader)
    position = 0
    while True:
        with drawn_from(seed_of(seed, epoch, position, LOADER), device, own):
            batch = next(iterator, None)
        if batch is None:
            return
        if position >= start:
            yield pair(batch, device)
        position += 1


def pair(batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """The x and y of a batch, on the device.

    Raises:
        DataError: it is no pair of tensors.
    """
    try:
        x, y = batch
        return x.to(device), y.to(device)
    except (TypeError, ValueError, AttributeError) as error:
        many = len(batch) if isinstance(batch, (tuple, list)) else 0
        what = f"has {many} parts" if many not in (0, 2) else f"is {_in_words(batch)}"
        raise DataError(
            f"A batch {what}, and must be a pair of tensors (x, y).",
            hint="A DataLoader over list(zip(x, y)) gives such; torch.from_numpy(array) makes a tensor of an array.",
        ) from error


def _in_words(batch: Any) -> str:
    """What a batch is, by the types of its parts."""
    if isinstance(batch, (tuple, list)):
        return f"({', '.join(type(part).__name__ for part in batch)})"
    return type(batch).__name__


def begin_epoch_anew_if_needed(loader: Iterable[Any], state: State) -> str | None:
    """Take up a saved state that lies within an epoch of a loader; says what that costs, if anything.

    Ours are entered at any batch. One without worker processes gives its first batches once more, to be dropped. What
    worker processes or a stream would give cannot be given again: there the epoch begins anew, with the parameters as
    they are.
    """
    if not state.position or hasattr(loader, "epoch_batches"):
        return None
    dataset = getattr(loader, "dataset", None)
    if not getattr(loader, "num_workers", 0) and not isinstance(dataset, torch.utils.data.IterableDataset):
        return f"The loader gives the {state.position:,} batches of this epoch that were done once more, to be dropped."
    state.position, state.seen, state.loss_sum = 0, 0, torch.zeros_like(state.loss_sum)
    return (
        "The loader has worker processes, or is a stream, and cannot be entered within an epoch: "
        f"epoch {state.epoch + 1} begins anew, with the parameters as they are."
    )


_AS_IT_IS = contextlib.nullcontext()


def _drawn_at(state: State, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Inside, random layers draw what they draw at this place of training."""
    return drawn_from(seed_of(state.seed, state.epoch, state.position, LAYERS), device)


@contextlib.contextmanager
def drawn_from(seed: int, device: torch.device, own: Sequence[torch.Generator] = ()) -> Iterator[None]:
    """Inside, torch's global generators and those of `own` start at `seed`; outside, they are as they were."""
    before = [(generator, generator.get_state()) for generator in (torch.default_generator, *own)]
    torch.default_generator.manual_seed(seed)
    for generator in own:
        generator.manual_seed(seed_of(seed, generator.initial_seed()))
    accelerator: Any = None if device.type == "cpu" else getattr(torch, device.type)
    if accelerator is not None:
        accelerator_before = accelerator.get_rng_state()
        accelerator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, was in before:
            generator.set_state(was)
        if accelerator is not None:
            accelerator.set_rng_state(accelerator_before)


def _generators_of(loader: Any) -> list[torch.Generator]:
    """The generators that PyTorch's DataLoader and its samplers draw from where they were given some."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    places = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    found = {id(g): g for place in places if isinstance(g := getattr(place, "generator", None), torch.Generator)}
    return list(found.values())
