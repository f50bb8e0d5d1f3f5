"""Objective: a loss and metrics, from here or from elsewhere, made to fit the predictions and targets that come.

Losses of ours take targets `(b,)` and `(b, 1)` and refuse what would broadcast silently. A foreign one gets targets in
the shape of its predictions, which is said once, and must give one number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import DataError, ShapeError
from .metrics import METRICS
from .steps.loss import LOSSES, binary_cross_entropy_with_logits, cross_entropy
from .steps.predict import probabilities

Metric = Callable[[Tensor, Tensor], Any]


class Objective:
    """A loss with what belongs to it: its name, what makes probabilities of its scores, and what was said already."""

    def __init__(self, loss_func: Any, activation: Callable[[Tensor], Tensor] | None = None) -> None:
        self.loss_func = loss_func
        self.activation = activation or getattr(loss_func, "activation", None) or _foreign_activation(loss_func)
        self._said: set[str] = set()

    @property
    def name(self) -> str:
        """What the loss is called."""
        loss_func = getattr(self.loss_func, "func", self.loss_func)
        return getattr(loss_func, "__name__", type(loss_func).__name__)

    @property
    def is_ours(self) -> bool:
        """Whether the loss is one of `steps/loss.py`, perhaps with label smoothing."""
        return getattr(self.loss_func, "func", self.loss_func) in LOSSES.values()

    @property
    def activation_is_own(self) -> bool:
        """Whether the loss's name in a file, or none, does not say what makes probabilities of the scores."""
        known = getattr(LOSSES.get(self.name), "activation", None) if self.is_ours else None
        return self.activation is not known

    def probabilities(self, logits: Float[Tensor, "n scores"], temperature: float = 1.0) -> Float[Tensor, "n classes"]:
        """Raw scores as probabilities, one column a class."""
        return probabilities(logits, self.activation, temperature)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The loss; one that is not ours gets `(b, 1)` targets for `(b, 1)` predictions, and must give one number."""
        if self.is_ours:
            self._check_labels(predictions, targets)
            ours: Tensor = self.loss_func(predictions, targets)
            return ours
        if predictions.ndim == 2 and predictions.shape[1] == 1 and _takes_a_score_a_class(self.loss_func):
            raise ShapeError(
                f"{self.name} takes a score for each class, and the predictions are {tuple(predictions.shape)}.",
                hint="Give the model an output for each class, or use a binary cross-entropy.",
            )
        loss = self.loss_func(predictions, self._fitted_targets(predictions, targets))
        if not isinstance(loss, Tensor) or loss.ndim:
            raise ShapeError(
                f"The loss {self.name} gives {tuple(loss.shape) if isinstance(loss, Tensor) else loss!r}, "
                "and must give one number.",
                hint="End it with .mean().",
            )
        return loss

    def metric(self, metric: Metric) -> Metric:
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


def _takes_a_score_a_class(loss_func: Any) -> bool:
    """Whether it is a loss of PyTorch's that, given one score, is zero whatever the target."""
    return isinstance(loss_func, (nn.CrossEntropyLoss, nn.NLLLoss)) or loss_func in (
        nn.functional.cross_entropy,
        nn.functional.nll_loss,
    )


def default_loss(model: nn.Module, classes: Sequence[str] | None) -> Any:
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
