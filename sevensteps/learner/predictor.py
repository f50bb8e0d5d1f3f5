"""Predict with a trained model."""

from __future__ import annotations

from typing import Any


def _length(loader: Any) -> int | None:
    """How many batches an epoch has, where the loader knows."""
    try:
        return len(loader)
    except TypeError:
        return None
