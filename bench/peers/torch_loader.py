"""PyTorch: passes over DataLoader(TensorDataset) alone; the floats in [0, 1] are made ahead."""

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset


def epochs(pictures, settings):
    pixels = torch.from_numpy(pictures["train_pixels"])[:, None] / 255
    dataset = TensorDataset(pixels, torch.from_numpy(pictures["train_labels"]))
    if settings["whole_batches"]:  # as PyTorch's manual shows for data that is indexed by many rows at once
        rows = BatchSampler(RandomSampler(dataset), settings["batch_size"], drop_last=False)
        loader = DataLoader(dataset, sampler=rows, batch_size=None)
    else:
        loader = DataLoader(dataset, settings["batch_size"], shuffle=True)
    while True:
        for _x, _y in loader:
            pass
        yield
