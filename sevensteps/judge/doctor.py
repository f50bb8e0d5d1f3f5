"""Doctor: says what is wrong with a run while it trains, with the evidence and the command that fixes it.

It observes the events of the stream and cannot change training. A finding describes the present: it is marked
`recovered_at` when it passes.
"""

from __future__ import annotations

import dataclasses

import torch

from ..learner import Learner
from ..records import Batch, Epoch, Finding
from ..steps.repeat import batches_from
from .intervals import wilson

GIVEN_UP_AFTER = 2  # epochs; runs that are fine are above chance by then (docs/decisions/0003-saturation.md)
SATURATED = 0.001  # slope of a sigmoid under which its picture hardly moves a parameter; the largest is 0.25


class Doctor:
    """Watches a learner: give it every event of the stream, and read `findings`."""

    def __init__(self, learn: Learner) -> None:
        self._learn = learn
        self.findings: list[Finding] = []

    def observe(self, event: Batch | Epoch) -> Finding | None:
        """Take in an event; a finding that has just appeared is returned."""
        if not isinstance(event, Epoch) or "accuracy" not in event.metrics:
            return None
        at_chance, interval = self._at_chance(event.metrics["accuracy"])
        open_at = next((at for at, finding in enumerate(self.findings) if finding.recovered_at is None), None)
        if open_at is not None:
            if not at_chance:
                self.findings[open_at] = dataclasses.replace(self.findings[open_at], recovered_at=event.number)
            return None
        if not at_chance or (event.number < GIVEN_UP_AFTER and not self._is_over()):
            return None
        finding = self._explain(event, interval)
        self.findings.append(finding)
        return finding

    def _is_over(self) -> bool:
        """Whether the run ends here: what has not left chance by then never does."""
        return self._learn.stop.reason(self._learn.state.progress()) is not None

    def _at_chance(self, accuracy: float) -> tuple[bool, str]:
        """Whether the accuracy's interval includes what answering one class for all would get."""
        images = getattr(self._learn.dls.valid, "images", None)
        if images is None:
            return False, ""
        n = len(images)
        interval = wilson(round(accuracy * n), n)
        chance = max(images.counts.values()) / n
        words = f"{accuracy:.1%} of {n:,}, 95 % interval {interval.low:.1%} to {interval.high:.1%}, chance {chance:.1%}"
        return accuracy <= chance or chance in interval, words

    def _explain(self, event: Epoch, interval: str) -> Finding:
        """Why the run is at chance, as far as one training batch shows it."""
        learn = self._learn
        x, y = next(batches_from(learn.dls.train, learn.state.seed, learn.state.epoch, 0, learn.device))
        with learn.looking():
            shares = learn.probabilities(learn.model(x))
        slopes = shares * (1 - shares)
        saturated = float((slopes.amax(1) < SATURATED).float().mean())
        wrong = shares.argmax(1) != y.flatten()
        stuck = float((slopes.amax(1) < SATURATED)[wrong].float().mean()) if bool(wrong.any()) else 0.0
        norm = float(
            torch.cat(
                [p.grad.flatten() for p in learn.model.parameters() if p.grad is not None] or [torch.zeros(1)]
            ).norm()
        )
        if stuck > 0.5:
            return Finding(
                "saturated",
                event.number,
                f"Still at chance after epoch {event.number} ({interval}). The sigmoid is saturated for "
                f"{saturated:.0%} of a batch, and for {stuck:.0%} of the pictures it gets wrong: there its slope is "
                f"under {SATURATED:g}, so they hardly move a parameter (gradient norm {norm:.2g}). Such a run may take "
                "long to recover, or never.",
                "Start with smaller parameters (--init normal --init-std 0.01), or use a loss whose gradient "
                "does not vanish: sevensteps train --recipe linear",
            )
        return Finding(
            "at_chance",
            event.number,
            f"Still at chance after epoch {event.number} ({interval}); the gradient norm is {norm:.2g}.",
            "Try another learning rate with --lr (in Python, learn.lr_find() suggests one), and check that the labels "
            "fit the pictures.",
        )
