"""lr_find: a range that does what it says, on a copy, the same each time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from small import assert_same, everything, images, learner, loaders, unchecked, with_dropout
from torch import nn
from torch.utils.data import DataLoader

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import TrainingError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.steps.initialize import initialize
from sevensteps.steps.predict import MODELS, Normalize


@pytest.fixture(scope="module")
def held_out(splits: Splits) -> Splits:
    return splits.hold_out(0.1)


def on_pullovers_and_dresses(model: str, splits: Splits) -> Learner:
    if model == "by the book":
        dls = DataLoaders.from_images(splits, flat=True)
        return Learner(dls, initialize(nn.Linear(784, 1)), metrics=accuracy)
    made = initialize(MODELS[model]((1, 28, 28), 2, Normalize([0.33], [0.34])))
    return Learner(DataLoaders.from_images(splits), made, metrics=accuracy)


@pytest.mark.parametrize("model", ["by the book", "linear", "relu"])
def test_the_suggestion_trains_and_ten_times_the_range_does_not_better(model: str, held_out: Splits) -> None:
    found = on_pullovers_and_dresses(model, held_out).lr_find(show_plot=False)
    losses = {}
    for lr in (found.low / 10, found.suggestion, found.high, 10 * found.high):
        learn = on_pullovers_and_dresses(model, held_out)
        learn.fit(2, lr, show=False)
        losses[lr] = learn.recorder.values[-1][0]
        if lr == found.suggestion:
            assert learn.recorder.values[-1][-1] > 0.95
    assert losses[found.suggestion] < losses[found.low / 10]
    assert losses[found.high] < losses[10 * found.high]


@pytest.mark.slow
def test_the_suggestion_trains_the_convolutional_network(held_out: Splits) -> None:
    learn = on_pullovers_and_dresses("cnn", held_out)
    found = learn.lr_find(show_plot=False)
    learn.fit(2, found.suggestion, show=False)
    assert learn.recorder.values[-1][-1] > 0.95


def test_a_trained_learner_gets_a_range_below_where_it_would_be_unsettled(held_out: Splits) -> None:
    learn = on_pullovers_and_dresses("linear", held_out)
    fresh = learn.lr_find(show_plot=False)
    learn.fit(10, 0.05, show=False)
    found = learn.lr_find(show_plot=False)
    assert fresh.fell
    assert not found.fell
    assert found.low == pytest.approx(found.high / 10)
    assert 0.003 < found.high < 0.3
    assert "hardly fell" in str(found)
    assert "hardly fell" in found._repr_html_()
    assert f"{found.suggestion:.2g}" in found._repr_html_()
    before = learn.validate()[0]
    learn.fit(1, found.suggestion, show=False)
    assert learn.validate()[0] == pytest.approx(before, rel=0.1)


def test_the_difference_to_the_untouched_model_is_free_of_the_batches_noise(held_out: Splits) -> None:
    found = on_pullovers_and_dresses("by the book", held_out).lr_find(show_plot=False)
    falling = found.losses[: found.losses.index(min(found.losses)) - 3]
    rises = [after - before for before, after in itertools.pairwise(falling)]
    assert max(rises) < 0.01 * found.losses[0]


def test_the_same_learner_gives_the_same_answer_and_is_not_changed() -> None:
    generator = torch.Generator().manual_seed(1)
    train = DataLoader(images(80), 16, shuffle=True, generator=generator)
    for dls in (loaders(), DataLoaders(train)):
        learn = Learner(dls, with_dropout(), lr=0.1)
        before = everything(learn)
        one = learn.lr_find(show_plot=False)
        torch.rand(5)
        other = learn.lr_find(show_plot=False)
        assert one == other
        assert_same(everything(learn), before)
        assert learn.state.changes == []
        assert learn.recorder.losses == []


def test_a_random_layer_draws_the_same_in_both_models() -> None:
    found = Learner(loaders(), with_dropout(), lr=0.1).lr_find(1e-12, 1e-10, 40, show_plot=False)
    assert max(abs(loss - found.losses[0]) for loss in found.losses) < 1e-5


def test_where_every_rate_is_too_low_the_range_lies_at_the_upper_end() -> None:
    found = learner().lr_find(1e-30, 1e-20, show_plot=False)
    assert not found.fell
    assert found.high == pytest.approx(1e-20 / 3, rel=1e-9, abs=0)
    assert found.low == pytest.approx(found.high / 10, rel=1e-9, abs=0)


def test_the_rates_rise_evenly_from_start_to_end() -> None:
    found = learner().lr_find(1e-5, 1e-2, 31, stop_div=False, show_plot=False)
    assert found.lrs[0] == pytest.approx(1e-5, rel=1e-9, abs=0)
    assert found.lrs[-1] == pytest.approx(1e-2)
    ratios = [after / before for before, after in itertools.pairwise(found.lrs)]
    assert ratios == pytest.approx([10**0.1] * 30)
    assert len(found.losses) == 31


def test_the_sweep_ends_where_it_diverges() -> None:
    x = torch.rand(64, 1)
    dls = DataLoaders([(x, 3 * x)])
    stopped = Learner(dls, nn.Linear(1, 1), nn.MSELoss()).lr_find(1e-3, 1e6, show_plot=False)
    assert len(stopped.lrs) < 100
    assert stopped.high < 3  # the largest steady rate is 2 over the largest curvature, about 1.5
    whole = Learner(dls, nn.Linear(1, 1), nn.MSELoss()).lr_find(1e-3, 1e6, stop_div=False, show_plot=False)
    assert len(whole.lrs) > len(stopped.lrs)
    assert all(math.isfinite(loss) for loss in whole.losses)


def test_the_range_and_its_middle_are_what_they_are_said_to_be() -> None:
    found = learner("relu").lr_find(show_plot=False)
    start, lowest = found.losses[0], min(found.losses)
    assert found.low <= found.suggestion <= found.high
    assert found.suggestion == pytest.approx(math.sqrt(found.low * found.high))
    steady = [lr for lr in found.lrs if found.lrs[found.losses.index(lowest)] <= lr <= 3 * found.high * 1.0001]
    assert all(found.losses[found.lrs.index(lr)] <= lowest + 0.1 * start for lr in steady)
    before = [loss for lr, loss in zip(found.lrs, found.losses, strict=True) if lr < found.low]
    assert all(start - loss < (start - lowest) / 10 for loss in before)
    assert f"{found.suggestion:.2g}" in str(found)


def test_the_plot_is_a_figure() -> None:
    figure = learner().lr_find().plot()
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    "arguments",
    [{"start_lr": 0.0}, {"start_lr": 1.0, "end_lr": 0.1}, {"end_lr": math.inf}, {"start_lr": math.nan}, {"num_it": 9}],
)
def test_a_sweep_that_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    with unchecked(), pytest.raises(UsageError) as caught:
        learner().lr_find(**arguments, show_plot=False)
    assert caught.value.hint


def test_a_loss_that_is_not_finite_from_the_start_is_said() -> None:
    x = torch.full((8, 3), float("nan"))
    with pytest.raises(TrainingError, match="input itself is not finite"):
        Learner(DataLoaders([(x, torch.tensor([0, 1] * 4))]), nn.Linear(3, 1)).lr_find(show_plot=False)
