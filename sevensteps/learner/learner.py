"""Learner: the seven steps tied together. Loaders, a model, a loss and an optimizer become something that trains."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import signal
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..base import memory
from ..base.device import device_named
from ..base.fastai import instead_of
from ..base.interrupts import interrupts_between_batches
from ..base.seeds import LOADER, seed_of
from ..data.batches import DataLoaders
from ..data.decode import Fit
from ..errors import DataError, ModelError, TrainingError, UsageError
from ..records.events import Batch, Epoch
from ..records.steps import XRay
from ..steps import gradient
from ..steps.predict import predict
from ..steps.repeat import batches_from, drawn_from, pair, stream
from ..steps.state import State
from ..steps.step import SGD, Schedule, clipped, constant, one_cycle, plain
from ..steps.stop import Reason, StopRule, after, when_not_finite
from . import saving
from .arguments import (
    check_parts,
    checked_clip,
    checked_decay,
    checked_rate,
    checked_seed,
    optimizer_from,
    refuse_callbacks,
)
from .growing_tensor import Gathered
from .objective import Metric, Objective, default_loss, name_of
from .predictor import _length
from .recorder import Recorder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..ship.abstention import Abstention
    from .lr_find import LRFind


class Learner:
    """Loaders, a model, a loss and an optimizer: what `fit` trains, in fastai's order of arguments.

    Works on pictures and on any `(x, y)`. `model` is trained in place. Without `loss_func`, one column of scores gets
    binary cross-entropy and several get cross-entropy. `opt_func(params, lr=…)` makes the optimizer. `metrics` is a
    function or a list of them. `activation` turns raw scores into probabilities where neither sigmoid nor softmax does.
    `gradient` is "auto" (by formula where it surely applies), "formula" or "autograd". `seed` decides order,
    augmentation and random layers; it is the loader's unless given. `device` may be "auto".

    Raises:
        UsageError, ModelError: something of another kind, or a device that is not there.
    """

    @instead_of(
        splitter="All parameters have one rate; requires_grad_(False) freezes some.",
        path="save, load and export take the whole path.",
        model_dir="save, load and export take the whole path.",
        wd="learn.fit(5, wd=0.01), or opt_func=functools.partial(SGD, weight_decay=0.01)",
        wd_bn_bias="Weight decay is for all parameters alike.",
        train_bn="Batch norm is trained; requires_grad_(False) freezes its parameters.",
        moms="opt_func=functools.partial(SGD, momentum=0.9)",
    )
    def __init__(
        self,
        dls: DataLoaders,
        model: nn.Module,
        loss_func: Any = None,
        opt_func: Callable[..., torch.optim.Optimizer] = SGD,
        lr: float = 1e-3,
        *,
        metrics: Metric | Iterable[Metric] | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        seed: int | None = None,
        gradient: str = "auto",
        clip: float | None = None,
        device: torch.device | str = "cpu",
        cbs: Sequence[Any] | None = None,
    ) -> None:
        refuse_callbacks(cbs)
        check_parts(dls, model, loss_func, activation)
        if gradient not in ("auto", "formula", "autograd"):
            raise UsageError(f"gradient is {gradient!r}.", hint="Use 'auto', 'formula' or 'autograd'.")
        self.dls, self.lr, self.opt_func, self.clip = dls, checked_rate(lr), opt_func, checked_clip(clip)
        self.device = device_named(device)
        model = model.to(self.device)
        loss_func = loss_func if loss_func is not None else default_loss(model, dls.classes)
        self.objective = Objective(loss_func, activation, dls.classes)
        if getattr(dls.train, "mixup", False):
            self.objective.refuse_without_shares()
        self.metrics = [metrics] if callable(metrics) or isinstance(metrics, str) else list(metrics or [])
        for metric in self.metrics:
            if not callable(metric):
                raise UsageError(f"{metric!r} is no metric.", hint="Pass the function: metrics=accuracy.")
        self.temperature = 1.0
        self.abstention: Abstention | None = None
        self.wanted_gradient = gradient
        self.follow(when_not_finite(), constant)
        seed = int(getattr(dls.train, "seed", 0) or 0) if seed is None else checked_seed(seed)
        self.state = State(model, optimizer_from(opt_func, model, self.lr), seed, self.lr)
        if self.device.type == "mps":  # has no float64
            self.state.loss_sum = torch.zeros((), device=self.device)
        else:
            self.state.loss_sum = self.state.loss_sum.to(self.device)
        self.recorder = Recorder(self)
        self._stream: Any = None  # a weak reference to the open stream, if any
        self.interrupted: Callable[[], int] = lambda: 0  # whether somebody waits for training to stop; the signal

    @property
    def model(self) -> nn.Module:
        """The model, trained in place."""
        return self.state.model

    @model.setter
    def model(self, model: nn.Module) -> None:
        raise UsageError(
            "A learner keeps its model: its optimizer holds the parameters, and its history is theirs.",
            hint="Make another: Learner(learn.dls, model, ...). Other weights: learn.model.load_state_dict(...).",
        )

    @property
    def opt(self) -> torch.optim.Optimizer:
        """The optimizer, by fastai's name."""
        return self.state.optimizer

    @property
    def gradient(self) -> str:
        """How step 4 is done: "formula" or "autograd".

        Raises:
            UsageError: the formula was asked for and does not apply.
        """
        if self.wanted_gradient == "autograd":
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
    def classes(self) -> tuple[str, ...] | None:
        """Class names, where the loaders know them."""
        return self.dls.classes

    @property
    def loss_func(self) -> Any:
        """The loss as it was given, or chosen."""
        return self.objective.loss_func

    @property
    def flat(self) -> bool:
        """Whether the loaders give pictures as rows of pixels."""
        return bool(getattr(self.dls.train, "flat", False))

    @property
    def batches_per_epoch(self) -> int | None:
        """How many batches an epoch has, where the loader knows."""
        return _length(self.dls.train)

    @property
    def total_batches(self) -> int | None:
        """How many batches the fit has at most, where stop rule and loader say."""
        return self.stop.total(self.batches_per_epoch, self.state.fit_position)

    @property
    def stopped_because(self) -> str | None:
        """Why the last fit ended, in words; None before and during one."""
        return self.state.stopped

    # Training

    def follow(self, stop: StopRule, schedule: Schedule) -> None:
        """Make this the plan of `fit()` and `stream()` without arguments."""
        self.plan = self.stop, self.schedule = stop, schedule

    def _refuse_second_stream(self) -> None:
        open_stream = self._stream() if self._stream is not None else None
        if open_stream is not None and open_stream.gi_frame is not None:
            raise TrainingError(
                "A stream of this learner is open already, and two would train the same parameters.",
                hint="Finish it, or close it with learn.close().",
            )

    def stream(self, stop: StopRule | None = None, *, schedule: Schedule | None = None) -> Iterator[Batch | Epoch]:
        """Training as a generator: a `Batch` after each mini-batch, an `Epoch` after each pass.

        Leave the loop whenever you like, even within an epoch: a later `stream` goes on exactly there. After a fit has
        ended, a stream begins a new one, and `stop` counts from there. Within a fit, `stop` and `schedule` stay as they
        are until they are given again; a new one follows the recipe that made this learner, or goes on until you leave
        it or the loss is no longer finite.

            for event in learn.stream(stop=after(epochs=15) | when_flat("valid_loss", patience=3)):
                ...

        Raises:
            TrainingError: another stream of this learner is open.
        """
        self._refuse_second_stream()
        memory.keep_freed()
        if self.state.stopped is not None:
            self.state.begin_fit()
            self.recorder.clear()
            self.stop, self.schedule = self.plan
        self.stop = stop | when_not_finite() if stop is not None else self.stop
        self.schedule = schedule or self.schedule
        self.temperature, self.abstention = 1.0, None  # which are of the parameters as they were
        batches, by_formula = self._batches, None
        if self.gradient == "formula":
            by_formula = gradient.formula(self.model, self.loss_func, self._scale_by_formula)
            if self._scale_by_formula != 1:
                batches = functools.partial(self.dls.train.unscaled_batches, self.state.seed)  # type: ignore[attr-defined]
        generator = stream(
            self.state,
            batches,
            by_formula.predict if by_formula else functools.partial(predict, self.model),
            self.objective.loss,
            by_formula or gradient.autograd(self.model),
            clipped(self.opt, self.model, self.clip) if self.clip else plain(self.opt),
            self._validate_epoch,
            self.stop,
            self.schedule,
            batches_per_epoch=self.batches_per_epoch,
            draws=by_formula is None,
        )
        assert isinstance(generator, GeneratorType)
        self._stream = weakref.ref(generator)
        return generator

    @property
    def _scale_by_formula(self) -> float:
        """How many times as large as the model takes them pixels are in training by formula: bytes from our loaders."""
        return 255.0 if hasattr(self.dls.train, "unscaled_batches") else 1.0

    def _batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The training batches of one epoch, from `start` on."""
        return batches_from(self.dls.train, self.state.seed, epoch, start, self.device)

    def close(self) -> None:
        """Close the open stream, if there is one; what it has learned stays."""
        if self._stream is not None and (open_stream := self._stream()) is not None:
            open_stream.close()

    @instead_of(start_epoch="fit goes on where the last one ended, and learn.load(path) where a saved one did.")
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
        show: bool = True,
    ) -> None:
        """Train for `n_epoch` more epochs, or until `stop` says so, and show a table as it goes.

        Without `n_epoch` it trains as the recipe says that made this learner. The rate is constant unless a schedule
        is given. An epoch that a stream left half done is finished first, and is the first of the `n_epoch`. A weight
        decay given here stays.

        An interrupt (Ctrl-C, or a notebook's stop button) is raised between two batches: the learner stays usable, and
        `fit` goes on from there.

        Raises:
            TrainingError: the loss became infinite or not a number, or another stream of this learner is open.
            UsageError: no number of epochs, or a number, rate or weight decay that is negative.
        """
        refuse_callbacks(cbs)
        self._refuse_second_stream()
        if n_epoch is not None:
            if isinstance(n_epoch, bool) or not isinstance(n_epoch, int):
                raise UsageError(f"{n_epoch!r} is no number of epochs.", hint="learn.fit(15)")
            rule, schedule = after(epochs=n_epoch), schedule or constant
        elif self.plan[0].epochs is not None:
            (rule, planned), n_epoch = self.plan, self.plan[0].epochs
            schedule = schedule or planned
        else:
            raise UsageError("fit needs a number of epochs.", hint="learn.fit(15), or a learner made by a recipe.")
        rate = checked_rate(self.lr if lr is None else lr)
        wd = None if wd is None else checked_decay(wd, self.opt)
        if reset_opt:
            self.state.optimizer = optimizer_from(self.opt_func, self.model, rate)
        if wd is not None:
            for group in self.opt.param_groups:
                group["weight_decay"] = wd
        self.state.begin_fit()
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
                    if interrupted():
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                self.state.stopped = Reason(f"it was interrupted after batch {self.state.batch}", "interrupted")
                raise
            if interrupted():  # after the last event, when there was nothing left to stop
                raise KeyboardInterrupt
        self.check_finite()

    @instead_of(
        moms="opt_func=functools.partial(SGD, momentum=0.9): it stays the same all the way.",
        start_epoch="It goes on where the last fit ended; the cycle is of its own epochs.",
    )
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
        show: bool = True,
    ) -> None:
        """Train with the learning rate going up to `lr_max` and down again; see `steps.step.one_cycle`.

        Raises:
            TrainingError: the loss became infinite or not a number.
        """
        self.fit(n_epoch, lr_max, wd, cbs, reset_opt, schedule=one_cycle(div, div_final, pct_start), show=show)

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
            TrainingError: naming the batch, and the picture where the input itself is not finite.
        """
        loss = self.state.last_loss
        if loss is None or math.isfinite(float(loss)):
            return
        where = f"epoch {self.state.epoch + 1}, batch {self.state.position}"
        before = batches_from(self.dls.train, self.state.seed, self.state.epoch, self.state.position - 1, self.device)
        if (batch := next(before, None)) and (found := _not_finite(*batch, where)):
            raise TrainingError(found, hint="Clean the data; training cannot repair it.")
        raise TrainingError(
            f"The loss became {float(loss)} at {where}, with learning rate {self.opt.param_groups[0]['lr']:g}.",
            hint=f"Try a lower learning rate, such as {self.state.lr / 10:g}, or clip the gradient at 1 (clip).",
        )

    def set(self, *, lr: float) -> None:
        """Change the learning rate between two batches; the change and its place are kept in `state.changes`.

        Raises:
            UsageError: a rate that is negative or no number.
        """
        lr = checked_rate(lr)
        if lr != self.state.lr:
            if self.state.batch > self.state.fit_batch and self.state.stopped is None:
                self.state.changes.append({"at_batch": self.state.batch, "lr": lr})
            self.state.lr = lr

    @instead_of(suggest_funcs="What it gives has .low, .high and .suggestion.")
    def lr_find(
        self,
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        num_it: int = 100,
        stop_div: bool = True,
        show_plot: bool = True,
    ) -> LRFind:
        """Try rates from `start_lr` to `end_lr`, one a batch, on a copy; the learner is not changed.

        The same learner and seed give the same answer. See `lr_find.LRFind` for what the range means.
        """
        from .lr_find import lr_find

        found = lr_find(self, start_lr, end_lr, num_it, stop_div)
        if show_plot:
            from ..show import drawing

            drawing.show(found.plot())
        return found

    # Looking

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode without gradients; afterwards all is as before."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad(), drawn_from(seed_of(self.state.seed, LOADER), self.device):
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    @instead_of(cbs="for x, y in learn.dls.valid: ...")
    def validate(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> list[float]:
        """The loss and each metric over the validation loader (or `dl`), as means over pictures. Changes nothing.

        Raises:
            DataError: there is no such loader, it is empty, or it holds numbers that are not finite.
            ShapeError: model and batch, or predictions and targets, do not go together.
            KeyboardInterrupt: training was asked to stop meanwhile.
        """
        loader = self._loader(ds_idx, dl)
        functions: list[Metric] = [self.objective.loss, *map(self.objective.metric, self.metrics)]
        sums, seen = [0.0] * len(functions), 0
        with self.looking():
            for place, batch in enumerate(loader, 1):
                if number := self.interrupted():
                    raise KeyboardInterrupt(number)
                x, targets = pair(batch, self.device)
                predictions = predict(self.model, x)
                figures = [float(function(predictions, targets)) for function in functions]
                where = f"batch {place} of the validation loader"
                if not math.isfinite(figures[0]) and (found := _not_finite(x, targets, where)):
                    raise DataError(found, hint="Clean the data: no model can be measured on it.")
                sums = [total + figure * len(x) for total, figure in zip(sums, figures, strict=True)]
                seen += len(x)
        if not seen:
            raise DataError("The validation loader has no batches.", hint="Give it at least one (x, y).")
        return [total / seen for total in sums]

    @property
    def metric_names(self) -> list[str]:
        """What each metric is called: its own name, with a number where an earlier figure has that name already."""
        taken = ["train_loss", "valid_loss", "lr"]  # stand beside the metrics in an epoch
        for name in map(name_of, self.metrics):
            numbered = (f"{name}_{number}" for number in itertools.count(2))
            taken.append(next(free for free in itertools.chain([name], numbered) if free not in taken))
        return taken[3:]

    def get_logits(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> tuple[Float[Tensor, "n ..."], Tensor]:
        """Raw scores and targets over the validation loader (or `dl`).

        Raises:
            DataError: there is no such loader, or it is empty.
        """
        scores, targets = Gathered(), Gathered()
        with self.looking():
            for batch in self._loader(ds_idx, dl):
                x, y = pair(batch, self.device)
                scores.add(predict(self.model, x).cpu())
                targets.add(y.cpu())
        if not scores.count:
            raise DataError("The loader has no batches.", hint="Give it at least one (x, y).")
        return scores.all(), targets.all()

    @instead_of(
        with_input="for x, y in learn.dls.valid: ...",
        with_decoded="predictions.argmax(1) is the number of the class.",
        with_loss="learn.validate() gives the mean; logits, y = learn.get_logits() is what a loss takes.",
        act="Learner(..., activation=...)",
        cbs="for x, y in learn.dls.valid: ...",
    )
    def get_preds(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> tuple[Float[Tensor, "n ..."], Tensor]:
        """Probabilities, one column a class also where there are two, and targets.

        A model that fits numbers gives its predictions as they are: no class names, and a distance as the loss, or one
        of your own with float targets that are not all 0 and 1.

        Raises:
            DataError: there is no such loader, or it is empty.
        """
        scores, targets = self.get_logits(ds_idx, dl)
        self.objective.look_at_targets(targets)
        return scores if self.objective.is_regression else self.probabilities(scores), targets

    def probabilities(self, logits: Float[Tensor, "n scores"]) -> Float[Tensor, "n classes"]:
        """Raw scores as probabilities, with this learner's activation and temperature."""
        return self.objective.probabilities(logits, self.temperature)

    @instead_of(with_input="The picture is yours already.", rm_type_tfms="Nothing is to be removed.")
    def predict(self, picture: Any) -> tuple[Any, Any, Tensor]:
        """The class, its number, and the probabilities of one picture; for a model that fits numbers, thrice these.

        Takes the path of a picture, a PIL image, a uint8 array `(h, w)` or `(c, h, w)`, or a float tensor in [0, 1];
        a path or image is read as training pictures were, and resized to their size.

        Raises:
            DataError: the picture cannot be read, has another shape, or values that no training picture has.
            ModelError: the model has another number of outputs than there are classes.
        """
        x = self._as_input(picture[0] if isinstance(picture, tuple) else picture)  # (picture, label), as Images gives
        with self.looking():
            scores = predict(self.model, x.to(self.device)).cpu()
        if self.objective.is_regression:
            return scores[0], scores[0], scores[0]
        found = self.probabilities(scores)[0]
        if self.classes and len(self.classes) != len(found):
            raise ModelError(
                f"The model tells {len(found)} classes apart, and there are {len(self.classes)}.",
                hint="Give its last layer one output for two classes, or one a class.",
            )
        label = int(found.argmax())
        return (self.classes[label] if self.classes else str(label)), label, found

    def xray(self, x: Tensor | None = None, y: Tensor | None = None) -> XRay:
        """The very batch that comes next (or `x, y`) through steps 1 to 5, on a copy: nothing is changed.

        Raises:
            UsageError: x without y, or the loader is an iterator, from which a batch can be taken only once.
            DataError: the loader has no batches.
        """
        from .xray import xray

        epoch, position, train = self.state.epoch, self.state.position, self.dls.train
        if (x is None) != (y is None):
            raise UsageError("xray() needs both x and y, or neither.", hint="learn.xray(x, y), or learn.xray()")
        is_own = x is None
        if x is None or y is None:
            self.refuse_iterator()
            batch = next(batches_from(train, self.state.seed, epoch, position, self.device), None)
            if batch is None:  # the epoch under way has no batch left
                epoch, position = epoch + 1, 0
                batch = next(batches_from(train, self.state.seed, epoch, position, self.device), None)
            if batch is None:
                raise DataError("The training loader has no batches.", hint="Give it at least one (x, y).")
            x, y = batch
        scale = self._scale_by_formula if is_own else 1.0
        return xray(self, x.to(self.device), y.to(self.device), epoch, position, scale)

    def refuse_iterator(self) -> None:
        """Raise if a look at the batches to come would take them away from training.

        Raises:
            UsageError: the training loader is an iterator.
        """
        if isinstance(self.dls.train, Iterator):
            raise UsageError(
                "The training loader gives each batch once, and looking at one would take it from training.",
                hint="Give a DataLoader, or a list of batches.",
            )

    @instead_of(
        shuffle="Pass a loader that shuffles: dl=...", nrows="max_n=9 says how many.", ncols="max_n=9 says how many."
    )
    def show_results(self, ds_idx: int = 1, dl: Iterable[Any] | None = None, max_n: int = 9) -> Figure:
        """A figure of the first pictures with their labels and predictions.

        Raises:
            DataError: the loader holds no pictures.
        """
        from ..show import figures

        loader = self._loader(ds_idx, dl)
        x, y = pair(next(iter(loader)), self.device)
        shape = self.picture_shape
        if shape is None:
            raise DataError("The loaders hold no pictures to show.", hint="Use learn.get_preds().")
        with self.looking():
            found = self.probabilities(predict(self.model, x[:max_n].to(self.device)).cpu())
        names = self.classes or tuple(map(str, range(found.shape[1])))
        return figures.results(
            x[:max_n].reshape(-1, *shape).cpu().numpy(), y[:max_n].flatten().tolist(), found.numpy(), names
        )

    def summary(self) -> str:
        """The model layer by layer, its parameters, loss, optimizer and way of doing step 4; prints as it is."""
        lines = [f"{'layer':<34}{'parameters':>12}"]
        for name, module in self.model.named_modules():
            if not any(True for _ in module.children()):
                count = sum(parameter.numel() for parameter in module.parameters())
                lines.append(f"{(name + ' ' if name else '') + str(module):<34.80}{count:>12,}")
        lines += [
            f"{self.parameter_count:,} parameters, {self.trainable_count:,} of them trainable",
            f"loss: {self.objective.name}   optimizer: {type(self.opt).__name__}   gradient: {self.gradient}",
        ]
        return "\n".join(lines)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model learns or could learn."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def trainable_count(self) -> int:
        """How many of them are not frozen."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of the pictures, where the loaders hold pictures."""
        images = getattr(self.dls.train, "images", None)
        return images.shape if images is not None else None

    @property
    def picture_fit(self) -> Fit | None:
        """How pictures of other sizes came to that shape, where the loaders hold some that did."""
        return getattr(getattr(self.dls.train, "images", None), "fit", None)

    def copy(self) -> Learner:
        """The same learner with a model and optimizer of its own, over the same loaders."""
        other = copy.copy(self)
        other.dls = copy.copy(self.dls)
        other.state = copy.deepcopy(self.state)
        other.recorder, other._stream = Recorder(other), None
        return other

    # Saving

    @instead_of(
        with_opt="It always saves the optimizer; learn.export(path) saves the model alone.", file="Call it path."
    )
    def save(self, path: str | Path) -> Path:
        """Save weights, optimizer, history and position to a safetensors file; `.safetensors` is added if missing.

        Raises:
            FileError: it cannot be written.
            ModelError: there are numbers that are not finite.
        """
        return saving.save(self, Path(path))

    @instead_of(
        with_opt="It always loads the optimizer; ss.load_learner(path) loads a model alone.",
        strict="The model must be the same; learn.model.load_state_dict(...) takes less.",
        device="It goes where the learner is: Learner(..., device=...).",
        file="Call it path.",
    )
    def load(self, path: str | Path) -> Learner:
        """Take up what `save` saved; returns the learner itself.

        Raises:
            ModelError: no such file, a damaged one, or one of another kind.
            TrainingError: it belongs to another model or optimizer.
        """
        self.close()
        saving.load(self, Path(path))
        return self

    @instead_of(fname="Call it path.", pickle_module="Nothing is pickled.", pickle_protocol="Nothing is pickled.")
    def export(self, path: str | Path | None = None) -> Path:
        """Save the model alone, with class names, picture shape and what turns scores into probabilities.

        Raises:
            UsageError: no path; fastai's export.pkl would promise a pickle.
            FileError: it cannot be written.
            ModelError: there are numbers that are not finite.
        """
        if path is None:
            raise UsageError("export() needs the path of a file.", hint='learn.export("model.safetensors")')
        return saving.export(self, Path(path))

    # Inside

    def _validate_epoch(self) -> tuple[float | None, Mapping[str, float]]:
        if self.dls.valid is None:
            return None, {}
        loss, *metrics = self.validate()
        return loss, dict(zip(self.metric_names, metrics, strict=True))

    def _loader(self, ds_idx: int, dl: Iterable[Any] | None) -> Iterable[Any]:
        if dl is None and ds_idx not in (0, 1):
            raise UsageError(f"There is no loader {ds_idx}.", hint="0 is the training loader, 1 the validation loader.")
        loader = dl if dl is not None else self.dls[ds_idx]
        if loader is None:
            raise DataError(
                "There is no validation loader.",
                hint="Hold pictures out with splits.hold_out(0.1), or pass a loader: dl=...",
            )
        return loader

    def _as_input(self, picture: Any) -> Tensor:
        """A picture of any kind as a batch of one, shaped as the loaders shape theirs."""
        from ..data.decode import as_pixels

        shape = self.picture_shape
        if isinstance(picture, np.ndarray) and picture.dtype.kind == "f":
            picture = torch.from_numpy(np.array(picture))  # a copy: it may be read-only, or a reversed view
        is_float = isinstance(picture, Tensor) and picture.is_floating_point()
        if shape is None:
            if not is_float:
                raise DataError("This learner was not trained on pictures.", hint="Give it a float tensor.")
            x: Tensor = picture.float().unsqueeze(0)
            return x
        if is_float:
            x = picture.float()
        else:
            x = torch.from_numpy(np.array(as_pixels(picture, shape, self.picture_fit or "squash"))).float() / 255
        if tuple(x.shape) not in {shape, (1, *shape), shape[1:] if shape[0] == 1 else shape, (math.prod(shape),)}:
            raise DataError(f"The picture is {tuple(x.shape)}, and the model takes {shape}.", hint="Resize it.")
        if not bool(((x >= 0) & (x <= 1)).all()):
            raise DataError("The picture has values outside [0, 1].", hint="Divide by 255, or give a uint8 array.")
        return x.reshape(1, -1) if self.flat else x.reshape(1, *shape)


def _not_finite(x: Tensor, targets: Tensor, where: str) -> str | None:
    """Which row of a batch holds NaN or infinity, in words; None where no row does."""
    for what, tensor in (("input", x), ("target", targets)):
        bad = (~torch.isfinite(tensor.reshape(len(tensor), -1))).any(1).nonzero().flatten().tolist()
        if bad:
            return (
                f"The {what} itself is not finite: row {bad[0]} of {where} holds NaN or infinity "
                f"({len(bad)} of {len(tensor)} rows do)."
            )
    return None
