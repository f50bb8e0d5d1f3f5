"""Step 6, repeat: training as a stream of events, with all that it needs to go on in one `State`.

`stream` is the whole process: its loop goes through steps 2 to 5 once a batch. It yields a `Batch` after each and an
`Epoch` after each pass; whoever consumes it decides what happens in between. It keeps nothing to itself: leave it at
any yield, and a new stream over the same state goes on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..records import Batch, Epoch
from ..seeds import LAYERS, LOADER, seed_of
from .gradient import CalculateGradient
from .loss import Loss
from .step import Schedule
from .stop import Progress, StopRule

Validate = Callable[[], tuple[float | None, Mapping[str, float]]]


@dataclass
class State:
    """Everything a run is: parameters, optimizer, position, history, and the figures under way.

    `tensors()` and `facts()` give it as named tensors and as plain numbers and words; `restore` takes both back.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    lr: float
    epoch: int = 0  # epochs done, which is also the number (from 0) of the one under way
    position: int = 0  # batches done of the epoch under way
    batch: int = 0  # batches done in all
    seen: int = 0  # pictures seen in the epoch under way
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))  # over those pictures
    last_loss: Tensor | None = None
    history: list[Epoch] = field(default_factory=list)
    seconds: float = 0.0
    fit_epoch: int = 0  # where the present fit began
    fit_position: int = 0
    fit_batch: int = 0
    fit_seconds: float = 0.0
    stopped: str | None = None  # why the last fit ended; None while one is under way
    changes: list[dict[str, float]] = field(default_factory=list)

    def begin_fit(self) -> None:
        """Count epochs, batches and seconds from here."""
        self.fit_epoch, self.fit_position, self.fit_batch = self.epoch, self.position, self.batch
        self.fit_seconds, self.stopped, self.last_loss = self.seconds, None, None

    def progress(self) -> Progress:
        """What a stop rule may look at."""
        return Progress(
            self.epoch - self.fit_epoch,
            self.batch - self.fit_batch,
            self.seconds - self.fit_seconds,
            self.fit_history,
            self._read_last_loss,
        )

    def _read_last_loss(self) -> float | None:
        return None if self.last_loss is None else float(self.last_loss)

    @property
    def fit_history(self) -> list[Epoch]:
        """The epochs of the present or last fit."""
        return self.history[self.fit_epoch :]

    def count_batch(self, loss: Tensor, size: int) -> None:
        """One more batch is done."""
        self.position += 1
        self.batch += 1
        self.seen += size
        self.loss_sum.add_(loss, alpha=size)
        self.last_loss = loss

    def count_epoch(self, valid_loss: float | None, metrics: Mapping[str, float], lr: float, seconds: float) -> Epoch:
        """One more epoch is done; the figures of the next begin at zero."""
        train_loss = float(self.loss_sum) / self.seen
        event = Epoch(self.epoch + 1, train_loss, valid_loss, dict(metrics), lr, seconds)
        self.history.append(event)
        self.epoch, self.position, self.seen = self.epoch + 1, 0, 0
        self.loss_sum = torch.zeros_like(self.loss_sum)
        return event

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by a name: parameters and buffers, the optimizer's, the loss under way. Views, not copies."""
        named = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    named[f"optimizer.{index}.{name}"] = value
        named["loss_sum"] = self.loss_sum
        return named

    def facts(self) -> dict[str, Any]:
        """All the rest, as numbers and words that JSON can hold."""
        optimizer = self.optimizer.state_dict()
        plain = {
            f"{index}.{name}": value
            for index, state in optimizer["state"].items()
            for name, value in state.items()
            if not isinstance(value, Tensor)
        }
        counts = {name: getattr(self, name) for name in _COUNTS}
        history = [_as_json(epoch) for epoch in self.history]
        return {
            **counts,
            "history": history,
            "changes": self.changes,
            "optimizer": {"name": type(self.optimizer).__name__, "groups": optimizer["param_groups"], "plain": plain},
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take the place of what `tensors` and `facts` describe, or stay as it is.

        Raises:
            TrainingError: they belong to another model or optimizer.
        """
        parameters = _without_prefix("model.", tensors)
        try:
            _refuse_difference("tensor", _shapes(self.model.state_dict()), _shapes(parameters))
            saved = facts["optimizer"]
            _refuse_difference("the optimizer", type(self.optimizer).__name__, saved["name"])
            groups = [{key: _from_json(value) for key, value in group.items()} for group in saved["groups"]]
            state: dict[int, dict[str, Any]] = {}
            for name, value in [*_without_prefix("optimizer.", tensors).items(), *saved["plain"].items()]:
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = value
            counts = {name: facts[name] for name in _COUNTS}
            loss_sum = tensors["loss_sum"].to(self.loss_sum).clone()
            changes = [dict(change) for change in facts["changes"]]
            history = [_epoch_from(epoch) for epoch in facts["history"]]
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"What was saved does not fit this learner: {error}",
                hint="Load it into a learner with the same model and optimizer.",
            ) from error
        self.model.load_state_dict(parameters)
        for name, value in counts.items():
            setattr(self, name, value)
        self.loss_sum, self.last_loss, self.changes, self.history = loss_sum, None, changes, history


_COUNTS = (
    "seed",
    "lr",
    "epoch",
    "position",
    "batch",
    "seen",
    "fit_epoch",
    "fit_position",
    "fit_batch",
    "stopped",
)


def stream(
    state: State,
    batches: Callable[[int, int], Iterator[tuple[Tensor, Tensor]]],
    loss_func: Loss,
    calculate_gradient: CalculateGradient,
    step: Callable[[], Any],
    validate: Validate,
    stop: StopRule,
    schedule: Schedule,
    *,
    batches_per_epoch: int | None,
    by_formula: bool = False,
) -> Iterator[Batch | Epoch]:
    """Steps 2 to 5 for batch after batch, until `stop` gives a reason, which is then in `state.stopped`.

    `batches(epoch, start)` gives the batches of an epoch from `start` on. No context is open across a yield. The
    gradient in `.grad` after a batch is that batch's.

    Raises:
        TrainingError: the loader has no batches.
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
            with drawn_from(seed_of(state.seed, state.epoch, state.position, LAYERS), x.device):
                with torch.set_grad_enabled(not by_formula):
                    predictions = model(x)  # step 2
                    loss = loss_func(predictions, targets)  # step 3
                calculate_gradient(x, targets, predictions, loss)  # step 4
            step()  # step 5
            loss = loss.detach()
            state.count_batch(loss, len(x))
            event = Batch(state.epoch + 1, state.position, batches_per_epoch, len(x), loss, lr)
            state.seconds += time.perf_counter() - began
        else:
            upcoming = None
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
        for x, y in enter(seed, epoch, start):
            yield x.to(device), y.to(device)
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
            x, y = batch
            yield x.to(device), y.to(device)
        position += 1


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


def _as_json(epoch: Epoch) -> dict[str, Any]:
    """An epoch but for its seconds. JSON has no infinity and no NaN, so they are words; files sort a table's keys, so
    that metrics, whose order counts, are pairs.
    """

    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    fields = {key: plain(value) for key, value in asdict(epoch).items() if key != "seconds"}
    return {**fields, "metrics": [[name, plain(value)] for name, value in epoch.metrics.items()]}


def _epoch_from(fields: Mapping[str, Any]) -> Epoch:
    """The epoch that `_as_json` made this of."""
    numbers = {key: None if fields[key] is None else float(fields[key]) for key in ("train_loss", "valid_loss", "lr")}
    metrics = {str(name): float(value) for name, value in fields["metrics"]}
    return Epoch(number=int(fields["number"]), metrics=metrics, **numbers)  # type: ignore[arg-type]


def _from_json(value: Any) -> Any:
    """A setting of an optimizer as it was: JSON makes lists of tuples such as Adam's betas."""
    return tuple(value) if isinstance(value, list) and value and isinstance(value[0], float) else value


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _refuse_difference(what: str, own: Any, saved: Any) -> None:
    """Raise the ValueError that `restore` puts in words."""
    if own == saved:
        return
    if isinstance(own, dict):
        name = min(own.items() ^ saved.items())[0]
        own, saved = f"{name} {own.get(name, 'missing')}", f"{name} {saved.get(name, 'missing')}"
    raise ValueError(f"{what} is {own} here and was {saved}")


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
