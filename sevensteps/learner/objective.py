"""Objective: fit any loss and metrics to the shapes of predictions and targets.

Our losses take targets `(batch,)` and `(batch, 1)` and refuse shapes that would broadcast silently. Any other loss gets
targets in the shape of its predictions, with one warning, and must return one number.
"""

from __future__ import annotations

import functools
import itertools
import numbers
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..base.words import counted
from ..errors import DataError, ShapeError, UsageError
from ..steps.loss import LOSSES, binary_cross_entropy_with_logits, cross_entropy, settings_of
from ..steps.predict import TORCHS, probabilities
from .ending import probabilities_of
from .metrics import METRICS

Metric = Callable[[Tensor, Tensor], Any]


class Objective:
    """A loss with its name and the activation that turns its scores into probabilities.

    Args:
        loss_func: Any function of (predictions, targets).
        activation: Turns raw scores into probabilities; that of the loss unless given.
        classes: The names of the classes, if they are known.
        model: The model. If it ends in a sigmoid or softmax, and the loss is the user's own, its outputs are
            probabilities already; losses of ours and of PyTorch say themselves what they take.
    """

    def __init__(
        self,
        loss_func: Any,
        activation: Callable[[Tensor], Tensor] | None = None,
        classes: Sequence[str] | None = None,
        model: nn.Module | None = None,
    ) -> None:
        self.loss_func, self.classes = loss_func, classes
        own = getattr(loss_func, "activation", None) or getattr(_function(loss_func), "activation", None)
        self._activation = activation or own or _foreign_activation(_function(loss_func))
        is_told = model is None or self._activation is not None or self.is_ours or _is_torchs(loss_func)
        self._of_model = None if is_told or model is None else probabilities_of(model)
        self._fits_numbers = False  # which the first batch's targets show
        self._checked_labels = False
        self._warned_of_column = False

    @property
    def name(self) -> str:
        """The name of the loss."""
        return name_of(self.loss_func)

    @property
    def activation(self) -> Callable[[Tensor], Tensor] | None:
        """What turns scores into probabilities; None for the sigmoid or softmax of raw scores."""
        return self._activation or (None if self._fits_numbers else self._of_model)

    @property
    def is_ours(self) -> bool:
        """Whether the loss is one of `steps/loss.py`, with or without label smoothing and class weights."""
        return settings_of(self.loss_func) is not None

    @property
    def is_regression(self) -> bool:
        """Whether the model predicts numbers and not classes: the loss is a distance, and no classes are named."""
        return self.classes is None and (
            settings_of(self.loss_func) == ("mse_loss", {}) or _is_distance(self.loss_func) or self._fits_numbers
        )

    def _refuse_raw_scores(self, predictions: Tensor) -> None:
        """Raise if a loss of log probabilities gets something else: it would fall without end."""
        takes_logs = self._activation is torch.exp and _foreign_activation(_function(self.loss_func)) is torch.exp
        largest = float(predictions.detach().max()) if takes_logs and predictions.numel() else 0.0
        if largest > 1e-3 and predictions.shape[1:] != (1,):
            raise ShapeError(
                f"{self.name} takes the logarithms of probabilities, but the model's scores are as large as "
                f"{largest:.3g}.",
                hint="End the model with nn.LogSoftmax(dim=1), or use cross_entropy.",
            )

    def refuse_without_shares(self) -> None:
        """Raise if the loss cannot take shares of classes as targets, which mixup gives. A loss of your own may.

        Raises:
            UsageError: Names the loss.
        """
        known = settings_of(self.loss_func)
        weighted = known is not None and "weight" in known[1]
        takes = known[0] in _TAKE_SHARES if known else not _is_torchs(self.loss_func) or _takes_torch_shares(self)
        if not takes or weighted:
            raise UsageError(
                f"mixup mixes labels, but {self.name}{' with weights' * weighted} takes only whole labels.",
                hint="Use cross_entropy, for two classes binary_cross_entropy_with_logits, or leave mixup out.",
            )

    def look_at_targets(self, targets: Tensor) -> None:
        """Find out whether a loss of the user's own is for regression: its targets are floats other than 0 and 1.

        With a loss of PyTorch, numbers between 0 and 1 count as shares of classes.

        Args:
            targets: The targets of a batch.
        """
        if self.classes is not None or self._activation is not None or not targets.is_floating_point():
            return
        if not self.is_ours:
            outside = (targets < 0) | (targets > 1) if _is_torchs(self.loss_func) else (targets != 0) & (targets != 1)
            self._fits_numbers = self._fits_numbers or bool(outside.any())

    @property
    def activation_is_own(self) -> bool:
        """Whether the name of the loss in a file is not enough to turn scores into probabilities."""
        known = getattr(LOSSES.get(self.name), "activation", None) if self.is_ours else None
        return self.activation is not known

    def probabilities(self, logits: Float[Tensor, "n scores"], temperature: float = 1.0) -> Float[Tensor, "n classes"]:
        """Return raw scores as probabilities, one column for each class.

        Args:
            logits: The raw scores, one row for each picture.
            temperature: What scores are divided by.
        """
        return probabilities(logits, self.activation, temperature)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch; its labels are checked, or only those of the first batch if classes are named.

        A loss that is not ours gets targets in the shape of the predictions.

        Args:
            predictions: The raw scores.
            targets: The targets, as the loader gives them.

        Raises:
            DataError: The labels are not valid for the model's outputs.
            ShapeError: The loss cannot take predictions and targets, or does not return one number.
        """
        if not self._checked_labels:
            self._check_labels(predictions, targets)
            self._refuse_raw_scores(predictions)
            self.look_at_targets(targets)
            # Pictures have the labels of their classes. On an accelerator each look would wait for it.
            self._checked_labels = self.classes is not None or targets.device.type != "cpu"
        if self.is_ours:
            ours: Tensor = self.loss_func(predictions, targets)
            return ours
        if predictions.ndim == 2 and predictions.shape[1] == 1 and _takes_a_score_a_class(self.loss_func):
            raise ShapeError(
                f"{self.name} needs a score for each class, but the predictions have shape {tuple(predictions.shape)}.",
                hint="Give the model an output for each class, or use a binary cross-entropy.",
            )
        fitted = self._fitted_targets(predictions, targets)
        if _is_distance(self.loss_func) and fitted.shape != predictions.shape:
            raise ShapeError(
                f"{self.name} compares number by number, but the predictions have shape {tuple(predictions.shape)} "
                f"and the targets {tuple(targets.shape)}.",
                hint="Give targets in the shape of the predictions, or use cross_entropy for classes.",
            )
        if _is_distance(self.loss_func):
            fitted = fitted.to(predictions.dtype)
        try:
            loss = self.loss_func(predictions, fitted)
        except TORCHS as error:
            if type(error) not in TORCHS:
                raise
            if _takes_a_score_a_class(self.loss_func):
                _refuse_other_labels(predictions, fitted)
            raise _misfit(f"The loss {self.name}", predictions, fitted, error) from error
        if not isinstance(loss, Tensor) or loss.ndim:
            raise _not_a_number(f"The loss {self.name}", loss)
        return loss

    def metric(self, metric: Metric) -> Callable[[Tensor, Tensor], float]:
        """Return a function of raw scores and the loader's targets that returns a number.

        That function raises a ShapeError where the metric cannot take predictions and targets, or does not return one
        number.

        Args:
            metric: Any function of (predictions, targets).
        """
        name = name_of(metric)
        if metric in METRICS.values():
            activation: Any = self.activation
            return lambda predictions, targets: float(metric(predictions, targets, activation))  # type: ignore[call-arg]

        def measured(predictions: Tensor, targets: Tensor) -> float:
            fitted = self._fitted_targets(predictions, targets)
            try:
                value = metric(predictions, fitted)
            except TORCHS as error:
                if type(error) not in TORCHS:
                    raise
                raise _misfit(f"The metric {name}", predictions, fitted, error) from error
            try:
                return float(value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise _not_a_number(f"The metric {name}", value) from error

        return measured

    def _check_labels(self, predictions: Tensor, targets: Tensor) -> None:
        """Check the labels of a batch: labels that the model cannot predict would train it towards nonsense."""
        if predictions.ndim != 2:
            return
        columns = predictions.shape[1]
        classes = max(columns, 2)
        if self.classes is not None and len(self.classes) != classes:
            raise DataError(
                f"The pictures have {len(self.classes)} classes, but the model has {counted(columns, 'output')}, "
                f"which is enough for {classes}.",
                hint="Give the model an output for each class (for two classes, one is enough).",
            )
        takes_numbers = not self.is_ours or self.name == "mse_loss"
        if (targets.is_floating_point() and takes_numbers) or (self.classes is None and not self.is_ours):
            return
        _refuse_other_labels(predictions, targets)
        takes_shares = self.name in _TAKE_SHARES and (columns <= 2 or targets.shape == predictions.shape)
        if targets.is_floating_point() and self.is_ours and not takes_shares:
            shares = targets[targets != targets.round()]
            if shares.numel():
                raise DataError(
                    f"There is a target {shares[0].item():g}, but {self.name} needs labels.",
                    hint="Give whole numbers, or use cross_entropy, which takes shares of classes (batch, classes).",
                )

    def _fitted_targets(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return targets in the shape of the predictions: `(b, 1)` and `(b,)` would broadcast to `(b, b)`."""
        count = len(predictions)
        if {predictions.shape, targets.shape} == {(count,), (count, 1)}:
            if not self._warned_of_column:
                self._warned_of_column = True
                shapes = ["(batch,)", "(batch, 1)"]
                warnings.warn(
                    f"Targets {shapes[targets.ndim - 1]} are passed to your loss and metrics as "
                    f"{shapes[predictions.ndim - 1]} floats, like the predictions.",
                    stacklevel=2,
                )
            return targets.reshape(predictions.shape).to(predictions.dtype)
        return targets


def _refuse_other_labels(predictions: Tensor, targets: Tensor) -> None:
    """Raise a DataError if a label is not the place of an output of the model."""
    columns = predictions.shape[1] if predictions.ndim > 1 else 1
    highest = max(columns, 2) - 1
    wrong = targets[(targets < 0) | (targets > highest)]
    if wrong.numel():
        raise DataError(
            f"There is a label {wrong[0].item():g}, but the model has {counted(columns, 'output')}, "
            f"for labels 0 to {highest}.",
            hint="Number the labels from 0, or give the model an output for each class; for regression, "
            "use loss_func=mse_loss.",
        )


_TAKE_SHARES = {binary_cross_entropy_with_logits.__name__, cross_entropy.__name__}


def _takes_torch_shares(objective: Objective) -> bool:
    """Return whether the loss is a cross-entropy of PyTorch."""
    names = {"CrossEntropyLoss", "BCEWithLogitsLoss", "BCELoss", "binary_cross_entropy", *_TAKE_SHARES}
    return objective.name in names


def name_of(function: Any) -> str:
    """Return the name of a loss or metric; a partial has the name of its function.

    Args:
        function: The loss or metric.
    """
    function = _function(function)
    return str(getattr(function, "__name__", type(function).__name__))


def names_of(metrics: Iterable[Metric]) -> list[str]:
    """Return the name of each metric, with a number where an earlier figure has that name already.

    Args:
        metrics: Functions of (predictions, targets).
    """
    taken = ["train_loss", "valid_loss", "lr"]  # stand beside the metrics in an epoch
    for name in map(name_of, metrics):
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        taken.append(next(free for free in itertools.chain([name], numbered) if free not in taken))
    return taken[3:]


def _function(function: Any) -> Any:
    """Return the function inside a partial."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _misfit(what: str, predictions: Tensor, targets: Tensor, error: Exception) -> ShapeError:
    """Return the error that says what a loss or metric was given, and what would fit."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    hint = "It is called with (predictions, targets), as the model and the loader give them."
    several = predictions.ndim == 2 and predictions.shape[1] > 1
    if several and targets.shape == (len(predictions), 1):
        convert = "y.squeeze(1)" if targets.dtype == torch.int64 else "y.squeeze(1).long()"
        hint = f"Give it one label for each row, {convert}, or use cross_entropy of sevensteps, which takes both."
    elif "type" in reason and (targets.is_floating_point() or (several and targets.ndim == 1)):
        hint = "Give it the targets as whole numbers: y.long()."
    elif "type" in reason:
        hint = "Give it the targets as floats: y.float()."
    return ShapeError(
        f"{what} cannot take predictions {tuple(predictions.shape)} {predictions.dtype} with targets "
        f"{tuple(targets.shape)} {targets.dtype}: {reason:.200}",
        hint=hint,
    )


def _not_a_number(what: str, value: Any) -> ShapeError:
    """Return the error for a loss or metric that does not return one number."""
    given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
    if isinstance(value, numbers.Real):  # a loss: for a metric it would do
        wanted, hint = "a tensor", "Leave out .item() and float()."
    elif value is None:
        wanted, hint = "one number", "End it with return and the number."
    else:
        wanted, hint = "one number", "End it with .mean()." if hasattr(value, "mean") else "Return only the number."
    return ShapeError(f"{what} returns {given:.80}, but must return {wanted}.", hint=hint)


def _is_torchs(loss_func: Any) -> bool:
    """Return whether the loss is one of PyTorch."""
    return str(getattr(_function(loss_func), "__module__", "")).partition(".")[0] == "torch"


def _takes_a_score_a_class(loss_func: Any) -> bool:
    """Return whether it is a loss of PyTorch that is always zero for a single score."""
    return isinstance(loss_func, (nn.CrossEntropyLoss, nn.NLLLoss)) or loss_func in (
        nn.functional.cross_entropy,
        nn.functional.nll_loss,
    )


def default_loss(model: nn.Module, classes: Sequence[str] | None) -> Any:
    """Return binary cross-entropy for a model with one output, cross-entropy for several.

    Args:
        model: The model; its last linear layer counts.
        classes: The names of the classes, if they are known.
    """
    columns = next(
        (layer.out_features for layer in reversed(list(model.modules())) if isinstance(layer, nn.Linear)),
        1 if classes is not None and len(classes) == 2 else 2,
    )
    return binary_cross_entropy_with_logits if columns == 1 else cross_entropy


def _foreign_activation(loss_func: Any) -> Callable[[Tensor], Tensor] | None:
    """Return the activation for losses of PyTorch that take something other than logits."""
    if loss_func is nn.functional.binary_cross_entropy or isinstance(loss_func, nn.BCELoss):
        return lambda scores: scores
    if loss_func is nn.functional.nll_loss or isinstance(loss_func, nn.NLLLoss):
        return torch.exp
    return _share if _is_distance(loss_func) else None


def _is_distance(loss_func: Any) -> bool:
    """Return whether it is a loss of PyTorch that measures a distance between numbers."""
    functions = (nn.functional.mse_loss, nn.functional.l1_loss, nn.functional.smooth_l1_loss, nn.functional.huber_loss)
    return loss_func in functions or isinstance(loss_func, (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss))


def _share(scores: Float[Tensor, "n scores"]) -> Float[Tensor, "n scores"]:
    """Return scores that were trained towards 0 and 1 as probabilities."""
    share = scores.clamp(0, 1)
    return share if scores.shape[1] == 1 else share / share.sum(1, keepdim=True).clamp(min=1e-12)
