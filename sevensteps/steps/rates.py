"""The learning rates of an optimizer's groups, for step 5: one rate, and the share of it that each group gets.

An optimizer may train its groups at different rates, such as a tenth for the layers of a pretrained model. Before each
batch the rate of the schedule is written into all groups, each in its own ratio. A rate that somebody else wrote there
since (a scheduler of PyTorch, or a loop over `stream`) is taken over first, as if the learner had been given it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..base.setting import LARGEST
from ..errors import UsageError


class Rates:
    """What the groups of an optimizer are trained at, in proportion to one rate.

    Args:
        optimizer: Its groups hold the rates.
        lr: The rate that the groups' own rates are compared with. If all groups have the same rate, their shares are 1.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, lr: float) -> None:
        self._optimizer = optimizer
        self._written = self._now()
        same = len(set(self._written)) == 1 or not lr
        self.shares = [1.0 if same or rate == lr else rate / lr for rate in self._written]
        self.last = lr  # the learner's rate in the last batch, with the schedule's factor
        self._factor = 1.0

    def write(self, lr: float, factor: float) -> None:
        """Write the rate of the next batch into every group.

        Args:
            lr: The learner's rate.
            factor: The schedule's factor.
        """
        self._factor = factor
        self.last = rate = lr * factor
        written = []
        for group, share in zip(self._optimizer.param_groups, self.shares, strict=True):
            group["lr"] = own = rate if share == 1 else rate * share
            written.append(own)
        self._written = written

    def are_changed(self) -> bool:
        """Return whether somebody else has written a rate, or added a group, since `write`."""
        return [group["lr"] for group in self._optimizer.param_groups] != self._written

    def taken_over(self) -> float:
        """Take over what somebody else has written, and return the learner's rate that it means.

        If all groups changed by the same factor, the rate changes, and otherwise the share of each group.

        Raises:
            UsageError: A rate is negative or too large, or the schedule's factor is 0, which tells nothing.
        """
        now, before = self._now(), self._written
        if wrong := [rate for rate in now if not 0 <= rate <= LARGEST]:
            raise UsageError(
                f"The optimizer's learning rate was set to {wrong[0]}, but must be a number from 0 to {LARGEST:g}.",
                hint="Change it with learn.set(lr=0.1).",
            )
        self._share_of_new_groups(now)
        before = before + now[len(before) :]
        at = max(range(len(now)), key=self.shares.__getitem__)
        if not self._factor or not self.shares[at]:
            raise UsageError(
                "The schedule's learning rate is 0 at this batch, so a rate written into the optimizer cannot act.",
                hint="Change the rate with learn.set(lr=0.1), or use the constant schedule.",
            )
        if _in_proportion(now, before):
            self.last = now[at] / self.shares[at]
        elif self.last:
            each = zip(self.shares, now, before, strict=True)
            self.shares = [share if rate == old else rate / self.last for share, rate, old in each]
        else:
            self.last = max(now)
            self.shares = [rate / self.last for rate in now]
        self._written = now
        return self.last / self._factor

    def follow(self, lr: float) -> None:
        """Accept the rates that a saved optimizer brought, with the ratios between its groups.

        Args:
            lr: The learner's rate in the same file.
        """
        self._written = now = self._now()
        at = max(range(len(now)), key=self.shares.__getitem__)
        if now[at]:
            saved = [rate / now[at] * self.shares[at] for rate in now]
            near = zip(self.shares, saved, strict=True)
            self.shares = [own if math.isclose(own, share, rel_tol=1e-9) else share for own, share in near]
            self.last = now[at] / self.shares[at]
        self._factor = self.last / lr if lr else 1.0

    def as_json(self) -> dict[str, Any]:
        """Return what a file says of the rates, beside those in the groups."""
        return {"shares": self.shares, "last": self.last, "factor": self._factor}

    def go_on(self, saved: Mapping[str, Any]) -> None:
        """Take up what `as_json` returned, after `follow`.

        Args:
            saved: The shares, the rate of the last batch, and the schedule's factor then; see `checked_rates`.
        """
        self.shares, self.last, self._factor = list(saved["shares"]), saved["last"], saved["factor"]

    def _now(self) -> list[float]:
        """Return the rate that each group has."""
        return [float(group["lr"]) for group in self._optimizer.param_groups]

    def _share_of_new_groups(self, now: Sequence[float]) -> None:
        """Add the shares of groups that were added; one that was given no rate of its own gets the learner's."""
        usual, added = self._optimizer.defaults.get("lr"), now[len(self.shares) :]
        self.shares += [1.0 if rate == usual or not self.last else rate / self.last for rate in added]


def _in_proportion(now: Sequence[float], before: Sequence[float]) -> bool:
    """Return whether all rates changed by the same factor; a single one always did."""
    if len(now) == 1:
        return True
    if not all(before):
        return False
    factors = [rate / old for rate, old in zip(now, before, strict=True)]
    return all(math.isclose(factor, factors[0], rel_tol=1e-9, abs_tol=0) for factor in factors)


def checked_rates(saved: Mapping[str, Any], groups: int) -> dict[str, Any]:
    """Return what `Rates.as_json` wrote, from a file that anyone may have written.

    Args:
        saved: The rates.
        groups: The number of the optimizer's groups.

    Raises:
        KeyError, TypeError, ValueError: They are damaged, or of another optimizer.
    """
    shares, last, factor = list(map(float, saved["shares"])), float(saved["last"]), float(saved["factor"])
    if len(shares) != groups or not all(0 <= number < math.inf for number in (*shares, last, factor)):
        raise ValueError(f"its rates are {saved!r:.80}")
    return {"shares": shares, "last": last, "factor": factor}


def checked_factor(factor: Any) -> float:
    """Return what a schedule returned, as a number.

    Args:
        factor: As the schedule gave it.

    Raises:
        UsageError: It is not a number of 0 or more.
    """
    with contextlib.suppress(TypeError, ValueError):
        if 0 <= (number := float(factor)) < math.inf:
            return number
    raise UsageError(
        f"The schedule returns {factor!r:.80}, but must return a number of 0 or more.",
        hint="It is the share of the learning rate for this batch: schedule=lambda batch, total: 1 - batch / total",
    )
