"""Learner: the seven steps tied together. Loaders, a model, a loss and an optimizer become something that trains."""

from __future__ import annotations

import contextlib
import copy
import numbers
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ..base.device import device_named
from ..base.fastai import INSTEAD, instead_of
from ..base.words import Shown
from ..data.batches import DataLoaders
from ..data.loaders import as_loader, enter_epoch, refuse_iterator
from ..errors import UsageError
from ..records.events import Batch, Epoch
from ..records.steps import XRay
from ..steps.draws import Place
from ..steps.precision import checked_precision
from ..steps.state import State
from ..steps.step import SGD, Schedule, constant, one_cycle
from ..steps.stop import Reason, StopRule, after
from ..steps.way import Parting
from . import saving
from .arguments import (
    check_parts,
    checked_accumulate,
    checked_clip,
    checked_gradient,
    checked_keep,
    checked_metrics,
    checked_rate,
    checked_seed,
    checked_shards,
    refuse_callbacks,
)
from .lr_find import LRFind, check_sweep, sweep, untouched_losses
from .objective import Metric, Objective, default_loss
from .optimizer import checked_decay, left_out, optimizer_from, rate_of, set_decay
from .plan import load, plan_facts
from .recorder import Recorder
from .trainer import Trainer
from .xray import moment_of, next_batch, xray

USUAL_RATE = 1e-3  # fastai's


class Learner(Trainer):
    """Loaders, a model, a loss and an optimizer: what `fit` trains, in fastai's order of arguments.

    It works on pictures and on any `(x, y)`, and answers as a `Predictor` does.

    Args:
        dls: The training and validation loaders.
        model: From inputs to raw scores; it is trained in place.
        loss_func: Of (predictions, targets); without one, one column of scores gets binary cross-entropy and several
            get cross-entropy.
        opt_func: Makes the optimizer: `opt_func(parameters, lr=...)`.
        lr: The learning rate; 0.001 unless given, or unless `opt_func` decides.
        metrics: A function of (predictions, targets) or a list of them, for the validation loader.
        activation: Makes probabilities of raw scores, where neither sigmoid nor softmax does.
        seed: Decides order, augmentation and random layers; the loader's unless given.
        gradient: "auto" (by formula where it surely applies), "formula" or "autograd".
        clip: The largest norm of the gradient; None: any.
        accumulate: How many batches make a step: their gradients are averaged, as if they were one larger batch.
        shards: How many parts a batch is divided into, each computed by one thread: the numbers are the same on one
            core and on many. 0: the batch stays whole, and all threads compute it.
        precision: "f32", or "bf16" where the processor computes with bfloat16.
        device: Where the model is trained; "auto" takes the fastest there is.
        cbs: Must be empty: what a callback does goes into the loop over `stream`.

    Raises:
        UsageError: An argument is not valid, or the device does not exist.
        ModelError: The model is not a module, or has nothing to train.
    """

    @instead_of(**INSTEAD["Learner"])
    def __init__(
        self,
        dls: DataLoaders,
        model: nn.Module,
        loss_func: Any = None,
        opt_func: Callable[..., torch.optim.Optimizer] = SGD,
        lr: float | None = None,
        *,
        metrics: Metric | Iterable[Metric] | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        seed: int | None = None,
        gradient: str = "auto",
        clip: float | None = None,
        accumulate: int = 1,
        shards: int = 0,
        precision: str = "f32",
        device: torch.device | str = "cpu",
        cbs: Sequence[Any] | None = None,
    ) -> None:
        refuse_callbacks(cbs)
        check_parts(dls, model, loss_func, activation)
        lr = None if lr is None else checked_rate(lr)
        wanted, clip, place = checked_gradient(gradient), checked_clip(clip), device_named(device)
        model, loader = model.to(place), as_loader(dls.train, place)
        loss_func = loss_func if loss_func is not None else default_loss(model, dls.classes)
        objective = Objective(loss_func, activation, dls.classes, model)
        if loader.mixup:
            objective.refuse_without_shares()
        listed = checked_metrics(metrics)
        seed = loader.seed if seed is None else checked_seed(seed)
        has_parameters = isinstance(loss_func, nn.Module) and next(loss_func.parameters(), None) is not None
        own = loss_func.to(place) if has_parameters else None
        parameters = [*model.parameters(), *(own.parameters() if own is not None else ())]
        optimizer = optimizer_from(opt_func, parameters, USUAL_RATE if lr is None else lr)
        state = State(model, optimizer, seed, rate_of(optimizer, lr, USUAL_RATE), loss=own)
        parting = Parting(
            accumulate=checked_accumulate(accumulate),
            shards=checked_shards(shards, loss_func, own),
            precision=checked_precision(precision, place),
        )
        steps: Any = {"gradient": wanted, "clip": clip, "parting": parting}
        super().__init__(dls, objective, opt_func, state, metrics=listed, device=place, **steps)

    @property
    def lr(self) -> float:
        """The learning rate of a fit that is not given one. Setting it also changes the rate of a stream under way."""
        return self.state.usual_lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self.set(lr=lr)
        self.state.usual_lr = self.state.lr

    @instead_of(**INSTEAD["fit"])
    def fit(
        self,
        n_epoch: int | None = None,
        lr: float | None = None,
        wd: float | None = None,
        cbs: Sequence[Any] | None = None,
        reset_opt: bool = False,
        *,
        stop: StopRule | None = None,
        schedule: Schedule | None = None,
        keep: str | None = None,
        show: bool = True,
    ) -> None:
        """Train for `n_epoch` more epochs, or until `stop` says so, and show a table as it goes.

        An epoch that a stream left half done is finished first, and is the first of the `n_epoch`. An interrupt
        (Ctrl-C, or a notebook's stop button) is raised between two batches: the learner stays usable, and `fit` goes
        on from there. Afterwards the model is in evaluation mode.

        Args:
            n_epoch: The number of epochs; without it, the recipe that made this learner decides.
            lr: The learning rate; the learner's unless given.
            wd: A weight decay, which stays.
            cbs: Must be empty.
            reset_opt: Whether to begin with a new optimizer.
            stop: Ends training earlier.
            schedule: How the learning rate changes; constant unless given.
            keep: "best" ends with the weights of the epoch with the lowest validation loss, `learn.state.best_epoch`;
                "last", unless a recipe says otherwise, with those of the last.
            show: Whether to print the table.

        Raises:
            TrainingError: The loss became infinite or not a number, or another stream of this learner is open.
            UsageError: There is no number of epochs, or an argument is negative.
        """
        refuse_callbacks(cbs)
        self._refuse_second_stream()
        planned_by_recipe = n_epoch is None
        if n_epoch is not None:
            given: Any = n_epoch  # NumPy's whole numbers are fine, too
            if isinstance(given, bool) or not isinstance(given, numbers.Integral):
                raise UsageError(f"{given!r:.80} is not a valid number of epochs.", hint="learn.fit(15)")
            n_epoch = int(given)
            rule, schedule = after(epochs=n_epoch), schedule or constant
        elif self.plan[0].epochs is not None:
            (rule, planned), n_epoch = self.plan, self.plan[0].epochs
            schedule = schedule or planned
        else:
            raise UsageError("fit needs a number of epochs.", hint="learn.fit(15), or a learner made by a recipe.")
        self._check(stop, schedule)
        keep = checked_keep(keep or (self.keep if planned_by_recipe else "last"), self.dls.valid is not None)
        self.state.take_over_rates()
        rate = checked_rate(self.lr if lr is None else lr)
        wd = None if wd is None else checked_decay(wd, self.opt)
        if reset_opt:
            self.state.use(optimizer_from(self.opt_func, self._named_parameters().values(), rate), rate)
            self._declined = left_out(self.opt, self._named_parameters())
        if wd is not None:
            set_decay(self.opt, wd)
        self.state.begin_fit()
        if keep == "best":
            self.state.forget_best()
        self.set(lr=rate)
        self.recorder.clear()
        events = self.stream(rule | stop if stop else rule, schedule=schedule)
        observers: list[Callable[[Batch | Epoch], None]] = [self.recorder.observe]
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            if show:
                from ..show.epochs import epoch_table

                observers.append(stack.enter_context(epoch_table(n_epoch)))
            interrupted = stack.enter_context(self.interrupts_between_batches())
            try:
                for event in events:
                    for observe in observers:
                        observe(event)
                    if keep == "best" and isinstance(event, Epoch):
                        self.state.keep_if_best()
                    if interrupted():
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                self.state.stopped = Reason(f"it was interrupted after batch {self.state.batch}", "interrupted")
                raise
            if interrupted():  # after the last event, when there was nothing left to stop
                raise KeyboardInterrupt
        self.check_finite()
        if keep == "best":
            self.state.go_back_to_best()

    @instead_of(**INSTEAD["fit_one_cycle"])
    def fit_one_cycle(
        self,
        n_epoch: int,
        lr_max: float | None = None,
        div: float = 25.0,
        div_final: float = 1e5,
        pct_start: float = 0.25,
        wd: float | None = None,
        cbs: Sequence[Any] | None = None,
        reset_opt: bool = False,
        *,
        keep: str | None = None,
        show: bool = True,
    ) -> None:
        """Train with the learning rate going up to `lr_max` and down again; see `steps.step.one_cycle` and `fit`.

        Args:
            n_epoch: The number of epochs.
            lr_max: The highest rate; the learner's unless given.
            div: The first rate is `lr_max / div`.
            div_final: The last rate is `lr_max / div_final`.
            pct_start: The share of batches in which the rate goes up.
            wd: A weight decay, which stays.
            cbs: Must be empty.
            reset_opt: Whether to begin with a new optimizer.
            keep: "best" or "last" weights, as in `fit`.
            show: Whether to print the table.

        Raises:
            TrainingError: The loss became infinite or not a number.
        """
        schedule = one_cycle(div, div_final, pct_start)
        self.fit(n_epoch, lr_max, wd, cbs, reset_opt, schedule=schedule, keep=keep, show=show)

    @instead_of(**INSTEAD["lr_find"])
    def lr_find(
        self,
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        num_it: int = 100,
        stop_div: bool = True,
        show_plot: bool = True,
    ) -> LRFind:
        """Try rising learning rates, one a batch, on a copy; the learner is not changed.

        The same learner and seed give the same answer.

        Args:
            start_lr: The first rate.
            end_lr: The last rate.
            num_it: The number of batches, 10 or more.
            stop_div: Whether to end early where the loss diverges.
            show_plot: Whether to show the figure.

        Raises:
            UsageError: The rates are not positive and rising, or the loader is an iterator.
            TrainingError: The loss is not a finite number to begin with.
        """
        check_sweep(start_lr, end_lr, num_it)
        refuse_iterator(self.loader)
        trial = self.copy()
        trial.dls.valid = None
        trial.state.begin_fit()
        trial.set(lr=start_lr)
        ratio = (end_lr / start_lr) ** (1 / (num_it - 1))
        events = trial.stream(after(batches=num_it), schedule=lambda batch, total: ratio**batch)
        untouched = untouched_losses(self, self._whole_batches)
        result = sweep(events, untouched, stop_div)
        trial.close()
        if result is None:
            trial.check_finite()
        assert result is not None
        if show_plot:
            from ..show import drawing

            drawing.show(result.plot())
        return result

    def xray(self, x: Tensor | None = None, y: Tensor | None = None) -> XRay:
        """Take the very batch that comes next through the seven steps on a copy; nothing is changed.

        Args:
            x: The inputs of another batch to take.
            y: Its targets.

        Raises:
            UsageError: There is x without y, or the loader is an iterator, from which a batch can be taken only once.
            DataError: The loader has no batches.
        """
        if (x is None) != (y is None):
            raise UsageError("xray() needs both x and y, or neither.", hint="learn.xray(x, y), or learn.xray()")
        self.state.take_over_rates()
        place = Place(self.seed, self.state.epoch, self.state.position)
        scale = 1.0
        if x is None or y is None:
            refuse_iterator(self.loader)
            place, (x, y) = next_batch(self._whole_batches, place)
            scale = self._scale_by_formula
        return xray(self, x.to(self.device), y.to(self.device), moment_of(self, place, scale))

    def copy(self) -> Learner:
        """Return the same learner with a model and optimizer of its own, over the same loaders."""
        other = copy.copy(self)
        other._dls = copy.copy(self.dls)
        other.state = copy.deepcopy(self.state)
        other._model = other.state.model
        other.modes = copy.copy(self.modes)
        if other.state.loss is not None:
            other.objective = copy.copy(self.objective)
            other.objective.loss_func = other.state.loss
        other.recorder, other._stream = Recorder(other.state, MethodType(Learner._figure_names, other)), None
        return other

    @instead_of(**INSTEAD["save"])
    def save(self, path: str | Path) -> Path:
        """Save weights, optimizer, history, position, schedule and stop rule to a safetensors file.

        It warns of a schedule or a stop rule of your own, which a file cannot hold.

        Args:
            path: Of the file; `.safetensors` is added if missing.

        Returns:
            The path of the file.

        Raises:
            FileError: The file cannot be written.
            ModelError: There are numbers that are not finite.
        """
        self.state.take_over_rates()
        return saving.save(Path(path), self.state, self.trained_classes, plan_facts(self))

    @instead_of(**INSTEAD["load"])
    def load(self, path: str | Path) -> Learner:
        """Take up what `save` saved, with a warning where the loader cannot simply go on within the epoch.

        Args:
            path: Of the file; `.safetensors` is added if missing.

        Returns:
            The learner itself.

        Raises:
            ModelError: The file is missing, damaged, or of another kind.
            TrainingError: The file belongs to another model or optimizer, or has other classes.
        """
        self.close()
        load(Path(path), self)
        self.temperature, self.abstention = 1.0, None  # they belong to other parameters
        if cost := enter_epoch(self.loader, self.state):
            warnings.warn(cost, stacklevel=2)
        return self

    def summary(self) -> str:
        """Return the model layer by layer, with parameters, loss, optimizer and way of doing step 4, as text."""
        return Shown(f"{super().summary()}   optimizer: {type(self.opt).__name__}   gradient: {self.gradient}")

    def _rows(self) -> list[tuple[str, str]]:
        """Return what a notebook shows, with how far training is."""
        state, rows = self.state, super()._rows()
        within = f", and {state.position} batches of the next" if state.position else ""
        rows.append(("trained", f"{state.epoch} epoch{'s' * (state.epoch != 1)}{within}"))
        if state.history:
            last = state.history[-1]
            figures = {"train_loss": last.train_loss, "valid_loss": last.valid_loss, **last.metrics}
            rows.append(("last epoch", ", ".join(f"{k} {v:.4f}" for k, v in figures.items() if v is not None)))
        return rows
