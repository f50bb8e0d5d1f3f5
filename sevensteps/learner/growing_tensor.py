"""Gathered: the rows of many batches as one tensor."""

from __future__ import annotations

import torch
from torch import Tensor


class Gathered:
    """Tensors one below the other, in memory that doubles when it is full.

    Not a list to be joined at the end: small tensors that stay, made between large ones that go, leave holes that no
    large one fits into again. With a million pictures that was a gigabyte.
    """

    def __init__(self) -> None:
        self._rows = torch.empty(0)
        self.count = 0

    def add(self, rows: Tensor) -> None:
        """Put these below the others."""
        if not self.count:
            self._rows = rows.new_empty(rows.shape)
        if (count := self.count + len(rows)) > len(self._rows):
            larger = rows.new_empty((max(count, 2 * len(self._rows)), *rows.shape[1:]))
            larger[: self.count] = self._rows[: self.count]
            self._rows = larger
        self._rows[self.count : count] = rows
        self.count = count

    def all(self) -> Tensor:
        """All rows."""
        return self._rows[: self.count]
