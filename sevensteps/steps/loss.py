"""Step 3, loss: measure how wrong the predictions are, as one number that is smooth enough to have a useful slope.

Each loss is called as `loss_func(predictions, targets)`, with logits `(b, 1)` or `(b, classes)` and labels `(b,)` or
`(b, 1)`, and returns the mean over the batch. Shapes that would broadcast silently raise an error. To add a loss, write
it here and add it to `LOSSES`; an activation other than sigmoid or softmax goes into its attribute `activation`.

Each loss takes `weight`: one number for each class, by which the loss of its pictures is multiplied before averaging.
The mean is over the pictures of the batch, not over their weights as in PyTorch. So the gradient of a batch is, on
average over batches, the gradient of the whole weighted set, even if some batch has no picture of a small class.
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
    """Return the mean distance between the sigmoid of the logit and the label: the walk-through's loss.

    It is for two classes. Its slope vanishes where the sigmoid is flat, so a run with a bad start can take long, or
    never recover.

    Args:
        predictions: Logits of the second class, `(b, 1)`.
        targets: Labels 0 and 1, `(b,)` or `(b, 1)`.
        weight: A factor for the loss of each class.

    Returns:
        The mean over the batch, between 0 and 1 without weights.

    Raises:
        ShapeError: There is more than one logit per picture, or the numbers of targets and predictions differ.
    """
    targets = column(predictions, targets)
    after = torch.sigmoid(predictions)
    return _mean(torch.where(targets == 1, 1 - after, after), targets, weight)


def binary_cross_entropy_with_logits(
    predictions: Float[Tensor, "batch 1"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"],
    weight: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean of minus the log probability of the right one of two classes.

    Args:
        predictions: Logits of the second class, `(b, 1)`.
        targets: Labels 0 and 1, or shares of the second class, `(b,)` or `(b, 1)`.
        weight: A factor for the loss of each class.

    Returns:
        The mean over the batch, in nats.

    Raises:
        ShapeError: There is more than one logit per picture, or the numbers of targets and predictions differ.
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
    """Return the mean of minus the log probability of the right one of several classes.

    Args:
        predictions: Logits, `(b, classes)`.
        targets: Labels, `(b,)` or `(b, 1)`, or the share of each class, `(b, classes)`.
        label_smoothing: The share of each target that is spread evenly over all classes (Szegedy et al., "Rethinking
            the Inception architecture", 2016).
        weight: A factor for the loss of each class. It is the factor of the picture's own class, even for the share
            that smoothing gives to others.

    Returns:
        The mean over the batch, in nats.

    Raises:
        ShapeError: There is a single logit per picture, or the numbers of targets and predictions differ.
    """
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        raise ShapeError(
            f"Cross-entropy takes one score per class, but the predictions are {tuple(predictions.shape)}.",
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
    """Return the mean squared distance between scores and targets.

    Args:
        predictions: Scores, `(b, 1)` or `(b, classes)`.
        targets: Floats are used as they are. Integers are labels: the right class should score 1 and the others -1,
            so that a single column still decides at 0 (the coding of scikit-learn's RidgeClassifier).
        weight: A factor for the loss of each class.

    Returns:
        The mean over the batch and the columns.

    Raises:
        ShapeError: The targets do not fit the predictions, or class weights come with targets that are not labels.
    """
    coded = codes(predictions, targets)
    if weight is None:
        return F.mse_loss(predictions, coded)
    return _mean(F.mse_loss(predictions, coded, reduction="none"), targets, weight)


def weights_of(targets: Tensor, weight: Float[Tensor, " classes"], like: Tensor) -> Float[Tensor, "batch 1"]:
    """Return the weight of each picture's class.

    Args:
        targets: Labels, `(b,)` or `(b, 1)`.
        weight: The weight of each class, `(classes,)`.
        like: A tensor with the type and device of the result.

    Returns:
        One weight for each picture, `(b, 1)`.

    Raises:
        ShapeError: The targets are not one label per picture.
    """
    if targets.numel() != len(targets):
        raise ShapeError(
            f"Class weights need one label for each picture, but the targets have shape {tuple(targets.shape)}.",
            hint="Leave weight out.",
        )
    return weight.to(like).index_select(0, targets.reshape(-1).long()).unsqueeze(1)


def _mean(
    losses: Float[Tensor, "batch scores"], targets: Tensor, weight: Float[Tensor, " classes"] | None
) -> Float[Tensor, ""]:
    """Average over the pictures, each multiplied by the weight of its class."""
    return losses.mean() if weight is None else (losses * weights_of(targets, weight, losses)).mean()


def _clamped_share(predictions: Float[Tensor, "batch scores"]) -> Float[Tensor, "batch scores"]:
    """Turn scores around -1 and 1 into probabilities in the same order: the activation of `mse_loss`."""
    share = (predictions + 1) / 2
    if predictions.shape[1] == 1:
        return share.clamp(0, 1)
    share = share.clamp(min=0)
    total = share.sum(1, keepdim=True)
    # If every score is under -1, no share is positive; the softmax keeps the order.
    return torch.where(total > 1e-6, share / total.clamp(min=1e-6), F.softmax(predictions, dim=1))


mse_loss.activation = _clamped_share  # type: ignore[attr-defined]


LOSSES: dict[str, Loss] = {
    loss.__name__: loss for loss in (sigmoid_l1_loss, binary_cross_entropy_with_logits, cross_entropy, mse_loss)
}


def settings_of(loss_func: object) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the settings of one of our losses.

    Args:
        loss_func: A loss, or a `functools.partial` of one.

    Returns:
        The name in `LOSSES` and the keyword arguments of the partial; None if the loss is not one of ours.
    """
    if isinstance(loss_func, functools.partial):
        inner, keywords = settings_of(loss_func.func), set(loss_func.keywords)
        fits = keywords <= {"weight", "label_smoothing"} if loss_func.func is cross_entropy else keywords == {"weight"}
        return (inner[0], dict(loss_func.keywords)) if inner and fits and not (inner[1] or loss_func.args) else None
    name = getattr(loss_func, "__name__", "")
    return (name, {}) if name in LOSSES and LOSSES[name] is loss_func else None


def column(predictions: Tensor, targets: Tensor) -> Shaped[Tensor, "batch 1"]:
    """Return targets as `(b, 1)`, for predictions `(b, 1)`.

    Args:
        predictions: One score for each picture, `(b, 1)`.
        targets: One target for each picture, `(b,)` or `(b, 1)`.

    Returns:
        The targets as a column.

    Raises:
        ShapeError: Either has another shape. Without this check `(b, 1)` and `(b,)` would silently broadcast to
            `(b, b)`.
    """
    if predictions.ndim != 2 or predictions.shape[1] != 1:
        raise ShapeError(
            f"This loss takes one score per picture, (batch, 1), but the predictions are {tuple(predictions.shape)}.",
            hint="For more than two classes use cross_entropy.",
        )
    return row(predictions, targets).unsqueeze(1)


def row(predictions: Tensor, targets: Tensor) -> Shaped[Tensor, " batch"]:
    """Return targets as `(b,)`, one for each row of the predictions.

    Args:
        predictions: Scores, `(b, 1)` or `(b, classes)`.
        targets: One target for each picture, `(b,)` or `(b, 1)`.

    Returns:
        The targets as a row.

    Raises:
        ShapeError: The targets have another shape or count.
    """
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1 or predictions.ndim != 2 or targets.shape[0] != predictions.shape[0]:
        raise ShapeError(
            f"Predictions {tuple(predictions.shape)} and targets {tuple(targets.shape)} do not fit together.",
            hint="Targets must be (batch,) or (batch, 1), with one target for each row of predictions.",
        )
    return targets


def labels_or_shares(predictions: Tensor, targets: Tensor) -> Int64[Tensor, " batch"] | Float[Tensor, "batch classes"]:
    """Return targets as cross-entropy takes them: labels, or the share of each class.

    Args:
        predictions: Logits, `(b, classes)`.
        targets: Labels, or floats with the share of each class; for two classes the second share is enough.

    Returns:
        Labels `(b,)`, or shares `(b, classes)` with the type of the predictions.

    Raises:
        ShapeError: The targets do not fit the predictions.
    """
    if targets.is_floating_point() and targets.shape == predictions.shape:
        return targets.to(predictions.dtype)
    targets = row(predictions, targets)
    if targets.is_floating_point() and predictions.shape[1] == 2 and (targets != targets.round()).any():
        return torch.stack([1 - targets, targets], dim=1).to(predictions.dtype)
    return targets.long()


def codes(predictions: Tensor, targets: Tensor) -> Float[Tensor, "batch scores"]:
    """Return what the scores should be under `mse_loss`.

    Args:
        predictions: Scores, `(b, 1)` or `(b, classes)`.
        targets: Floats, which are used as they are, or labels, which become 1 and -1.

    Returns:
        Targets with the shape and type of the predictions.

    Raises:
        ShapeError: The targets do not fit the predictions.
    """
    if targets.is_floating_point():
        fitting = targets if targets.shape == predictions.shape else column(predictions, targets)
        return fitting.to(predictions.dtype)
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        return 2 * column(predictions, targets).to(predictions.dtype) - 1
    labels = row(predictions, targets).long()
    return 2 * F.one_hot(labels, predictions.shape[1]).to(predictions.dtype) - 1
