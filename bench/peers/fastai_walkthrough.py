"""The walk-through as a script with fastai, start to end: per-picture tensors, list(zip(x, y)), Learner.fit(15, lr=1.).

python fastai_walkthrough.py PICTURES.npz          the pictures are an array in a file
python fastai_walkthrough.py FOLDER --torchvision  they are torchvision's FashionMNIST, gone through one by one
"""

# ruff: noqa: F403, F405 - names as its readers have them

import sys

from fastai.vision.all import *


def mnist_loss(predictions, targets):
    predictions = predictions.sigmoid()
    return torch.where(targets == 1, 1 - predictions, predictions).mean()


def batch_accuracy(xb, yb):
    preds = xb.sigmoid()
    correct = (preds > 0.5) == yb
    return correct.float().mean()


def from_file():
    with np.load(sys.argv[1], allow_pickle=False) as file:
        for split in ("train", "test"):
            pixels, labels = file[f"{split}_pixels"], file[f"{split}_labels"]
            yield tuple([torch.tensor(picture) for picture in pixels[labels == label]] for label in (0, 1))


def from_torchvision():
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import PILToTensor

    for train in (True, False):
        dataset = FashionMNIST(sys.argv[1], train=train, transform=PILToTensor())
        yield tuple([picture[0] for picture, label in dataset if label == wanted] for wanted in (2, 3))


def as_rows(pullovers, dresses):
    x = (torch.stack([*pullovers, *dresses]).float() / 255).view(-1, 28 * 28)
    y = torch.tensor([0] * len(pullovers) + [1] * len(dresses)).unsqueeze(1)
    return list(zip(x, y, strict=True))


train, valid = from_torchvision() if "--torchvision" in sys.argv else from_file()
train_dl = DataLoader(as_rows(*train), batch_size=256, shuffle=True)
valid_dl = DataLoader(as_rows(*valid), batch_size=256)
dls = DataLoaders(train_dl, valid_dl)
learn = Learner(dls, nn.Linear(28 * 28, 1), opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
learn.fit(15, lr=1.0)
