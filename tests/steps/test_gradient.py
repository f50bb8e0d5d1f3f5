"""Step 4: the gradient by formula equals autograd's, and the formula is refused wherever it might not apply."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import learner, loaders, unchecked
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.nn.utils import parametrizations, prune

from sevensteps.errors import ShapeError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.steps.gradient import autograd, formula
from sevensteps.steps.loss import LOSSES, binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
from sevensteps.steps.predict import Normalize, linear

ONE_COLUMN = (sigmoid_l1_loss, binary_cross_entropy_with_logits)


def drawn_case(seed: int, dtype: torch.dtype) -> tuple[nn.Module, Any, Tensor, Tensor]:
    """Return a linear model, a loss, a batch and its targets, all drawn from a seed."""
    random = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=random))

    def size(most: int) -> int:  # small more often than large, which takes long
        return round(most ** float(torch.rand((), generator=random)))

    loss_func: Any = list(LOSSES.values())[seed % 4]
    batch, columns = size(300), whole(1, 12)
    columns = 1 if loss_func in ONE_COLUMN else max(columns, 2) if loss_func is cross_entropy else columns
    if whole(0, 1):
        channels, height = whole(1, 3), whole(1, 16)
        shape: tuple[int, ...] = (channels, height, size(800 // (channels * height)))
        before: list[nn.Module] = [nn.Flatten()]
        if whole(0, 2):
            before.insert(
                0, Normalize(torch.rand(channels, generator=random).tolist(), [0.1 + 0.3 * whole(0, 3)] * channels)
            )
    else:
        shape, before = (size(800),), []
    x = torch.rand((batch, *shape), generator=random, dtype=dtype)
    layer = nn.Linear(x[0].numel(), columns)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 10.0 ** whole(-3, 0))
    targets = torch.randint(0, max(columns, 2), (batch,), generator=random)
    if loss_func is mse_loss and whole(0, 1):
        targets = torch.randn((batch, columns), generator=random, dtype=dtype)
    elif whole(0, 1):
        targets = targets.unsqueeze(1)
    if loss_func is cross_entropy and whole(0, 1):
        loss_func = functools.partial(cross_entropy, label_smoothing=0.9 * float(torch.rand((), generator=random)))
    return nn.Sequential(*before, layer).to(dtype) if before else layer.to(dtype), loss_func, x, targets


def gradient(model: nn.Module, loss_func: Any, x: Tensor, targets: Tensor, by_formula: bool) -> list[Tensor]:
    calculate = formula(model, loss_func) if by_formula else autograd(model)
    assert calculate is not None
    with torch.set_grad_enabled(not by_formula):
        predictions = model(x)
        calculate(x, targets, predictions, loss_func(predictions, targets))
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def test_the_formula_gives_autograds_gradient_to_1e_12_in_double_precision() -> None:
    with unchecked():  # for speed
        for seed in range(2000):
            case = drawn_case(seed, torch.float64)
            for ours, theirs in zip(gradient(*case, True), gradient(*case, False), strict=True):
                assert ours.shape == theirs.shape
                torch.testing.assert_close(
                    ours, theirs, rtol=0, atol=1e-12, msg=lambda text, seed=seed: f"{seed}: {text}"
                )


def test_the_formula_gives_autograds_gradient_to_a_millionth_of_what_is_summed_in_single_precision() -> None:
    with unchecked():  # for speed
        for seed in range(2000):
            model, loss_func, x, targets = drawn_case(seed, torch.float32)
            ours, theirs = (
                torch.cat([g.flatten() for g in gradient(model, loss_func, x, targets, how)]) for how in (True, False)
            )
            # Where the pictures' gradients cancel, both are rounded at the size of what was summed, not of the sum.
            layer = next(module for module in model.modules() if isinstance(module, nn.Linear))
            before = x if layer is model else model[:-1](x)
            predictions = layer(before).detach().requires_grad_()
            (slope,) = torch.autograd.grad(loss_func(predictions, targets), predictions)
            summed = (slope.norm(dim=1) * (before.square().sum(1) + 1).sqrt()).sum()
            assert (ours - theirs).norm() <= 1e-6 * summed, seed


def test_bytes_give_the_same_with_scale_and_shift_folded_in() -> None:
    with unchecked():
        for seed in range(300):
            model, loss_func, x, targets = drawn_case(seed, torch.float64)
            folded = formula(model, loss_func, 255.0)
            assert folded is not None
            predictions = model(x)
            torch.testing.assert_close(folded.predict(255 * x), predictions, rtol=1e-12, atol=1e-12)
            theirs = gradient(model, loss_func, x, targets, True)
            folded(255 * x, targets, predictions, loss_func(predictions, targets))
            for parameter, wanted in zip(model.parameters(), theirs, strict=True):
                torch.testing.assert_close(parameter.grad, wanted, rtol=0, atol=1e-12)


def test_a_batch_that_the_model_cannot_take_is_an_error_in_words_by_formula_too() -> None:
    found = formula(nn.Linear(4, 1), binary_cross_entropy_with_logits)
    assert found is not None
    for x in (torch.zeros(2, 1, 2, 2), torch.zeros(2, 5)):
        with pytest.raises(ShapeError, match="cannot take a batch of shape"):
            found.predict(x)


def test_a_normalization_that_changes_is_followed() -> None:
    model = linear((1, 2, 2), 2, Normalize([0.5], [0.25]))
    found = formula(model, binary_cross_entropy_with_logits, 255.0)
    assert found is not None
    x = torch.arange(8.0).reshape(2, 1, 2, 2) / 8
    torch.testing.assert_close(found.predict(255 * x), model(x))
    model[0].mean.fill_(0.125)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(found.predict(255 * x), model(x))
    model[0].std = torch.tensor([[[2.0]]])
    torch.testing.assert_close(found.predict(255 * x), model(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("score", [200.0, -200.0, 800.0, -800.0, 95.0, -104.0, 17.0])
@pytest.mark.parametrize("loss_func", [*ONE_COLUMN, cross_entropy])
def test_where_the_scores_saturate_the_formula_is_zero_exactly_where_autograd_is(
    dtype: torch.dtype, score: float, loss_func: Any
) -> None:
    columns = 1 if loss_func in ONE_COLUMN else 3
    model = nn.Linear(2, columns).to(dtype)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[score, -score / 2]] + [[0.0, 0.0]] * (columns - 1)))
        model.bias.zero_()
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]], dtype=dtype)
    for targets in (torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)):
        for ours, theirs in zip(
            gradient(model, loss_func, x, targets, True), gradient(model, loss_func, x, targets, False), strict=True
        ):
            assert torch.equal(ours == 0, theirs == 0)
            torch.testing.assert_close(ours, theirs)


def test_a_saturated_sigmoid_has_no_gradient_by_either_way() -> None:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(200.0)
        model.bias.zero_()
    x, wrong = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])
    for by_formula in (True, False):
        assert all((g == 0).all() for g in gradient(model, sigmoid_l1_loss, x, wrong, by_formula))


def two_columns_linear() -> nn.Sequential:
    return nn.Sequential(Normalize([0.5], [0.5]), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("model", "loss_func"),
    [
        (nn.Linear(4, 1), sigmoid_l1_loss),
        (nn.Sequential(nn.Linear(4, 3)), cross_entropy),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), mse_loss),
        (two_columns_linear(), functools.partial(cross_entropy, label_smoothing=0.1)),
    ],
)
def test_the_formula_applies_to_plain_linear_models_under_our_losses(model: nn.Module, loss_func: Any) -> None:
    assert formula(model, loss_func) is not None


class OwnLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def hooked(register: str, place: int = -1) -> Callable[[nn.Sequential], Any]:
    def alter(model: nn.Sequential) -> Any:
        module = model if place == -9 else model[place]
        return getattr(module, register)(lambda *arguments: None)

    return alter


def replaced(layer: Callable[[], nn.Module]) -> Callable[[nn.Sequential], Any]:
    def alter(model: nn.Sequential) -> None:
        model[-1] = layer()

    return alter


def own_forward(model: nn.Sequential) -> None:
    model[-1].forward = lambda x: torch.zeros(len(x), 2, requires_grad=True)  # type: ignore[method-assign]


def own_forward_of_all(model: nn.Sequential) -> None:
    model.forward = lambda x: x.flatten(1)[:, :2]  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "alter",
    [
        *(
            hooked(kind, place)
            for kind in (
                "register_forward_hook",
                "register_forward_pre_hook",
                "register_full_backward_hook",
                "register_full_backward_pre_hook",
            )
            for place in (-9, 0, 1, 2)
        ),
        lambda model: model[-1].weight.register_hook(lambda g: 2 * g),
        lambda model: model[-1].bias.register_hook(lambda g: 2 * g),
        lambda model: model[-1].weight.register_post_accumulate_grad_hook(lambda p: None),
        lambda model: parametrizations.weight_norm(model[-1]),
        lambda model: parametrizations.spectral_norm(model[-1]),
        lambda model: nn.utils.spectral_norm(model[-1]),
        lambda model: prune.l1_unstructured(model[-1], "weight", 0.5),
        lambda model: model[-1].weight.requires_grad_(False),
        lambda model: model[-1].bias.requires_grad_(False),
        own_forward,
        own_forward_of_all,
        replaced(lambda: OwnLinear(4, 2)),
        replaced(lambda: nn.Linear(4, 2, bias=False)),
        replaced(lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))),
        lambda model: model.append(nn.ReLU()),
        lambda model: model.__setitem__(1, nn.Flatten(2)),
    ],
)
def test_the_formula_is_refused_for_a_model_that_is_anything_but_plain(alter: Callable[[nn.Sequential], Any]) -> None:
    model = two_columns_linear()
    assert formula(model, cross_entropy) is not None
    alter(model)
    assert formula(model, cross_entropy) is None


@pytest.mark.parametrize(
    "register",
    [
        modules.register_module_forward_hook,
        modules.register_module_forward_pre_hook,
        modules.register_module_full_backward_hook,
        modules.register_module_full_backward_pre_hook,
    ],
)
def test_the_formula_is_refused_while_there_is_a_hook_on_all_modules(register: Callable[..., Any]) -> None:
    handle = register(lambda *arguments: None)
    try:
        assert formula(nn.Linear(4, 2), cross_entropy) is None
    finally:
        handle.remove()
    assert formula(nn.Linear(4, 2), cross_entropy) is not None


@pytest.mark.parametrize(
    "loss_func",
    [
        nn.functional.cross_entropy,
        nn.CrossEntropyLoss(),
        lambda predictions, targets: 2 * cross_entropy(predictions, targets),
        functools.partial(nn.functional.cross_entropy, label_smoothing=0.1),
        functools.partial(mse_loss),
        None,
    ],
)
def test_the_formula_is_refused_for_a_loss_that_is_not_ours(loss_func: Any) -> None:
    assert formula(nn.Linear(4, 2), loss_func) is None


def test_the_learner_says_how_it_calculates_the_gradient() -> None:
    dls = loaders(flat=True)
    assert Learner(dls, nn.Linear(64, 1)).gradient == "formula"
    assert Learner(dls, nn.Linear(64, 1), gradient="autograd").gradient == "autograd"
    assert Learner(dls, nn.Linear(64, 1), nn.BCEWithLogitsLoss()).gradient == "autograd"
    assert Learner(dls, nn.Sequential(nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 1))).gradient == "autograd"
    frozen = nn.Linear(64, 1)
    frozen.bias.requires_grad_(False)
    assert Learner(dls, frozen).gradient == "autograd"
    with pytest.raises(UsageError, match="formula"):
        next(iter(Learner(dls, frozen, gradient="formula").stream()))


def test_training_by_formula_and_by_autograd_agree() -> None:
    by_formula, by_autograd = learner(gradient="formula"), learner(gradient="autograd")
    for learn in (by_formula, by_autograd):
        learn.fit(3, 0.1, show=False)
    for ours, theirs in zip(by_formula.model.parameters(), by_autograd.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert by_formula.recorder.values[-1] == pytest.approx(by_autograd.recorder.values[-1], rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bool, torch.uint8])
@pytest.mark.parametrize("loss_func", [*LOSSES.values(), functools.partial(cross_entropy, label_smoothing=0.1)])
def test_targets_of_any_type_have_the_same_gradient_by_either_way(loss_func: Any, dtype: torch.dtype) -> None:
    x, targets = torch.rand(8, 5), (torch.arange(8) % 2).to(dtype)
    model = nn.Linear(5, 1 if loss_func in (*ONE_COLUMN, mse_loss) else 2)
    ours, theirs = (gradient(model, loss_func, x, targets, by_formula) for by_formula in (True, False))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("how", ["formula", "autograd"])
def test_a_gradient_that_was_there_is_discarded(how: str) -> None:
    model = nn.Linear(3, 1)
    x, targets = torch.rand(5, 3), torch.tensor([0, 1, 0, 1, 1])
    fresh = gradient(model, mse_loss, x, targets, how == "formula")
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e9)
    again = gradient(model, mse_loss, x, targets, how == "formula")
    assert all(torch.equal(one, other) for one, other in zip(fresh, again, strict=True))
