"""Symptoms: what goes wrong while a run trains: its learning rate, gradients, activations, and its end.

Each check takes the evidence of one moment and returns a finding, or None. docs/decisions/0008-doctor.md gives the
thresholds and the measurements behind them.
"""

from __future__ import annotations

import math

from ...records.events import Finding
from .chance import STEPS_TO_SETTLE, STILL, flatness
from .evidence import FAR, Evidence, rounded

WORSE = 1.5  # training loss of a run that diverges, as a multiple of a guess's loss


WILD = 10.0  # the same after the first epoch alone; a bad start that passes has less


RISEN, RISEN_BY = 1.25, 0.1  # multiple of the lowest earlier training loss; and rise, in losses of a guess


AMISS = 1.0  # how much one step raises the loss that it should lower, in losses of a guess


UNFOLLOWED = 3.0  # validation loss in losses of a guess, where batch statistics give the same pictures a good one


DEAD, REVIVED = 0.85, 0.6  # share of a layer's ReLUs that are zero for every picture: to raise a finding; to end it


VANISHING, ARRIVING = 0.003, 0.03  # slope of the first layer over the steepest one's: to raise a finding; to end it


UNLEARNED = 0.3  # in losses of a guess: below this, the rate was high enough to learn


GAINED = 0.02  # share by which one step 300 or more times as long lowers the loss


SLOW = 0.15  # share by which the training loss falls in an epoch: below this, the rate may be too low


MEMORIZED = 5.0  # validation loss of a run that overfits, as a multiple of its training loss


RISEN_VALID = 1.3  # the same, as a multiple of its lowest validation loss


GAP = 0.2  # between training and validation loss, in losses of a guess


IMPROVING, BY = 0.08, 0.015  # fall of the validation loss in the last epoch: as a share; in losses of a guess


PATIENCE = 3  # epochs


def diverging(e: Evidence) -> Finding | None:
    """Find a rate so high that the loss rises, until it is not a number."""
    if not e.finite or (e.look is not None and not math.isfinite(e.look.loss)):
        return e.finding(
            "diverging",
            f"The learning rate {e.lr:g} is too high: in epoch {e.epoch} the loss became infinite or not a number.",
            _lower(e),
            flags=e.lower_rate(),
        )
    guess = e.guess
    if e.last is None or e.look is None or guess <= 0 or e.lr == 0:
        return e.still("diverging")
    loss = e.last.train_loss
    before = [epoch.train_loss for epoch in e.history[:-1]]
    rising = loss > before[-1] if before else loss > WILD * guess or e.look.loss > WORSE * max(loss, guess)
    if not loss > WORSE * guess or not (rising or "diverging" in e.open):
        return None
    return e.finding(
        "diverging",
        f"The learning rate {e.lr:g} is too high: in epoch {e.epoch} the model did worse than guessing (training loss "
        f"{rounded(loss)}; a guess has {rounded(guess)}).",
        _lower(e),
        train_loss=loss,
        guess=guess,
        flags=e.lower_rate(),
    )


def _lower(e: Evidence) -> str:
    """Return what to do about a rate that is far too high."""
    return f"Train with a lower rate ({e.lower_rate()}), or limit the gradient (--clip 1)."


def oscillating(e: Evidence) -> Finding | None:
    """Find a rate so high that steps overshoot: they jump across the valley instead of going down into it."""
    if e.last is None or e.look is None or e.lr == 0:
        return e.still("oscillating")
    guess, loss = max(e.guess, 1e-12), e.last.train_loss
    least = min((epoch.train_loss for epoch in e.history[:-1]), default=math.inf)
    tried = [losses for factor, losses in e.look.steps.items() if 0 < factor < FAR[0]]
    if loss > RISEN * least and loss - least > RISEN_BY * guess:
        seen = f"the training loss has risen from {rounded(least)} to {rounded(loss)}"
    elif tried and not tried[0][0] - e.look.loss <= AMISS * guess:
        seen = "one more step would raise the loss of its own batch, which it should lower"
    elif e.look.valid_own is not None and (e.last.valid_loss or 0.0) > UNFOLLOWED * guess and e.look.valid_own < guess:
        seen = "the weights move faster than the running averages of batch norm can follow"
    elif "oscillating" in e.open and not tried:
        return e.still("oscillating")
    else:
        return None
    return e.finding(
        "oscillating",
        f"The learning rate {e.lr:g} is too high: after epoch {e.epoch} {seen}. The steps are so long that they "
        "overshoot.",
        f"Train with a lower rate ({e.lower_rate()}), or let it fall (--schedule one_cycle). In Python, "
        "learn.lr_find() suggests a rate.",
        train_loss=loss,
        least=None if math.isinf(least) else least,
        flags=e.lower_rate(),
    )


def rate_too_low(e: Evidence) -> Finding | None:
    """Find a loss that falls slowly, where one step many times as long would lower it, also on validation pictures.

    Like `lr_find`, but at one point and with one batch (Smith, "Cyclical learning rates", 2017).
    """
    if e.lr == 0:
        return None if e.last is None else _no_rate(e)
    is_climbing = e.climbing == len(e.history)  # the schedule has not reached the rate that is judged
    if e.last is None or e.look is None or FAR[0] not in e.look.steps or is_climbing:
        return e.still("rate_too_low")
    loss, valid, most = e.look.loss, e.look.valid_own or 0.0, 1 - GAINED
    tried = {factor: e.look.steps[factor] for factor in FAR}
    won = {factor: (a, b) for factor, (a, b) in tried.items() if b is not None and a < most * loss and b < most * valid}
    before, now = e.history[-2].train_loss if len(e.history) > 1 else e.last.train_loss, e.last.train_loss
    if len(e.history) == 1:  # compares the parameters at the epoch's end with those during it
        now = now if e.last.valid_loss is None else e.last.valid_loss
    if not won or not now > (1 - SLOW) * before or not loss > UNLEARNED * e.guess:
        return None
    if flatness(e.look)[1] > STILL:  # where the loss is flat, steps are short at any rate
        return None
    times = min(won, key=lambda factor: won[factor][1])
    far, far_valid = won[times]
    rate = e.higher_rate(times)
    if rate is None:
        return None
    return e.finding(
        "rate_too_low",
        f"The learning rate {e.lr:g} is too low: after epoch {e.epoch} the loss falls slowly, and one step {times:g} "
        f"times as long would lower it from {rounded(valid)} to {rounded(far_valid)}.",
        f"Train with a higher rate (--lr {rate:.2g}). In Python, learn.lr_find() suggests a rate.",
        loss=loss,
        far=far,
        times=times,
        flags=f"--lr {rate:.2g}",
    )


def _no_rate(e: Evidence) -> Finding:
    """Return the finding for a rate of 0, at which nothing is learned."""
    suggested = f", such as --lr {rate:g}" if (rate := e.sampler.steady_rate) else ""
    return e.finding(
        "rate_too_low",
        "The learning rate is 0, so no step changes the model.",
        f"Leave --lr out to use the recipe's own rate, or give a rate above 0{suggested}.",
        times=None,
        flags=f"--lr {rate:g}" if rate else None,
    )


def dead_relus(e: Evidence) -> Finding | None:
    """Find a layer in which most units give zero for every picture: no gradient passes them, so they do not learn.

    Lu, Shin, Su and Karniadakis, "Dying ReLU and initialization" (2020).
    """
    if e.look is None:
        return e.still("dead_relus")
    is_wild = len(e.history) == 1 and e.history[0].train_loss > WORSE * e.guess  # the next epoch will show the cause
    if not e.look.dead or is_wild:
        return None
    worst = max(range(len(e.look.dead)), key=e.look.dead.__getitem__)
    share = e.look.dead[worst]
    if share < (REVIVED if "dead_relus" in e.open else DEAD):
        return None
    return e.finding(
        "dead_relus",
        f"Dead ReLUs: after epoch {e.epoch}, {share:.0%} of the units of ReLU layer {worst + 1} (of "
        f"{len(e.look.dead)}) give 0 for every picture. Such units no longer learn.",
        f"Start again with --init kaiming and a lower rate ({e.lower_rate()}). In Python, nn.LeakyReLU keeps units "
        "alive.",
        dead=list(e.look.dead),
    )


def vanishing(e: Evidence) -> Finding | None:
    """Find a gradient that hardly reaches the first layer, because each layer passes on a fraction of what it gets.

    Hochreiter, "Untersuchungen zu dynamischen neuronalen Netzen" (1991); Glorot and Bengio (2010).
    """
    if e.look is None:
        return e.still("vanishing")
    weights = [part for part in e.look.parts if len(part.shape) > 1 and part.gradient is not None]
    steepest = max((part.slope for part in weights), default=0.0)
    if len(weights) < 2 or not steepest > 1e-9:
        return None
    ratio = weights[0].slope / steepest
    if ratio > (ARRIVING if "vanishing" in e.open else VANISHING):
        return None
    return e.finding(
        "vanishing",
        f"The gradient vanishes: after epoch {e.epoch} so little of it reaches the first layer ({weights[0].name}) "
        "that this layer hardly learns.",
        "Use ReLU instead of sigmoid or tanh, add nn.BatchNorm2d or nn.BatchNorm1d, start with --init kaiming, or "
        "remove layers.",
        ratio=ratio,
    )


def overfitting(e: Evidence) -> Finding | None:
    """Find a model that knows its training pictures by heart: their loss is small, that of others is not."""
    last = e.last
    if last is None or last.valid_loss is None or len(e.history) < PATIENCE or e.batches < STEPS_TO_SETTLE:
        return None
    losses = [epoch.valid_loss for epoch in e.history if epoch.valid_loss is not None]
    guess = e.guess
    if not guess > 0:
        return None
    best = min(losses)
    at = losses.index(best) + 1
    apart = last.valid_loss - last.train_loss > GAP * guess
    risen = last.valid_loss > RISEN_VALID * best and len(losses) - at >= PATIENCE
    risen = risen and last.train_loss < e.history[at - 1].train_loss and last.valid_loss - best > GAP * guess / 2
    if not apart or not (risen or last.valid_loss > MEMORIZED * last.train_loss):
        return None
    rose = f", up from {rounded(best)} after epoch {at}" if risen else ""
    vary = "" if e.takes_features else "vary the pictures (--augment flip+shift), "
    return e.finding(
        "overfitting",
        f"The model overfits: by epoch {e.epoch} it has memorized its training pictures (loss "
        f"{rounded(last.train_loss)}), and is much worse on the validation pictures (loss "
        f"{rounded(last.valid_loss)}{rose}).",
        f"Keep the best epoch (--keep best --stop-patience {PATIENCE}), {vary}keep the weights small "
        "(--weight-decay 0.01), or add pictures.",
        train_loss=last.train_loss,
        valid_loss=last.valid_loss,
    )


def too_few_epochs(e: Evidence) -> Finding | None:
    """Find a run that ends while its validation loss still falls fast."""
    last = e.last
    if not e.is_end or last is None or last.valid_loss is None or not e.guess > 0:
        return None
    if len(e.history) < 2:  # nothing to compare with
        return None
    before = e.history[-2]
    earlier = before.valid_loss or 0.0
    fall = earlier - last.valid_loss
    falls_too = last.train_loss < (1 - IMPROVING / 2) * before.train_loss
    if not (fall > IMPROVING * earlier and fall > BY * e.guess and falls_too):
        return None
    return e.finding(
        "too_few_epochs",
        f"Too few epochs: the validation loss was still falling fast in the last one, epoch {e.epoch} (from "
        f"{rounded(earlier)} to {rounded(last.valid_loss)}).",
        f"Continue the run: sevensteps resume RUN --epochs {max(e.epoch, 5)}. Or train it again for longer: "
        f"sevensteps train --recipe RUN --epochs {longer(e.epoch)}",
        fall=fall,
    )


def longer(epochs: int) -> int:
    """Return how many epochs to try instead of too few.

    Args:
        epochs: The epochs that were too few.
    """
    return 3 * max(epochs, 2)
