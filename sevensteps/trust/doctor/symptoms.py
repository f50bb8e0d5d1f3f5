"""Symptoms: what goes wrong while a run trains. Its rate, its gradients and activations, and when it ends.

Each takes the evidence of a moment and gives a finding, or None. What the thresholds are, and what was measured to
choose them, stands in docs/decisions/0008-doctor.md.
"""

from __future__ import annotations

import math

from ...records.events import Finding
from .chance import STEPS_TO_SETTLE, STILL, flatness
from .evidence import FAR, Evidence

WORSE = 1.5  # times the loss of a guess: training loss of a run that diverges


WILD = 10.0  # the same, where the first epoch alone must tell; a start that is bad and passes has less


RISEN, RISEN_BY = 1.25, 0.1  # times the lowest training loss of the epochs before; and of a guess's loss


AMISS = 1.0  # of a guess's loss: how much one step at the rate raises the loss that it should lower


UNFOLLOWED = 3.0  # guesses' losses: validation loss where the same pictures have a good one by statistics of their own


DEAD, REVIVED = 0.85, 0.6  # share of a layer's ReLUs that are zero for every picture


VANISHING, ARRIVING = 0.003, 0.03  # slope in the first layer, in the steepest layer's


UNLEARNED = 0.3  # of a guess's loss: less, and the rate was high enough to learn


GAINED = 0.02  # share of the loss that is won by one step 300 or more times as long


SLOW = 0.15  # share of the training loss by which it falls in an epoch: less, and the rate may be too low


MEMORIZED = 5.0  # times the training loss: validation loss of a run that overfits


RISEN_VALID = 1.3  # times the lowest validation loss


GAP = 0.2  # of a guess's loss, between training and validation


IMPROVING, BY = 0.08, 0.015  # fall of the validation loss in the last epoch: as a share, and of a guess's loss


PATIENCE = 3  # epochs


def diverging(e: Evidence) -> Finding | None:
    """The rate is so high that each step leads uphill, until the loss is no number any more."""
    if not e.finite or (e.look is not None and not math.isfinite(e.look.loss)):
        return e.finding(
            "diverging",
            f"The learning rate {e.lr:g} is too high: in epoch {e.epoch} the loss became infinite or no number at "
            "all, and nothing after that would mean anything.",
            _lower(e),
        )
    guess = e.guess
    if e.last is None or e.look is None or guess <= 0 or e.lr == 0:
        return e.still("diverging")
    loss = e.last.train_loss
    before = [epoch.train_loss for epoch in e.history[:-1]]
    rising = loss > before[-1] if before else loss > WILD * guess or e.look.loss > WORSE * max(loss, guess)
    if not loss > WORSE * guess or not (rising or "diverging" in e.open):
        return None
    rose = f", after {before[-1]:.3g} in the one before" if before else ""
    return e.finding(
        "diverging",
        f"The learning rate {e.lr:g} is too high: the training loss was {loss:.3g} in epoch {e.epoch}{rose}, and a "
        f"guess has {guess:.3g}. Training leads away from the answer.",
        _lower(e),
        train_loss=loss,
        guess=guess,
    )


def _lower(e: Evidence) -> str:
    return f"Train with a lower rate ({e.lower_rate()}), or shorten the gradient (--clip 1)."


def oscillating(e: Evidence) -> Finding | None:
    """The rate is so high that steps overshoot: to and fro across the valley, and not down into it."""
    if e.last is None or e.look is None or e.lr == 0:
        return e.still("oscillating")
    guess, loss = max(e.guess, 1e-12), e.last.train_loss
    least = min((epoch.train_loss for epoch in e.history[:-1]), default=math.inf)
    tried = [losses for factor, losses in e.look.steps.items() if 0 < factor < FAR[0]]
    if loss > RISEN * least and loss - least > RISEN_BY * guess:
        seen = f"the training loss has risen from {least:.3g} to {loss:.3g}"
    elif tried and not tried[0][0] - e.look.loss <= AMISS * guess:
        seen = (
            f"one more step raises the loss of the very batch that it is made for from {e.look.loss:.3g} to "
            f"{tried[0][0]:.3g}"
        )
    elif e.look.valid_own is not None and (e.last.valid_loss or 0.0) > UNFOLLOWED * guess and e.look.valid_own < guess:
        seen = (
            f"the validation loss is {e.last.valid_loss:.3g} with the running averages of the model, and "
            f"{e.look.valid_own:.3g} with averages of those pictures: parameters move too fast to be followed"
        )
    elif "oscillating" in e.open and not tried:
        return e.still("oscillating")
    else:
        return None
    return e.finding(
        "oscillating",
        f"The learning rate {e.lr:g} is too high: after epoch {e.epoch} {seen}. Steps overshoot and training goes to "
        "and fro.",
        f"Train with a lower rate ({e.lower_rate()}), or let it fall (--schedule one_cycle); in Python, "
        "learn.lr_find() suggests one.",
        train_loss=loss,
        least=None if math.isinf(least) else least,
    )


def rate_too_low(e: Evidence) -> Finding | None:
    """The loss falls slowly, and one step many times as long would lower it, for pictures that it did not see, too.

    As `lr_find`, but at one point and with one batch (Smith, "Cyclical learning rates", 2017).
    """
    if e.lr == 0:
        return None if e.last is None else _no_rate(e)
    if e.last is None or e.look is None or FAR[0] not in e.look.steps:
        return e.still("rate_too_low")
    loss, valid, most = e.look.loss, e.look.valid_own or 0.0, 1 - GAINED
    tried = {factor: e.look.steps[factor] for factor in FAR}
    won = {factor: (a, b) for factor, (a, b) in tried.items() if b is not None and a < most * loss and b < most * valid}
    before, now = e.history[-2].train_loss if len(e.history) > 1 else e.last.train_loss, e.last.train_loss
    if len(e.history) == 1:  # the parameters at its end against those along it
        now = now if e.last.valid_loss is None else e.last.valid_loss
    if not won or not now > (1 - SLOW) * before or not loss > UNLEARNED * e.guess:
        return None
    if flatness(e.look)[1] > STILL:  # where the loss is flat, short steps are no matter of the rate
        return None
    times = min(won, key=lambda factor: won[factor][1])
    far, far_valid = won[times]
    return e.finding(
        "rate_too_low",
        f"The learning rate {e.lr:g} is too low: after epoch {e.epoch} the loss of a batch is {loss:.3g} (a guess has "
        f"{e.guess:.3g}), and one step {times:g} times as long would lower it to {far:.3g}, and that of validation "
        f"pictures from {valid:.3g} to {far_valid:.3g}.",
        f"Train with a higher rate (--lr {e.lr * times:.2g}); in Python, learn.lr_find() suggests one.",
        loss=loss,
        far=far,
        times=times,
    )


def _no_rate(e: Evidence) -> Finding:
    """Nothing is learned at a rate of 0."""
    suggested = f", such as --lr {rate:g}" if (rate := e.sampler.steady_rate) else ""
    return e.finding(
        "rate_too_low",
        f"The learning rate is 0: no step moves a parameter, and after epoch {e.epoch} the model is as it started.",
        f"Leave --lr out, and the recipe's own rate is used; or give one above 0{suggested}.",
        times=None,
    )


def dead_relus(e: Evidence) -> Finding | None:
    """Most units of a layer give zero for every picture: no gradient passes them, so they stay as they are.

    Lu, Shin, Su and Karniadakis, "Dying ReLU and initialization" (2020).
    """
    if e.look is None:
        return e.still("dead_relus")
    is_wild = len(e.history) == 1 and e.history[0].train_loss > WORSE * e.guess  # the next epoch tells why
    if not e.look.dead or is_wild:
        return None
    worst = max(range(len(e.look.dead)), key=e.look.dead.__getitem__)
    share = e.look.dead[worst]
    if share < (REVIVED if "dead_relus" in e.open else DEAD):
        return None
    return e.finding(
        "dead_relus",
        f"The ReLUs are dead: after epoch {e.epoch}, {share:.0%} of the units of ReLU {worst + 1} of "
        f"{len(e.look.dead)} are zero for each of {len(e.look.targets)} pictures. No gradient passes them, so they "
        "stay as they are.",
        f"Start anew with --init kaiming and a lower rate ({e.lower_rate()}); in Python, nn.LeakyReLU lets a little "
        "through.",
        dead=list(e.look.dead),
    )


def vanishing(e: Evidence) -> Finding | None:
    """The gradient hardly reaches the first layer: each layer passes on a fraction of what it gets.

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
        f"The gradient vanishes: after epoch {e.epoch} a weight of the first layer ({weights[0].name}) gets "
        f"{ratio:.2g} of what one of the steepest layer gets. The first layers hardly learn.",
        "Use ReLU in place of sigmoid or tanh between layers, put nn.BatchNorm2d or nn.BatchNorm1d before it, start "
        "with --init kaiming, or take layers away.",
        ratio=ratio,
    )


def overfitting(e: Evidence) -> Finding | None:
    """Training pictures are learned by heart: their loss is small, and that of others is not."""
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
    rose = f", up from {best:.3g} after epoch {at}" if risen else ""
    return e.finding(
        "overfitting",
        f"It overfits: after epoch {e.epoch} the loss is {last.train_loss:.3g} for training pictures and "
        f"{last.valid_loss:.3g} for validation pictures{rose}. What is learned now does not serve other pictures.",
        f"Keep the best epoch and stop there (--keep best --stop-patience {PATIENCE}), vary the pictures (--augment "
        "flip+shift), pull parameters to zero (--weight-decay 0.01), or add pictures.",
        train_loss=last.train_loss,
        valid_loss=last.valid_loss,
    )


def too_few_epochs(e: Evidence) -> Finding | None:
    """The run ends while the loss of validation pictures still falls fast."""
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
        f"Too few epochs: the run ends after epoch {e.epoch} while the validation loss still falls fast, from "
        f"{earlier:.3g} to {last.valid_loss:.3g} in its last epoch.",
        f"Go on with it: sevensteps resume RUN --epochs {max(e.epoch, 5)}; or train with --epochs "
        f"{3 * max(e.epoch, 2)}.",
        fall=fall,
    )
