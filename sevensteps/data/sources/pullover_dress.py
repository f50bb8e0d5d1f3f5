"""pullover-dress: the 14,000 pullovers and dresses of Fashion-MNIST, embedded so that the first run needs no download.

One lossless contact sheet holds all pictures, row by row: 12,000 for training, then 2,000 for testing, each in their
original order. `tools/make_contact_sheet.py` creates it. © Zalando SE, MIT license (see NOTICE).
"""

from __future__ import annotations

import json
from importlib import resources

import numpy as np

from ..images import Images, Splits

SIZE = 28  # pixels on a side


COLUMNS = 100  # pictures in a row of the sheet


def load_pullover_dress() -> Splits:
    """Return 12,000 training and 2,000 test pictures of 28x28 grey pixels; Pullover is class 0, Dress is class 1."""
    from PIL import Image

    folder = resources.files("sevensteps.data") / "embedded"
    about = json.loads((folder / "pullover-dress.json").read_text("utf-8"))
    with (folder / "pullover-dress.png").open("rb") as file, Image.open(file) as image:
        sheet = np.asarray(image)
    rows = len(sheet) // SIZE
    pixels = sheet.reshape(rows, SIZE, COLUMNS, SIZE).transpose(0, 2, 1, 3).reshape(-1, 1, SIZE, SIZE)
    labels = np.frombuffer(about["labels"].encode(), dtype=np.uint8).astype(np.int64) - ord("0")
    classes, train = tuple(about["classes"]), about["train"]
    return Splits(
        Images(pixels[:train], labels[:train], classes, "train"),
        Images(pixels[train:], labels[train:], classes, "test"),
        source="pullover-dress",
    )
