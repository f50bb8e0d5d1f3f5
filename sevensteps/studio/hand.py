"""The batch in hand: what was seen of it before it was trained, and what can be asked about it until the next one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from ..records.steps import XRay
from ..runs.run import Work
from .seen import MOST_MAPS, followed, live, pictured, rules, seen


class Hand:
    """Looks at the batch that comes next, and keeps what it saw until it looks again.

    Args:
        work: The run.
        start: The parameters that the run began with, by name.
    """

    def __init__(self, work: Work, start: dict[str, Tensor]) -> None:
        self._work = work
        self._scale = 0.0  # of all pictures of weights of this run; it only grows
        self.number: int | None = None  # the batch in hand, from 0
        self._view: XRay | None = None
        self._shown: dict[str, Any] = {}
        self._chains: dict[int, dict[str, Any]] = {}
        self._drawn = drawn = pictured(work.learn.model, work.splits.train.input_shape)
        self._start: np.ndarray | None = None
        if drawn is not None:
            name = f"{drawn[0]}.weight" if drawn[0] else "weight"
            values: np.ndarray = start[name].detach().float().cpu().numpy()
            self._start = values.reshape(drawn[1])[:MOST_MAPS].copy()

    def live(self) -> dict[str, Any]:
        """Return the weights that can be drawn, as they are now, as the page shows them."""
        shown = live(self._work, self._drawn, self._scale)
        self._scale = shown["scale"]
        return shown

    def forget(self, *, scale: bool = False) -> None:
        """Have no batch in hand.

        Args:
            scale: Whether to forget the scale of the weights, too: a run that begins again has small ones again.
        """
        self.number = None
        if scale:
            self._scale = 0.0

    def look(self) -> None:
        """Take the batch that comes next in hand."""
        batch = self._work.learn.state.batch
        if self.number == batch:
            return
        self._view = self._work.learn.xray()
        self._shown = seen(self._work, self._view, self._scale)
        for name in ("weights", "filters"):
            if self._shown[name] is not None:
                self._shown[name]["start"] = self._start
        self._scale = self._shown["scale"]
        self.number, self._chains = batch, {}

    def shown(self, per_epoch: int | None) -> dict[str, Any]:
        """Return the batch in hand as the page shows it.

        Args:
            per_epoch: The number of batches in an epoch.
        """
        assert self.number is not None
        epoch, position = divmod(self.number, per_epoch or self.number + 1)
        is_done = self.number < self._work.learn.state.batch
        stop = {**self._shown["stop"], "rules": rules(self._work)}  # which decide after the batch, not before it
        place = {"batch": self.number, "epoch": epoch + 1, "position": position, "done": is_done}
        return {**self._shown, "stop": stop, **place}

    def chain(self, number: int) -> dict[str, Any]:
        """Return one picture of the batch in hand from its pixels to its loss.

        Args:
            number: The picture, from 1.

        Raises:
            UsageError: There is no such picture.
        """
        assert self._view is not None
        if number not in self._chains:
            with self._as_before(self._view):
                self._chains[number] = followed(self._work, self._view, number)
        return self._chains[number]

    @contextlib.contextmanager
    def _as_before(self, view: XRay) -> Iterator[None]:
        """Put the parameters back that the batch in hand began with, for as long as the block runs."""
        model = self._work.learn.model
        if self.number == self._work.learn.state.batch:
            yield
            return
        now = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        try:
            model.load_state_dict(view[1].values["parameters"], strict=False)
            yield
        finally:
            model.load_state_dict(now, strict=False)
