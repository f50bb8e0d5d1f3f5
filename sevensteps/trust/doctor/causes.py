"""Causes: faults in what training starts from: pictures, labels, splits, starting weights, and the choice of loss.

Each check takes the evidence of one moment and returns a finding, or None. docs/decisions/0008-doctor.md gives the
thresholds and the measurements behind them.
"""

from __future__ import annotations

import math

from ...base.words import counted
from ...data.balance import VERY_LOPSIDED
from ...records.events import Finding
from ..intervals import wilson
from .chance import one_class
from .evidence import Evidence, rounded

LARGE, SMALL = 10.0, 0.02  # root mean square of the inputs; centered pixels have 1, raw ones 0.1 to 0.6


APART = 0.16  # mean distance from 1/2 of the share of pictures whose nearest neighbor is of their own split


OTHER_SHARES = 0.25  # share of the pictures that would have to change class to give both splits the same shares


FEW = 100  # pictures of each split: with fewer, their distribution cannot be judged


STEEP, STEEPER = 0.6, 2.4  # norm of the gradient for inputs of length 1, at the start and later


FAR_OFF = 5.0  # loss of an exploding run, as a multiple of a guess's loss


def inputs_not_scaled(e: Evidence) -> Finding | None:
    """Find inputs whose size is far from what initial parameters are made for.

    LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 4.3.
    """
    if e.look is None:
        return e.still("inputs_not_scaled")
    size = e.look.input_size
    if not math.isfinite(size) or SMALL <= size <= LARGE:
        return None
    extreme = "large" if size > LARGE else "small"
    return e.finding(
        "inputs_not_scaled",
        f"The numbers that the model gets are too {extreme}: about {rounded(size)}, where about 1 works well.",
        "Train with --normalize. In Python, divide the pixels by 255 once, and begin the model with "
        "Normalize(mean, std).",
        size=size,
    )


def loss_misfit(e: Evidence) -> Finding | None:
    """Find a model and a loss that both squash the scores, or neither where the loss expects log probabilities."""
    if e.look is None:
        return e.still("loss_misfit")
    last = e.look.last
    if e.loss_takes == "scores" and last in ("sigmoid", "softmax"):
        return e.finding(
            "loss_misfit",
            f"The model ends with a {last}, and the loss ({e.loss_name}) applies another one. So the model can never "
            "be sure, and it learns slowly.",
            f"Remove the {last}, so that the model ends with its linear layer.",
            last=last,
        )
    if e.loss_takes == "log probabilities":
        sums = e.look.scores.double().exp().sum(1)
        if not bool(((sums - 1).abs() < 0.01).all()):
            return e.finding(
                "loss_misfit",
                f"The loss ({e.loss_name}) expects log probabilities, and the model returns something else. The loss "
                "can then fall without the model learning anything.",
                "End the model with nn.LogSoftmax(1), or use cross_entropy, which takes raw scores.",
                last=last,
                sum=float(sums.mean()),
            )
    return None


def frozen(e: Evidence) -> Finding | None:
    """Find parameters that no step changes: without a gradient, unused by the loss, or unknown to the optimizer."""
    if e.frozen is None:
        return e.still("frozen")
    if not e.frozen:
        return None
    they = "it" if len(e.frozen) == 1 else "them"
    names = ", ".join(e.frozen[:4]) + (f" and {len(e.frozen) - 4} more" if len(e.frozen) > 4 else "")
    return e.finding(
        "frozen",
        f"{counted(len(e.frozen), 'parameter tensor does', 'parameter tensors do')} not learn: {names}. "
        f"Either requires_grad is off, the loss does not use {they}, or the optimizer does not know {they}.",
        "If you did not intend this, call requires_grad_(True) on each parameter, and create the Learner after the "
        "model is complete.",
        frozen=len(e.frozen),
    )


def class_imbalance(e: Evidence) -> Finding | None:
    """Find classes so different in size that accuracy says little.

    He and Garcia, "Learning from imbalanced data" (2009).
    """
    counts = e.counts
    if counts is None or e.sampler.is_balanced:
        return None
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] < VERY_LOPSIDED * counts[least]:
        return None
    share = counts[most] / sum(counts.values())
    return e.finding(
        "class_imbalance",
        f"There are {counts[most]:,} training pictures of {most}, and only {counts[least]:,} of {least}. Always "
        f"answering {most} would be right for {share:.0%} of them.",
        f"Train with --balance loss (in Python, loss_func=functools.partial(cross_entropy, weight=...)), or add "
        f"pictures of {least}. Look at the recall of each class, not at the accuracy: sevensteps judge RUN",
        most=counts[most],
        least=counts[least],
    )


def split_mismatch(e: Evidence) -> Finding | None:
    """Find training and validation pictures that differ, in looks (see `Neighbors`) or in the shares of the classes."""
    if e.counts is None or e.valid_counts is None:
        return None
    n, n_valid = sum(e.counts.values()), sum(e.valid_counts.values())
    if min(n, n_valid) < FEW:
        return None
    shares = {name: count / n for name, count in e.counts.items()}
    valid_shares = {name: e.valid_counts[name] / n_valid for name in shares}
    moved = sum(abs(shares[name] - valid_shares[name]) for name in shares) / 2
    own = e.neighbors.own_split if e.neighbors else {}
    apart = sum(abs(share - 0.5) for share in own.values()) / max(len(own), 1)
    if moved > OTHER_SHARES:
        name = max(shares, key=lambda name: abs(shares[name] - valid_shares[name]))
        reason = f"{shares[name]:.0%} of the training and {valid_shares[name]:.0%} of the validation ones are {name}"
    elif apart > APART:
        own_shares = " and ".join(f"{share:.0%} of the {name}" for name, share in own.items())
        reason = f"{own_shares} pictures look most like one of their own split (50% each is normal)"
    else:
        return None
    return e.finding(
        "split_mismatch",
        f"Training and validation pictures differ: {reason}. Validation results then say little about how well the "
        "model learns.",
        "Mix both, and hold out a random part: --hold-out 0.1. To compare them: sevensteps data SOURCE",
        own_split=dict(own),
        moved=moved,
    )


def shuffled_labels(e: Evidence) -> Finding | None:
    """Find labels that have nothing to do with the pictures: accuracy at chance, and neighbors that do not agree.

    Cover and Hart, "Nearest neighbor pattern classification" (1967): the nearest neighbor's error is at most twice the
    lowest possible one, so it is at chance only if labels do not depend on the pictures, or if pixels do not show
    which pictures are alike.
    """
    if e.is_start or (e.epoch < 2 and not e.is_end) or not e.is_at_chance or e.neighbors is None:
        return None
    for name, agreement in e.neighbors.agreement.items():
        n, by_chance = e.neighbors.n[name], e.neighbors.by_chance[name]
        if n >= FEW and by_chance < 0.9 and wilson(round(agreement * n), n, 0.99).low <= by_chance:
            return e.finding(
                "shuffled_labels",
                f"The labels of the {name} pictures look shuffled. Two pictures that look alike have the same label no "
                f"more often than two random ones ({agreement:.0%} and {by_chance:.0%}).",
                "Check that pictures and labels are read in the same order. To look at some: sevensteps data SOURCE, "
                "or dls.show_batch()",
                agreement=agreement,
                by_chance=by_chance,
            )
    return None


def exploding(e: Evidence) -> Finding | None:
    """Find a gradient far larger than pictures of this size can cause: each layer multiplies it on its way back.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
    """
    if e.look is None:
        return e.still("exploding")
    if e.clip or not e.guess > 0 or (e.is_start and one_class(e)):
        return None
    steepness, off = e.look.steepness, e.look.loss / e.guess
    most = STEEP if e.is_start or "exploding" in e.open else STEEPER
    if math.isfinite(steepness) and not (steepness > most and off > FAR_OFF):
        return None
    return e.finding(
        "exploding",
        f"The gradient explodes: {e.when} it is so large that each step throws the weights far off. Usually the "
        "weights start too large.",
        "Start with smaller weights (--init kaiming).",
        gradient=e.look.gradient,
        steepness=steepness,
        loss=e.look.loss,
        guess=e.guess,
    )
