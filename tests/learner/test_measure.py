"""Metrics see all validation predictions at once."""

from __future__ import annotations

import pytest
import torch
from small import learner, loaders
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sevensteps.data.batches import DataLoaders
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy


def recall(predictions: Tensor, targets: Tensor) -> Tensor:
    """The share of the second class that is found, which is not a mean over batches."""
    second = targets > 0.5
    return ((predictions > 0) & second).sum() / second.sum().clamp(min=1)


def ranked(predictions: Tensor, targets: Tensor) -> float:
    """The area under the ROC curve, by pairs."""
    scores, second = predictions.flatten(), targets.flatten() > 0.5
    return float((scores[second][:, None] > scores[~second][None]).float().mean())


def uneven() -> Learner:
    torch.manual_seed(0)
    x = torch.randn(300, 5)
    y = (x[:, :1] + torch.randn(300, 1) > 1.3).float()
    pairs = list(zip(x, y, strict=True))
    dls = DataLoaders(DataLoader(pairs, 32), DataLoader(pairs, 7))
    return Learner(dls, nn.Linear(5, 1), nn.BCEWithLogitsLoss(), lr=0.5, metrics=[recall, ranked, accuracy])


def test_a_metric_in_the_table_is_that_of_all_validation_pictures() -> None:
    learn = uneven()
    learn.fit(3, show=False)
    scores, targets = learn.get_logits()
    shown = learn.recorder.values[-1]
    assert shown[2] == float(recall(scores, targets))
    assert shown[3] == ranked(scores, targets)
    assert shown[4] == pytest.approx(float(accuracy(scores, targets)))
    assert learn.validate() == shown[1:]
    by_batch = [recall(learn.model(x), y) for x, y in learn.dls.valid]
    assert float(torch.stack(by_batch).mean()) != pytest.approx(shown[2], abs=0.01)


def test_a_metric_is_called_once_for_each_epoch() -> None:
    seen: list[int] = []

    def counting(predictions: Tensor, targets: Tensor) -> float:
        seen.append(len(predictions))
        return 0.0

    learn = learner(metrics=counting)
    learn.fit(2, show=False)
    assert seen == [40, 40]


def test_batches_of_different_shapes_are_measured_one_by_one_with_a_warning() -> None:
    def mean(predictions: Tensor, targets: Tensor) -> Tensor:
        return predictions.mean()

    batches = [(torch.ones(2, 3, width), torch.ones(2, 3, width)) for width in (4, 4, 5)]
    learn = Learner(DataLoaders(batches, batches), nn.Conv1d(3, 3, 1), nn.MSELoss(), metrics=mean)
    with pytest.warns(UserWarning, match="metrics are means over batches"):
        figures = learn.validate()
    every = [float(learn.model(x).detach().mean()) for x, _ in batches]
    assert figures[1] == pytest.approx(sum(every) / 3)


def test_an_empty_batch_is_left_out_of_validation_and_refused_in_training() -> None:
    dls = loaders()
    x, y = next(iter(dls.valid))
    with_empty = [(x, y), (x[:0], y[:0]), (x, y)]
    learn = learner()
    assert learn.validate(dl=with_empty) == pytest.approx(learn.validate(dl=[(x, y)]))
    assert len(learn.get_logits(dl=with_empty)[0]) == 2 * len(x)
    with pytest.raises(Exception, match="Batch 2 of the training loader is empty"):
        Learner(DataLoaders(with_empty), learn.model).fit(1, show=False)
