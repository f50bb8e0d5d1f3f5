"""Step 3: the losses equal PyTorch's own, and shapes that would broadcast silently raise an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import unchecked
from torch import Tensor
from torch.nn import functional as F

from sevensteps.errors import ShapeError
from sevensteps.steps.loss import LOSSES, binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
from sevensteps.steps.predict import probabilities

ONE_COLUMN = (sigmoid_l1_loss, binary_cross_entropy_with_logits)


def batch(seed: int, count: int, columns: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn((count, columns), generator=random)
    return scores, torch.randint(0, max(columns, 2), (count,), generator=random)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 50), st.integers(2, 12), st.sampled_from([0.0, 0.1, 0.5]))
def test_the_losses_are_pytorchs(seed: int, count: int, columns: int, smoothing: float) -> None:
    scores, labels = batch(seed, count, columns)
    assert torch.equal(
        cross_entropy(scores, labels, smoothing), F.cross_entropy(scores, labels, label_smoothing=smoothing)
    )
    score, label = batch(seed, count, 1)
    as_floats = label.float().unsqueeze(1)
    assert torch.equal(
        binary_cross_entropy_with_logits(score, label), F.binary_cross_entropy_with_logits(score, as_floats)
    )
    torch.testing.assert_close(sigmoid_l1_loss(score, label), F.l1_loss(score.sigmoid(), as_floats))
    wanted = torch.randn(count, columns)
    assert torch.equal(mse_loss(scores, wanted), F.mse_loss(scores, wanted))


@pytest.mark.parametrize("loss_func", LOSSES.values())
def test_targets_of_a_column_and_of_a_row_mean_the_same_and_never_broadcast(loss_func: Any) -> None:
    scores, labels = batch(1, 7, 1 if loss_func in ONE_COLUMN else 4)
    loss = loss_func(scores, labels)
    assert loss.shape == ()
    assert torch.equal(loss, loss_func(scores, labels.unsqueeze(1)))
    each = torch.stack([loss_func(scores[i : i + 1], labels[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(loss, each.mean())


def test_floating_targets_of_a_row_fit_a_column_of_predictions() -> None:
    predictions, targets = torch.randn(9, 1), torch.randn(9)
    assert torch.equal(mse_loss(predictions, targets), F.mse_loss(predictions, targets.unsqueeze(1)))
    assert not torch.isclose(mse_loss(predictions, targets), (predictions - targets).square().mean())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float32, torch.float64])
@pytest.mark.parametrize("loss_func", [*ONE_COLUMN, cross_entropy])
def test_labels_may_be_of_any_type(loss_func: Any, dtype: torch.dtype) -> None:
    scores, labels = batch(2, 20, 1 if loss_func in ONE_COLUMN else 2)
    loss = loss_func(scores, labels.to(dtype))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, loss_func(scores, labels))


@pytest.mark.parametrize(
    ("loss_func", "predictions", "targets"),
    [
        *((loss, (5, 2), (5,)) for loss in ONE_COLUMN),
        *((loss, (5,), (5,)) for loss in LOSSES.values()),
        *((loss, (5, 1), (4,)) for loss in ONE_COLUMN),
        *((loss, (5, 1), (1,)) for loss in ONE_COLUMN),
        *((loss, (5, 1), (5, 2)) for loss in ONE_COLUMN),
        *((loss, (5, 1), (5, 5)) for loss in ONE_COLUMN),
        *((loss, (5, 1, 1), (5,)) for loss in ONE_COLUMN),
        *((loss, (5, 1), ()) for loss in ONE_COLUMN),
        (cross_entropy, (5, 1), (5,)),
        (cross_entropy, (5, 3), (5, 3)),
        (cross_entropy, (5, 3), (3,)),
        (mse_loss, (5, 3), (4,)),
        (mse_loss, (5, 3), (5, 2)),
    ],
)
def test_shapes_that_do_not_go_together_raise_with_a_hint(
    loss_func: Any, predictions: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    with unchecked(), pytest.raises(ShapeError) as caught:
        loss_func(torch.zeros(predictions), torch.zeros(targets, dtype=torch.int64))
    assert str(predictions).strip("()") in caught.value.message
    assert caught.value.hint


def test_floating_targets_of_mse_that_would_broadcast_raise() -> None:
    for predictions, targets in (((5, 3), (5,)), ((5, 3), (5, 1)), ((5, 1), (5, 3)), ((5, 1), (4,))):
        with unchecked(), pytest.raises(ShapeError):
            mse_loss(torch.zeros(predictions), torch.zeros(targets))


def test_mse_takes_whole_numbers_as_labels_and_floats_as_they_are() -> None:
    score, label = torch.tensor([[0.5], [-2.0]]), torch.tensor([1, 0])
    assert float(mse_loss(score, label)) == (0.5**2 + 1**2) / 2  # wanted are 1 and -1
    assert float(mse_loss(score, label.float())) == (0.5**2 + 2**2) / 2  # wanted are 1 and 0
    scores, labels = torch.tensor([[0.0, 1.0, -1.0]]), torch.tensor([1])
    assert float(mse_loss(scores, labels)) == pytest.approx(1 / 3)


def test_mse_keeps_the_type_of_the_predictions() -> None:
    predictions, targets = torch.randn(6, 1), torch.randn(6, 1, dtype=torch.float64)
    assert mse_loss(predictions, targets).dtype == torch.float32


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8), st.floats(0.1, 30))
def test_the_activation_of_mse_gives_probabilities_in_the_order_of_the_scores(
    seed: int, columns: int, scale: float
) -> None:
    scores, _ = batch(seed, 40, columns, scale)
    shares = probabilities(scores, mse_loss.activation)  # type: ignore[attr-defined]
    assert shares.shape == (40, max(columns, 2))
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(40))
    if columns > 1:
        assert torch.equal(shares.argmax(1), scores.argmax(1))
    else:
        assert torch.equal(shares.argmax(1) == 1, scores[:, 0] > 0)
