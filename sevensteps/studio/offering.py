"""What the first page shows of the pictures that it offers, before any are opened."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from .asked import Asked, get

if TYPE_CHECKING:
    from starlette.routing import Route

    from .session import Session

SAMPLES = 8  # pictures of each class

EMBEDDED = "pullover-dress"  # the pictures that are in the package: nothing is downloaded to show them


@cache
def samples() -> Mapping[str, Any]:
    """Return pictures of each class of the embedded pictures, and how many there are of each."""
    from ..data.sources.load import load

    splits = load(EMBEDDED)
    train, counts = splits.train, np.sum([list(images.counts.values()) for images in splits.present().values()], axis=0)
    return {
        "classes": [
            {"name": name, "count": int(counts[label]), "pictures": train.pixels[train.labels == label][:SAMPLES]}
            for label, name in enumerate(train.classes)
        ]
    }


def routes(session: Session) -> list[Route]:
    """Return the route of the samples.

    Args:
        session: The state that the page shows.
    """

    def offered(asked: Asked) -> Mapping[str, Any]:
        if asked.get("source") != EMBEDDED:
            raise UsageError("Samples are shown of the embedded pictures alone.")
        return samples()

    return [get("/offered", offered)]
