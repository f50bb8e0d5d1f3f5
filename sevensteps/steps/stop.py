"""Step 7, stop: decide when to stop, and say why in words.

A rule looks at the progress so far and returns a reason to stop, or None. Rules are pure functions of what has
happened and have no state of their own. They combine with `|` (any of them stops) and `&` (all must agree).

    stop = after(epochs=15) | when_flat("valid_loss", patience=3)
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    """The progress of a fit, which is all that a stop rule may look at. All counts start when the fit begins."""

    epochs: int
    batches: int
    seconds: float
    history: Sequence[Epoch]
    loss: Callable[[], float | None]  # the loss of the last batch; calling it waits for the device


@dataclass(frozen=True)
class StopRule:
    """A rule: `reason(progress)` returns why to stop now, or None. `epochs` and `batches` are upper bounds, if any.

    `figures` names the losses and metrics that the rule reads, so that a missing one is found before the first batch.
    `facts` say in JSON how the rule was made, for a file; None for a rule of your own.
    """

    reason: Callable[[Progress], str | None]
    epochs: int | None = None
    batches: int | None = None
    figures: tuple[str, ...] = ()
    facts: dict[str, Any] | None = field(default=None, compare=False)

    def __or__(self, other: StopRule) -> StopRule:
        def either(progress: Progress) -> str | None:
            return self.reason(progress) or other.reason(progress)

        bounds = _least(self.epochs, other.epochs), _least(self.batches, other.batches)
        return StopRule(either, *bounds, self.figures + other.figures, _joined("either", self, other))

    def __and__(self, other: StopRule) -> StopRule:
        def both(progress: Progress) -> str | None:
            first, second = self.reason(progress), other.reason(progress)
            return Reason(f"{first}, and {second}", f"{code_of(first)}+{code_of(second)}") if first and second else None

        bounded = [rule for rule in (self, other) if rule.epochs is None and rule.batches is None]
        if bounded:  # a rule that may never hold leaves both unbounded
            return StopRule(both, figures=self.figures + other.figures, facts=_joined("both", self, other))
        bounds = _most(self.epochs, other.epochs), _most(self.batches, other.batches)
        return StopRule(both, *bounds, self.figures + other.figures, _joined("both", self, other))

    def total(self, batches_per_epoch: int | None, done_in_first: int = 0) -> int | None:
        """Return the largest number of batches that the fit can have.

        Args:
            batches_per_epoch: The number of batches in an epoch, if the loader knows it.
            done_in_first: Batches of the first epoch that are done already.

        Returns:
            The number, or None if neither the rule nor the loader bounds it.
        """
        bounds = [self.batches] if self.batches is not None else []
        if self.epochs is not None and batches_per_epoch is not None:
            bounds.append(self.epochs * batches_per_epoch - done_in_first)
        return max(min(bounds), 0) if bounds else None


def after(*, epochs: int | None = None, batches: int | None = None, seconds: float | None = None) -> StopRule:
    """Stop after a number of epochs, batches or seconds of this fit, whichever comes first.

    Args:
        epochs: The number of epochs.
        batches: The number of batches.
        seconds: The time of training and validation, in seconds.

    Returns:
        The rule.

    Raises:
        UsageError: Nothing is given, or a number is negative.
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

    return StopRule(reason, epochs, batches, facts=_facts("after", given))


def when_flat(
    name: str = "valid_loss", patience: int = 3, min_delta: float = 0.0, *, lower_is_better: bool | None = None
) -> StopRule:
    """Stop when a figure has not improved for some epochs, or is not a number.

    Args:
        name: "train_loss", "valid_loss" or the name of a metric.
        patience: The number of epochs without an improvement.
        min_delta: What counts as an improvement must be larger than this.
        lower_is_better: The direction of improvement. By default it is down for names that end in "loss", "error" or
            "error_rate", and up for all others.

    Returns:
        The rule.

    Raises:
        UsageError: `patience` is less than 1.
    """
    if patience < 1:
        raise UsageError(f"patience is {patience}; it must be 1 or more.", hint="Try patience=3.")
    sign = _sign(name, lower_is_better)
    # How many epochs were looked at, the last of them, and what they said: asked at each batch, the rule would take
    # longer with each epoch. It still depends on nothing but the history.
    looked: tuple[int, Epoch | None, float, int] = 0, None, math.inf, 0

    def reason(progress: Progress) -> str | None:
        nonlocal looked
        if progress.history and math.isnan(figure(progress.history[-1], name)):
            words = f"{name} is no longer a number (nan) after epoch {progress.history[-1].number}"
            return Reason(words, "not_finite")
        at, last, best, since = looked
        if at > len(progress.history) or (at and progress.history[at - 1] is not last):
            at, last, best, since = 0, None, math.inf, 0  # the history of another fit
        for epoch in progress.history[at:]:
            value = sign * figure(epoch, name)
            best, since = (value, 0) if value < best - min_delta else (best, since + 1)
        looked = len(progress.history), progress.history[-1] if progress.history else None, best, since
        if since >= patience:
            return Reason(f"{name} has not improved for {_count(since, 'epoch')}", "flat")
        return None

    how = {"name": name, "patience": patience, "min_delta": min_delta, "lower_is_better": lower_is_better}
    return StopRule(reason, figures=(name,), facts=_facts("when_flat", how))


def when_reached(name: str, value: float, *, lower_is_better: bool | None = None) -> StopRule:
    """Stop when a figure reaches a value: losses and errors from above, everything else from below.

    Args:
        name: "train_loss", "valid_loss" or the name of a metric.
        value: The value to reach.
        lower_is_better: The direction, as in `when_flat`.

    Returns:
        The rule.
    """
    sign = _sign(name, lower_is_better)

    def reason(progress: Progress) -> str | None:
        if progress.history and sign * figure(progress.history[-1], name) <= sign * value:
            words = f"{name} has reached {value:g}: it is {figure(progress.history[-1], name):.4f}"
            return Reason(words, "reached")
        return None

    how = {"name": name, "value": value, "lower_is_better": lower_is_better}
    return StopRule(reason, figures=(name,), facts=_facts("when_reached", how))


def when_not_finite() -> StopRule:
    """Stop when the loss of a batch is infinite or not a number: nothing after it would mean anything.

    Returns:
        The rule.
    """

    def reason(progress: Progress) -> str | None:
        loss = progress.loss()
        if loss is not None and not math.isfinite(loss):
            words = f"the loss became {loss} at batch {progress.batches}; a lower learning rate or clipping may help"
            return Reason(words, "not_finite")
        return None

    return StopRule(reason, facts=_facts("when_not_finite", {}))


RULES: dict[str, Callable[..., StopRule]] = {
    rule.__name__: rule for rule in (after, when_flat, when_reached, when_not_finite)
}


def rule_from(facts: Any, deepest: int = 30) -> StopRule:
    """Make the stop rule that the facts in a file describe.

    Args:
        facts: As `StopRule.facts` has them.
        deepest: How many rules may stand within each other.

    Raises:
        ValueError: They describe no rule.
    """
    if not isinstance(facts, dict) or not deepest:
        raise ValueError(f"{facts!r:.80} is not a stop rule")
    how = dict(facts)
    name = how.pop("rule", None)
    if name in ("either", "both") and isinstance(how.get("of"), list) and len(how["of"]) == 2:
        first, second = (rule_from(part, deepest - 1) for part in how["of"])
        return first | second if name == "either" else first & second
    try:
        return RULES[name](**how)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{facts!r:.80} is not a stop rule") from error


def _facts(rule: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how a rule was made, as JSON holds it; None if JSON cannot, such as for an infinite number of seconds."""
    plain: dict[str, Any] = {"rule": rule}
    for name, value in settings.items():
        if value is None or isinstance(value, (str, bool)):
            plain[name] = value
        elif not math.isfinite(value):
            return None
        else:
            plain[name] = int(value) if isinstance(value, numbers.Integral) else float(value)
    return plain


def _joined(how: str, *rules: StopRule) -> dict[str, Any] | None:
    """Return the facts of a rule that joins others; None if one of them has none."""
    facts = [rule.facts for rule in rules]
    return None if None in facts else {"rule": how, "of": facts}


def figure(epoch: Epoch, name: str) -> float:
    """Return a loss or metric of an epoch by its name.

    Args:
        epoch: The epoch.
        name: "train_loss", "valid_loss" or the name of a metric.

    Returns:
        The value.

    Raises:
        UsageError: The epoch has no such figure.
    """
    figures = {"train_loss": epoch.train_loss, "valid_loss": epoch.valid_loss, **epoch.metrics}
    value = figures.get(name)
    if value is None:
        raise no_figure(name, [other for other, number in figures.items() if number is not None])
    return value


def no_figure(name: str, measured: Sequence[str]) -> UsageError:
    """Return the error for a rule that reads a figure that nobody measures.

    Args:
        name: Of the figure.
        measured: What is measured after each epoch.
    """
    hint = f"Give the learner that metric; measured now: {', '.join(measured)}."
    if name == "valid_loss":
        hint = "Give the learner a validation loader, or stop by train_loss."
    elif difflib.get_close_matches(name.lower(), [other.lower() for other in measured], n=1):
        hint = nearest(name, measured)
    return UsageError(f"There is no figure named {name!r} to stop by.", hint=hint)


def _sign(name: str, lower_is_better: bool | None) -> int:
    """Return 1 for a figure that improves downward, -1 for one that improves upward."""
    falls = name.endswith(("loss", "error", "error_rate")) if lower_is_better is None else lower_is_better
    return 1 if falls else -1


def _count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, in the singular or the plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _least(one: int | None, other: int | None) -> int | None:
    """Return the smaller bound, where None does not bound."""
    return other if one is None else one if other is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    """Return the larger bound, or None if either does not bound."""
    return None if one is None or other is None else max(one, other)
