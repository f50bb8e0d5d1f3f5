"""The end of a run: its result beside the baseline that matters, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from ..base.words import pictures
from ..records.audit import AuditResult
from ..records.events import Finding
from ..records.few import few_in_words
from ..records.scores import MANY_LOOKS, OUT_OF_FOLD, Against, Coverage, Imbalance, Score
from .findings import LONG, OF_A_GUESS, in_short, passed_in_words
from .seeds import has_learned
from .sentences import (
    ON_TEST,
    UNSEEN,
    against_in_plain_words,
    against_in_words,
    audit_in_words,
    balanced_in_words,
    coverage_in_words,
    found_in_words,
    in_plain_words,
    in_words,
    looks_in_words,
    stop_in_words,
    untested_in_words,
)
from .terminal import command, pair, paragraph, percent, print_next, sentence

MOST_WARNINGS = 2  # that are printed at the end; `doctor` has all


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to, and what can be typed next."""

    score: Score | None
    stopped_because: str
    is_early: bool  # it stopped before the last epoch of its recipe
    kept_epoch: int | None  # whose parameters are kept, where the recipe asks for the best
    findings: Sequence[Finding]
    validated_on_test: bool
    baselines: Mapping[str, Score]
    against: Against | None
    looks: int | None
    coverage: Coverage | None
    fewest: int | None  # training pictures of the smallest class, where these are few
    imbalance: Imbalance | None
    balance: str
    audit: AuditResult | None
    program: str  # how this program is called here
    folder: str
    source: str  # the pictures, as they are typed after a verb
    has_figures: bool
    following: Sequence[str]  # commands
    has_backbone: bool = False  # whether the model learned from features of a pretrained network

    @property
    def open(self) -> list[Finding]:
        """The findings that still hold; not that it guesses, which few validation pictures suggest, if it does not."""
        learned = self.score is not None and has_learned(self.score, self.baselines)
        refuted = OF_A_GUESS if learned else ()
        return [finding for finding in self.findings if finding.recovered_at is None and finding.code not in refuted]

    @property
    def lost(self) -> Finding | None:
        """The finding that the run only guessed for the most epochs before it recovered, if these were many."""
        lengths = {
            finding.recovered_at - finding.epoch: finding
            for finding in self.findings
            if finding.code in OF_A_GUESS and finding.recovered_at is not None
        }
        longest = max(lengths, default=0)
        return lengths[longest] if longest >= LONG else None


def print_result(out: Console, outcome: Outcome) -> None:
    """Print the result in a sentence, what to know about it in a line each, and what to type next."""
    if outcome.is_early:
        paragraph(out, "stopped", f"{stop_in_words(outcome.stopped_because)}{_kept(outcome)}")
    if outcome.score is not None:
        compared = against_in_plain_words(outcome.against, outcome.score) if outcome.against else ""
        sentence(out, f"{in_plain_words(outcome.score)}{', ' if compared else ''}{compared}", style="bold green")
    if outcome.validated_on_test:
        sentence(out, ON_TEST, style="dim")
    if outcome.score is not None and outcome.score.balanced is not None and outcome.imbalance is not None:
        share = outcome.score.balanced.value
        advice = " (--balance loss)" if outcome.balance == "none" else ""
        if outcome.score.absent:
            paragraph(out, "balanced", f"unknown: {untested_in_words(outcome.score)}")
        elif share is not None:
            paragraph(out, "balanced", f"{percent(share)} if classes count alike{advice}")
    if outcome.looks is not None and outcome.looks >= MANY_LOOKS:
        sentence(out, looks_in_words(outcome.looks), style="dim")
    if outcome.fewest is not None and outcome.imbalance is None:  # which names the smallest class
        paragraph(out, "few", f"only {pictures(outcome.fewest, 'training')} in the smallest class: add more")
    if outcome.audit is not None and (problems := found_in_words(outcome.audit)):
        said, look = (
            f"{problems[0]}{', and other problems' * (len(problems) > 1)}",
            f"{outcome.program} data {outcome.source}",
        )
        if look in outcome.following:
            paragraph(out, "check", f"{said}; the last command lists them")
        else:
            paragraph(out, "check", f"{said}:")
            command(out, look)
    if outcome.lost is not None:
        paragraph(out, "stuck", f"{_lost_epochs(outcome.lost)} learned nothing. See why:")
        command(out, f"{outcome.program} doctor {outcome.folder}")
    warnings = list(
        dict.fromkeys(in_short(finding, outcome.program, outcome.folder, outcome.source) for finding in outcome.open)
    )
    for warning in warnings[:MOST_WARNINGS]:
        paragraph(out, "warning", warning, style="yellow")
    if len(warnings) > MOST_WARNINGS:
        paragraph(out, "", f"for more: {outcome.program} doctor {outcome.folder}", style="yellow")
    figures = ", with figures" if outcome.has_figures else ""
    out.print(pair("saved", f"{outcome.folder}{figures}"))
    for typed in outcome.following:
        command(out, typed)


def print_numbers(out: Console, outcome: Outcome) -> None:
    """Print everything: why it stopped, each figure with its interval, and every warning in full."""
    out.print(pair("stopped", f"{stop_in_words(outcome.stopped_because)}{_kept(outcome)}"))
    score, imbalance = outcome.score, outcome.imbalance
    if score is not None:
        out.print(pair("accuracy", in_words(score), style="bold green"))
        if score.split == OUT_OF_FOLD:
            out.print(pair("", UNSEEN, style="dim"))
    if score is not None and imbalance is not None:
        out.print(pair("balanced", balanced_in_words(score, imbalance, outcome.baselines)))
        if not score.absent:
            out.print(pair("", _BALANCES[outcome.balance], style="dim"))
    if outcome.against is not None:
        out.print(pair("", against_in_words(outcome.against)))
    if outcome.coverage is not None:
        out.print(pair("", coverage_in_words(outcome.coverage), style="dim"))
    if outcome.looks is not None:
        out.print(pair("", looks_in_words(outcome.looks), style="dim"))
    if outcome.audit is not None:
        look = f"{outcome.program} data {outcome.source}"
        out.print(pair("audit", audit_in_words(outcome.audit, look), style="dim"))
    if outcome.fewest is not None:
        out.print(pair("few pictures", few_in_words(outcome.fewest, outcome.has_backbone), style="dim"))
    for finding in outcome.findings:
        passed = "" if finding.recovered_at is None else f" It recovered at epoch {finding.recovered_at}."
        passed = f" {told}" if (told := passed_in_words(finding)) else passed
        out.print(pair("warning", finding.message + passed, style="yellow"))
        if finding.recovered_at is None:
            out.print(pair("", finding.fix))
    if outcome.validated_on_test:
        out.print(pair("note", ON_TEST))
    print_next(out, outcome.folder, outcome.following)


def _lost_epochs(finding: Finding) -> str:
    """Name the epochs from the first that guessed to the last before the run recovered."""
    assert finding.recovered_at is not None
    return f"epochs {finding.epoch} to {finding.recovered_at - 1}"


def _kept(outcome: Outcome) -> str:
    if outcome.kept_epoch is None:
        return ""
    return f"; the parameters kept are those of epoch {outcome.kept_epoch}"


_BALANCES = {
    "none": "--balance loss makes small classes count as much as large ones; so does --balance sampling",
    "loss": "the loss was weighted: probabilities are as if each class came equally often",
    "sampling": "each class was drawn equally often: probabilities are as if each class came equally often",
}
