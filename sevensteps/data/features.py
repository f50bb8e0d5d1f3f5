"""Features: what a pretrained network finds in each picture, which a model takes in place of the pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt8


@dataclass(frozen=True, eq=False)
class Features:
    """Features of pictures by a pretrained network, in 8 bits as pixels are.

    Args:
        rows: Features, a row for each row of a split of the source.
        name: The name of the network.
        sha256: Of its weights and layers.
        layers: How many of the network's layers were computed, if its last stages are part of the model; None for all.
        shape: What a row is for the model: channels, height and width; None for channels of one pixel.
        whole: The features after all layers, beside rows that were computed by some.
    """

    rows: UInt8[np.ndarray, "places features"] = field(repr=False)
    name: str
    sha256: str
    layers: int | None = None
    shape: tuple[int, int, int] | None = None
    whole: Features | None = field(default=None, repr=False)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what the model takes."""
        return self.shape or (self.rows.shape[1], 1, 1)

    def of(self, rows: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n channels height width"]:
        """Return what the model takes of some pictures.

        Args:
            rows: The rows that the pictures have in their split of the source.
        """
        pixels: np.ndarray = self.rows[rows].reshape(-1, *self.picture_shape)
        return pixels

    @property
    def facts(self) -> dict[str, str | int]:
        """What a model's file says of the network: name, SHA-256 and, if it was cut, after how many layers."""
        cut = {} if self.layers is None else {"layers": self.layers}
        return {"name": self.name, "sha256": self.sha256, **cut}
