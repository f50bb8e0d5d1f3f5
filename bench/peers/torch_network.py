"""The recipes' convolutional network written out in PyTorch, for loops of other people to train."""

import torch
from torch import nn


class MaxAndMean(nn.Module):
    def forward(self, x):
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1)


def network(width, outputs):
    def block(before, after, pool):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return [convolution, *([nn.MaxPool2d(2)] if pool else []), nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(
        *[nn.Conv2d(1, width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()],
        *block(width, 2 * width, pool=True),
        *block(2 * width, 4 * width, pool=True),
        *block(4 * width, 4 * width, pool=False),
        MaxAndMean(),
        nn.Linear(8 * width, outputs),
    )
