"""State: everything a run is, in one object that can be written down and taken up again exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..records import history
from ..records.events import Epoch
from .stop import Progress, Reason, code_of


@dataclass
class State:
    """Everything a run is: parameters, optimizer, position, history, the figures under way, the best parameters so far.

    `tensors()` and `facts()` give it as named tensors and as plain numbers and words; `restore` takes both back. What
    grows with the run is a tensor, so that the facts stay small.
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
    stopped: str | None = None  # why the last fit ended, a `Reason`; None while one is under way
    changes: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0  # the epoch that `best` is of; 0: none was kept
    best: dict[str, Tensor] = field(default_factory=dict)  # parameters and buffers by name

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

    def keep_if_best(self) -> None:
        """Keep a copy of the parameters if the last epoch has the lowest validation loss so far."""
        losses = [math.inf if epoch.valid_loss is None else epoch.valid_loss for epoch in self.history]
        if losses and losses[-1] < (losses[self.best_epoch - 1] if self.best_epoch else math.inf):
            self.best_epoch = len(losses)
            self.best = copy.deepcopy(self.model.state_dict())

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by a name: the model's, the best ones, the optimizer's, figures. Views, not copies."""
        named = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    named[f"optimizer.{index}.{name}"] = value
        named.update({f"best.{name}": tensor for name, tensor in self.best.items()})
        named["loss_sum"] = self.loss_sum
        return {**named, **{name: torch.from_numpy(array) for name, array in history.to_arrays(self.history).items()}}

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
        return {
            **counts,
            "stopped_code": code_of(self.stopped),
            "metrics": history.metric_names(self.history),
            "changes": self.changes,
            "optimizer": {"name": type(self.optimizer).__name__, "groups": optimizer["param_groups"], "plain": plain},
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take the place of what `tensors` and `facts` describe, or stay as it is.

        Raises:
            TrainingError: they belong to another model or optimizer, or to none.
        """
        parameters, best = _without_prefix("model.", tensors), _without_prefix("best.", tensors)
        try:
            own = _shapes(self.model.state_dict())
            _refuse_difference("tensor", own, _shapes(parameters))
            if best:
                _refuse_difference("tensor", own, _shapes(best))
            counts = {name: _checked_count(name, facts[name]) for name in _COUNTS}
            optimizer = self._optimizer_state(tensors, facts["optimizer"])
            loss_sum = tensors["loss_sum"].to(self.loss_sum).reshape(()).clone()
            changes = [{"at_batch": int(c["at_batch"]), "lr": float(c["lr"])} for c in facts["changes"]]
            epochs = history.from_arrays(tensors, facts["metrics"])
            if len(epochs) != counts["epoch"] or not counts["best_epoch"] <= counts["epoch"]:
                raise ValueError(f"there are {len(epochs)} epochs in its history and {counts['epoch']} were done")
            self.optimizer.load_state_dict(optimizer)
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise TrainingError(
                f"What was saved does not fit this learner: {error}",
                hint="Load it into a learner with the same model and optimizer.",
            ) from error
        self.model.load_state_dict(parameters)
        device = next(self.model.parameters()).device
        self.best = {name: tensor.to(device).clone() for name, tensor in best.items()}
        for name, value in counts.items():
            setattr(self, name, value)
        if self.stopped is not None:
            self.stopped = Reason(self.stopped, str(facts.get("stopped_code") or ""))
        self.loss_sum, self.last_loss, self.changes, self.history = loss_sum, None, changes, epochs

    def _optimizer_state(self, tensors: Mapping[str, Tensor], saved: Mapping[str, Any]) -> dict[str, Any]:
        """The optimizer's state as `load_state_dict` takes it, held against what a step of this optimizer leaves.

        Raises:
            ValueError: another optimizer, other settings, or tensors of other shapes.
        """
        _refuse_difference("the optimizer", type(self.optimizer).__name__, saved["name"])
        groups = [{key: _from_json(value) for key, value in group.items()} for group in saved["groups"]]
        for own, group in zip(self.optimizer.state_dict()["param_groups"], groups, strict=True):
            _refuse_difference("a setting of the optimizer", _kinds(own), _kinds(group))
            _refuse_difference("the optimizer's parameters", own["params"], group["params"])
        state: dict[int, dict[str, Any]] = {}
        for name, value in [*_without_prefix("optimizer.", tensors).items(), *saved["plain"].items()]:
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        model, trial = copy.deepcopy((self.model, self.optimizer))
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        trial.step()
        wanted = trial.state_dict()["state"]
        for index, values in state.items():
            for key, value in values.items():
                like = wanted.get(index, {}).get(key)
                fits = (
                    isinstance(value, Tensor) and value.shape == like.shape
                    if isinstance(like, Tensor)
                    else _kind(value) == _kind(like)
                )
                if not fits:
                    raise ValueError(f"the optimizer's {key} of parameter {index} is not what it can be")
        return {"state": state, "param_groups": groups}


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
    """A count from outside: no negative number, and words where the state has words.

    Raises:
        ValueError: something else.
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


def _kind(value: Any) -> str:
    """A number, a truth value, nothing, or another type: what a setting from a file must share with the one here."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__


def _kinds(group: Mapping[str, Any]) -> dict[str, str]:
    return {key: _kind(value) for key, value in group.items()}


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
        name = min(own.items() ^ saved.items(), key=lambda item: item[0])[0]
        own, saved = f"{name} {own.get(name, 'missing')}", f"{name} {saved.get(name, 'missing')}"
    raise ValueError(f"{what} is {own} here and was {saved}")


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
