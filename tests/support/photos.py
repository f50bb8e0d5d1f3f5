"""Small photographs of three kinds: tiles cut from three photographs that come with packages."""

from __future__ import annotations

from pathlib import Path

from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 96


def photos_in(folder: Path, count: int = 12) -> Path:
    """Write tiles of each photograph into a class folder of their own, and return the folder."""
    hopper = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    china, flower = map(Image.fromarray, load_sample_images().images)
    for name, photo in (("china", china), ("flower", flower), ("hopper", hopper)):
        (folder / name).mkdir(parents=True)
        corners = [(x, y) for y in range(0, photo.height - SIDE, SIDE) for x in range(0, photo.width - SIDE, SIDE)]
        for number, (x, y) in enumerate(corners[:: max(1, len(corners) // count)][:count]):
            photo.crop((x, y, x + SIDE, y + SIDE)).save(folder / name / f"{number:02}.png")
    return folder
