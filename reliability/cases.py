"""The three runs on which everything is tried, small enough to be repeated a thousand times."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Case:
    """A run: its name, and the flags that produce it."""

    name: str
    flags: tuple[str, ...]


CASES = (
    Case("linear by formula", ("--epochs", "3", "--checkpoint-every", "1 epoch")),
    Case(
        "SGD with momentum, the best epoch kept",
        ("--recipe", "relu", "--epochs", "3", "--keep", "best", "--checkpoint-every", "7 batches"),
    ),
    Case(
        "AdamW, one-cycle, a CNN with augmentation",
        ("--recipe", "cnn", "--width", "2", "--epochs", "2", "--threads", "1", "--checkpoint-every", "9 batches"),
    ),
)
BATCH = ("--batch-size", "16")


def flags_of(case: Case) -> tuple[str, ...]:
    """Return all flags of `sevensteps train` for a case."""
    return (*case.flags, *(() if BATCH[0] in case.flags else BATCH))


def make_source(folder: Path) -> Path:
    """Write IDX files of three classes, each a pattern covered with noise."""
    folder.mkdir(parents=True)
    patterns = np.random.default_rng(0).integers(0, 256, (3, 12, 12))
    for number, (split, count) in enumerate({"train": 200, "t10k": 60}.items()):
        labels = np.arange(count) % 3
        noise = np.random.default_rng(number).integers(0, 256, (count, 12, 12))
        for name, array in (
            (f"{split}-images-idx3-ubyte", (patterns[labels] + 2 * noise) // 3),
            (f"{split}-labels-idx1-ubyte", labels),
        ):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / name).write_bytes(head + array.astype(np.uint8).tobytes())
    return folder
