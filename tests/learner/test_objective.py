"""What the learner makes of a loss that it is given: numbers stay numbers, and nothing trains towards nonsense."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import DataError, ShapeError
from sevensteps.learner.learner import Learner
from sevensteps.learner.load import load_learner
from sevensteps.learner.metrics import accuracy
from sevensteps.steps.loss import cross_entropy, mse_loss


def numbers() -> tuple[DataLoaders, Tensor, Tensor]:
    """A plane without noise: y = x1 + 2 x2 + 3 x3."""
    torch.manual_seed(3)
    x = torch.rand(256, 3)
    y = x @ torch.tensor([[1.0], [2.0], [3.0]])
    loader = DataLoader(TensorDataset(x, y), batch_size=64)
    return DataLoaders(loader, loader), x, y


@pytest.mark.parametrize("loss_func", [mse_loss, nn.MSELoss(), F.mse_loss], ids=["ours", "module", "function"])
def test_a_model_that_fits_numbers_gives_numbers(loss_func: object) -> None:
    dls, x, y = numbers()
    learn = Learner(dls, nn.Linear(3, 1), loss_func)
    learn.fit(150, lr=0.3, show=False)
    found, targets = learn.get_preds()
    torch.testing.assert_close(found, targets, atol=0.05, rtol=0)
    value, _, scores = learn.predict(x[0])
    assert float(value) == pytest.approx(float(y[0]), abs=0.05)
    assert scores.shape == (1,)


@pytest.mark.parametrize("flat", [False, True], ids=["column", "one dimension"])
def test_numbers_stay_numbers_under_a_loss_of_ones_own(flat: bool) -> None:
    class Plane(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).squeeze(1) if flat else super().forward(x)

    def mse(predictions: Tensor, targets: Tensor) -> Tensor:
        return ((predictions - targets) ** 2).mean()

    dls, x, y = numbers()
    if flat:
        loader = DataLoader(TensorDataset(x, y[:, 0]), batch_size=64)
        dls = DataLoaders(loader, loader)
    untrained = Learner(dls, Plane(3, 1), mse)
    assert torch.equal(untrained.get_preds()[0], untrained.get_logits()[0])
    learn = Learner(dls, Plane(3, 1), mse)
    learn.fit(150, lr=0.3, show=False)
    assert float(learn.predict(x[0])[0]) == pytest.approx(float(y[0]), abs=0.05)
    found, targets = learn.get_preds()
    torch.testing.assert_close(found, targets, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("loss_func", "targets", "how"),
    [
        (lambda p, t: F.binary_cross_entropy_with_logits(p * 1, t), torch.tensor([[0.0], [1.0]]), {}),
        (nn.BCEWithLogitsLoss(), torch.tensor([[0.3], [1.0]]), {}),
        (functools.partial(F.binary_cross_entropy_with_logits), torch.tensor([[0.3], [1.0]]), {}),
        (lambda p, t: (p.sigmoid() - t).abs().mean(), torch.tensor([[0.3], [1.0]]), {"activation": torch.sigmoid}),
    ],
)
def test_labels_and_shares_of_classes_are_no_numbers_to_fit(loss_func: object, targets: Tensor, how: dict) -> None:
    batches = [(torch.rand(2, 3), targets)]
    learn = Learner(DataLoaders(batches, batches), nn.Linear(3, 1), loss_func, **how)
    learn.fit(1, show=False)
    assert learn.get_preds()[0].shape == (2, 2)


def test_real_numbers_are_no_labels() -> None:
    dls, _, _ = numbers()
    with pytest.raises(DataError, match=r"label .* for labels 0 to 1") as caught:
        Learner(dls, nn.Linear(3, 1)).fit(1, lr=0.1, show=False)
    assert "mse_loss" in caught.value.hint


def test_a_distance_of_pytorch_on_two_classes_decides_at_a_half(splits: Splits) -> None:
    dls = DataLoaders.from_images(splits, flat=True, valid="test")
    learn = Learner(dls, nn.Linear(784, 1), nn.MSELoss(), metrics=accuracy)
    learn.fit(5, lr=0.003, show=False)
    scores, labels = learn.get_logits()
    right = float(((scores[:, 0] > 0.5) == labels).float().mean())
    assert learn.recorder.values[-1][2] == pytest.approx(right, abs=1e-6)
    assert right > 0.9
    found, _ = learn.get_preds()
    torch.testing.assert_close(found[:, 1], scores[:, 0].clamp(0, 1))


def test_a_distance_refuses_what_would_broadcast(splits: Splits) -> None:
    dls = DataLoaders.from_images(splits, flat=True, valid="test")
    with pytest.raises(ShapeError, match="number by number"):
        Learner(dls, nn.Linear(784, 2), nn.MSELoss()).fit(1, lr=0.1, show=False)


def test_a_model_with_too_few_outputs_is_refused_under_any_loss(splits: Splits) -> None:
    def their_loss(predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions.sigmoid() - targets).abs().mean()

    dls = DataLoaders.from_images(splits, flat=True)
    dls.train.images = splits.train.__class__(  # type: ignore[attr-defined]
        splits.train.pixels, splits.train.labels, ("Pullover", "Dress", "Coat")
    )
    with pytest.raises(DataError, match="have 3 classes, but the model has 1 output"):
        Learner(dls, nn.Linear(784, 1), their_loss).fit(1, lr=0.1, show=False)


def test_label_smoothing_travels_with_the_model(splits: Splits, tmp_path: Path) -> None:
    dls = DataLoaders.from_images(splits, flat=True, valid="test")
    learn = Learner(dls, nn.Linear(784, 2), functools.partial(cross_entropy, label_smoothing=0.3))
    learn.fit(1, lr=0.1, show=False)
    loaded = load_learner(learn.export(tmp_path / "m.safetensors"), dls=dls)
    assert loaded.validate() == learn.validate()


class Squashed(nn.Module):
    """A model that ends in a sigmoid without a layer for it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).sigmoid().view(-1, 1)


class Deciding(Squashed):
    """The same with a decision on numbers in its code, and a layer for the sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.linear(x if bool(x.abs().max() < 1e6) else x / 2))


def brier(predictions: Tensor, targets: Tensor) -> Tensor:
    return ((predictions - targets) ** 2).mean()


def likelihood(predictions: Tensor, targets: Tensor) -> Tensor:
    return -predictions[torch.arange(len(targets)), targets.long().flatten()].mean()


@pytest.mark.parametrize(
    ("model", "loss_func"),
    [
        (nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), brier),
        (nn.Sequential(nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), nn.Flatten()), brier),
        (nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), functools.partial(F.binary_cross_entropy, reduction="sum")),
        (Squashed(), brier),
        (Deciding(), brier),
        (nn.Sequential(nn.Linear(5, 2), nn.LogSoftmax(1)), likelihood),
        (nn.Sequential(nn.Linear(5, 2), nn.Softmax(1)), likelihood),
    ],
)
def test_a_model_that_gives_probabilities_is_judged_by_them_under_a_loss_of_ones_own(
    model: nn.Module, loss_func: object
) -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 5)
    y = (x[:, 0] > 0.3).float()[:, None]  # 0.62 are of the first class: always answering the second has 0.38
    loader = DataLoader(TensorDataset(x, y), batch_size=32)
    learn = Learner(DataLoaders(loader, loader), model, loss_func, lr=0.1, metrics=accuracy)
    learn.fit(20, show=False)
    assert learn.validate()[1] > 0.9
    shares, _ = learn.get_preds()
    assert shares.shape == (256, 2)
    assert float(shares.min()) < 0.2
    torch.testing.assert_close(shares.sum(1), torch.ones(256))
    assert learn.predict(x[y.flatten().argmin()])[1] == 0


def test_making_a_learner_does_not_call_the_model() -> None:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x)

    model = Counting(3, 1)
    x = torch.randn(8, 3)
    learn = Learner(DataLoaders([(x, x[:, 0])]), model, lambda predictions, targets: (predictions**2).mean())
    assert model.calls == 0
    learn.fit(1, show=False)
    assert model.calls == 1
