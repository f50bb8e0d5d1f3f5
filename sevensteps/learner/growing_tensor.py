"""Collect the rows of many batches in one tensor."""

from __future__ import annotations

import torch
from torch import Tensor


class Gathered:
    """Rows of tensors, in memory that doubles when it is full.

    A list that is joined at the end would need more: small tensors that are kept, allocated between large ones that are
    freed, leave gaps in memory that no large tensor fits into. With a million pictures that took a gigabyte.
    """

    def __init__(self) -> None:
        self._rows = torch.empty(0)
        self.count = 0

    def takes(self, rows: Tensor) -> bool:
        """Return whether rows have the shape and type of those that are there.

        Args:
            rows: A tensor `(n, ...)`.
        """
        return not self.count or (rows.shape[1:] == self._rows.shape[1:] and rows.dtype == self._rows.dtype)

    def add(self, rows: Tensor) -> None:
        """Append rows.

        Args:
            rows: A tensor `(n, ...)`, with the shape of the others but for `n`.
        """
        if not self.count:
            self._rows = rows.new_empty(rows.shape)
        if (count := self.count + len(rows)) > len(self._rows):
            larger = rows.new_empty((max(count, 2 * len(self._rows)), *rows.shape[1:]))
            larger[: self.count] = self._rows[: self.count]
            self._rows = larger
        self._rows[self.count : count] = rows
        self.count = count

    def all(self) -> Tensor:
        """Return all rows as one tensor."""
        return self._rows[: self.count]
