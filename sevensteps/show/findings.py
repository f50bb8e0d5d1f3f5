"""What the doctor finds, for a terminal: in full while a run goes on, and in a short sentence at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from ..records.events import Finding
from .terminal import printable

LONG = 5  # epochs without learning that are worth advice, even in a run that recovered


OF_A_GUESS = frozenset({"at_chance", "one_class", "saturated", "stuck"})


# For each code of a finding: what is wrong, and what to try. {flags} are those that the doctor computed for this run.
_SHORT = {
    "inputs_not_scaled": ("The pixels are far too large or too small to learn from", "try --normalize"),
    "loss_misfit": ("The loss does not fit the model's last layer", "{doctor} says which one does"),
    "frozen": ("Some weights cannot move", "{doctor} lists them"),
    "class_imbalance": ("One class has many more pictures than another", "try --balance loss"),
    "split_mismatch": ("Training and validation pictures differ in kind", "try --hold-out 0.1"),
    "shuffled_labels": ("The labels do not seem to belong to the pictures", "look at them: {data}"),
    "exploding": ("The gradient is far too large", "try --init kaiming"),
    "diverging": ("The learning rate is too high", "try {flags}"),
    "oscillating": ("The learning rate is too high", "try {flags}"),
    "rate_too_low": ("The learning rate is too low", "try {flags}"),
    "dead_relus": ("Most hidden units are zero for every picture", "try --init kaiming"),
    "vanishing": ("The first layers hardly learn", "try --init kaiming"),
    "saturated": (
        "It only guesses: its starting weights are so large that they hardly move",
        "try --recipe linear",
    ),
    "stuck": ("It only guesses, and waiting does not help: its starting weights are too large", "try --recipe linear"),
    "one_class": ("It gives every picture the same answer", "try another --lr"),
    "at_chance": ("It does no better than guessing", "try another --lr"),
    "overfitting": ("It memorizes the training pictures", "try --keep best --stop-patience 3"),
    "too_few_epochs": ("It was still improving", "go on: {resume}"),
}

# A title for each code of a finding.
_TITLES = {
    "inputs_not_scaled": "Pixels not scaled",
    "loss_misfit": "Loss does not fit the last layer",
    "frozen": "Weights that do not learn",
    "class_imbalance": "Classes of very different size",
    "split_mismatch": "Training and validation pictures differ",
    "shuffled_labels": "Labels do not match the pictures",
    "exploding": "Exploding gradient",
    "diverging": "Learning rate too high: the loss rises",
    "oscillating": "Learning rate too high: the loss jumps",
    "rate_too_low": "Learning rate too low",
    "dead_relus": "Dead ReLUs",
    "vanishing": "Vanishing gradient",
    "saturated": "Starting weights too large",
    "stuck": "Stuck",
    "one_class": "Same answer for every picture",
    "at_chance": "No better than guessing",
    "overfitting": "Overfitting",
    "too_few_epochs": "Too few epochs",
}


def title_of(finding: Finding) -> str:
    """Return what is wrong, in a few words, and in which epochs.

    Args:
        finding: What the doctor found.
    """
    first, until = finding.epoch, finding.recovered_at
    start = f"epoch {first}" if first else "before the first step"
    if until is None:
        when = f"since {start}" if first else start
    elif until - 1 <= first:
        when = start
    else:
        when = f"epochs {max(first, 1)} to {until - 1}"
    return f"{_TITLES.get(finding.code, finding.code.replace('_', ' '))} ({when})"


def passed_in_words(finding: Finding) -> str:
    """Return that a finding no longer holds, and needs no advice.

    Args:
        finding: What the doctor found.

    Returns:
        Two short sentences; "" where it still holds, or held for so long that its advice is worth reading.
    """
    if finding.recovered_at is None or finding.recovered_at - finding.epoch >= LONG:
        return ""
    over = "The model learned" if finding.code in OF_A_GUESS else "This was over"
    return f"{over} from epoch {finding.recovered_at} on. Nothing to do."


def evidence_of(finding: Finding) -> list[str]:
    """Return a line for each number behind a finding, with three significant digits.

    Args:
        finding: What the doctor found.
    """
    return [
        f"{_NUMBERS.get(name, str(name).replace('_', ' '))}: {_in_short(value)}"
        for name, value in (finding.evidence or {}).items()
        if not isinstance(value, bool)
    ]


# Names of numbers whose keys do not say enough.
_NUMBERS = {
    "gradients": "gradient norm in the latest epochs, oldest first",
    "flat": "share of pictures for which the loss is flat",
    "flat_of_wrong": "share of wrongly answered pictures for which the loss is flat",
}


def _in_short(value: Any) -> str:
    """Return a number, or each number of a list or table, with three significant digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_short(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_in_short, value))
    return "none" if value is None else str(value)


def in_short(finding: Finding, program: str, run: str, source: str) -> str:
    """Return what is wrong and what to try, in a sentence.

    Args:
        finding: What the doctor found.
        program: How this program is called here.
        run: The folder of the run, as a shell takes it.
        source: The source of the pictures, as a shell takes it.
    """
    if finding.code not in _SHORT:
        return f"{finding.message} {finding.fix}"
    what, advice = _SHORT[finding.code]
    filled = advice.format(
        flags=(finding.evidence or {}).get("flags") or "another --lr",
        doctor=f"{program} doctor {run}",
        data=f"{program} data {source}",
        resume=f"{program} resume {run} --epochs {max(finding.epoch, 5)}",
    )
    return f"{what}; {filled}"


def print_finding(out: Console, finding: Finding) -> None:
    """Print what is wrong, and what to do."""
    out.print(Text(printable(f"! {finding.message}"), style="yellow"))
    out.print(Text(printable(f"  {finding.fix}"), style="dim"))
