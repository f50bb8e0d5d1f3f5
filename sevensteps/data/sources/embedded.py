"""The pictures that come with the package, from Fashion-MNIST, so that first runs need no download.

- `pullover-dress`: all its 14,000 pullovers and dresses, 12,000 for training and 2,000 for testing.
- `fashion-mini`: the first of each of its ten classes, 700 for training and 300 for testing.

Training pictures are from Fashion-MNIST's training pictures, and test pictures from its test pictures: no test picture
of one set is a training picture of the other. A lossless contact sheet holds each set, row by row, in its original
order. `tools/make_contact_sheet.py` creates the sheets. © Zalando SE, MIT license (see NOTICE).
"""

from __future__ import annotations

import json
from importlib import resources

import numpy as np

from ..images import Images, Splits

SIZE = 28  # pixels on a side


COLUMNS = 100  # pictures in a row of a sheet


def load_embedded(name: str) -> Splits:
    """Return training and test pictures of 28x28 gray pixels.

    Args:
        name: The name of a set.
    """
    from PIL import Image

    folder = resources.files("sevensteps.data") / "embedded"
    about = json.loads((folder / f"{name}.json").read_text("utf-8"))
    with (folder / f"{name}.png").open("rb") as file, Image.open(file) as image:
        sheet = np.asarray(image)
    rows = len(sheet) // SIZE
    pixels = sheet.reshape(rows, SIZE, COLUMNS, SIZE).transpose(0, 2, 1, 3).reshape(-1, 1, SIZE, SIZE)
    labels = np.frombuffer(about["labels"].encode(), dtype=np.uint8).astype(np.int64) - ord("0")
    classes, train = tuple(about["classes"]), about["train"]
    return Splits(
        Images(pixels[:train], labels[:train], classes, "train"),
        Images(pixels[train:], labels[train:], classes, "test"),
        source=name,
    )
