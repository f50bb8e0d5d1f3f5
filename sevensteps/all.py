"""The names that a notebook wants: `from sevensteps.all import *`. An explicit list, and nothing else."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy import array
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from .base.book import MISSING, L, Later, Missing, Path, first, tensor
from .data.batches import Batches, DataLoaders
from .data.images import Images, Splits
from .data.sources.load import load
from .jobs.train import train
from .learner.learner import Learner
from .learner.load import load_learner
from .learner.metrics import accuracy, error_rate
from .recipes.recipe import Recipe
from .records.events import Batch, Epoch
from .show.curves import plot_function
from .show.show_image import show_image
from .steps.initialize import initialize
from .steps.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
from .steps.step import SGD, constant, cosine, one_cycle
from .steps.stop import after, when_flat, when_not_finite, when_reached

pd = Later("pandas")
# What the book uses and this package does not have: each answers with what to type instead.
(
    untar_data,
    URLs,
    get_image_files,
    ImageDataLoaders,
    DataBlock,
    vision_learner,
    cnn_learner,
    resnet18,
    resnet34,
    gv,
) = (Missing(name, instead) for name, instead in MISSING.items())

__all__ = [
    "SGD",
    "Batch",
    "Batches",
    "DataBlock",
    "DataLoader",
    "DataLoaders",
    "Epoch",
    "F",
    "Image",
    "ImageDataLoaders",
    "Images",
    "L",
    "Learner",
    "Path",
    "Recipe",
    "Splits",
    "Tensor",
    "URLs",
    "accuracy",
    "after",
    "array",
    "binary_cross_entropy_with_logits",
    "cnn_learner",
    "constant",
    "cosine",
    "cross_entropy",
    "error_rate",
    "first",
    "get_image_files",
    "gv",
    "initialize",
    "load",
    "load_learner",
    "matplotlib",
    "mse_loss",
    "nn",
    "np",
    "one_cycle",
    "pd",
    "plot_function",
    "plt",
    "resnet18",
    "resnet34",
    "show_image",
    "sigmoid_l1_loss",
    "tensor",
    "torch",
    "train",
    "untar_data",
    "vision_learner",
    "when_flat",
    "when_not_finite",
    "when_reached",
]
