"""Causes: faults in what training begins with. Pictures, labels, splits, the model's start, and the loss it is given.

Each takes the evidence of a moment and gives a finding, or None. What the thresholds are, and what was measured to
choose them, stands in docs/decisions/0008-doctor.md.
"""

from __future__ import annotations

import math

from ...data.balance import VERY_LOPSIDED
from ...records.events import Finding
from ..intervals import wilson
from .chance import one_class
from .evidence import Evidence

LARGE, SMALL = 10.0, 0.02  # root mean square of the inputs; centered pixels have 1, raw ones 0.1 to 0.6


APART = 0.16  # how far from one half the share is whose nearest neighbor is of the same split, on average


OTHER_SHARES = 0.25  # how much of the pictures would have to change class for both splits to have the same shares


FEW = 100  # pictures of each split: with fewer nothing can be said of how they are distributed


STEEP, STEEPER = 0.6, 2.4  # norm of the gradient for inputs of length 1, at the start and later


FAR_OFF = 5.0  # loss that goes with it, in losses of a guess


def inputs_not_scaled(e: Evidence) -> Finding | None:
    """The first layer takes numbers far from the size that initial parameters are made for.

    LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 4.3.
    """
    if e.look is None:
        return e.still("inputs_not_scaled")
    size = e.look.input_size
    if not math.isfinite(size) or SMALL <= size <= LARGE:
        return None
    how = "large" if size > LARGE else "small"
    return e.finding(
        "inputs_not_scaled",
        f"The inputs are not scaled: the first layer takes numbers of size {size:.3g} (root mean square), too {how} "
        "for parameters and learning rates that are made for numbers around 1.",
        "Train on pixels that are centered and scaled (sevensteps train --normalize); in Python give pixels in [0, 1], "
        "divided by 255 once, and put Normalize(mean, std) before the first layer.",
        size=size,
    )


def loss_misfit(e: Evidence) -> Finding | None:
    """The loss squashes the scores, and so does the model before it; or the loss expects it, and the model does not."""
    if e.look is None:
        return e.still("loss_misfit")
    last = e.look.last
    squashed = last in ("sigmoid", "softmax")
    if e.loss_takes == "scores" and squashed:
        return e.finding(
            "loss_misfit",
            f"The loss does not fit the last layer: the model ends with a {last}, and {e.loss_name} applies another "
            "to what it takes. What can be said is squeezed together, the gradient becomes small, and probabilities "
            "near 0 and 1 are out of reach.",
            f"Leave the {last} out of the model, and end it with its linear layer: the loss takes raw scores.",
            last=last,
        )
    if e.loss_takes == "log probabilities":
        sums = e.look.scores.double().exp().sum(1)
        if not bool(((sums - 1).abs() < 0.01).all()):
            return e.finding(
                "loss_misfit",
                f"The loss does not fit the last layer: {e.loss_name} takes log probabilities, and the model ends "
                f"with {last or 'something else'}: their exponentials add up to {float(sums.mean()):.3g} and not to 1, "
                "so the loss can fall for ever without anything being learned.",
                "End the model with nn.LogSoftmax(1), or use cross_entropy, which takes raw scores.",
                last=last,
            )
    return None


def frozen(e: Evidence) -> Finding | None:
    """Parameters that no step moves: without a gradient, out of the loss's reach, or unknown to the optimizer."""
    if e.frozen is None:
        return e.still("frozen")
    if not e.frozen:
        return None
    shown = ", ".join(e.frozen[:4]) + (f" and {len(e.frozen) - 4} more" if len(e.frozen) > 4 else "")
    return e.finding(
        "frozen",
        f"{len(e.frozen)} tensors of parameters are frozen and stay as they started: {shown}. "
        "They require no gradient, the loss does not depend on them, or the optimizer does not know them.",
        "If that is not meant: parameter.requires_grad_(True) for each, and make the Learner after the model is whole.",
        frozen=len(e.frozen),
    )


def class_imbalance(e: Evidence) -> Finding | None:
    """Many times as many training pictures of one class as of another, so that accuracy says little.

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
        f"The classes are out of balance: {counts[most]:,} training pictures of {most} and {counts[least]:,} of "
        f"{least}. Whoever answers {most} for all is right for {share:.0%}, and {least} may never be learned.",
        f"Look at the recall of each class and not at the accuracy (sevensteps judge RUN), and add pictures of "
        f"{least}, or let each class count alike: --balance loss; in Python, "
        "loss_func=functools.partial(cross_entropy, weight=...).",
        most=counts[most],
        least=counts[least],
    )


def split_mismatch(e: Evidence) -> Finding | None:
    """Training and validation pictures are not drawn from the same pictures.

    By their nearest neighbors (see `Neighbors`), and by how often each class comes.
    """
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
        seen = f"{name} is {shares[name]:.0%} of the training and {valid_shares[name]:.0%} of the validation pictures"
    elif apart > APART:
        shares_in_words = " and ".join(f"{share:.0%} of the {name}" for name, share in own.items())
        seen = f"for {shares_in_words} pictures the nearest other one is of their own split, and not for half of each"
    else:
        return None
    return e.finding(
        "split_mismatch",
        f"Training and validation pictures are from different distributions: {seen}. Validation figures do not tell "
        "how well the training pictures are learned, nor the other way round.",
        "Compare them (sevensteps data SOURCE); then mix both and let a random part be held out: --hold-out 0.1",
        own_split=dict(own),
        moved=moved,
    )


def shuffled_labels(e: Evidence) -> Finding | None:
    """At chance, and the labels of pictures that look alike agree no more often than by accident.

    Cover and Hart, "Nearest neighbor pattern classification" (1967): the nearest neighbor's error is at most twice the
    least that is possible, so that it is at chance only where labels do not go with pictures, or where pixels say
    nothing of likeness.
    """
    if e.is_start or (e.epoch < 2 and not e.is_end) or not e.is_at_chance or e.neighbors is None:
        return None
    for name, agreement in e.neighbors.agreement.items():
        n, by_chance = e.neighbors.n[name], e.neighbors.by_chance[name]
        if n >= FEW and by_chance < 0.9 and wilson(round(agreement * n), n, 0.99).low <= by_chance:
            return e.finding(
                "shuffled_labels",
                f"The labels of the {name} pictures look shuffled: after epoch {e.epoch} the accuracy is no better "
                f"than chance ({e.chance()}), and a picture and its nearest neighbor share a label for "
                f"{agreement:.0%} of {n}, which is what labels without any relation to the pictures give "
                f"({by_chance:.0%}).",
                "Look at some pictures with their labels (sevensteps data SOURCE, or dls.show_batch()), and check that "
                "pictures and labels are read in the same order.",
                agreement=agreement,
                by_chance=by_chance,
            )
    return None


def exploding(e: Evidence) -> Finding | None:
    """The gradient is far larger than pictures of this size can call for: layers multiply it on its way back.

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
    when = "before the first step" if e.is_start else f"after epoch {e.epoch}"
    return e.finding(
        "exploding",
        f"The gradient explodes: {when} its norm is {e.look.gradient:.3g}, and the loss {e.look.loss:.3g}, where a "
        f"guess has {e.guess:.3g}. Parameters that start too large make each layer multiply it.",
        "Start with parameters that keep the scale (--init kaiming), or shorten the gradient (--clip 1).",
        gradient=e.look.gradient,
        steepness=steepness,
    )
