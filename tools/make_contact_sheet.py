"""Make the contact sheets of pictures that come with the package from the real Fashion-MNIST.

Run from the repository's root:  python tools/make_contact_sheet.py
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from sevensteps.base import files
from sevensteps.data.images import Images
from sevensteps.data.sources.embedded import COLUMNS, SIZE
from sevensteps.data.sources.fashion import load_fashion
from sevensteps.data.sources.fashion_facts import SETS

EMBEDDED = Path(__file__).parent.parent / "sevensteps" / "data" / "embedded"


def first_of_each_class(images: Images, count: int) -> Images:
    """Return the first pictures of each class, in their original order.

    Args:
        images: Pictures.
        count: How many of each class.
    """
    places = [np.flatnonzero(images.labels == label)[:count] for label in range(len(images.classes))]
    kept = np.sort(np.concatenate(places))
    return Images(images.pixels[kept], images.labels[kept], images.classes, images.origin)


def write_sheet(name: str, train: Images, test: Images) -> None:
    """Write a set into the package: its pictures as a PNG, and its classes and labels beside it.

    Args:
        name: The name of the set.
        train: Training pictures.
        test: Test pictures.
    """
    pixels = np.concatenate([train.pixels, test.pixels])
    labels = np.concatenate([train.labels, test.labels])
    rows = len(pixels) // COLUMNS
    sheet = pixels.reshape(rows, COLUMNS, SIZE, SIZE).transpose(0, 2, 1, 3).reshape(rows * SIZE, COLUMNS * SIZE)
    png = io.BytesIO()
    Image.fromarray(sheet).save(png, "png", optimize=True)
    files.write(EMBEDDED / f"{name}.png", png.getvalue())
    about = {"classes": train.classes, "train": len(train), "labels": "".join(map(str, labels.tolist()))}
    files.write(EMBEDDED / f"{name}.json", json.dumps(about, indent=1) + "\n")
    print(f"{name}: {len(pixels):,} pictures, {len(png.getvalue()):,} bytes")


def main() -> None:
    """Write both sheets into the package."""
    splits = load_fashion(print)
    for name, known in SETS.items():
        if known.is_embedded:
            of_set = splits.choose(known.classes)
            assert of_set.test is not None
            train = first_of_each_class(of_set.train, known.train)
            write_sheet(name, train, first_of_each_class(of_set.test, known.test))


if __name__ == "__main__":
    main()
