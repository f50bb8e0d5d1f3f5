"""Step 3, loss: one number that says how wrong the predictions are, smooth enough to have a useful slope.

Each loss is `loss_func(predictions, targets)`: raw scores `(b, 1)` or `(b, classes)` and labels `(b,)` or `(b, 1)`, and
gives the mean over the batch. Shapes that would broadcast silently raise. To add one, write it here and name it in
`LOSSES`; an activation other than sigmoid or softmax goes into its attribute `activation`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from ..errors import ShapeError

Loss = Callable[[Tensor, Tensor], Tensor]


def sigmoid_l1_loss(
    predictions: Float[Tensor, "batch 1"], targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"]
) -> Float[Tensor, ""]:
    """The mean distance between the sigmoid of the score and the label: the walk-through's loss, for two classes.

    Its slope vanishes where the sigmoid saturates, so a bad start can take long or never recover.

    Raises:
        ShapeError: more than one score a picture, or not as many targets as predictions.
    """
    targets = column(predictions, targets)
    after = torch.sigmoid(predictions)
    return torch.where(targets == 1, 1 - after, after).mean()


def binary_cross_entropy_with_logits(
    predictions: Float[Tensor, "batch 1"], targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"]
) -> Float[Tensor, ""]:
    """Minus the log probability of the right one of two classes, from raw scores; in nats.

    Raises:
        ShapeError: more than one score a picture, or not as many targets as predictions.
    """
    return F.binary_cross_entropy_with_logits(predictions, column(predictions, targets).to(predictions.dtype))


def cross_entropy(
    predictions: Float[Tensor, "batch classes"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Minus the log probability of the right one of several classes, from raw scores; in nats.

    With label smoothing the target gives that share to all classes alike (Szegedy et al., "Rethinking the Inception
    architecture", 2016).

    Raises:
        ShapeError: a single score a picture, or not as many targets as predictions.
    """
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        raise ShapeError(
            f"Cross-entropy takes a score for each class, and the predictions are {tuple(predictions.shape)}.",
            hint="For two classes with one score use binary_cross_entropy_with_logits.",
        )
    return F.cross_entropy(predictions, row(predictions, targets).long(), label_smoothing=label_smoothing)


def mse_loss(
    predictions: Float[Tensor, "batch scores"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"] | Shaped[Tensor, "batch scores"],
) -> Float[Tensor, ""]:
    """The mean squared distance between scores and targets.

    Targets of a floating type are taken as they are. Whole numbers are labels: the score of the right class should
    be 1 and of a wrong one -1, so that one column still decides at 0 (as scikit-learn's RidgeClassifier codes them).

    Raises:
        ShapeError: targets that do not fit the predictions.
    """
    return F.mse_loss(predictions, codes(predictions, targets))


def _clamped_share(predictions: Float[Tensor, "batch scores"]) -> Float[Tensor, "batch scores"]:
    """Scores around -1 and 1 as probabilities, the largest score with the largest: the activation of `mse_loss`."""
    share = (predictions + 1) / 2
    if predictions.shape[1] == 1:
        return share.clamp(0, 1)
    share = share.clamp(min=0)
    total = share.sum(1, keepdim=True)
    # Where every score is under -1 there is nothing to share out; the softmax keeps their order.
    return torch.where(total > 1e-6, share / total.clamp(min=1e-6), F.softmax(predictions, dim=1))


mse_loss.activation = _clamped_share  # type: ignore[attr-defined]

LOSSES: dict[str, Loss] = {
    loss.__name__: loss for loss in (sigmoid_l1_loss, binary_cross_entropy_with_logits, cross_entropy, mse_loss)
}


def settings_of(loss_func: object) -> tuple[str, dict[str, float]] | None:
    """The name of a loss of ours and what was set in it; None for any other."""
    if isinstance(loss_func, functools.partial):
        known = (
            loss_func.func is cross_entropy and not loss_func.args and set(loss_func.keywords) <= {"label_smoothing"}
        )
        return (cross_entropy.__name__, dict(loss_func.keywords)) if known else None
    name = getattr(loss_func, "__name__", "")
    return (name, {}) if name in LOSSES and LOSSES[name] is loss_func else None


def column(predictions: Tensor, targets: Tensor) -> Shaped[Tensor, "batch 1"]:
    """Targets as `(b, 1)` for predictions `(b, 1)`.

    Raises:
        ShapeError: either has another shape; `(b, 1)` with `(b,)` would otherwise become `(b, b)` without a word.
    """
    if predictions.ndim != 2 or predictions.shape[1] != 1:
        raise ShapeError(
            f"This loss takes one score a picture, (batch, 1), and the predictions are {tuple(predictions.shape)}.",
            hint="For more than two classes use cross_entropy.",
        )
    return row(predictions, targets).unsqueeze(1)


def row(predictions: Tensor, targets: Tensor) -> Shaped[Tensor, " batch"]:
    """Targets as `(b,)` for predictions of as many rows.

    Raises:
        ShapeError: targets of another shape or count.
    """
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1 or predictions.ndim != 2 or targets.shape[0] != predictions.shape[0]:
        raise ShapeError(
            f"Predictions {tuple(predictions.shape)} and targets {tuple(targets.shape)} do not go together.",
            hint="Targets are (batch,) or (batch, 1), with one for each row of predictions.",
        )
    return targets


def codes(predictions: Tensor, targets: Tensor) -> Float[Tensor, "batch scores"]:
    """What the scores should be under `mse_loss`: floating targets as they are, labels as 1 and -1.

    Raises:
        ShapeError: targets that do not fit the predictions.
    """
    if targets.is_floating_point():
        fitting = targets if targets.shape == predictions.shape else column(predictions, targets)
        return fitting.to(predictions.dtype)
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        return 2 * column(predictions, targets).to(predictions.dtype) - 1
    labels = row(predictions, targets).long()
    return 2 * F.one_hot(labels, predictions.shape[1]).to(predictions.dtype) - 1
