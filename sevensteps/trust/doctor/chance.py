"""Chance: a run that does no better than a guess, and why. And how far a model is from that.

Each takes the evidence of a moment and gives a finding, or None. What the thresholds are, and what was measured to
choose them, stands in docs/decisions/0003-saturation.md and 0008-doctor.md.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from ...records.events import Finding
from ..intervals import wilson
from .evidence import FALLING_FOR, Evidence
from .probe import Look

GIVEN_UP_AFTER = 2  # epochs; runs that are fine are above chance by then (docs/decisions/0003-saturation.md)


# Batches, and epochs of a run that learns: before, a model with batch norm may answer one class for all, because the
# averages that it validates with are young.
STEPS_TO_SETTLE, SETTLED = 20, 5


SATURATED = 0.001  # slope of the loss under which a picture hardly moves a parameter; a sigmoid's is at most 0.25


MOST, STILL = 0.5, 0.25  # of the wrong pictures: more are saturated to say so, and as many to stay with it


SURE, CALM = (
    5.0,
    1.1,
)  # loss at the start, in losses of a guess, of a model that surely calls everything by one name; and the


# steepness of its gradient: more, and it explodes


def saturated(e: Evidence) -> Finding | None:
    """At chance, and the loss has so flat a slope for the pictures that are wrong that they hardly move a parameter.

    A sigmoid alone is no reason: under cross-entropy what is surely wrong has the steepest slope of all.
    """
    if not _is_given_up(e, "saturated") or _was_above_chance(e):
        return None
    if e.look is None or e.look.shares is None:
        return e.still("saturated")
    flat, stuck_share = flatness(e.look)
    known = e.open.get("saturated")
    if not stuck_share > (STILL if known else MOST):
        return None
    norms = [*((known.evidence or {}).get("gradients", []) if known else []), e.look.gradient]
    return e.finding(
        "saturated",
        f"Still {_where(e)} after epoch {e.epoch} ({e.chance()}). The sigmoid is saturated for "
        f"{flat:.0%} of a batch, and for {stuck_share:.0%} of the pictures it gets wrong: there "
        f"the slope of the loss is under {SATURATED:g}, so they hardly move a parameter (gradient norm "
        f"{e.look.gradient:.2g}). "
        "Such a run may take long to recover, or never.",
        "Start with smaller parameters (--init normal --init-std 0.01), or use a loss whose gradient "
        "does not vanish: sevensteps train --recipe linear",
        gradients=norms[-FALLING_FOR - 1 :],
    )


def stuck(e: Evidence) -> Finding | None:
    """Saturated, and the gradient has only become smaller."""
    found = saturated(e)
    norms = (found.evidence or {}).get("gradients", []) if found else []
    if found is None or len(norms) <= FALLING_FOR or any(after > before for before, after in pairwise(norms)):
        return None
    return e.finding(
        "stuck",
        f"Stuck {_where(e)} ({e.chance()}): the gradient has fallen for {FALLING_FOR} epochs, from {norms[0]:.2g} to "
        f"{norms[-1]:.2g}. Waiting makes it smaller still.",
        "Stop this run and start anew with smaller parameters (--init normal --init-std 0.01), another --seed, or a "
        "loss whose gradient does not vanish: sevensteps train --recipe linear",
        gradients=norms,
    )


def one_class(e: Evidence) -> Finding | None:
    """Every validation picture is taken for one and the same class."""
    if e.look is None or e.look.valid_shares is None or e.valid_counts is None:
        return e.still("one_class")
    answers = e.look.valid_shares.argmax(1)
    label = int(answers[0])
    if bool((answers != label).any()) or len(torch.unique(e.look.targets)) < 2:
        return None
    surely = e.look.loss > SURE * e.guess and e.look.steepness < CALM
    if (not surely) if e.is_start else not (_is_given_up(e, "one_class") or "one_class" in e.open):
        return None
    when = "before the first step" if e.is_start else f"after epoch {e.epoch}"
    score = e.look.valid_shares[:, label].mean()
    return e.finding(
        "one_class",
        f"One class is predicted for all: {when} the model calls each of {len(answers)} validation pictures "
        f"{list(e.valid_counts)[label]}, with a mean probability of {float(score):.1%}.",
        "Look at the last layer's bias and at how the parameters start (--init default), and see sevensteps xray RUN; "
        f"then try another rate{'' if e.is_start else f', such as {e.lower_rate()}'}.",
        label=label,
    )


def at_chance(e: Evidence) -> Finding | None:
    """No better than answering one class for all, and nothing says why."""
    if not _is_given_up(e, "at_chance"):
        return None
    if e.look is None and e.sampler.batch is not None:
        return e.still("at_chance")
    seen = f"; the gradient norm is {e.look.gradient:.2g}" if e.look else ""
    return e.finding(
        "at_chance",
        f"Still {_where(e)} after epoch {e.epoch} ({e.chance()}){seen}.",
        "Try another learning rate with --lr (in Python, learn.lr_find() suggests one), and check that the labels "
        "fit the pictures.",
    )


def flatness(seen: Look) -> tuple[float, float]:
    """The share of pictures for which the loss has a flat slope; of all, and of those that are wrong."""
    if seen.shares is None or seen.slopes is None:
        return 0.0, 0.0
    slopes = seen.slopes
    if seen.last in ("sigmoid", "softmax"):  # which is in the model, and flattens what is before it
        slopes = slopes * (seen.shares * (1 - seen.shares)).amax(1)
    flat = slopes < SATURATED
    wrong = seen.shares.argmax(1) != seen.targets
    return float(flat.float().mean()), float(flat[wrong].float().mean()) if bool(wrong.any()) else 0.0


def _where(e: Evidence) -> str:
    """Where the accuracy stands to chance, in words."""
    chance = e.chance()
    return "below chance" if chance is not None and chance.interval.high < chance.share else "at chance"


def is_early(e: Evidence, code: str) -> bool:
    """Whether a run that is fine may be at chance yet.

    It may be so for long where it answers its training pictures well, and validation waits for the averages of batch
    norm; what the gradient shows to be flat is not waited for.
    """
    if e.epoch < GIVEN_UP_AFTER or code not in ("one_class", "at_chance"):
        return e.epoch < GIVEN_UP_AFTER
    return e.batches < STEPS_TO_SETTLE or (e.epoch < SETTLED and _is_learning(e))


def _is_learning(e: Evidence) -> bool:
    """Whether the training pictures that were looked at are answered better than by chance."""
    if e.look is None or e.look.shares is None:
        return False
    right = int((e.look.shares.argmax(1) == e.look.targets).sum())
    n = len(e.look.targets)
    return wilson(right, n).low > float(torch.bincount(e.look.targets.long()).max()) / n


def _is_given_up(e: Evidence, code: str) -> bool:
    """Whether the run is at chance at a moment when one that is fine is above it; or at chance when it ends."""
    return not e.is_start and (e.is_end or not is_early(e, code)) and e.is_at_chance


def _was_above_chance(e: Evidence) -> bool:
    """Whether the run was above chance by the epoch in which it would be given up."""
    first = (e.chance(number) for number in range(1, min(GIVEN_UP_AFTER, len(e.history)) + 1))
    return any(chance is not None and chance.is_above for chance in first)
