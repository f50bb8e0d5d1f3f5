"""docs/coming-from.md with Lightning: learn from the folder photos, test on new-photos, classify new.jpg."""

import logging
from pathlib import Path

import lightning
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
lightning.seed_everything(0, verbose=False)
CLASSES = sorted(path.name for path in Path("photos").iterdir())


def tensor(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L").resize((28, 28)))).flatten() / 255


class Photos(lightning.LightningDataModule):
    def read(self, folder, shuffle=False):
        paths = sorted(Path(folder).glob("*/*.jpg"))
        labels = torch.tensor([CLASSES.index(path.parent.name) for path in paths])
        return DataLoader(TensorDataset(torch.stack([tensor(path) for path in paths]), labels), 32, shuffle=shuffle)

    def train_dataloader(self):
        return self.read("photos", shuffle=True)

    def test_dataloader(self):
        return self.read("new-photos")


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, len(CLASSES)))

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, number):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def test_step(self, batch, number):
        x, y = batch
        self.log("accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


data, module = Photos(), Module()
trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False)
trainer.fit(module, data)
print(trainer.test(module, data, verbose=False))

print(CLASSES[module(tensor("new.jpg")).argmax()])

trainer.save_checkpoint("model.ckpt")
trainer.fit_loop.max_epochs += 1
trainer.fit(module, data, ckpt_path="model.ckpt")
print("one more epoch:", trainer.test(module, data, verbose=False))
