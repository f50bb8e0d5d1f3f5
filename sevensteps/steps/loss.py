"""Step 3, loss: one number that says how wrong the predictions are, smooth enough to have a useful slope.

Each loss is `loss_func(predictions, targets)`: raw scores `(b, 1)` or `(b, classes)` and labels `(b,)` or `(b, 1)`, and
gives the mean over the batch. Shapes that would broadcast silently raise. To add one, write it here and name it in
`LOSSES`; an activation other than sigmoid or softmax goes into its attribute `activation`.

Each takes `weight`, a number for each class by which the loss of its pictures is multiplied before the mean is taken.
The mean is over the pictures of the batch and not, as PyTorch's, over their weights: so the gradient of a batch is, on
average over batches, that of the whole weighted set, also where a batch has no picture of a small class.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional as F

from ..errors import ShapeError

Loss = Callable[[Tensor, Tensor], Tensor]


def sigmoid_l1_loss(
    predictions: Float[Tensor, "batch 1"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"],
    weight: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """The mean distance between the sigmoid of the score and the label: the walk-through's loss, for two classes.

    Its slope vanishes where the sigmoid saturates, so a bad start can take long or never recover.

    Raises:
        ShapeError: more than one score a picture, or not as many targets as predictions.
    """
    targets = column(predictions, targets)
    after = torch.sigmoid(predictions)
    return _mean(torch.where(targets == 1, 1 - after, after), targets, weight)


def binary_cross_entropy_with_logits(
    predictions: Float[Tensor, "batch 1"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"],
    weight: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """Minus the log probability of the right one of two classes, from raw scores; in nats.

    Raises:
        ShapeError: more than one score a picture, or not as many targets as predictions.
    """
    targets = column(predictions, targets).to(predictions.dtype)
    if weight is None:
        return F.binary_cross_entropy_with_logits(predictions, targets)
    return _mean(F.binary_cross_entropy_with_logits(predictions, targets, reduction="none"), targets, weight)


def cross_entropy(
    predictions: Float[Tensor, "batch classes"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"] | Float[Tensor, "batch classes"],
    label_smoothing: float = 0.0,
    weight: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """Minus the log probability of the right one of several classes, from raw scores; in nats.

    Targets are labels, or the share of each class: then it is the mean over the classes with these weights.

    With label smoothing the target gives that share to all classes alike (Szegedy et al., "Rethinking the Inception
    architecture", 2016). A weight is that of the picture's own class, also for the share that smoothing gives others.

    Raises:
        ShapeError: a single score a picture, or not as many targets as predictions.
    """
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        raise ShapeError(
            f"Cross-entropy takes a score for each class, and the predictions are {tuple(predictions.shape)}.",
            hint="For two classes with one score use binary_cross_entropy_with_logits.",
        )
    labels = labels_or_shares(predictions, targets)
    if weight is None:
        return F.cross_entropy(predictions, labels, label_smoothing=label_smoothing)
    losses = F.cross_entropy(predictions, labels, label_smoothing=label_smoothing, reduction="none")
    return _mean(losses.unsqueeze(1), targets, weight)


def mse_loss(
    predictions: Float[Tensor, "batch scores"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"] | Shaped[Tensor, "batch scores"],
    weight: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """The mean squared distance between scores and targets.

    Targets of a floating type are taken as they are. Whole numbers are labels: the score of the right class should
    be 1 and of a wrong one -1, so that one column still decides at 0 (as scikit-learn's RidgeClassifier codes them).

    Raises:
        ShapeError: targets that do not fit the predictions, or weights of classes for targets that are numbers.
    """
    wanted = codes(predictions, targets)
    if weight is None:
        return F.mse_loss(predictions, wanted)
    return _mean(F.mse_loss(predictions, wanted, reduction="none"), targets, weight)


def weights_of(targets: Tensor, weight: Float[Tensor, " classes"], like: Tensor) -> Float[Tensor, "batch 1"]:
    """The weight of each picture's class.

    Raises:
        ShapeError: the targets are no labels, one a picture.
    """
    if targets.numel() != len(targets):
        raise ShapeError(
            f"Weights are of classes, and the targets {tuple(targets.shape)} are numbers.", hint="Leave weight out."
        )
    return weight.to(like).index_select(0, targets.reshape(-1).long()).unsqueeze(1)


def _mean(
    losses: Float[Tensor, "batch scores"], targets: Tensor, weight: Float[Tensor, " classes"] | None
) -> Float[Tensor, ""]:
    """The mean over pictures, each with the weight of its class."""
    return losses.mean() if weight is None else (losses * weights_of(targets, weight, losses)).mean()


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


def settings_of(loss_func: object) -> tuple[str, dict[str, Any]] | None:
    """The name of a loss of ours and what was set in it; None for any other."""
    if isinstance(loss_func, functools.partial):
        known, given = settings_of(loss_func.func), set(loss_func.keywords)
        fits = given <= {"weight", "label_smoothing"} if loss_func.func is cross_entropy else given == {"weight"}
        return (known[0], dict(loss_func.keywords)) if known and fits and not (known[1] or loss_func.args) else None
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


def labels_or_shares(predictions: Tensor, targets: Tensor) -> Int64[Tensor, " batch"] | Float[Tensor, "batch classes"]:
    """What cross-entropy takes: labels, or floats with the share of each class; of two classes the second's is enough.

    Raises:
        ShapeError: targets that do not fit the predictions.
    """
    if targets.is_floating_point() and targets.shape == predictions.shape:
        return targets.to(predictions.dtype)
    targets = row(predictions, targets)
    if targets.is_floating_point() and predictions.shape[1] == 2 and (targets != targets.round()).any():
        return torch.stack([1 - targets, targets], dim=1).to(predictions.dtype)
    return targets.long()


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
