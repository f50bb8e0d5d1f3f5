"""skorch: NeuralNetBinaryClassifier.fit over arrays."""

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier
from skorch.callbacks import LRScheduler
from torch import nn


def scaled(pixels):
    return (pixels.reshape(-1, 28 * 28).astype(np.float32) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    return scaled(pictures["train_pixels"]), pictures["train_labels"].astype(np.float32)


def train(data, settings, seed):
    torch.manual_seed(seed)
    batches = -(-len(data[0]) // settings["batch_size"])
    schedule = LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=settings["lr"],
        epochs=settings["epochs"],
        steps_per_epoch=batches,
        cycle_momentum=False,
        step_every="batch",
    )
    net = NeuralNetBinaryClassifier(
        nn.Linear,
        module__in_features=28 * 28,
        module__out_features=1,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=settings["lr"],
        batch_size=settings["batch_size"],
        max_epochs=settings["epochs"],
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[schedule],
        callbacks__print_log=None,
        callbacks__valid_acc=None,
        verbose=0,
    )
    return net.fit(*data)


def predict(net, pixels):
    return net.predict(scaled(pixels))
