"""Handwritten digits: from a folder of picture files to one file that classifies, and a drawing on white paper.

    python examples/gallery/handwriting.py        # needs scikit-learn, for its digits

It writes the folders digits (the pictures) and handwriting (the run), and drawn.png, which is dark on light.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import sevensteps as ss

digits = load_digits()
for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
    path = Path("digits", str(label), f"{number}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(path)

run = ss.train("digits", recipe="relu", out="handwriting", plots=True)
print(run.score)

# As on paper: dark on white.
drawn = Path("digits/7").glob("*.png")
Image.fromarray(255 - np.asarray(Image.open(min(drawn)))).save("drawn.png")
print(ss.predict(run, "drawn.png"))
print(ss.predict(run, "drawn.png", invert="auto"))
