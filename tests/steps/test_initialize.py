"""Step 1: the statistics of each initializer, and the same numbers for the same seed."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

from sevensteps.errors import UsageError
from sevensteps.steps.initialize import INITIALIZERS, initialize
from sevensteps.steps.predict import MODELS


def numbers(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("layer", [nn.Linear(400, 50), nn.Conv2d(16, 50, 5)])
def test_default_is_uniform_within_one_over_the_root_of_the_inputs(layer: nn.Module) -> None:
    initialize(layer, "default", seed=3)
    bound = 1 / math.sqrt(400)
    assert numbers(layer).abs().max() <= bound
    assert stats.kstest(numbers(layer).numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01


@pytest.mark.parametrize("std", [1.0, 0.02])
def test_normal_has_the_standard_deviation_asked_for_in_weights_and_bias_alike(std: float) -> None:
    layer = initialize(nn.Linear(300, 60), "normal", std=std, seed=3)
    assert stats.kstest(numbers(layer).numpy(), stats.norm(0, std).cdf).pvalue > 0.01
    assert float(layer.bias.detach().std()) == pytest.approx(std, rel=0.3)


def test_zeros_are_zeros() -> None:
    assert not numbers(initialize(nn.Linear(30, 6), "zeros")).any()


@pytest.mark.parametrize("layer", [nn.Linear(400, 50), nn.Conv2d(16, 50, 5)])
def test_kaiming_is_normal_with_variance_two_over_the_inputs_and_no_bias(layer: nn.Module) -> None:
    initialize(layer, "kaiming", seed=3)
    weight, bias = layer.parameters()
    assert stats.kstest(weight.detach().flatten().numpy(), stats.norm(0, math.sqrt(2 / 400)).cdf).pvalue > 0.01
    assert not bias.any()


@pytest.mark.parametrize("how", INITIALIZERS)
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(how: str) -> None:
    def start(seed: int) -> torch.Tensor:
        return numbers(initialize(MODELS["relu"]((1, 6, 6), 3), how, std=0.1, seed=seed))

    assert torch.equal(start(5), start(5))
    assert torch.equal(start(5), start(6)) == (how == "zeros")


def test_layers_of_one_shape_start_differently() -> None:
    model = initialize(nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5)))
    assert not torch.equal(model[0].weight, model[1].weight)


def test_torchs_own_random_state_is_left_alone() -> None:
    layer = nn.Linear(100, 100)
    torch.manual_seed(9)
    wanted = torch.rand(3)
    torch.manual_seed(9)
    initialize(layer, "normal", seed=1)
    assert torch.equal(torch.rand(3), wanted)


def test_the_start_does_not_depend_on_torchs_random_state() -> None:
    torch.manual_seed(1)
    one = numbers(initialize(nn.Linear(4, 4)))
    torch.manual_seed(2)
    assert torch.equal(one, numbers(initialize(nn.Linear(4, 4))))


def test_what_is_not_linear_or_convolutional_stays_as_it_is() -> None:
    model = initialize(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), "normal", std=9.0)
    assert torch.equal(model[0].weight, torch.ones(3))


def test_an_unknown_initializer_or_a_negative_spread_is_refused() -> None:
    with pytest.raises(UsageError, match="kaiming"):
        initialize(nn.Linear(1, 1), "kaming")
    with pytest.raises(UsageError, match="std"):
        initialize(nn.Linear(1, 1), "normal", std=-1.0)
