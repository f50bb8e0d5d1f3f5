"""Step 2: the models take pictures of any size and return one row of logits for each picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import special
from small import unchecked
from torch import Tensor, nn

from sevensteps.errors import ModelError
from sevensteps.steps.predict import MODELS, MaxAndMeanPool, Normalize, RootOfShare, mirrored, probabilities

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (3, 5),
    (7, 7),
    (8, 8),
    (7, 64),
    (9, 8),
    (16, 31),
    (28, 28),
    (65, 33),
    (33, 65),
    (1, 65),
]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_model_of_any_size_runs_forward_and_backward(name: str, height: int, width: int) -> None:
    for channels, classes, normalized in itertools.product((1, 3), (2, 3, 10), (False, True)):
        normalize = Normalize([0.5] * channels, [0.3] * channels) if normalized else None
        model = MODELS[name]((channels, height, width), classes, normalize, 2)
        predictions = model(torch.rand(3, channels, height, width))
        assert predictions.shape == (3, 1 if classes == 2 else classes)
        predictions.square().mean().backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_answers_for_a_single_picture(name: str) -> None:
    model = MODELS[name]((1, 28, 28), 2).eval()
    assert model(torch.rand(1, 1, 28, 28)).shape == (1, 1)


def test_width_sets_the_hidden_units_and_first_channels() -> None:
    assert MODELS["relu"]((1, 4, 4), 2, None, 17)[1].out_features == 17
    assert MODELS["relu"]((1, 4, 4), 2)[1].out_features == 30
    assert MODELS["cnn"]((1, 28, 28), 2, None, 5)[0].out_channels == 5
    assert MODELS["cnn"]((1, 28, 28), 2)[0].out_channels == 16
    assert MODELS["vgg"]((1, 28, 28), 2, None, 5)[0].out_channels == 5
    assert MODELS["vgg"]((1, 28, 28), 2)[0].out_channels == 16


def test_vgg_sees_every_pixel_and_halves_only_what_is_large() -> None:
    sides = {}
    for side in (7, 8, 28):
        model = MODELS["vgg"]((1, side, side), 10)
        sides[side] = [
            layer(before).shape[-1]
            for layer, before in zip(model, outputs_of(model, torch.rand(2, 1, side, side)), strict=True)
            if isinstance(layer, nn.Conv2d)
        ]
    assert sides == {7: [7] * 6, 8: [8, 8, 4, 4, 4, 4], 28: [28, 28, 14, 14, 7, 7]}
    assert sum(parameter.numel() for parameter in model.parameters()) == 73_306


def outputs_of(model: nn.Sequential, x: Tensor) -> Iterator[Tensor]:
    """Give what each layer of a model is given."""
    for layer in model:
        yield x
        x = layer(x)


def test_normalize_centers_and_scales_each_channel() -> None:
    x = torch.rand(4, 2, 3, 5)
    ours = Normalize([0.1, 0.7], [0.2, 0.4])(x)
    wanted = (x.numpy() - np.array([0.1, 0.7]).reshape(2, 1, 1)) / np.array([0.2, 0.4]).reshape(2, 1, 1)
    np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_normalization_travels_with_the_model_and_is_not_trained() -> None:
    model = nn.Sequential(Normalize([0.1], [0.2]), nn.Flatten(), nn.Linear(4, 1))
    assert {"0.mean", "0.std"} <= model.state_dict().keys()
    assert len(list(model.parameters())) == 2


def test_max_and_mean_pooling_stand_side_by_side() -> None:
    x = torch.randn(3, 4, 5, 6)
    np.testing.assert_allclose(
        MaxAndMeanPool()(x).numpy(),
        np.concatenate([x.numpy().max((2, 3)), x.numpy().mean((2, 3))], axis=1),
        rtol=1e-5,
        atol=1e-7,
    )


def test_with_its_mirror_a_model_answers_with_the_mean_of_both_and_trains_as_before() -> None:
    plain = MODELS["cnn"]((1, 12, 12), 3, Normalize([0.5], [0.3]), 2)
    x = torch.rand(5, 1, 12, 12)
    both = mirrored(plain)
    assert torch.equal(both(x), plain(x))
    plain.eval()
    both.eval()
    torch.testing.assert_close(both(x), (plain(x) + plain(x.flip(3))) / 2)
    torch.testing.assert_close(both(x), both(x.flip(3)))


def test_one_column_is_the_sigmoid_of_the_second_class_and_several_are_the_softmax() -> None:
    one, several = 4 * torch.randn(50, 1), 4 * torch.randn(50, 7)
    found = probabilities(one, temperature=1.7).numpy()
    np.testing.assert_allclose(found[:, 1], special.expit(one.numpy()[:, 0] / 1.7), rtol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    wanted = special.softmax(several.numpy() / 0.6, axis=1)
    np.testing.assert_allclose(probabilities(several, temperature=0.6).numpy(), wanted, rtol=1e-4, atol=1e-7)


def test_an_activation_takes_the_place_of_sigmoid_and_softmax() -> None:
    scores = torch.tensor([[0.25], [0.5]])
    assert probabilities(scores, lambda scores: scores).tolist() == [[0.75, 0.25], [0.5, 0.5]]
    logs = torch.randn(6, 3).log_softmax(1)
    assert torch.equal(probabilities(logs, torch.exp), logs.exp())


def test_predictions_that_are_not_one_row_a_picture_are_refused() -> None:
    for shape in ((5,), (5, 1, 1), ()):
        with unchecked(), pytest.raises(ModelError) as caught:
            probabilities(torch.zeros(shape))
        assert caught.value.hint


def test_the_root_of_a_share_has_a_finite_slope_everywhere() -> None:
    """The root of 0 has an infinite slope, and many features are 0 after a ReLU6."""
    x = torch.tensor([[0.0, 1e-9, 0.5, 2.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    y = RootOfShare()(x)
    y.sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())
    assert x.grad[0, 2:].abs().min() > 0
    share = x.detach()[0] / x.detach()[0].mean()
    torch.testing.assert_close(y.detach()[0], share.sqrt(), rtol=1e-6, atol=0)
