"""Bare PyTorch: epochs of a loop over tensors with autograd, and nothing else; floats are made ahead."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_network import network


def epochs(pictures, settings):
    torch.manual_seed(0)
    x = (torch.from_numpy(pictures["train_pixels"])[:, None] / 255 - 0.2860) / 0.3530
    y = torch.from_numpy(pictures["train_labels"]).float()[:, None]
    if settings["model"] == "linear":
        x = x.flatten(1)
        model = nn.Linear(28 * 28, 1)
        optimizer = torch.optim.SGD(model.parameters(), settings["lr"], momentum=settings["momentum"])
    else:
        model = network(settings["width"], 1).to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
        betas = (settings["momentum"], 0.999)
        decay = settings["weight_decay"]
        optimizer = torch.optim.AdamW(model.parameters(), settings["lr"], betas, weight_decay=decay)
    while True:
        for rows in torch.randperm(len(x)).split(settings["batch_size"]):
            loss = F.binary_cross_entropy_with_logits(model(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield
