"""A model as a list of layers and back: the same function, or a refusal; never code, never large allocations."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from sevensteps.errors import ModelError
from sevensteps.ship.architecture import build, describe
from sevensteps.ship.work import check_work
from sevensteps.steps.predict import (
    MODELS,
    MaxAndMeanPool,
    MeanWithMirror,
    Normalize,
    Residual,
    RootOfShare,
    WithMirror,
    mirrored,
)


def there_and_back(model: nn.Module) -> nn.Module:
    """The model after its description has been through JSON."""
    description = describe(model)
    assert description is not None
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in model.state_dict().items()}
    return build(json.loads(json.dumps(description, sort_keys=True)), tensors)


def assert_same_function(model: nn.Module, x: Tensor) -> None:
    model(x)  # so that batch norm has seen something
    again = there_and_back(model)
    for training in (True, False):
        one, other = copy.deepcopy(model).train(training), copy.deepcopy(again).train(training)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            wanted = one(x)
            torch.manual_seed(0)
            assert torch.equal(other(x), wanted)
    assert [parameter.requires_grad for parameter in again.parameters()] == [True] * len(list(model.parameters()))


@pytest.mark.parametrize("name", MODELS)
def test_our_models_come_back_as_the_same_function(name: str) -> None:
    for (channels, height, width), classes in itertools.product([(1, 28, 28), (3, 9, 14), (1, 3, 3)], (2, 10)):
        model = MODELS[name]((channels, height, width), classes, Normalize([0.3] * channels, [0.2] * channels), 4)
        assert_same_function(model, torch.rand(5, channels, height, width))
        assert_same_function(model.to(memory_format=torch.contiguous_format), torch.rand(5, channels, height, width))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(2, 6, (3, 5), (2, 1), (1, 4), (1, 2), 2, False), nn.Flatten(), nn.Linear(192, 3)),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.GELU(), nn.AvgPool2d(2, 1, 1), nn.SiLU()),
        nn.Sequential(nn.Conv2d(2, 4, 3, padding="valid"), nn.MaxPool2d(3, 2, 1), nn.Tanh(), nn.Sigmoid()),
        nn.Sequential(nn.BatchNorm2d(2, 1e-3, 0.2), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(2)),
        nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(2, 2, 3, 2), nn.ReLU6(), Residual(nn.Conv2d(2, 2, 1))),
        nn.Sequential(nn.Flatten(), nn.ReLU(), RootOfShare()),
        nn.Sequential(Residual(Residual(nn.BatchNorm2d(2)), nn.ZeroPad2d(1), nn.Conv2d(2, 2, 3))),
        nn.Sequential(nn.AdaptiveMaxPool2d((3, 1)), nn.LeakyReLU(0.3), nn.Dropout(0.4), nn.Softmax(dim=1)),
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(128), nn.Sequential(nn.Linear(128, 4), nn.LogSoftmax(dim=1))),
        nn.Sequential(OrderedDict(body=nn.Sequential(MaxAndMeanPool()), head=nn.Linear(4, 3, bias=False))),
        nn.Linear(8, 3),
    ],
)
def test_sequences_of_listed_layers_come_back_as_the_same_function(model: nn.Module) -> None:
    assert_same_function(model, torch.rand(6, 2, 8, 8))


def test_a_model_with_its_mirror_comes_back_as_the_same_function() -> None:
    assert_same_function(mirrored(MODELS["cnn"]((1, 9, 14), 3, None, 4)), torch.rand(5, 1, 9, 14))


@pytest.mark.parametrize(
    "layers",
    [
        [WithMirror(), nn.Flatten(), nn.Linear(4, 2)],
        [nn.Flatten(), nn.Linear(4, 2), MeanWithMirror()],
        [MeanWithMirror(), nn.Flatten(), nn.Linear(4, 2), WithMirror()],
        [WithMirror(), nn.Flatten(), nn.Linear(4, 2), WithMirror(), MeanWithMirror()],
    ],
)
def test_rows_that_are_no_pictures_are_not_described_and_not_built(layers: list[nn.Module]) -> None:
    assert describe(nn.Sequential(*layers)) is None
    described = [describe(nn.Sequential(layer)) or {"layers": [{"layer": type(layer).__name__}]} for layer in layers]
    description = {"layer": "Sequential", "layers": [layer["layers"][0] for layer in described]}
    with pytest.raises(ModelError, match="description is not valid"):
        build(description, nn.Sequential(*layers).state_dict())


def test_double_precision_is_kept() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).double()
    x = torch.rand(3, 4, dtype=torch.float64)
    assert torch.equal(there_and_back(model)(x), model(x))


class Own(nn.Linear):
    pass


def with_forward() -> nn.Module:
    layer = nn.Linear(3, 3)
    layer.forward = lambda x: -x  # type: ignore[method-assign]
    return nn.Sequential(layer)


def shared_weight() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    "model",
    [
        Own(3, 3),
        nn.Sequential(nn.Linear(3, 3), nn.Hardswish()),
        nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")),
        nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)),
        nn.Sequential(nn.AvgPool2d(2, count_include_pad=False)),
        nn.Sequential(nn.AvgPool2d(2, divisor_override=3)),
        nn.Sequential(nn.GELU(approximate="tanh")),
        nn.Sequential(nn.BatchNorm1d(3, affine=False)),
        nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)),
        nn.Sequential(nn.BatchNorm1d(3, momentum=None)),
        nn.Sequential(nn.AdaptiveAvgPool2d((None, 3))),
        nn.Sequential(nn.Softmax()),
        nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3))),
        with_forward(),
        shared_weight(),
    ],
)
def test_a_model_that_would_not_come_back_the_same_is_not_described(model: nn.Module) -> None:
    assert describe(model) is None


def test_a_layer_that_occurs_twice_comes_back_as_one() -> None:
    layer, relu = nn.Linear(3, 3), nn.ReLU()
    block = nn.Sequential(layer, relu)
    model = nn.Sequential(layer, relu, block, block, nn.Linear(3, 1))
    again = there_and_back(model)
    assert again[0] is again[2][0] is again[3][0]
    assert len(list(again.parameters())) == 4
    x = torch.rand(5, 3)
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize("at", ["1", "2", "", 0, None, [1]])
def test_a_layer_again_must_have_come_before(at: object) -> None:
    description = {"layer": "Sequential", "layers": [LINEAR, {"layer": "Again", "at": at}]}
    with pytest.raises(ModelError, match="description is not valid"):
        build(description, {f"{place}.{name}": tensor for place in "01" for name, tensor in TENSORS.items()})


LINEAR = {"layer": "Linear", "in_features": 2, "out_features": 1, "bias": True}
TENSORS = {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}


def nested(depth: int) -> Any:
    return LINEAR if depth == 0 else {"layer": "Sequential", "layers": [nested(depth - 1)]}


@pytest.mark.parametrize(
    "description",
    [
        None,
        [],
        "Linear",
        {},
        {"layer": "os.system"},
        {"layer": ["Linear"]},
        {"layer": "Sequential"},
        {"layer": "Sequential", "layers": LINEAR},
        {"layer": "Sequential", "layers": [LINEAR], "more": 1},
        {"layer": "Sequential", "named": [["a.b", LINEAR]]},
        {"layer": "Sequential", "named": [["forward", LINEAR]]},
        {"layer": "Sequential", "named": [[3, LINEAR]]},
        {"layer": "Sequential", "named": [LINEAR]},
        nested(9),
        {**LINEAR, "device": "cpu"},
        {"layer": "Linear", "in_features": 2},
        {**LINEAR, "in_features": "2"},
        {**LINEAR, "in_features": -2},
        {**LINEAR, "in_features": 2.5},
        {**LINEAR, "in_features": float("nan")},
        {**LINEAR, "in_features": None},
        {**LINEAR, "in_features": [[2]]},
        {**LINEAR, "in_features": [2] * 5000},
        {**LINEAR, "out_features": 2},
        {**LINEAR, "bias": False},
        {**LINEAR, "in_features": 2**31, "out_features": 2**31},
        {**LINEAR, "in_features": 2**62, "out_features": 2**62},
        {**LINEAR, "in_features": 10**400},
        {**LINEAR, "in_features": True},
        {**LINEAR, "in_features": 0},
        {**LINEAR, "bias": 1},
        {"layer": {"layer": "Linear"}},
        {"layer": "Flatten", "start_dim": 10**9, "end_dim": -1},
        {"layer": "Softmax", "dim": 1.0},
        {"layer": "LeakyReLU", "negative_slope": "steep"},
        {"layer": "BatchNorm1d", "num_features": 2, "eps": -1.0, "momentum": 0.1},
        {"layer": "Dropout", "p": 7.0},
        {"layer": "Normalize", "mean": 0.5, "std": 0.5},
    ],
)
def test_a_description_from_outside_is_refused_before_anything_large_is_made(description: Any) -> None:
    with pytest.raises(ModelError) as caught:
        build(description, TENSORS)
    assert caught.value.hint
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "description",
    [
        {"layer": "AdaptiveAvgPool2d", "output_size": 100_000},
        {"layer": "AdaptiveMaxPool2d", "output_size": [1, 2**20]},
        {"layer": "MaxPool2d", "kernel_size": 2, "stride": 2, "padding": 2**30},
        {"layer": "MaxPool2d", "kernel_size": 2, "stride": 0, "padding": 0},
        {"layer": "MaxPool2d", "kernel_size": [2, 2, 2], "stride": 1, "padding": 0},
    ],
)
def test_a_layer_that_would_make_something_large_of_a_small_picture_is_refused(description: Any) -> None:
    with pytest.raises(ModelError, match="of a layer"):
        build(description, {})


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"weight": torch.zeros(1, 2)},
        {**TENSORS, "more": torch.zeros(1)},
        {"weight": torch.zeros(2, 1), "bias": torch.zeros(1)},
        {"weight": torch.zeros(1, 2, dtype=torch.int64), "bias": torch.zeros(1)},
    ],
)
def test_tensors_that_do_not_fit_the_description_are_refused(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match="differ"):
        build(LINEAR, tensors)


def test_a_buffer_of_another_type_of_whole_numbers_is_refused() -> None:
    model = nn.BatchNorm1d(3)
    tensors = dict(model.state_dict())
    build(describe(model), tensors)
    with pytest.raises(ModelError, match=r"says torch.int64 of shape \(\), the tensors say torch.uint8"):
        build(describe(model), tensors | {"num_batches_tracked": torch.zeros((), dtype=torch.uint8)})


def test_a_description_has_a_thousand_layers_at_most() -> None:
    """Modules are made for each, however little it says; a sequence is one too."""
    many = {"layer": "Sequential", "layers": [{"layer": "ReLU"}] * 499}
    assert len(list(build({"layer": "Sequential", "layers": [many]}, {}).modules())) == 501
    for layers in ([{"layer": "ReLU"}] * 1000, [many] * 2):
        with pytest.raises(ModelError, match="one of 1,000 at most"):
            build({"layer": "Sequential", "layers": layers}, {})
    assert describe(nn.Sequential(*[nn.ReLU() for _ in range(1000)])) is None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("side", [3, 28, 512])
def test_our_models_take_little_of_what_a_prediction_may_take(name: str, side: int) -> None:
    with torch.device("meta"):
        model = MODELS[name]((3, side, side), 1000, Normalize([0.5] * 3, [0.5] * 3))
    check_work(model, (3, side, side))


def test_work_is_looked_at_without_doing_it_and_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1024), nn.BatchNorm2d(64), nn.Conv2d(64, 64, 3, padding=1024))
    before = copy.deepcopy(model.state_dict())
    start = time.process_time()
    with pytest.raises(ModelError, match="and at most") as caught:
        check_work(model, (1, 28, 28))
    assert time.process_time() - start < 1
    assert caught.value.hint
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.modules())
    with pytest.raises(ModelError, match="cannot take a picture of shape"):
        check_work(model, (2, 28, 28))
