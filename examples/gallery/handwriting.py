"""Handwriting in the Studio: pictures of digits are gathered, a model learns from them there, and is judged there.

    python examples/gallery/handwriting.py        # needs scikit-learn, for its digits

It opens the Studio and sends it the requests that its page sends: one for each picture, and one for each button. It
writes the folder studio-pictures-1 (the pictures), a run in the folder runs, paper.jpg and chalk.jpg.
"""

import io
import json
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import sevensteps as ss

EACH = 50  # pictures of each digit: what a person draws in a quarter of an hour


def photo(strokes, on_paper=True):
    """Return the file of a picture of 8 x 8 strokes: dark ink on white paper, or chalk on a blackboard."""
    light = np.uint8(strokes * (255 / 16))
    picture = Image.fromarray(255 - light if on_paper else light).resize((112, 112), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return file.getvalue()


digits = load_digits()
studio = ss.open_studio()
address, token = studio.url.split("?token=")


def ask(path, content=None):
    """Send a request as the page does, and return the answer."""
    request = Request(address + path, content, {"X-Sevensteps-Token": token, "X-Sevensteps": "1"})
    with urlopen(request) as answer:
        return json.load(answer)


def press(button, **values):
    """Do what a button of the page does."""
    ask(f"do/{button}", json.dumps(values).encode())


for digit in range(10):
    for number, strokes in enumerate(digits.images[digits.target == digit][:EACH]):
        ask("gather?" + urlencode({"class": f"a {digit}", "name": f"camera-{number}.jpg"}), photo(strokes))
print(ask("state")["gathering"]["counts"])

press("use-gathered")
press("start", recipe="relu", epochs=30)
press("speed", value=0, unit="batches")  # as fast as it goes
press("run")
while (state := ask("state"))["place"]["phase"] not in ("done", "failed"):
    time.sleep(0.1)
print(ask("verdict")["headline"])
folder = state["run"]["folder"]
studio.close()
ss.resume(folder, plots=True)  # it is done, so this only draws: mistakes.png and others

# A digit that it has not seen, on paper as the others are, and with chalk.
new = digits.images[digits.target == 7][EACH]
for name, on_paper in (("paper.jpg", True), ("chalk.jpg", False)):
    Path(name).write_bytes(photo(new, on_paper))
print(ss.predict(folder, ["paper.jpg", "chalk.jpg"]))
print(ss.predict(folder, "chalk.jpg", invert="auto"))
