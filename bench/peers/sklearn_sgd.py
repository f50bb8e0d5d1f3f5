"""scikit-learn's averaged SGDClassifier."""

import numpy as np
from sklearn.linear_model import SGDClassifier


def scaled(pixels):
    return (pixels.reshape(-1, 28 * 28).astype(np.float32) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    return scaled(pictures["train_pixels"]), pictures["train_labels"]


def train(data, settings, seed):
    model = SGDClassifier(
        "log_loss",
        alpha=settings["alpha"],
        average=True,
        max_iter=settings["epochs"],
        tol=None,
        learning_rate="constant",
        eta0=settings["lr"],
        random_state=seed,
    )
    return model.fit(*data)


def predict(model, pixels):
    return model.predict(scaled(pixels))
