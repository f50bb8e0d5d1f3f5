"""Fifty photographs of three kinds: features of a pretrained network, and what they change.

    python examples/gallery/few_photos.py         # needs the extra photos, and scikit-learn for its photographs

The photographs are tiles of three that come with Matplotlib and scikit-learn. It writes the folder photos (pictures)
and the folder few-photos (the run).
"""

from pathlib import Path

from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images

import sevensteps as ss

SIDE, COUNT = 96, 17
hopper = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
china, flower = map(Image.fromarray, load_sample_images().images)
for name, photo in {"china": china, "flower": flower, "hopper": hopper}.items():
    Path("photos", name).mkdir(parents=True, exist_ok=True)
    corners = [(x, y) for y in range(0, photo.height - SIDE, SIDE) for x in range(0, photo.width - SIDE, SIDE)]
    for number, (x, y) in enumerate(corners[:COUNT]):
        photo.crop((x, y, x + SIDE, y + SIDE)).save(Path("photos", name, f"{number:02}.png"))

pixels = ss.train("photos", recipe="linear", out="few-photos/pixels")
features = ss.train("photos", features="efficientnet-lite0", out="few-photos/features", plots=True)
print("from pixels:  ", pixels.score)
print("from features:", features.score)
