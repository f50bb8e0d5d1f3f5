"""Keras on PyTorch: Model.fit over arrays."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np


def scaled(pixels):
    return (pixels.reshape(-1, 28 * 28).astype(np.float32) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    return scaled(pictures["train_pixels"]), pictures["train_labels"].astype(np.float32)[:, None]


def train(data, settings, seed):
    x, y = data
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((28 * 28,)), keras.layers.Dense(1)])
    steps = settings["epochs"] * -(-len(x) // settings["batch_size"])
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["lr"] / 25, int(0.7 * steps), warmup_target=settings["lr"], warmup_steps=int(0.3 * steps)
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(x, y, settings["batch_size"], settings["epochs"], verbose=0)
    return model


def predict(model, pixels):
    return model.predict(scaled(pixels), verbose=0)[:, 0] > 0
