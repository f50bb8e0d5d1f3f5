"""Create small folders of pictures for tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load


def png(size: tuple[int, int] = (6, 6), value: int = 90, mode: str = "L") -> bytes:
    """Return a picture of one value."""
    content = io.BytesIO()
    Image.new(mode, size, (value,) * len(mode) if len(mode) > 1 else value).save(content, "PNG")
    return content.getvalue()


def put(folder: Path, *files: str, content: bytes = b"") -> Path:
    """Write files: pictures, unless content is given."""
    for number, name in enumerate(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or png(value=number))
    return folder


def pets(folder: Path) -> Path:
    """Write two classes of five pictures each."""
    return put(folder, *(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(5)))


def digits_in(folder: Path) -> Path:
    """Write scikit-learn's 1,797 handwritten digits as PNG files of 8x8 pixels, one class for each digit."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for number, (image, label) in enumerate(zip(found.images, found.target, strict=True)):
        content = io.BytesIO()
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(content, "PNG")
        put(folder, f"{label}/{number}.png", content=content.getvalue())
    return folder


def loaded(folder: Path, **how: Any) -> tuple[Splits, str]:
    """Return the splits, and the messages."""
    said: list[str] = []
    return load(folder, say=said.append, **how), "\n".join(said)
