"""PyTorch as its tutorials have it: a loop over DataLoader(TensorDataset)."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset


def scaled(pixels):
    return (torch.from_numpy(pixels).reshape(-1, 28 * 28) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    y = torch.from_numpy(pictures["train_labels"]).float()[:, None]
    dataset = TensorDataset(scaled(pictures["train_pixels"]), y)
    if settings.get("whole_batches"):  # as PyTorch's manual shows for data that returns many rows at once
        rows = BatchSampler(RandomSampler(dataset), settings["batch_size"], drop_last=False)
        return DataLoader(dataset, sampler=rows, batch_size=None)
    return DataLoader(dataset, settings["batch_size"], shuffle=True)


def train(loader, settings, seed):
    torch.manual_seed(seed)
    model = nn.Linear(28 * 28, 1)
    optimizer = torch.optim.SGD(model.parameters(), settings["lr"], momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["lr"], epochs=settings["epochs"], steps_per_epoch=len(loader), cycle_momentum=False
    )
    for _ in range(settings["epochs"]):
        for x, y in loader:
            loss = F.binary_cross_entropy_with_logits(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def predict(model, pixels):
    with torch.no_grad():
        return (model(scaled(pixels))[:, 0] > 0).numpy()
