"""Step 7, stop: when to stop, and why it stopped, in words.

A rule looks at how far training is and gives a reason to stop, or None. Rules are pure functions of what has happened,
without a state of their own; they combine with `|` (the first that holds) and `&` (all must hold).

    stop = after(epochs=15) | when_flat("valid_loss", patience=3)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import UsageError, nearest
from ..records.events import Epoch


class Reason(str):
    """Why training ended: words for people, which carry a `code` for programs.

    The code is "epochs", "batches", "seconds", "flat", "reached", "not_finite", "interrupted", or "rule" for a rule of
    your own; `&` joins codes with "+". It is empty for a run that was saved before there were codes.
    """

    __slots__ = ("code",)
    code: str

    def __new__(cls, words: str, code: str = "rule") -> Reason:
        reason = super().__new__(cls, words)
        reason.code = code
        return reason


def code_of(reason: str | None) -> str | None:
    """Return the code of a reason to stop.

    Args:
        reason: What a stop rule gave; None while training goes on.

    Returns:
        Its code; "rule" for plain words; None for None.
    """
    return None if reason is None else reason.code if isinstance(reason, Reason) else "rule"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit is: what a stop rule may look at. All counts are since the fit began."""

    epochs: int
    batches: int
    seconds: float
    history: Sequence[Epoch]
    loss: Callable[[], float | None]  # of the last batch; calling it waits for the device


@dataclass(frozen=True)
class StopRule:
    """`reason(progress)` says why to stop now, or None; `epochs` and `batches` bound the fit where the rule does."""

    reason: Callable[[Progress], str | None]
    epochs: int | None = None
    batches: int | None = None

    def __or__(self, other: StopRule) -> StopRule:
        def either(progress: Progress) -> str | None:
            return self.reason(progress) or other.reason(progress)

        return StopRule(either, _least(self.epochs, other.epochs), _least(self.batches, other.batches))

    def __and__(self, other: StopRule) -> StopRule:
        def both(progress: Progress) -> str | None:
            first, second = self.reason(progress), other.reason(progress)
            return Reason(f"{first}, and {second}", f"{code_of(first)}+{code_of(second)}") if first and second else None

        bounded = [rule for rule in (self, other) if rule.epochs is None and rule.batches is None]
        if bounded:  # a rule that may never hold leaves both unbounded
            return StopRule(both)
        return StopRule(both, _most(self.epochs, other.epochs), _most(self.batches, other.batches))

    def total(self, batches_per_epoch: int | None, done_in_first: int = 0) -> int | None:
        """How many batches the fit has at most, where the rule and the loader say; the first epoch may be part done."""
        bounds = [self.batches] if self.batches is not None else []
        if self.epochs is not None and batches_per_epoch is not None:
            bounds.append(self.epochs * batches_per_epoch - done_in_first)
        return max(min(bounds), 0) if bounds else None


def after(*, epochs: int | None = None, batches: int | None = None, seconds: float | None = None) -> StopRule:
    """Stop after a number of epochs, batches or seconds of this fit, whichever is first.

    Raises:
        UsageError: nothing given, or a number that is negative.
    """
    given = {"epochs": epochs, "batches": batches, "seconds": seconds}
    if all(value is None for value in given.values()):
        raise UsageError("after() needs epochs, batches or seconds.", hint="after(epochs=15)")
    for name, value in given.items():
        if value is not None and not value >= 0:
            raise UsageError(f"after({name}={value}) can never be reached.", hint="Give a number of 0 or more.")

    def reason(progress: Progress) -> str | None:
        if epochs is not None and progress.epochs >= epochs:
            return Reason(f"{_count(epochs, 'epoch')} {'was' if epochs == 1 else 'were'} asked for and done", "epochs")
        if batches is not None and progress.batches >= batches:
            count = f"{_count(batches, 'batch', 'batches')} {'was' if batches == 1 else 'were'}"
            return Reason(f"{count} asked for and done", "batches")
        if seconds is not None and progress.seconds >= seconds:
            return Reason(f"the {seconds:g} seconds it was given are over", "seconds")
        return None

    return StopRule(reason, epochs, batches)


def when_flat(
    name: str = "valid_loss", patience: int = 3, min_delta: float = 0.0, *, lower_is_better: bool | None = None
) -> StopRule:
    """Stop when a figure has not improved by more than `min_delta` for `patience` epochs, or is not a number.

    What is called a loss or an error improves downwards, anything else upwards, unless `lower_is_better` says so.

    Raises:
        UsageError: patience under 1.
    """
    if patience < 1:
        raise UsageError(f"patience is {patience}, and must be 1 or more.", hint="Try patience=3.")
    sign = _sign(name, lower_is_better)

    def reason(progress: Progress) -> str | None:
        if progress.history and math.isnan(figure(progress.history[-1], name)):
            words = f"{name} is no longer a number (nan) after epoch {progress.history[-1].number}"
            return Reason(words, "not_finite")
        values = [sign * figure(epoch, name) for epoch in progress.history]
        best, since = math.inf, 0
        for value in values:
            best, since = (value, 0) if value < best - min_delta else (best, since + 1)
        if since >= patience:
            return Reason(f"{name} has not improved for {_count(since, 'epoch')}", "flat")
        return None

    return StopRule(reason)


def when_reached(name: str, value: float, *, lower_is_better: bool | None = None) -> StopRule:
    """Stop when a figure reaches `value`: losses and errors from above, anything else from below; see `when_flat`."""
    sign = _sign(name, lower_is_better)

    def reason(progress: Progress) -> str | None:
        if progress.history and sign * figure(progress.history[-1], name) <= sign * value:
            words = f"{name} has reached {value:g}: it is {figure(progress.history[-1], name):.4f}"
            return Reason(words, "reached")
        return None

    return StopRule(reason)


def when_not_finite() -> StopRule:
    """Stop when the loss of a batch is infinite or not a number: nothing after it would mean anything."""

    def reason(progress: Progress) -> str | None:
        loss = progress.loss()
        if loss is not None and not math.isfinite(loss):
            words = f"the loss became {loss} at batch {progress.batches}; a lower learning rate or clipping may help"
            return Reason(words, "not_finite")
        return None

    return StopRule(reason)


def figure(epoch: Epoch, name: str) -> float:
    """A loss or metric of an epoch by its name.

    Raises:
        UsageError: the epoch has no such figure.
    """
    figures = {"train_loss": epoch.train_loss, "valid_loss": epoch.valid_loss, **epoch.metrics}
    value = figures.get(name)
    if value is None:
        known = [known for known, number in figures.items() if number is not None]
        raise UsageError(f"An epoch has no {name!r} to stop by.", hint=nearest(name, known))
    return value


def _sign(name: str, lower_is_better: bool | None) -> int:
    """1 for a figure that improves downwards, -1 for one that improves upwards."""
    falls = name.endswith(("loss", "error", "error_rate")) if lower_is_better is None else lower_is_better
    return 1 if falls else -1


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
