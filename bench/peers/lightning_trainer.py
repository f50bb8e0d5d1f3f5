"""Lightning: a Trainer with everything optional switched off (barebones), over DataLoader(TensorDataset)."""

import logging

import lightning
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def scaled(pixels):
    return (torch.from_numpy(pixels).reshape(-1, 28 * 28) / 255 - 0.2860) / 0.3530


class Linear(lightning.LightningModule):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.layer = nn.Linear(28 * 28, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, _):
        x, y = batch
        return F.binary_cross_entropy_with_logits(self(x), y)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.settings["lr"], momentum=0.9)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.settings["lr"],
            total_steps=int(self.trainer.estimated_stepping_batches),
            cycle_momentum=False,
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def prepare(pictures, settings):
    y = torch.from_numpy(pictures["train_labels"]).float()[:, None]
    return DataLoader(TensorDataset(scaled(pictures["train_pixels"]), y), settings["batch_size"], shuffle=True)


def train(loader, settings, seed):
    torch.manual_seed(seed)
    model = Linear(settings)
    lightning.Trainer(max_epochs=settings["epochs"], accelerator="cpu", barebones=True).fit(model, loader)
    return model


def predict(model, pixels):
    model.eval()
    with torch.no_grad():
        return (model(scaled(pixels))[:, 0] > 0).numpy()
