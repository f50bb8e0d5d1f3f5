"""scikit-learn's LogisticRegression."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def scaled(pixels):
    return (pixels.reshape(-1, 28 * 28).astype(np.float32) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    return scaled(pictures["train_pixels"]), pictures["train_labels"]


def train(data, settings, seed):
    # It warns that it has not converged after `max_iter`, which is intended (-W ignore).
    return LogisticRegression(C=settings["C"], max_iter=settings["max_iter"]).fit(*data)


def predict(model, pixels):
    return model.predict(scaled(pixels))
