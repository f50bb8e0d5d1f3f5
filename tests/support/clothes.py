"""A folder of real pictures with some wrong labels, and a run trained on it, for tests of the Studio."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from sevensteps.data.images import Splits

WRONG = ("Dress/p3.png", "Dress/p77.png", "Pullover/d5.png")  # pictures in the folder of the other class


def folder_of(splits: Splits, folder: Path, each: int = 120) -> Path:
    """Write pullovers and dresses as PNG files in a folder for each class; a few lie in the wrong one."""
    wrong = {name.split("/")[1]: name for name in WRONG}
    for name in ("Pullover", "Dress"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for label, (letter, name) in enumerate((("p", "Pullover"), ("d", "Dress"))):
        rows = (splits.train.labels == label).nonzero()[0][:each]
        for number, row in enumerate(rows.tolist()):
            file = f"{letter}{number}.png"
            (folder / wrong.get(file, f"{name}/{file}")).write_bytes(png_of(splits, row))
    return folder


def png_of(splits: Splits, row: int) -> bytes:
    """Return a training picture as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(splits.train.pixels[row, 0]).save(content, "PNG")
    return content.getvalue()
