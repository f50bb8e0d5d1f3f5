"""docs/coming-from.md with scikit-learn: learn from the folder photos, test on new-photos, classify new.jpg."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import SGDClassifier


def row(path):
    return np.asarray(Image.open(path).convert("L").resize((28, 28))).ravel() / 255


def arrays(folder):
    paths = sorted(Path(folder).glob("*/*.jpg"))
    return np.array([row(path) for path in paths]), [path.parent.name for path in paths]


x, y = arrays("photos")
model = SGDClassifier(loss="log_loss", random_state=0)
model.fit(x, y)

test_x, test_y = arrays("new-photos")
print(f"accuracy {model.score(test_x, test_y):.3f}")
print(model.predict([row("new.jpg")]))

model.partial_fit(x, y)
print(f"one more epoch: {model.score(test_x, test_y):.3f}")
