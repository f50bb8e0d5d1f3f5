"""State: everything that training changes, in one object that can be saved and resumed exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..records import history
from ..records.events import Epoch
from .rates import Rates, checked_factor
from .saved_module import exactly_in_json, named_as, plain_name
from .saved_optimizer import optimizer_facts, optimizer_tensors, put_into, restored_optimizer
from .stop import Progress, Reason, code_of


@dataclass
class State:
    """A run in progress: parameters, optimizer, position, history, running sums, and the best parameters so far.

    `tensors()` and `facts()` return it as named tensors and as plain numbers and words; `restore` reads both back.
    Everything that grows with the run is a tensor, so that the facts stay small.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    lr: float
    epoch: int = 0  # epochs done, which is also the index (from 0) of the current epoch
    position: int = 0  # batches done in the current epoch
    batch: int = 0  # batches done in all
    seen: int = 0  # pictures seen in the current epoch
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))  # over those pictures
    last_loss: Tensor | None = None
    history: list[Epoch] = field(default_factory=list)
    seconds: float = 0.0
    fit_epoch: int = 0  # where the current fit began
    fit_position: int = 0
    fit_batch: int = 0
    fit_seconds: float = 0.0
    stopped: str | None = None  # why the last fit ended, a `Reason`; None while one is under way
    changes: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0  # the epoch that `best` comes from; 0 if none was kept
    best: dict[str, Tensor] = field(default_factory=dict)  # parameters and buffers by name
    loss: nn.Module | None = None  # the loss, if it has parameters of its own

    def __post_init__(self) -> None:
        self.usual_lr = self.lr  # what a fit takes that is not given a rate
        self.rates = Rates(self.optimizer, self.lr)
        self._fit_history: tuple[int, int, list[Epoch]] = (0, 0, [])

    def begin_fit(self) -> None:
        """Start a fit: count its epochs, batches and seconds from here."""
        self.fit_epoch, self.fit_position, self.fit_batch = self.epoch, self.position, self.batch
        self.fit_seconds, self.stopped, self.last_loss = self.seconds, None, None

    def use(self, optimizer: torch.optim.Optimizer, lr: float) -> None:
        """Go on with another optimizer.

        Args:
            optimizer: Of the same parameters.
            lr: The rate that it was made with.
        """
        self.optimizer, self.rates = optimizer, Rates(optimizer, lr)

    def take_over_rates(self) -> None:
        """Make a rate that somebody wrote into the optimizer since the last batch the learner's own."""
        if self.rates.are_changed():
            self.lr = self.usual_lr = self.rates.taken_over()

    def set_rates(self, factor: float) -> float:
        """Write the learning rate of the next batch into every group of the optimizer.

        Args:
            factor: The schedule's factor.

        Returns:
            The learner's rate times the factor.

        Raises:
            UsageError: The factor is not a number of 0 or more.
        """
        self.take_over_rates()
        factor = checked_factor(factor)
        self.rates.write(self.lr, factor)
        return self.lr * factor

    def progress(self) -> Progress:
        """Return what a stop rule may look at, counted since the fit began."""
        return Progress(
            self.epoch - self.fit_epoch,
            self.batch - self.fit_batch,
            self.seconds - self.fit_seconds,
            self.fit_history,
            self._read_last_loss,
        )

    def _read_last_loss(self) -> float | None:
        """Return the loss of the last batch as a number, which waits for the device."""
        return None if self.last_loss is None else float(self.last_loss)

    @property
    def fit_history(self) -> list[Epoch]:
        """The epochs of the current or last fit."""
        key = (self.fit_epoch, len(self.history))
        if self._fit_history[:2] != key:  # asked for at each batch, and a copy takes longer with each epoch
            self._fit_history = (*key, self.history[self.fit_epoch :])
        return self._fit_history[2]

    def count_batch(self, loss: Tensor, size: int) -> None:
        """Record that one more batch is done.

        Args:
            loss: The mean loss of the batch, a scalar without a graph.
            size: The number of its pictures.
        """
        self.position += 1
        self.batch += 1
        self.seen += size
        self.loss_sum.add_(loss, alpha=size)
        self.last_loss = loss

    def count_epoch(self, valid_loss: float | None, metrics: Mapping[str, float], lr: float, seconds: float) -> Epoch:
        """Record that one more epoch is done, and reset the counts for the next.

        Args:
            valid_loss: The validation loss, if there is one.
            metrics: The metrics by name.
            lr: The learning rate of the last batch.
            seconds: How long the epoch took, with its validation.

        Returns:
            The epoch, which is now the last of `history`.
        """
        train_loss = float(self.loss_sum) / self.seen
        event = Epoch(
            number=self.epoch + 1,
            train_loss=train_loss,
            valid_loss=valid_loss,
            metrics=dict(metrics),
            lr=lr,
            seconds=seconds,
        )
        self.history.append(event)
        self.epoch, self.position, self.seen = self.epoch + 1, 0, 0
        self.loss_sum = torch.zeros_like(self.loss_sum)
        return event

    def keep_if_best(self) -> None:
        """Copy the parameters to `best` if the last epoch has the lowest validation loss so far."""
        losses = [math.inf if epoch.valid_loss is None else epoch.valid_loss for epoch in self.history]
        if losses and losses[-1] < (losses[self.best_epoch - 1] if self.best_epoch else math.inf):
            self.best_epoch = len(losses)
            self.best = copy.deepcopy(self.model.state_dict())

    def forget_best(self) -> None:
        """Look for the best epoch from here on."""
        self.best_epoch, self.best = 0, {}

    @property
    def kept_epoch(self) -> int:
        """The epoch whose parameters are kept; 0 if they are those that training started from."""
        return self.best_epoch if self.best else self.best_epoch or self.epoch

    def go_back_to_best(self) -> None:
        """Put the best parameters into the model, and keep no copy of them."""
        if self.best:
            self.model.load_state_dict(self.best)
            self.best = {}

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name: of the model, the best parameters, the optimizer and the history.

        Returns:
            Views, not copies.
        """
        named = {f"{of}.{name}": value for of, name, value in self._of_modules() if isinstance(value, Tensor)}
        named.update({f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()})
        named["loss_sum"] = self.loss_sum
        return {**named, **{name: torch.from_numpy(array) for name, array in history.to_arrays(self.history).items()}}

    def facts(self) -> dict[str, Any]:
        """Return everything else, as numbers and words that JSON can hold."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        extra = {f"{of}.{name}": value for of, name, value in self._of_modules() if not isinstance(value, Tensor)}
        return {
            **counts,
            "stopped_code": code_of(self.stopped),
            "metrics": history.metric_names(self.history),
            "changes": self.changes,
            "optimizer": optimizer_facts(self.optimizer),
            **({"extra": exactly_in_json(extra)} if extra else {}),
        }

    def _of_modules(self) -> Iterator[tuple[str, str, Any]]:
        """Give "model", "best" or "loss", a name, and what it keeps under that name."""
        loss = {} if self.loss is None else self.loss.state_dict()
        for of, values in (("model", self.model.state_dict()), ("best", self.best), ("loss", loss)):
            for name, value in values.items():
                yield of, plain_name(name), value

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Read back a saved state. If anything does not fit, nothing changes.

        Args:
            tensors: What `tensors()` returned.
            facts: What `facts()` returned.

        Raises:
            TrainingError: They are damaged, or belong to another model or optimizer.
        """
        extra = facts.get("extra") or {}
        own = self.model.state_dict()
        try:
            parameters = named_as(own, {**_without_prefix("model.", tensors), **_without_prefix("model.", extra)})
            best = {**_without_prefix("best.", tensors), **_without_prefix("best.", extra)}
            best = named_as(own, best) if best else {}
            of_loss = {**_without_prefix("loss.", tensors), **_without_prefix("loss.", extra)}
            of_loss = named_as({} if self.loss is None else self.loss.state_dict(), of_loss)
            counts = {name: _checked_count(name, facts[name]) for name in _COUNTS}
            saved = _without_prefix("optimizer.", tensors)
            optimizer = restored_optimizer(self.optimizer, saved, facts["optimizer"])
            loss_sum = tensors["loss_sum"].to(self.loss_sum).reshape(()).clone()
            changes = [{"at_batch": int(c["at_batch"]), "lr": float(c["lr"])} for c in facts["changes"]]
            epochs = history.from_arrays(tensors, facts["metrics"])
            if len(epochs) != counts["epoch"] or not counts["best_epoch"] <= counts["epoch"]:
                raise ValueError(f"its history has {len(epochs)} epochs, but {counts['epoch']} were done")
            put_into(self.optimizer, optimizer)
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise TrainingError(
                f"The saved state does not fit this learner: {error}",
                hint="Load it into a learner with the same model and optimizer.",
            ) from error
        self.model.load_state_dict(parameters)
        if self.loss is not None:
            self.loss.load_state_dict(of_loss)
        device = next(self.model.parameters()).device
        self.best = {
            name: value.to(own[name].dtype).to(device).clone() if isinstance(value, Tensor) else value
            for name, value in best.items()
        }
        for name, value in counts.items():
            setattr(self, name, value)
        if self.stopped is not None:
            self.stopped = Reason(self.stopped, str(facts.get("stopped_code") or ""))
        self.loss_sum, self.last_loss, self.changes, self.history = loss_sum, None, changes, epochs
        self._fit_history = (0, 0, [])
        self.rates.follow(self.lr)


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
    "best_epoch",
)


def _checked_count(name: str, value: Any) -> Any:
    """Return a count from a file if it has the right type and is not negative.

    Raises:
        ValueError: It does not.
    """
    if name == "stopped":
        fits = value is None or isinstance(value, str)
    elif name == "lr":
        fits = isinstance(value, (int, float)) and 0 <= value < math.inf
    else:
        fits = type(value) is int and value >= 0
    if not fits:
        raise ValueError(f"{name} is {value!r:.80}")
    return value


def _without_prefix(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values whose names have this prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
