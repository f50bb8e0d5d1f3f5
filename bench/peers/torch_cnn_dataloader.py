"""PyTorch as its tutorials have it: a convolutional network, a DataLoader over float tensors, whole-batch augmentation,
AdamW under OneCycleLR; or our optimizer, which has no peer in PyTorch."""

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch_network import network

BY = 2  # pixels by which a picture is shifted at most


def flip_and_shift(x):
    """Flip half of the pictures, and shift each by up to two pixels: the same work as in ours."""
    count, _, height, width = x.shape
    x = torch.where((torch.rand(count) < 0.5)[:, None, None, None], x.flip(3), x)
    windows = F.pad(x, (BY,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = torch.randint(0, 2 * BY + 1, (2, count))
    return windows[torch.arange(count), :, rows, columns]


def epochs(pictures, settings):
    torch.manual_seed(0)
    pixels = torch.from_numpy(pictures["train_pixels"])[:, None] / 255
    dataset = TensorDataset(pixels, torch.from_numpy(pictures["train_labels"]))
    loader = DataLoader(dataset, settings["batch_size"], shuffle=True)
    model = network(settings["width"], 10)
    if settings["channels_last"]:
        model.to(memory_format=torch.channels_last)
    decay = settings["weight_decay"]
    if settings["optimizer"] == "Muon":
        from sevensteps.steps.step import Muon

        optimizer = Muon(model.parameters(), settings["lr"], settings["momentum"], weight_decay=decay)
    else:
        betas = (settings["momentum"], 0.999)
        optimizer = torch.optim.AdamW(model.parameters(), settings["lr"], betas, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        settings["lr"],
        total_steps=settings["recipe_epochs"] * len(loader),
        pct_start=0.25,
        cycle_momentum=False,
    )
    while True:
        for x, y in loader:
            x = (flip_and_shift(x) - 0.2860) / 0.3530
            loss = F.cross_entropy(model(x), y, label_smoothing=settings["label_smoothing"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        yield
