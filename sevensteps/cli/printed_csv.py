"""Answers as CSV on stdout."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ship.answer import Answer


class Rows:
    """The answers as CSV on stdout, each as soon as it is known; the first answer decides the columns."""

    def __init__(self) -> None:
        from ..show.terminal import printable

        self._printable = printable  # a name may hold what a terminal obeys
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._classes: tuple[str, ...] | None = None
        self._waiting: list[Answer] = []  # errors before the first answer, which names the classes

    def add(self, answer: Answer) -> None:
        """Print an answer."""
        if self._classes is None and answer.probabilities is None:
            self._waiting.append(answer)
            return
        if self._classes is None:
            self._classes = tuple(answer.probabilities or ())
            self._head()
        self._row(answer)

    def end(self) -> None:
        """Print what waits for an answer that never came."""
        if self._classes is None:
            self._classes = ()
            self._head()

    def _head(self) -> None:
        names = [f"probability of {name}" for name in self._classes or ()]
        self._writer.writerow(
            ["file", "class", "probability", "reason", "distance", "error", *map(self._printable, names)]
        )
        for answer in self._waiting:
            self._row(answer)

    def _row(self, answer: Answer) -> None:
        if answer.probabilities is None:
            self._writer.writerow([self._printable(answer.file), "", "", "", "", self._printable(answer.error or "")])
        else:
            best = answer.best
            distance = "" if answer.distance is None else answer.distance
            shares = answer.probabilities
            row = [self._printable(answer.file), self._printable(best), shares[best], answer.reason or "", distance, ""]
            self._writer.writerow([*row, *shares.values()])
        sys.stdout.flush()
