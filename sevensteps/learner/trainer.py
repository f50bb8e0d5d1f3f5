"""Trainer: a predictor with loaders, an optimizer and a state, trained as a stream. `Learner` adds fastai's verbs."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import signal
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import GeneratorType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ..base import memory
from ..base.interrupts import interrupts_between_batches
from ..data.batches import DataLoaders
from ..data.loaders import Loader, as_loader, batches_from, refuse_other_classes
from ..errors import DataError, TrainingError, UsageError
from ..records.events import Batch, Epoch
from ..steps import gradient
from ..steps.exchange import Exchange
from ..steps.modes import Modes
from ..steps.repeat import stream
from ..steps.saved_module import plain_name
from ..steps.state import State
from ..steps.step import Schedule, clipped, constant, plain
from ..steps.stop import Reason, StopRule, no_figure, when_not_finite
from ..steps.way import Parting, Way, by_autograd, by_formula
from .arguments import check_schedule, check_stop, checked_rate
from .inputs import Inputs, not_finite
from .objective import Metric, Objective
from .optimizer import held_by, left_out
from .optimizer import hold_trainable as hold
from .position import divide_anew, still_lost
from .predictor import Predictor
from .rate_changes import replaying
from .recorder import Recorder


class Trainer(Predictor):
    """A predictor that can be trained, one batch after another. Its parts are checked by `Learner`.

    Args:
        dls: The training and validation loaders.
        objective: The loss, and what makes probabilities of its scores.
        opt_func: What made the optimizer.
        state: Model, optimizer, seed and learning rate.
        metrics: Functions of (predictions, targets), for the validation loader.
        device: Where the model is.
        gradient: "auto" (by formula where it surely applies), "formula" or "autograd".
        clip: The largest norm of the gradient; None: any.
        parting: What makes a step: how many batches, in how many parts each, and with which precision.
    """

    def __init__(
        self,
        dls: DataLoaders,
        objective: Objective,
        opt_func: Callable[..., torch.optim.Optimizer],
        state: State,
        *,
        metrics: Sequence[Metric],
        device: torch.device,
        gradient: str,
        clip: float | None,
        parting: Parting,
    ) -> None:
        inputs = Inputs.of(as_loader(dls.train, device))
        super().__init__(state.model, objective, inputs, metrics=metrics, device=device)
        self._dls, self.state, self.wanted_gradient, self.clip = dls, state, gradient, clip
        self.trained_classes = inputs.classes  # the names that the model's outputs stand for
        self.lost: frozenset[str] = frozenset()  # "stop rule", "schedule": what the loaded file could not hold
        self.frozen_at_first = self.frozen()
        self.opt_func, self.modes, self.parting = opt_func, Modes(), parting
        self.rate_changes: Mapping[int, float] = {}  # by the batches of a fit that are done before
        self.exchange: Exchange | None = None  # while other processes compute parts of the batches
        self._declined = left_out(state.optimizer, self._named_parameters())
        kind = torch.float32 if device.type == "mps" else torch.float64  # which mps does not have
        state.loss_sum = torch.zeros((), dtype=kind, device=device)
        self.follow(when_not_finite(), constant)
        self.recorder = Recorder(state, MethodType(Trainer._figure_names, self))
        self._stream: Any = None  # a weak reference to the open stream, if any

    @property
    def dls(self) -> DataLoaders:
        """The training and validation loaders; others may take their place if their classes are the same."""
        return self._dls

    @dls.setter
    def dls(self, dls: DataLoaders) -> None:
        refuse_other_classes(self.trained_classes, dls.classes, "The loaders have classes")
        if not self._has_open_stream:
            divide_anew(self.state, (self._dls.train, dls.train), self.device, self.stop)
        self._dls = dls

    @property
    def opt(self) -> torch.optim.Optimizer:
        """The optimizer, by fastai's name."""
        return self.state.optimizer

    @property
    def seed(self) -> int:
        """The seed of order, augmentation and random layers."""
        return self.state.seed

    @property
    def loader(self) -> Loader:
        """The training loader, as training asks it."""
        return as_loader(self.dls.train, self.device)

    @property
    def inputs(self) -> Inputs:
        """What the training loader gives."""
        return Inputs.of(self.loader)

    @property
    def gradient(self) -> str:
        """How step 4 is done: "formula" or "autograd".

        Raises:
            UsageError: The formula was asked for and does not apply.
        """
        if self.wanted_gradient == "autograd" or self.parting.precision != "f32":
            return "autograd"
        if gradient.formula(self.model, self.loss_func) is not None:
            return "formula"
        if self.wanted_gradient == "formula":
            raise UsageError(
                "The formula applies to a plain linear model under a loss of ours, and this is another.",
                hint="Use gradient='auto'.",
            )
        return "autograd"

    @property
    def accumulate(self) -> int:
        """The number of batches whose gradients are averaged for one step."""
        return self.parting.accumulate

    @property
    def batches_per_epoch(self) -> int | None:
        """The number of steps in an epoch, where the loader knows it: one a batch, unless gradients are accumulated."""
        batches = self.loader.batches_per_epoch
        return None if batches is None else math.ceil(batches / self.accumulate)

    @property
    def total_batches(self) -> int | None:
        """The number of batches the fit has at most, where stop rule and loader say it."""
        return self.stop.total(self.batches_per_epoch, self.state.fit_position)

    @property
    def stopped_because(self) -> str | None:
        """Why the last fit ended, in words; None before and during one."""
        return self.state.stopped

    def follow(self, stop: StopRule, schedule: Schedule, keep: str = "last") -> None:
        """Make this the plan of `fit()` and `stream()` without arguments.

        Args:
            stop: When training ends.
            schedule: How the learning rate changes.
            keep: Which weights `fit()` keeps: "last" or "best".
        """
        self.plan = self.stop, self.schedule = stop, schedule
        self.keep = keep

    def stream(self, stop: StopRule | None = None, *, schedule: Schedule | None = None) -> Iterator[Batch | Epoch]:
        """Train as a generator: give a `Batch` after each mini-batch and an `Epoch` after each pass.

        Leave the loop whenever you like, even within an epoch: a later `stream` goes on exactly there. After a fit has
        ended, a stream begins a new one, and `stop` counts from there. A new fit follows the recipe that made this
        learner, or goes on until you leave it or the loss is no longer finite.

            for event in learn.stream(stop=after(epochs=15) | when_flat("valid_loss", patience=3)):
                ...

        Args:
            stop: When training ends; within a fit it stays as it is until it is given again.
            schedule: How the learning rate changes; it stays likewise.

        Raises:
            TrainingError: Another stream of this learner is open.
        """
        self._refuse_second_stream()
        refuse_other_classes(self.trained_classes, self.loader.classes, "The training loader has classes")
        self._check(stop, schedule)
        if self.state.stopped is None:
            self.lost = still_lost(self.lost, {"stop rule": stop, "schedule": schedule})
        memory.keep_freed()
        if self.state.stopped is not None:
            self.state.begin_fit()
            self.recorder.clear()
            self.stop, self.schedule = self.plan
        self.stop = stop | when_not_finite() if stop is not None else self.stop
        self.schedule = schedule or self.schedule
        self.temperature, self.abstention = 1.0, None  # they belong to the previous parameters
        events = stream(
            self.state,
            self._prepare,
            self.objective.loss,
            self._validate_epoch,
            self.stop,
            self.schedule,
            batches_per_epoch=self.batches_per_epoch,
        )
        generator = self._until_rest(events)
        assert isinstance(generator, GeneratorType)
        self._stream = weakref.ref(generator)
        return generator

    def _prepare(self) -> Way:
        """Look at the model as it is before an epoch: which layers train, what the optimizer holds, which gradient."""
        self.hold_trainable()
        self.modes.train(self.model)
        step = clipped(self.opt, self.model, self.clip) if self.clip else plain(self.opt)
        if self.gradient == "formula":
            steps_2_and_4 = gradient.formula(self.model, self.loss_func, self._scale_by_formula)
            assert steps_2_and_4 is not None
            unscaled = self.loader.unscaled_batches
            batches = self._batches if unscaled is None else functools.partial(unscaled, self.state.seed)
            return by_formula(steps_2_and_4, batches, step, self.parting, self.exchange)
        return by_autograd(self.model, self.state.loss, self._batches, step, self.parting, self.exchange)

    def _until_rest(self, events: Iterator[Batch | Epoch]) -> Generator[Batch | Epoch, None, None]:
        """Pass on the events; afterwards the model is in evaluation mode, and its last step has been looked at."""
        try:
            yield from replaying(self, events)
            if damaged := self._not_finite():
                self.state.stopped = Reason(
                    f"the last step left numbers in {damaged} that are not finite", "not_finite"
                )
        finally:
            self.modes.rest(self.model)

    def into_training(self, model: nn.Module) -> None:
        """Put the model or a copy of it into training mode, as an epoch does.

        Args:
            model: This learner's, or a copy of it.
        """
        copy.copy(self.modes).train(model)

    def hold_trainable(self) -> None:
        """Bring the optimizer up to what is trainable now."""
        named, device = self._named_parameters(), self.device
        if any(parameter.device.type != device.type for parameter in named.values()):  # a layer that was replaced
            self.model.to(device)
        self._declined = hold(self.opt, self.opt_func, self.state.usual_lr, named, self._declined)

    def frozen(self) -> set[str]:
        """Return the names of the model's parameters that are frozen."""
        return {plain_name(name) for name, value in self.model.named_parameters() if not value.requires_grad}

    def _named_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters of the model, and of the loss if it has any, by name."""
        loss = {} if self.state.loss is None else dict(self.state.loss.named_parameters(prefix="loss"))
        return {**dict(self.model.named_parameters()), **loss}

    def _not_finite(self) -> str | None:
        """Return the name of the first trained parameter with a number that is not finite, if there is one."""
        held = set(map(id, held_by(self.opt)))
        trained = {name: parameter for name, parameter in self._named_parameters().items() if id(parameter) in held}
        return next((name for name, parameter in trained.items() if not bool(torch.isfinite(parameter).all())), None)

    @property
    def trainable_count(self) -> int:
        """The number of parameters that the optimizer holds and that are not frozen."""
        held = {id(parameter): parameter for parameter in held_by(self.opt)}
        return sum(parameter.numel() for parameter in held.values() if parameter.requires_grad)

    def close(self) -> None:
        """Close the open stream, if there is one; what it has learned stays."""
        if self._stream is not None and (open_stream := self._stream()) is not None:
            open_stream.close()

    @contextlib.contextmanager
    def interrupts_between_batches(self, *numbers: signal.Signals) -> Iterator[Callable[[], int]]:
        """As `interrupts.interrupts_between_batches`; a look at the validation pictures is broken off, too."""
        with interrupts_between_batches(*numbers) as self.interrupted:
            try:
                yield self.interrupted
            finally:
                self.interrupted = lambda: 0

    def check_finite(self) -> None:
        """Raise if the last batch's loss was not a finite number, and say where it came from.

        Raises:
            TrainingError: Naming the batch, and the picture where the input itself is not finite.
        """
        loss, state = self.state.last_loss, self.state
        if loss is None or math.isfinite(float(loss)):
            if state.stopped is not None and (damaged := self._not_finite()):
                raise TrainingError(
                    f"The last step left numbers in {damaged} that are not finite: the gradient was not.",
                    hint=f"Try a lower learning rate, such as {state.lr / 10:g}; a loss of your own may have an "
                    "infinite slope, as a square root has at 0.",
                )
            return
        where = f"epoch {state.epoch + 1}, batch {state.position}"
        batch = next(self._whole_batches(state.epoch, state.position - 1), None)
        if batch is not None and (problem := not_finite(*batch, where)):
            raise TrainingError(problem, hint="Clean the data; training cannot repair it.")
        raise TrainingError(
            f"The loss became {float(loss)} at {where}, with learning rate {self.opt.param_groups[0]['lr']:g}.",
            hint=f"Try a lower learning rate, such as {state.lr / 10:g}, or clip the gradient at 1 (clip).",
        )

    def set(self, *, lr: float) -> None:
        """Change the learning rate between two batches; the change and its place are kept in `state.changes`.

        Args:
            lr: The new rate.

        Raises:
            UsageError: The rate is not a number of 0 or more.
        """
        lr = checked_rate(lr)
        self.state.take_over_rates()
        if lr != self.state.lr:
            if self.state.batch > self.state.fit_batch and self.state.stopped is None:
                self.state.changes.append({"at_batch": self.state.batch, "lr": lr})
            self.state.lr = lr

    @property
    def _has_open_stream(self) -> bool:
        """Whether a stream of this learner is open."""
        open_stream = self._stream() if self._stream is not None else None
        return open_stream is not None and open_stream.gi_frame is not None

    def _refuse_second_stream(self) -> None:
        """Raise if a stream is open."""
        if self._has_open_stream:
            raise TrainingError(
                "A stream of this learner is open already, and two would train the same parameters.",
                hint="Finish it, or close it with learn.close().",
            )

    @property
    def _scale_by_formula(self) -> float:
        """The factor by which pixels are larger in training by formula than in the model: 255 for bytes."""
        return 1.0 if self.loader.unscaled_batches is None else 255.0

    def _batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the training batches of one epoch, from `start` on."""
        return batches_from(self.dls.train, self.state.seed, epoch, start, self.device)

    def _whole_batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give what each step of one epoch takes, from step `start` on: the batches that it accumulates as one."""
        batches = self._batches(epoch, start * self.accumulate)
        if self.accumulate == 1:
            yield from batches
            return
        # Copies, since a loader may give each batch in the same memory.
        while parts := [(x.clone(), y.clone()) for x, y in itertools.islice(batches, self.accumulate)]:
            yield torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])

    def _figure_names(self) -> list[str]:
        """Return the names of what is measured on the validation loader after each epoch."""
        return [] if self.dls.valid is None else ["valid_loss", *self.metric_names]

    def _validate_epoch(self) -> tuple[float | None, Mapping[str, float]]:
        """Return the validation loss and the metrics; None and nothing without a validation loader."""
        if self.dls.valid is None:
            return None, {}
        loss, *metrics = self.validate()
        return loss, dict(zip(self.metric_names, metrics, strict=True))

    def _check(self, stop: StopRule | None, schedule: Schedule | None) -> None:
        """Raise if they are not a rule and a schedule, or if the rule reads a figure that nobody measures."""
        if schedule is not None:
            check_schedule(schedule)
        if stop is None:
            return
        check_stop(stop)
        measured = ["train_loss", *self._figure_names()]
        for name in stop.figures:
            if name not in measured:
                raise no_figure(name, measured)

    def _loader(self, ds_idx: int, dl: Iterable[Any] | None) -> Iterable[Any]:
        """Return the loader to go through."""
        if dl is None and ds_idx not in (0, 1):
            raise UsageError(f"There is no loader {ds_idx}.", hint="0 is the training loader, 1 the validation loader.")
        loader = dl if dl is not None else self.dls[ds_idx]
        if loader is None:
            raise DataError(
                "There is no validation loader.",
                hint="Hold pictures out with splits.hold_out(0.1), or pass a loader: dl=...",
            )
        names = as_loader(loader, self.device).classes
        refuse_other_classes(self.trained_classes, names, "The loader has classes")
        return loader
