"""What the doctor finds, for a terminal: in full while a run goes on, and in a short sentence at its end."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ..records.events import Finding
from .terminal import printable

# For each code of a finding: what is wrong, and what to try. {flags} are those that the doctor computed for this run.
_SHORT = {
    "inputs_not_scaled": ("The pixels are far too large or too small to learn from", "try --normalize"),
    "loss_misfit": ("The loss does not fit the model's last layer", "{doctor} says which one does"),
    "frozen": ("Some weights cannot move", "{doctor} lists them"),
    "class_imbalance": ("One class has many more pictures than another", "try --balance loss"),
    "split_mismatch": ("Training and validation pictures differ in kind", "try --hold-out 0.1"),
    "shuffled_labels": ("The labels do not seem to belong to the pictures", "look at them: {data}"),
    "exploding": ("The gradient is far too large", "try --init kaiming or --clip 1"),
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
    "overfitting": ("It learns the training pictures by heart", "try --keep best --stop-patience 3"),
    "too_few_epochs": ("It was still improving", "go on: {resume}"),
}


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
