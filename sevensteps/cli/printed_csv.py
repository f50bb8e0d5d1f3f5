"""Answers as CSV on stdout."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..ship.answer import Answer


class Rows:
    """The answers as CSV on stdout, each as soon as it is known. All rows have the same columns, also of bad files."""

    def __init__(self) -> None:
        from ..show.terminal import printable

        self._printable = printable  # a name may hold what a terminal obeys
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._classes: Sequence[str] = ()
        self._has_head = False

    def name_classes(self, classes: Sequence[str]) -> None:
        """Take the classes of the model, before the first answer."""
        self._classes = classes

    def add(self, answer: Answer) -> None:
        """Print an answer."""
        self._head()
        file = self._printable(answer.file)
        row: list[object]
        if answer.probabilities is None:
            row = [file, "", "", "", "", self._printable(answer.error or ""), *[""] * len(self._classes)]
        else:
            best, shares = answer.best, answer.probabilities
            distance = "" if answer.distance is None else answer.distance
            row = [file, self._printable(best), shares[best], answer.reason or "", distance, "", *shares.values()]
        self._writer.writerow(row)
        sys.stdout.flush()

    def end(self) -> None:
        """Print the head of the table if there was no answer."""
        self._head()

    def _head(self) -> None:
        """Print the head, once."""
        if not self._has_head:
            self._has_head = True
            names = [self._printable(f"probability of {name}") for name in self._classes]
            self._writer.writerow(["file", "class", "probability", "reason", "distance", "error", *names])
