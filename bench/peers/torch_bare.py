"""Bare PyTorch: tensors, a loop, autograd."""

import torch
from torch import nn
from torch.nn import functional as F


def scaled(pixels):
    return (torch.from_numpy(pixels).reshape(-1, 28 * 28) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    return scaled(pictures["train_pixels"]), torch.from_numpy(pictures["train_labels"]).float()[:, None]


def train(data, settings, seed):
    x, y = data
    torch.manual_seed(seed)
    model = nn.Linear(28 * 28, 1)
    optimizer = torch.optim.SGD(model.parameters(), settings["lr"], momentum=0.9)
    batches = -(-len(x) // settings["batch_size"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["lr"], epochs=settings["epochs"], steps_per_epoch=batches, cycle_momentum=False
    )
    for _ in range(settings["epochs"]):
        for rows in torch.randperm(len(x)).split(settings["batch_size"]):
            loss = F.binary_cross_entropy_with_logits(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def predict(model, pixels):
    with torch.no_grad():
        return (model(scaled(pixels))[:, 0] > 0).numpy()
