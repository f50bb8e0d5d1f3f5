"""Chance: runs that do no better than always giving the same answer, and why.

Each check takes the evidence of one moment and returns a finding, or None. docs/decisions/0003-saturation.md and
0008-doctor.md give the thresholds and the measurements behind them.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from ...records.events import Finding
from ..intervals import wilson
from .evidence import FALLING_FOR, Evidence
from .probe import Look

FEW = 100  # validation pictures: with fewer, a finding says how few there are


GIVEN_UP_AFTER = 2  # epochs; healthy runs are above chance by then (docs/decisions/0003-saturation.md)


# Batches, and epochs of a run that learns. Before them a model with batch norm may answer one class for all, because
# its running averages, with which it validates, are still young.
STEPS_TO_SETTLE, SETTLED = 20, 5


SATURATED = 0.001  # slope of the loss below which a picture hardly moves a parameter; a sigmoid's is at most 0.25


MOST, STILL = 0.5, 0.25  # share of the wrong pictures that are saturated: to raise a finding; to keep it


# Of a model that starts out sure of one class for every picture: its loss, in losses of a guess; and the steepness of
# its gradient, above which it explodes.
SURE, CALM = 5.0, 1.1


def saturated(e: Evidence) -> Finding | None:
    """Find a run at chance whose loss is so flat for the wrong pictures that they hardly move a parameter.

    A sigmoid alone is not the reason: with cross-entropy, the most wrong pictures have the steepest slope.
    """
    if not _is_given_up(e, "saturated") or _was_above_chance(e):
        return None
    if e.look is None or e.look.shares is None:
        return e.still("saturated")
    flat, stuck_share = flatness(e.look)
    standing = e.open.get("saturated")
    if not stuck_share > (STILL if standing else MOST):
        return None
    norms = [*((standing.evidence or {}).get("gradients", []) if standing else []), e.look.gradient]
    return e.finding(
        "saturated",
        f"After epoch {e.epoch} the model is {_standing(e)}. Its scores are so large that {stuck_share:.0%} of the "
        "pictures it gets wrong lie on the flat end of the sigmoid, where they cannot change the weights.",
        "Such a run may recover late or never. Start with smaller weights (--init normal --init-std 0.01), or use a "
        "loss that does not become flat: sevensteps train --recipe linear",
        gradients=norms[-FALLING_FOR - 1 :],
        flat=flat,
        flat_of_wrong=stuck_share,
    )


def stuck(e: Evidence) -> Finding | None:
    """Find a saturated run whose gradient has only become smaller."""
    flat = saturated(e)
    norms = (flat.evidence or {}).get("gradients", []) if flat else []
    if flat is None or len(norms) <= FALLING_FOR or any(after > before for before, after in pairwise(norms)):
        return None
    return e.finding(
        "stuck",
        f"Stuck: after epoch {e.epoch} the model is still {_standing(e)}, and for {FALLING_FOR} epochs its gradient "
        "has only become smaller.",
        "Start again with smaller weights (--init normal --init-std 0.01), another --seed, or a loss that does not "
        "become flat: sevensteps train --recipe linear",
        gradients=norms,
    )


def one_class(e: Evidence) -> Finding | None:
    """Find a model that answers the same class for every validation picture."""
    if e.look is None or e.look.valid_shares is None or e.valid_counts is None:
        return e.still("one_class")
    answers = e.look.valid_shares.argmax(1)
    label = int(answers[0])
    if bool((answers != label).any()) or len(torch.unique(e.look.targets)) < 2:
        return None
    surely = e.look.loss > SURE * e.guess and e.look.steepness < CALM
    if (not surely) if e.is_start else not (_is_given_up(e, "one_class") or "one_class" in e.open):
        return None
    rate = "" if e.is_start else f"try another rate, such as {e.lower_rate()}, or "
    advice = f"{rate}start with --init default, and check the bias of the last layer."
    return e.finding(
        "one_class",
        f"{e.when.capitalize()} the model gives the same answer, {list(e.valid_counts)[label]}, for all "
        f"{len(answers):,} validation pictures that were tried.",
        f"{advice[0].upper()}{advice[1:]} To look inside: sevensteps xray RUN",
        label=label,
        probability=float(e.look.valid_shares[:, label].mean()),
    )


def at_chance(e: Evidence) -> Finding | None:
    """Find a run that is no better than always giving one answer, and nothing shows why."""
    if not _is_given_up(e, "at_chance"):
        return None
    if e.look is None and e.sampler.batch is not None:
        return e.still("at_chance")
    return e.finding(
        "at_chance",
        f"After epoch {e.epoch} the model is {_standing(e)}.",
        "Try another learning rate (--lr), and check that the labels fit the pictures. In Python, learn.lr_find() "
        "suggests a rate.",
        gradient=e.look.gradient if e.look else None,
    )


def flatness(seen: Look) -> tuple[float, float]:
    """Return the share of pictures for which the loss is flat.

    Args:
        seen: One batch of training pictures.

    Returns:
        The share of all pictures, and the share of those that the model gets wrong; both in [0, 1].
    """
    if seen.shares is None or seen.slopes is None:
        return 0.0, 0.0
    slopes = seen.slopes
    if seen.last in ("sigmoid", "softmax"):  # it is part of the model, and flattens the slope before it
        slopes = slopes * (seen.shares * (1 - seen.shares)).amax(1)
    flat = slopes < SATURATED
    wrong = seen.shares.argmax(1) != seen.targets
    return float(flat.float().mean()), float(flat[wrong].float().mean()) if bool(wrong.any()) else 0.0


def _standing(e: Evidence) -> str:
    """Say how the accuracy compares with always giving the most frequent answer."""
    chance = e.chance()
    if chance is None:
        return "no better than guessing"
    worse = "worse than" if chance.interval.high < chance.share else "no better than"
    few = f", only {chance.n:,}, so hard to tell" if chance.n < FEW else ""
    return (
        f"{worse} always answering {chance.answer} ({chance.accuracy:.0%} of the validation pictures right{few}; "
        f"{chance.share:.0%} are {chance.answer})"
    )


def is_early(e: Evidence, code: str) -> bool:
    """Return whether a healthy run may still be at chance.

    A run that answers its training pictures well may be at chance for longer, until the running averages of batch norm
    have settled. A flat gradient needs no such patience. Epochs in which the rate still climbs do not count.

    Args:
        e: The evidence of one epoch.
        code: The check that asks.
    """
    trained = e.epoch - e.climbing
    if trained < GIVEN_UP_AFTER or code not in ("one_class", "at_chance"):
        return trained < GIVEN_UP_AFTER
    return e.batches < STEPS_TO_SETTLE or (trained < SETTLED and _is_learning(e))


def _is_learning(e: Evidence) -> bool:
    """Return whether the model answers the sampled training pictures better than by chance."""
    if e.look is None or e.look.shares is None:
        return False
    right = int((e.look.shares.argmax(1) == e.look.targets).sum())
    n = len(e.look.targets)
    return wilson(right, n).low > float(torch.bincount(e.look.targets.long()).max()) / n


def _is_given_up(e: Evidence, code: str) -> bool:
    """Return whether the run is at chance when a healthy one is above it, or when it ends."""
    return not e.is_start and (e.is_end or not is_early(e, code)) and e.is_at_chance


def _was_above_chance(e: Evidence) -> bool:
    """Return whether the run was above chance by the epoch in which it would be given up."""
    first = (e.chance(number) for number in range(1, min(GIVEN_UP_AFTER, len(e.history)) + 1))
    return any(chance is not None and chance.is_above for chance in first)
