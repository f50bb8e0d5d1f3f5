"""A messy folder, repaired: wrong labels, a copy and a broken file are found, corrected, and the result is better.

    python examples/gallery/messy_folder.py

It writes the folder messy (the pictures), fix.csv (the corrections), and two runs in the folder repaired.
"""

from pathlib import Path

from PIL import Image
from torch.utils.data import DataLoader

import sevensteps as ss

# A folder as they come: 600 pictures, every tenth in the wrong class folder, a copy, and a broken file.
train = ss.load("pullover-dress").train
for number in range(600):
    label = int(train.labels[number])
    name = train.classes[1 - label if number % 10 == 0 else label]
    path = Path("messy", name, f"{number}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(train.pixels[number, 0]).save(path)
Path("messy/Dress/copy.png").write_bytes(min(Path("messy/Dress").iterdir()).read_bytes())
Path("messy/Dress/broken.png").write_bytes(b"not a picture")

audited = ss.audit("messy", suggest="fix.csv", size=28)
print(audited)

corrections = [line.split(",") for line in Path("fix.csv").read_text("utf-8").splitlines()[1:] if line[0] != "#"]
numbers = {row[0].split("/")[-1].removesuffix(".png") for row in corrections if row[1]}
right = sum(number.isdigit() and int(number) % 10 == 0 for number in numbers)
print(f"{len(numbers)} labels would change; {right} of these were wrong, of 60 wrong ones in all")

settings = {"size": 28, "recipe": "linear", "bad_files": "skip"}
before = ss.train("messy", out="repaired/before", **settings)
after = ss.train("messy", fix="fix.csv", out="repaired/after", plots=True, **settings)
print("before:", before.score)
print("after: ", after.score)

# Those test pictures have wrong labels, too. Here are 2,000 that nobody has touched.
clean = ss.load("pullover-dress", classes=["Dress", "Pullover"]).test
for name, run in {"before": before, "after": after}.items():
    probabilities, labels = run.learn.get_preds(dl=DataLoader(clean, batch_size=500))
    print(f"{name}: {(probabilities.argmax(1) == labels).float().mean().item():.1%} of clean pictures right")
