"""Make the embedded contact sheet of pullovers and dresses from the real Fashion-MNIST.

Run from the repository's root:  python tools/make_contact_sheet.py
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from sevensteps.base import files
from sevensteps.data.sources.fashion import load_fashion
from sevensteps.data.sources.pullover_dress import COLUMNS, SIZE

EMBEDDED = Path(__file__).parent.parent / "sevensteps" / "data" / "embedded"
CLASSES = ("Pullover", "Dress")


def main() -> None:
    """Write `pullover-dress.png` and `pullover-dress.json` into the package."""
    splits = load_fashion(print).choose(CLASSES)
    assert splits.test is not None
    pixels = np.concatenate([splits.train.pixels, splits.test.pixels])
    labels = np.concatenate([splits.train.labels, splits.test.labels])
    rows = len(pixels) // COLUMNS
    sheet = pixels.reshape(rows, COLUMNS, SIZE, SIZE).transpose(0, 2, 1, 3).reshape(rows * SIZE, COLUMNS * SIZE)
    png = io.BytesIO()
    Image.fromarray(sheet).save(png, "png", optimize=True)
    files.write(EMBEDDED / "pullover-dress.png", png.getvalue())
    about = {"classes": CLASSES, "train": len(splits.train), "labels": "".join(map(str, labels.tolist()))}
    files.write(EMBEDDED / "pullover-dress.json", json.dumps(about, indent=1) + "\n")
    print(f"{len(pixels):,} pictures, {len(png.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
