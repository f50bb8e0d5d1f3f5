"""Modes: every layer trains, except those at rest; after a fit the model is in evaluation mode."""

from __future__ import annotations

import pytest
import torch
from small import loaders, with_dropout
from torch import nn

from sevensteps.learner.learner import Learner
from sevensteps.records.events import Epoch
from sevensteps.steps.modes import Modes
from sevensteps.steps.stop import after


def norm_of(learn: Learner) -> nn.BatchNorm2d:
    layer = learn.model[1]
    assert isinstance(layer, nn.BatchNorm2d)
    return layer


def test_a_frozen_layer_in_evaluation_mode_stays_so() -> None:
    learn = Learner(loaders(), with_dropout(), lr=0.1)
    norm_of(learn).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in norm_of(learn).state_dict().items()}
    for _ in range(2):  # the second fit finds every layer in evaluation mode
        learn.fit(1, show=False)
        for name, value in norm_of(learn).state_dict().items():
            assert torch.equal(before[name], value), name
    learn.xray()
    learn.lr_find(show_plot=False, num_it=10)
    assert torch.equal(before["running_mean"], norm_of(learn).running_mean)


@pytest.mark.parametrize("when", ["in the loop", "after a fit"])
def test_a_layer_can_be_frozen_later(when: str) -> None:
    learn = Learner(loaders(), with_dropout(), lr=0.1)
    for event in learn.stream(after(epochs=2)):
        if isinstance(event, Epoch) and event.number == 1 and when == "in the loop":
            norm_of(learn).eval().requires_grad_(False)
            before = norm_of(learn).running_mean.clone()
    if when == "after a fit":
        norm_of(learn).eval().requires_grad_(False)
        before = norm_of(learn).running_mean.clone()
        learn.fit(1, show=False)
    assert torch.equal(before, norm_of(learn).running_mean)


def test_a_frozen_layer_in_training_mode_goes_on_in_training_mode() -> None:
    learn = Learner(loaders(), with_dropout(), lr=0.1)
    norm_of(learn).requires_grad_(False)
    means = [norm_of(learn).running_mean.clone()]
    for _ in range(2):
        learn.fit(1, show=False)
        means.append(norm_of(learn).running_mean.clone())
    assert not torch.equal(means[0], means[1])
    assert not torch.equal(means[1], means[2])


def test_a_layer_that_is_unfrozen_trains_again() -> None:
    model, modes = with_dropout(), Modes()
    model[1].eval().requires_grad_(False)
    modes.train(model)
    assert not model[1].training
    model[1].requires_grad_(True)
    modes.train(model)
    assert model[1].training


def test_dropout_that_is_switched_off_alone_stays_off_and_with_the_whole_model_it_does_not() -> None:
    model, modes = with_dropout(), Modes()
    model[3].eval()
    for _ in range(2):
        modes.train(model)
        assert not model[3].training
        assert model.training
        modes.rest(model)
    model, modes = with_dropout(), Modes()
    model.eval()
    modes.train(model)
    assert all(layer.training for layer in model.modules())


def test_layers_without_parameters_in_a_frozen_part_rest_with_it() -> None:
    model, modes = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Dropout()), nn.Linear(4, 1)), Modes()
    model[0].eval().requires_grad_(False)
    modes.train(model)
    assert [layer.training for layer in model[0].modules()] == [False] * 3
    assert model[1].training


@pytest.mark.parametrize("way", ["fit", "stream", "left"])
def test_after_training_the_model_is_in_evaluation_mode(way: str) -> None:
    learn = Learner(loaders(), with_dropout(), lr=0.1)
    if way == "fit":
        learn.fit(1, show=False)
    else:
        for event in learn.stream(after(epochs=1)):
            assert learn.model.training
            if way == "left" and event:
                break
    assert not any(layer.training for layer in learn.model.modules())
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(learn.model(x), learn.model(x))
