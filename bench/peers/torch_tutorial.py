"""PyTorch as its tutorials have it: a DataLoader over float tensors, Adam at a constant rate, no augmentation."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_network import network


def epochs(pictures, settings):
    """Train the network of recipe `fashion-10`, and give it after each pass."""
    torch.manual_seed(settings["seed"])
    dataset = TensorDataset(scaled(pictures["train_pixels"]), torch.from_numpy(pictures["train_labels"]))
    loader = DataLoader(dataset, settings["batch_size"], shuffle=True)
    model = network(settings["width"], 10)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), settings["lr"])
    while True:
        model.train()
        for x, y in loader:
            loss = loss_function(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield model


def scaled(pixels):
    return (torch.from_numpy(pixels)[:, None] / 255 - 0.2860) / 0.3530


def accuracy(model, pixels, labels):
    """Return the share of pictures that the model classifies correctly."""
    model.eval()
    with torch.no_grad():
        answers = torch.cat([model(x).argmax(1) for x in scaled(pixels).split(1000)])
    return (answers == torch.from_numpy(labels)).float().mean().item()
