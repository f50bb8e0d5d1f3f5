"""The names that a notebook wants: `from sevensteps.all import *`. An explicit list, and nothing else."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn, tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from .base.fastai import L, first
from .data.batches import Batches, DataLoaders
from .data.images import Images, Splits
from .data.sources.load import load
from .jobs.train import train
from .learner.learner import Learner
from .learner.load import load_learner
from .learner.metrics import accuracy
from .recipes.recipe import Recipe
from .records.events import Batch, Epoch
from .show.curves import plot_function
from .steps.initialize import initialize
from .steps.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
from .steps.step import SGD, constant, cosine, one_cycle
from .steps.stop import after, when_flat, when_not_finite, when_reached

__all__ = [
    "SGD",
    "Batch",
    "Batches",
    "DataLoader",
    "DataLoaders",
    "Epoch",
    "F",
    "Images",
    "L",
    "Learner",
    "Path",
    "Recipe",
    "Splits",
    "Tensor",
    "accuracy",
    "after",
    "binary_cross_entropy_with_logits",
    "constant",
    "cosine",
    "cross_entropy",
    "first",
    "initialize",
    "load",
    "load_learner",
    "mse_loss",
    "nn",
    "np",
    "one_cycle",
    "plot_function",
    "plt",
    "sigmoid_l1_loss",
    "tensor",
    "torch",
    "train",
    "when_flat",
    "when_not_finite",
    "when_reached",
]
