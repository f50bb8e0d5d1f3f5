"""Learner: the seven steps tied together. Loaders, a model, a loss and an optimizer become something that trains."""

from __future__ import annotations

import contextlib
import copy
import math
import numbers
import signal
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import architecture, model_file
from .data.batches import DataLoaders
from .errors import DataError, ModelError, ShapeError, TrainingError, UsageError
from .metrics import METRICS
from .records import Batch, Epoch, XRay
from .seeds import LOADER, seed_of
from .steps import gradient
from .steps.loss import LOSSES, binary_cross_entropy_with_logits, cross_entropy
from .steps.predict import probabilities
from .steps.repeat import State, batches_from, drawn_from, stream
from .steps.step import SGD, UNFIT, Schedule, clipped, constant, one_cycle
from .steps.stop import StopRule, after, when_not_finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .lr_find import LRFind

Metric = Callable[[Tensor, Tensor], Any]


class Learner:
    """Loaders, a model, a loss and an optimizer: what `fit` trains, in fastai's order of arguments.

    Works on pictures and on any `(x, y)`. `model` is trained in place. Without `loss_func`, one column of scores gets
    binary cross-entropy and several get cross-entropy. `opt_func(params, lr=…)` makes the optimizer. `metrics` is a
    function or a list of them. `activation` turns raw scores into probabilities where neither sigmoid nor softmax does.
    `gradient` is "auto" (by formula where it surely applies), "formula" or "autograd". `seed` decides order,
    augmentation and random layers; it is the loader's unless given.
    """

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
        cbs: None = None,
    ) -> None:
        _refuse_callbacks(cbs)
        if isinstance(model, type) or not isinstance(model, nn.Module):
            raise ModelError(
                f"The model is {model!r}, and must be an nn.Module.", hint="Learner(dls, nn.Linear(784, 1))"
            )
        if gradient not in ("auto", "formula", "autograd"):
            raise UsageError(f"gradient is {gradient!r}.", hint="Use 'auto', 'formula' or 'autograd'.")
        self.dls, self.lr, self.opt_func, self.clip = dls, lr, opt_func, clip
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.loss_func = loss_func if loss_func is not None else _default_loss(model, dls.classes)
        self.metrics = [metrics] if callable(metrics) else list(metrics or [])
        self.activation = (
            activation or getattr(self.loss_func, "activation", None) or _foreign_activation(self.loss_func)
        )
        self.temperature = 1.0
        self.wanted_gradient = gradient
        self.schedule: Schedule = constant
        self.stop: StopRule = when_not_finite()
        seed = getattr(dls.train, "seed", 0) if seed is None else seed
        self.state = State(self.model, self._new_optimizer(lr), int(seed or 0), lr)
        if self.device.type == "mps":  # has no float64
            self.state.loss_sum = torch.zeros((), device=self.device)
        else:
            self.state.loss_sum = self.state.loss_sum.to(self.device)
        self.recorder = Recorder(self)
        self._stream: Any = None  # a weak reference to the open stream, if any
        self._said: set[str] = set()

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
    def loss_name(self) -> str:
        """What the loss is called."""
        return _name_of(self.loss_func)

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
        ended, a stream begins a new one, and `stop` counts from there. `stop` and `schedule` stay as they are until
        they are given again; at first a stream ends only when the loss is no longer finite.

            for event in learn.stream(stop=after(epochs=15) | when_flat("valid_loss", patience=3)):
                ...

        Raises:
            TrainingError: another stream of this learner is open.
        """
        self._refuse_second_stream()
        if self.state.stopped is not None:
            self.state.begin_fit()
        self.stop = stop | when_not_finite() if stop is not None else self.stop
        self.schedule = schedule or self.schedule
        by_formula = self.gradient == "formula"
        calculate = gradient.formula(self.model, self.loss_func) if by_formula else gradient.autograd(self.model)
        assert calculate is not None
        generator = stream(
            self.state,
            lambda epoch, start: batches_from(self.dls.train, self.state.seed, epoch, start, self.device),
            self.fitted_loss,
            calculate,
            clipped(self.opt, self.model, self.clip) if self.clip else self.opt.step,
            self._validate_epoch,
            self.stop,
            self.schedule,
            batches_per_epoch=self.batches_per_epoch,
            by_formula=by_formula,
        )
        assert isinstance(generator, GeneratorType)
        self._stream = weakref.ref(generator)
        return generator

    def close(self) -> None:
        """Close the open stream, if there is one; what it has learned stays."""
        if self._stream is not None and (open_stream := self._stream()) is not None:
            open_stream.close()

    def fit(
        self,
        n_epoch: int | None = None,
        lr: float | None = None,
        wd: float | None = None,
        cbs: None = None,
        reset_opt: bool = False,
        *,
        stop: StopRule | None = None,
        schedule: Schedule | None = None,
        show: bool = True,
    ) -> None:
        """Train for `n_epoch` more epochs, or until `stop` says so, and show a table as it goes.

        Without `n_epoch` it trains as the recipe says that made this learner. The rate is constant unless a schedule
        is given.

        An interrupt (Ctrl-C, or a notebook's stop button) is raised between two batches: the learner stays usable, and
        `fit` goes on from there.

        Raises:
            TrainingError: the loss became infinite or not a number, or another stream of this learner is open.
            UsageError: no number of epochs, or a number, rate or weight decay that is negative.
        """
        _refuse_callbacks(cbs)
        self._refuse_second_stream()
        if n_epoch is not None:
            rule, schedule = after(epochs=n_epoch), schedule or constant
        elif self.stop.epochs is not None:
            rule, n_epoch = self.stop, self.stop.epochs
        else:
            raise UsageError("fit needs a number of epochs.", hint="learn.fit(15), or a learner made by a recipe.")
        rate = _checked_rate(self.lr if lr is None else lr)
        if wd is not None and not ("weight_decay" in self.opt.defaults and wd >= 0):
            raise UsageError(f"{type(self.opt).__name__} cannot have wd={wd}.", hint="Leave wd out.")
        if reset_opt:
            self.state.optimizer = self._new_optimizer(rate)
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
                from .show.epochs import epoch_table

                observers.append(stack.enter_context(epoch_table(n_epoch)))
            interrupted = stack.enter_context(interrupts_between_batches())
            for event in events:
                for observe in observers:
                    observe(event)
                if interrupted():
                    self.state.stopped = f"it was interrupted after batch {self.state.batch}"
                    raise KeyboardInterrupt
            if interrupted():  # after the last event, when there was nothing left to stop
                raise KeyboardInterrupt
        self.check_finite()

    def fit_one_cycle(
        self,
        n_epoch: int,
        lr_max: float | None = None,
        div: float = 25.0,
        div_final: float = 1e5,
        pct_start: float = 0.25,
        wd: float | None = None,
        cbs: None = None,
        reset_opt: bool = False,
        *,
        show: bool = True,
    ) -> None:
        """Train with the learning rate going up to `lr_max` and down again; see `steps.step.one_cycle`.

        Raises:
            TrainingError: the loss became infinite or not a number.
        """
        self.fit(n_epoch, lr_max, wd, cbs, reset_opt, schedule=one_cycle(div, div_final, pct_start), show=show)

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
        for what, tensor in zip(("input", "target"), next(before, ()), strict=False):
            bad = (~torch.isfinite(tensor.reshape(len(tensor), -1))).any(1).nonzero().flatten().tolist()
            if bad:
                raise TrainingError(
                    f"The {what} itself is not finite: row {bad[0]} of {where} holds NaN or infinity "
                    f"({len(bad)} of {len(tensor)} rows do).",
                    hint="Clean the data; training cannot repair it.",
                )
        raise TrainingError(
            f"The loss became {float(loss)} at {where}, with learning rate {self.opt.param_groups[0]['lr']:g}.",
            hint=f"Try a lower learning rate (lr={self.state.lr / 10:g}), or clip=1.",
        )

    def set(self, *, lr: float) -> None:
        """Change the learning rate between two batches; the change and its place are kept in `state.changes`.

        Raises:
            UsageError: a rate that is negative or no number.
        """
        lr = _checked_rate(lr)
        if lr != self.state.lr:
            if self.state.batch > self.state.fit_batch and self.state.stopped is None:
                self.state.changes.append({"at_batch": self.state.batch, "lr": lr})
            self.state.lr = lr

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
            from .show import figures

            figures.show(found.plot())
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

    def validate(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> list[float]:
        """The loss and each metric over the validation loader (or `dl`), as means over pictures. Changes nothing.

        Raises:
            DataError: there is no such loader, or it is empty.
        """
        loader = self._loader(ds_idx, dl)
        functions: list[Metric] = [self.fitted_loss, *map(self._fitted_metric, self.metrics)]
        sums, seen = [0.0] * len(functions), 0
        with self.looking():
            for x, targets in loader:
                x, targets = x.to(self.device), targets.to(self.device)
                predictions = self.model(x)
                sums = [
                    total + float(function(predictions, targets)) * len(x)
                    for total, function in zip(sums, functions, strict=True)
                ]
                seen += len(x)
        if not seen:
            raise DataError("The validation loader has no batches.", hint="Give it at least one (x, y).")
        return [total / seen for total in sums]

    @property
    def metric_names(self) -> list[str]:
        """What each metric is called: its own name."""
        return [getattr(metric, "__name__", type(metric).__name__) for metric in self.metrics]

    def get_logits(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> tuple[Float[Tensor, "n scores"], Tensor]:
        """Raw scores and targets over the validation loader (or `dl`).

        Raises:
            DataError: there is no such loader, or it is empty.
        """
        scores, targets = [], []
        with self.looking():
            for x, y in self._loader(ds_idx, dl):
                scores.append(self.model(x.to(self.device)).cpu())
                targets.append(y.cpu())
        if not scores:
            raise DataError("The loader has no batches.", hint="Give it at least one (x, y).")
        return torch.cat(scores), torch.cat(targets)

    def get_preds(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> tuple[Float[Tensor, "n classes"], Tensor]:
        """Probabilities, one column a class also where there are two, and targets.

        Raises:
            DataError: there is no such loader, or it is empty.
        """
        scores, targets = self.get_logits(ds_idx, dl)
        return self.probabilities(scores), targets

    def probabilities(self, logits: Float[Tensor, "n scores"]) -> Float[Tensor, "n classes"]:
        """Raw scores as probabilities, with this learner's activation and temperature."""
        return probabilities(logits, self.activation, self.temperature)

    def predict(self, picture: Any) -> tuple[str, int, Float[Tensor, " classes"]]:
        """The class, its number, and the probabilities of one picture.

        Takes the path of a picture, a PIL image, a uint8 array `(h, w)` or `(c, h, w)`, or a float tensor in [0, 1];
        a path or image is read as training pictures were, and resized to their size.

        Raises:
            DataError: the picture cannot be read, has another shape, or values that no training picture has.
            ModelError: the model has another number of outputs than there are classes.
        """
        x = self._as_input(picture)
        with self.looking():
            found = self.probabilities(self.model(x.to(self.device)).cpu())[0]
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
            UsageError: the loader is an iterator, from which a batch can be taken only once.
            DataError: the loader has no batches.
        """
        from .xray import xray

        epoch, position, train = self.state.epoch, self.state.position, self.dls.train
        if x is None or y is None:
            self.refuse_iterator()
            batch = next(batches_from(train, self.state.seed, epoch, position, self.device), None)
            if batch is None:  # the epoch under way has no batch left
                epoch, position = epoch + 1, 0
                batch = next(batches_from(train, self.state.seed, epoch, position, self.device), None)
            if batch is None:
                raise DataError("The training loader has no batches.", hint="Give it at least one (x, y).")
            x, y = batch
        return xray(self, x.to(self.device), y.to(self.device), epoch, position)

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

    def show_results(self, ds_idx: int = 1, dl: Iterable[Any] | None = None, max_n: int = 9) -> Figure:
        """A figure of the first pictures with their labels and predictions.

        Raises:
            DataError: the loader holds no pictures.
        """
        from .show import figures

        loader = self._loader(ds_idx, dl)
        x, y = next(iter(loader))
        shape = self.picture_shape
        if shape is None:
            raise DataError("The loaders hold no pictures to show.", hint="Use learn.get_preds().")
        with self.looking():
            found = self.probabilities(self.model(x[:max_n].to(self.device)).cpu())
        names = self.classes or tuple(map(str, range(found.shape[1])))
        return figures.results(
            x[:max_n].reshape(-1, *shape).cpu().numpy(), y[:max_n].flatten().tolist(), found.numpy(), names
        )

    def summary(self) -> str:
        """The model layer by layer, its parameters, loss, optimizer and way of doing step 4, as text."""
        lines = [f"{'layer':<34}{'parameters':>12}"]
        for name, module in self.model.named_modules():
            if not any(True for _ in module.children()):
                count = sum(parameter.numel() for parameter in module.parameters())
                lines.append(f"{(name + ' ' if name else '') + str(module):<34.80}{count:>12,}")
        lines += [
            f"{self.parameter_count:,} parameters, {self.trainable_count:,} of them trainable",
            f"loss: {self.loss_name}   optimizer: {type(self.opt).__name__}   gradient: {self.gradient}",
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

    def copy(self) -> Learner:
        """The same learner with a model and optimizer of its own, over the same loaders."""
        other = copy.copy(self)
        other.dls = copy.copy(self.dls)
        other.state = copy.deepcopy(self.state)
        other.model = other.state.model
        other.recorder, other._stream = Recorder(other), None
        return other

    # Saving

    def save(self, path: str | Path) -> Path:
        """Save weights, optimizer, history and position to a safetensors file; `.safetensors` is added if missing.

        Raises:
            FileError: it cannot be written.
            ModelError: there are numbers that are not finite.
        """
        path = Path(path)
        path = path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
        model_file.write(path, _finite_arrays(self.state.tensors()), {"state": self.state.facts()})
        return path

    def load(self, path: str | Path) -> Learner:
        """Take up what `save` saved; returns the learner itself.

        Raises:
            ModelError: no such file, a damaged one, or one of another kind.
            TrainingError: it belongs to another model or optimizer.
        """
        path = Path(path)
        path = path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
        arrays, about = model_file.read(path)
        if "state" not in about:
            raise ModelError(f"{path} holds an exported model and no optimizer.", hint="Use ss.load_learner(path).")
        self.close()
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}
        self.state.restore(tensors, about["state"])
        return self

    def export(self, path: str | Path) -> Path:
        """Save the model alone, with class names, picture shape and what turns scores into probabilities.

        Raises:
            FileError: it cannot be written.
            ModelError: there are numbers that are not finite.
        """
        path = Path(path)
        model_file.write(path, _finite_arrays(self.model.state_dict()), self.about())
        return path

    def model_arrays(self) -> dict[str, np.ndarray]:
        """The model's parameters and buffers as arrays."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}

    def about(self) -> dict[str, Any]:
        """What an exported file says beside the tensors."""
        known_loss = self.loss_name if self.loss_func_is_ours else None
        images_flat = bool(getattr(self.dls.train, "flat", False))
        return {
            "model": architecture.describe(self.model),
            "class": type(self.model).__name__,
            "classes": list(self.classes) if self.classes else None,
            "shape": list(self.picture_shape) if self.picture_shape else None,
            "flat": images_flat,
            "loss": known_loss,
            "activation": "own" if self._activation_is_own else None,
            "temperature": self.temperature,
        }

    @property
    def _activation_is_own(self) -> bool:
        """Whether the loss's name in a file, or none, does not say what makes probabilities of the scores."""
        known = getattr(LOSSES.get(self.loss_name), "activation", None) if self.loss_func_is_ours else None
        return self.activation is not known

    @property
    def loss_func_is_ours(self) -> bool:
        """Whether the loss is one of `steps/loss.py`, perhaps with label smoothing."""
        return getattr(self.loss_func, "func", self.loss_func) in LOSSES.values()

    # Inside

    def _new_optimizer(self, lr: float) -> torch.optim.Optimizer:
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not trainable:
            raise ModelError("The model has no trainable parameters.", hint="Set requires_grad on some of them.")
        optimizer = self.opt_func(trainable, lr=lr)
        if (name := type(optimizer).__name__) in UNFIT:
            raise UsageError(f"{name} does not fit here: it {UNFIT[name]}.", hint="Use SGD or AdamW.")
        return optimizer

    def fitted_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The loss; one that is not ours gets `(b, 1)` targets for `(b, 1)` predictions, and must give one number."""
        if self.loss_func_is_ours:
            self._check_labels(predictions, targets)
            loss: Tensor = self.loss_func(predictions, targets)
            return loss
        if predictions.ndim == 2 and predictions.shape[1] == 1 and _takes_a_score_a_class(self.loss_func):
            raise ShapeError(
                f"{self.loss_name} takes a score for each class, and the predictions are {tuple(predictions.shape)}.",
                hint="Give the model an output for each class, or use a binary cross-entropy.",
            )
        loss = self.loss_func(predictions, self._fitted_targets(predictions, targets))
        if not isinstance(loss, Tensor) or loss.ndim:
            raise ShapeError(
                f"The loss {self.loss_name} gives {tuple(loss.shape) if isinstance(loss, Tensor) else loss!r}, "
                "and must give one number.",
                hint="End it with .mean().",
            )
        return loss

    def _fitted_metric(self, metric: Metric) -> Metric:
        """A metric that takes raw scores and the loader's targets."""
        if metric in METRICS.values():
            activation: Any = self.activation
            return lambda predictions, targets: metric(predictions, targets, activation)  # type: ignore[call-arg]
        return lambda predictions, targets: metric(predictions, self._fitted_targets(predictions, targets))

    def _check_labels(self, predictions: Tensor, targets: Tensor) -> None:
        """Look at the first batch's labels: those of other classes would train towards nonsense without a word."""
        if "labels" in self._said or predictions.ndim != 2 or targets.is_floating_point():
            return
        self._said.add("labels")
        classes = max(predictions.shape[1], 2)
        wrong = targets[(targets < 0) | (targets >= classes)]
        if wrong.numel():
            raise DataError(
                f"There is a label {int(wrong[0])}, and the model's {predictions.shape[1]} score"
                f"{'s tell' if predictions.shape[1] > 1 else ' tells'} the classes 0 to {classes - 1} apart.",
                hint="Number the labels from 0, or give the model an output for each class.",
            )

    def _fitted_targets(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Float targets of the predictions' shape where one is `(b, 1)` and one `(b,)`, which would give `(b, b)`."""
        count = len(predictions)
        if {predictions.shape, targets.shape} == {(count,), (count, 1)}:
            if "column" not in self._said:
                self._said.add("column")
                shapes = ["(batch,)", "(batch, 1)"]
                print(
                    f"Targets {shapes[targets.ndim - 1]} are given to your loss and metrics as "
                    f"{shapes[predictions.ndim - 1]} floats, like the predictions."
                )
            return targets.reshape(predictions.shape).to(predictions.dtype)
        return targets

    def _validate_epoch(self) -> tuple[float | None, Mapping[str, float]]:
        if self.dls.valid is None:
            return None, {}
        loss, *metrics = self.validate()
        return loss, dict(zip(self.metric_names, metrics, strict=True))

    def _loader(self, ds_idx: int, dl: Iterable[Any] | None) -> Iterable[Any]:
        loader = dl if dl is not None else self.dls[ds_idx]
        if loader is None:
            raise DataError("There is no validation loader.", hint="Hold pictures out: splits.hold_out(0.1).")
        return loader

    def _as_input(self, picture: Any) -> Tensor:
        """A picture of any kind as a batch of one, shaped as the loaders shape theirs."""
        from .data.decode import as_pixels

        shape = self.picture_shape
        if isinstance(picture, np.ndarray) and picture.dtype.kind == "f":
            picture = torch.from_numpy(np.array(picture))  # a copy: it may be read-only, or a reversed view
        is_float = isinstance(picture, Tensor) and picture.is_floating_point()
        if shape is None:
            if not is_float:
                raise DataError("This learner was not trained on pictures.", hint="Give it a float tensor.")
            x: Tensor = picture.float().unsqueeze(0)
            return x
        x = picture.float() if is_float else torch.from_numpy(np.array(as_pixels(picture, shape))).float() / 255
        if tuple(x.shape) not in {shape, (1, *shape), shape[1:] if shape[0] == 1 else shape, (math.prod(shape),)}:
            raise DataError(f"The picture is {tuple(x.shape)}, and the model takes {shape}.", hint="Resize it.")
        if not bool(((x >= 0) & (x <= 1)).all()):
            raise DataError("The picture has values outside [0, 1].", hint="Divide by 255, or give a uint8 array.")
        return x.reshape(1, -1) if getattr(self.dls.train, "flat", False) else x.reshape(1, *shape)


class Recorder:
    """What the last fit gave: `values`, a row an epoch; `losses` and `lrs`, one a batch."""

    def __init__(self, learn: Learner) -> None:
        self._learn = learn
        self.clear()

    def clear(self) -> None:
        """Forget the losses and rates of the batches."""
        self._losses: list[Tensor] = []
        self.lrs: list[float] = []
        self._validated: list[tuple[int, float]] = []  # batches done, and the loss then

    def observe(self, event: Batch | Epoch) -> None:
        """Take in an event of the stream."""
        if isinstance(event, Batch):
            self._losses.append(event.loss)
            self.lrs.append(event.lr)
        elif event.valid_loss is not None:
            self._validated.append((len(self._losses), event.valid_loss))

    @property
    def losses(self) -> list[float]:
        """The loss of each batch."""
        return torch.stack(self._losses).tolist() if self._losses else []

    @property
    def metric_names(self) -> list[str]:
        """What the columns of `values` are."""
        valid = [] if self._learn.dls.valid is None else ["valid_loss", *self._learn.metric_names]
        return ["train_loss", *valid]

    @property
    def values(self) -> list[list[float]]:
        """A row an epoch of the last fit: train loss, and validation loss and metrics where there are any."""
        return [
            [epoch.train_loss, *([] if epoch.valid_loss is None else [epoch.valid_loss]), *epoch.metrics.values()]
            for epoch in self._learn.state.fit_history
        ]

    def plot_loss(self, skip_start: int = 5, with_valid: bool = True) -> Figure:
        """The loss of each batch after the first few, and the validation loss of each epoch."""
        from .show import figures

        validated = self._validated if with_valid else []
        return figures.losses(
            self.losses, [loss for _, loss in validated], skip_start, [batches for batches, _ in validated]
        )

    def plot_metrics(self) -> Figure:
        """Each figure of the table against the epochs."""
        from .show import figures

        return figures.metrics(self.metric_names, self.values)


def load_learner(
    path: str | Path, model: nn.Module | None = None, loss_func: Any = None, *, dls: DataLoaders | None = None
) -> Learner:
    """The learner that `export` saved, ready to predict; with `dls`, to train on.

    A model of layers that are not in `architecture.LAYERS` comes as an instance in `model`, and a loss that is not
    ours in `loss_func`: a file never names code.

    Raises:
        ModelError: no such file, a damaged one, or one that needs `model` or `loss_func`.
    """
    arrays, about = model_file.read(Path(path))
    _check_about(about, path)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if about.get("activation") and loss_func is None:
        raise ModelError(
            f"{path} was trained with an activation that is not ours, and the file cannot hold it.",
            hint="Pass the loss: ss.load_learner(path, loss_func=...), with the activation in loss_func.activation.",
        )
    if model is not None:
        if not isinstance(model, nn.Module):
            raise ModelError(f"The model is {model!r}, and must be an nn.Module.", hint="Pass an instance.")
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            raise ModelError(
                f"{path} does not fit the model given: {error}", hint="Give the same architecture."
            ) from error
    elif about.get("model") is None:
        raise ModelError(
            f"{path} holds the weights of {about.get('class', 'a model')}, which is not made of listed layers.",
            hint="Pass an instance: ss.load_learner(path, model=...).",
        )
    else:
        model = architecture.build(about["model"], tensors)
    classes = tuple(about["classes"]) if about.get("classes") else None
    if loss_func is None:
        loss_func = LOSSES.get(about.get("loss") or "") or _default_loss(model, classes)
    learn = Learner(dls or DataLoaders(_NoPictures(classes, about.get("shape"), about.get("flat"))), model, loss_func)
    learn.temperature = float(about.get("temperature") or 1.0)
    return learn


def _check_about(about: Mapping[str, Any], path: str | Path) -> None:
    """Hold what a file says of itself against what `Learner.about` can say.

    Raises:
        ModelError: naming the first thing that cannot be.
    """

    def words(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)

    def shape(value: Any) -> bool:
        return isinstance(value, list) and len(value) == 3 and all(type(n) is int and n > 0 for n in value)

    def temperature(value: Any) -> bool:
        return isinstance(value, (int, float)) and 0 < value < math.inf

    fits: dict[str, Callable[[Any], bool]] = {
        "classes": words,
        "shape": shape,
        "flat": lambda value: isinstance(value, bool),
        "loss": lambda value: isinstance(value, str),
        "activation": lambda value: value == "own",
        "temperature": temperature,
    }
    for name, fit in fits.items():
        value = about.get(name)
        if value is not None and not fit(value):
            raise ModelError(f"{path} is damaged: its {name} is {value!r:.80}.", hint="Export the model again.")


def _finite_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors as arrays for a file, which is read back only if every number is finite.

    Raises:
        ModelError: one that is not.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name} holds numbers that are not finite.", hint="Train with a lower learning rate.")
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


class _NoPictures:
    """Stands where a training loader would in a learner that only predicts: class names and a shape."""

    def __init__(self, classes: tuple[str, ...] | None, shape: Sequence[int] | None, flat: bool | None) -> None:
        self.classes, self.flat = classes, bool(flat)
        self.images = self if shape else None
        self.shape = tuple(shape or ())

    def __iter__(self) -> Iterator[Any]:
        raise DataError("A loaded learner has no training pictures.", hint="ss.load_learner(path, dls=dls)")


@contextlib.contextmanager
def interrupts_between_batches(*numbers: signal.Signals) -> Iterator[Callable[[], int]]:
    """Inside, Ctrl-C (and the signals named) is only noted, for whoever asks between two batches; a second interrupts.

    What is given answers with the signal's number, or 0 while there was none.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, *numbers)}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _refuse_callbacks(cbs: Any) -> None:
    if cbs is not None:
        raise UsageError(
            "There are no callbacks here: training is a stream, and what you would do in one goes into the loop.",
            hint="for event in learn.stream(stop=after(epochs=5)): ...",
        )


def _checked_rate(lr: Any) -> float:
    """A learning rate from outside.

    Raises:
        UsageError: it is negative or no number.
    """
    rate = float(lr) if isinstance(lr, numbers.Real) else math.nan
    if not 0 <= rate < math.inf:
        raise UsageError(f"lr is {lr!r}, and must be a number of 0 or more.", hint="Try lr=0.1, or learn.lr_find().")
    return rate


def _takes_a_score_a_class(loss_func: Any) -> bool:
    """Whether it is a loss of PyTorch's that, given one score, is zero whatever the target."""
    return isinstance(loss_func, (nn.CrossEntropyLoss, nn.NLLLoss)) or loss_func in (
        nn.functional.cross_entropy,
        nn.functional.nll_loss,
    )


def _default_loss(model: nn.Module, classes: Sequence[str] | None) -> Any:
    """Binary cross-entropy for one column of scores, cross-entropy for several."""
    columns = next(
        (layer.out_features for layer in reversed(list(model.modules())) if isinstance(layer, nn.Linear)),
        1 if classes is not None and len(classes) == 2 else 2,
    )
    return binary_cross_entropy_with_logits if columns == 1 else cross_entropy


def _foreign_activation(loss_func: Any) -> Callable[[Tensor], Tensor] | None:
    """What makes probabilities of the scores under PyTorch's losses that take something other than logits."""
    if loss_func is nn.functional.binary_cross_entropy or isinstance(loss_func, nn.BCELoss):
        return lambda scores: scores
    if loss_func is nn.functional.nll_loss or isinstance(loss_func, nn.NLLLoss):
        return torch.exp
    return None


def _length(loader: Any) -> int | None:
    """How many batches an epoch has, where the loader knows."""
    try:
        return len(loader)
    except TypeError:
        return None


def _name_of(loss_func: Any) -> str:
    loss_func = getattr(loss_func, "func", loss_func)
    return getattr(loss_func, "__name__", type(loss_func).__name__)
