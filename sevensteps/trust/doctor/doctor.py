"""The doctor says what is wrong with a run while it trains, with the evidence and the command that fixes it.

It observes the events of the stream and cannot change training. A finding describes the present; when it no longer
holds, `recovered_at` says since when. The table `CHECKS` lists what it looks for, causes before their symptoms.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...learner.learner import Learner
from ...records.events import Batch, Epoch, Finding
from . import causes, chance, symptoms
from .evidence import Evidence, collect, is_looked_at, is_over
from .sampler import Sampler


@dataclass(frozen=True)
class Check:
    """One thing to look for. It is not reported while a finding that explains it is open."""

    look_for: Callable[[Evidence], Finding | None]
    explained_by: frozenset[str] = frozenset()
    at_start: bool = False  # also before the first step
    at_end: bool = False  # only at the end of the run; dropped if the run is resumed

    @property
    def code(self) -> str:
        """The code of its findings."""
        return self.look_for.__name__


_OF_DATA = frozenset({"inputs_not_scaled", "loss_misfit", "frozen", "class_imbalance", "split_mismatch"})


_OF_RATE = frozenset({"diverging", "oscillating", "exploding"})


_OF_LAYERS = frozenset({"dead_relus", "vanishing"})


_OF_CHANCE = frozenset({"shuffled_labels", "saturated", "stuck", "one_class", "at_chance"})


# Findings that hold until the run learns: a gradient that rises while the answers stay at chance is not a recovery.
_UNTIL_LEARNING = frozenset({"stuck"})


_UNLEARNED = _OF_DATA | _OF_RATE | _OF_LAYERS | {"rate_too_low"}


CHECKS = {
    check.code: check
    for check in (
        Check(causes.inputs_not_scaled, at_start=True),
        Check(causes.loss_misfit, at_start=True),
        Check(causes.frozen, at_start=True),
        Check(causes.class_imbalance, at_start=True),
        Check(causes.split_mismatch, at_start=True),
        Check(symptoms.diverging, _OF_DATA | {"exploding", "one_class"}),
        Check(symptoms.oscillating, _OF_DATA | {"exploding", "diverging"}),
        Check(causes.exploding, _OF_DATA | {"diverging", "oscillating"}, at_start=True),
        Check(symptoms.dead_relus, _OF_DATA | _OF_RATE),
        Check(symptoms.vanishing, _OF_DATA | _OF_RATE | {"dead_relus", "saturated"}),
        Check(causes.shuffled_labels, _OF_DATA | _OF_RATE | _OF_LAYERS),
        Check(chance.saturated),
        Check(chance.stuck),
        Check(symptoms.rate_too_low, _OF_DATA | _OF_RATE | _OF_LAYERS | _OF_CHANCE),
        Check(chance.one_class, _UNLEARNED | {"shuffled_labels", "saturated"}, at_start=True),
        Check(chance.at_chance, _UNLEARNED | _OF_CHANCE - {"at_chance"}),
        Check(symptoms.overfitting, _UNLEARNED | _OF_CHANCE),
        Check(symptoms.too_few_epochs, _UNLEARNED | _OF_CHANCE | {"overfitting"}, at_end=True),
    )
}


BECAUSE_IT_ENDS = "because_it_ends"


class Doctor:
    """Watches a learner: give it every event of the stream, and read `findings`.

    Create it before the first batch to let it see the starting parameters. A resumed run loses nothing: findings are
    plain data, and everything else is observed again.

    Args:
        learn: The learner to watch; it is not changed.
        findings: Earlier findings of the same run.
    """

    def __init__(self, learn: Learner, findings: Iterable[Finding] = ()) -> None:
        self._learn, self._sampler = learn, Sampler(learn)
        self.findings = list(findings)
        self._start = collect(learn, self._sampler, {}, 1) if learn.state.batch == 0 else None

    @property
    def open(self) -> dict[str, Finding]:
        """The findings that hold now, by code."""
        return {finding.code: finding for finding in self.findings if finding.recovered_at is None}

    def observe(self, event: Batch | Epoch) -> list[Finding]:
        """Update the findings after an event.

        Args:
            event: The next event of the stream.

        Returns:
            The findings that are new.
        """
        if self._start is None and isinstance(event, Batch) and math.isfinite(event.loss):
            return []  # nearly every event, so this must be fast
        start, self._start = self._start, None
        is_first = (
            isinstance(event, Batch) and self._learn.state.batch == 1
        )  # otherwise a saved run was loaded meanwhile
        new = self._judged(start, at_start=True) if start is not None and is_first else []
        if isinstance(event, Epoch):
            self._take_back(event.number)
            standing = self.open
            # Most epochs of a long, healthy run are neither watched nor the last.
            is_watched = bool(standing) or is_looked_at(self._learn, self._sampler, standing, event.number)
            if is_watched or is_over(self._learn):
                only = None if is_watched else [code for code, check in CHECKS.items() if check.at_end]
                new += self._judged(collect(self._learn, self._sampler, standing, event.number), only=only)
        elif not math.isfinite(event.loss):
            new += self._judged(collect(self._learn, self._sampler, self.open, event.epoch), only=("diverging",))
        return new

    def _judged(self, e: Evidence, *, at_start: bool = False, only: Sequence[str] | None = None) -> list[Finding]:
        """Apply every check to the evidence: mark findings that no longer hold, and return the new ones."""
        raised: list[Finding] = []
        standing = set(self.open)
        for code in only or CHECKS:
            check = CHECKS[code]
            if at_start and not check.at_start:
                continue
            seen = check.look_for(e)
            if code in e.open:
                if seen is None and code in _UNTIL_LEARNING and e.is_at_chance:
                    continue
                self._update(code, seen, e.epoch)
                if seen is None:
                    standing.discard(code)
            elif seen is not None and (not e.finite or not check.explained_by & standing):
                if e.is_end and (check.at_end or (code in _OF_CHANCE and chance.is_early(e, code))):
                    seen = dataclasses.replace(seen, evidence={**(seen.evidence or {}), BECAUSE_IT_ENDS: True})
                raised.append(seen)
                standing.add(code)
                self.findings.append(seen)
        return raised

    def _update(self, code: str, seen: Finding | None, epoch: int) -> None:
        """Mark an open finding as recovered, or keep its message and give it the present evidence."""
        at = next(at for at, known in enumerate(self.findings) if known.code == code and known.recovered_at is None)
        known = self.findings[at]
        self.findings[at] = (
            dataclasses.replace(known, recovered_at=epoch)
            if seen is None
            else dataclasses.replace(known, evidence=seen.evidence)
        )

    def _take_back(self, epoch: int) -> None:
        """Drop findings that were reported only because the run was about to end, now that it goes on."""
        self.findings = [
            finding
            for finding in self.findings
            if finding.epoch == epoch or not (finding.evidence or {}).get(BECAUSE_IT_ENDS)
        ]
