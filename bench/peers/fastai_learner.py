"""fastai: Learner.fit_one_cycle over DataLoader(TensorDataset)."""

from functools import partial

import torch
from fastai.basics import SGD, DataLoaders, Learner
from fastai.callback import schedule  # noqa: F401 - gives Learner its fit_one_cycle
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def scaled(pixels):
    return (torch.from_numpy(pixels).reshape(-1, 28 * 28) / 255 - 0.2860) / 0.3530


def prepare(pictures, settings):
    y = torch.from_numpy(pictures["train_labels"]).float()[:, None]
    loader = DataLoader(TensorDataset(scaled(pictures["train_pixels"]), y), settings["batch_size"], shuffle=True)
    return DataLoaders(loader, [])  # nothing to validate on


def train(dls, settings, seed):
    torch.manual_seed(seed)
    learn = Learner(dls, nn.Linear(28 * 28, 1), nn.BCEWithLogitsLoss(), partial(SGD, mom=0.9))
    with learn.no_logging():  # and no bar: basics has none
        learn.fit_one_cycle(settings["epochs"], settings["lr"], moms=(0.9, 0.9, 0.9))
    return learn.model


def predict(model, pixels):
    with torch.no_grad():
        return (model(scaled(pixels))[:, 0] > 0).numpy()
