"""Fixed parts of a batch: the same numbers on one core and on many, and those of the whole batch up to rounding."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from small import assert_same, everything, images, learner, loaders, unchecked
from torch import Tensor, nn

import sevensteps as ss
from sevensteps.base.device import computing_with
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import ModelError, RecipeError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.records.events import Batch
from sevensteps.steps.loss import cross_entropy
from sevensteps.steps.step import SGD, Muon, one_cycle
from sevensteps.steps.stop import after

with_momentum = functools.partial(SGD, momentum=0.9, weight_decay=0.01)


def with_batch_norm(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 4, 3, stride=3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(4 * 81, 2))


def pictures(**how: Any) -> DataLoaders:
    # 150 pictures in batches of 64: the last has 22, too few for two parts of 16.
    return loaders(150, 64, shape=(1, 28, 28), **how)


def divided(model: nn.Module, opt_func: Any = with_momentum, **settings: Any) -> Learner:
    return Learner(pictures(augment="flip+shift"), model, cross_entropy, opt_func, 0.01, **settings)


def trained(make: Any, threads: int, parts: int) -> tuple[Learner, list[float]]:
    with computing_with(threads, parts):
        learn = make()
        events = list(learn.stream(after(epochs=2), schedule=one_cycle()))
    return learn, [float(event.loss) for event in events if isinstance(event, Batch)]


CASES = {
    "batch norm, SGD": lambda: divided(with_batch_norm(), shards=4),
    "batch norm, Muon, clipped": lambda: divided(with_batch_norm(), Muon, shards=3, clip=0.5),
    "dropout, AdamW": lambda: divided(with_batch_norm(0.5), torch.optim.AdamW, shards=4),
    "accumulated": lambda: divided(with_batch_norm(), shards=2, accumulate=2),
    "weights and smoothing": lambda: Learner(
        pictures(),
        with_batch_norm(),
        functools.partial(cross_entropy, weight=torch.tensor([0.3, 1.7]), label_smoothing=0.1),
        with_momentum,
        0.01,
        shards=4,
    ),
    "mixup": lambda: Learner(
        pictures(augment="mixup"),
        with_batch_norm(),
        cross_entropy,
        with_momentum,
        0.01,
        shards=4,
    ),
    "formula": lambda: learner("linear", loaders(150, 64), None, with_momentum, lr=0.01, shards=4),
}


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_the_same_for_any_number_of_threads(case: str) -> None:
    one, losses = trained(CASES[case], 1, 1)
    for threads, parts in ((1, 2), (2, 2), (2, 1), (3, 3)):
        other, others = trained(CASES[case], threads, parts)
        assert others == losses
        assert_same(everything(other), everything(one))


@pytest.mark.parametrize("opt_func", [with_momentum, torch.optim.AdamW])
def test_parts_agree_with_the_whole_batch_up_to_rounding(opt_func: Any) -> None:
    whole, parts = (divided_relu(opt_func, shards) for shards in (0, 4))
    for learn in (whole, parts):
        learn.fit(2, show=False)
    assert parts.state.history[-1].train_loss == pytest.approx(whole.state.history[-1].train_loss, rel=1e-5)
    for mine, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def divided_relu(opt_func: Any, shards: int) -> Learner:
    return learner("relu", loaders(150, 64), None, opt_func, lr=0.01, shards=shards, clip=0.5)


def test_batch_norm_keeps_the_mean_of_the_parts_statistics() -> None:
    learn = divided(with_batch_norm(), shards=4)
    x = next(learn._batches(0, 0))[0]
    next(iter(learn.stream(after(epochs=1))))
    conv, norm = with_batch_norm()[0], learn.model[1]
    outputs = [conv(part) for part in x.split(16)]
    means = torch.stack([output.mean((0, 2, 3)) for output in outputs]).mean(0)
    spreads = torch.stack([output.var((0, 2, 3)) for output in outputs]).mean(0)
    assert torch.allclose(norm.running_mean, 0.1 * means, atol=1e-6)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * spreads, atol=1e-6)
    assert int(norm.num_batches_tracked) == 1


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_leaving_between_two_batches_and_loading_ends_as_an_uninterrupted_run(tmp_path: Path, dropout: float) -> None:
    whole = divided(with_batch_norm(dropout), shards=4)
    events = list(whole.stream(after(epochs=2)))
    for left_at in range(1, len(events)):
        left = divided(with_batch_norm(dropout), shards=4)
        for _ in zip(range(left_at), left.stream(after(epochs=2)), strict=False):
            pass
        other = divided(with_batch_norm(dropout), shards=4).load(left.save(tmp_path / "half"))
        list(other.stream(after(epochs=2)))
        assert_same(everything(other), everything(whole))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_xray_shows_the_numbers_of_training(dropout: float, precision: str) -> None:
    if precision == "bf16":
        needs_bf16()
    with computing_with(1):
        learn = divided(with_batch_norm(dropout), shards=4, precision=precision)
        stream = learn.stream(after(epochs=1))
        next(iter(stream))
        seen = learn.xray()
        event = next(iter(stream))
    assert isinstance(event, Batch)
    assert seen[3].values["loss"] == float(event.loss)
    for name, parameter in learn.model.named_parameters():
        assert torch.equal(seen[4].values["gradients"][name], parameter.grad)
        assert torch.equal(seen[5].values["parameters"][name], parameter.detach())


def test_xray_shows_the_numbers_of_training_by_formula() -> None:
    learn = learner("linear", loaders(150, 64), None, with_momentum, lr=0.01, shards=4)
    seen = learn.xray()
    event = next(iter(learn.stream(after(epochs=1))))
    assert isinstance(event, Batch)
    assert len(seen[2].values["logits"]) == event.size == 64
    assert seen[3].values["loss"] == float(event.loss)
    for name, parameter in learn.model.named_parameters():
        assert torch.equal(seen[4].values["gradients"][name], parameter.grad)


def needs_bf16() -> None:
    try:
        learner(precision="bf16")
    except UsageError:
        pytest.skip("this CPU does not compute with bfloat16")


def test_bfloat16_learns_nearly_the_same_and_keeps_parameters_of_32_bits() -> None:
    needs_bf16()
    exact, rounded = (divided(with_batch_norm(), shards=2, precision=kind) for kind in ("f32", "bf16"))
    for learn in (exact, rounded):
        learn.fit(3, show=False)
    losses = [learn.state.history[-1].train_loss for learn in (exact, rounded)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert {parameter.dtype for parameter in rounded.model.parameters()} == {torch.float32}


def test_bfloat16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for unit in ("amx_tile", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, f"_is_{unit}_supported", lambda: False)
    with pytest.raises(UsageError, match="neither AVX512_BF16 nor AMX"):
        learner(precision="bf16")
    splits = Splits(images(80), valid=images(20, seed=1), test=images(20, seed=2))
    with pytest.raises(RecipeError, match="neither AVX512_BF16 nor AMX") as refused:
        ss.Recipe.load("cnn").replace(precision="bf16").settled(splits)
    assert "f32" in refused.value.hint


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="precision"):
        learner(precision="fp8")


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "4"])
def test_what_is_no_number_of_parts_is_refused(wrong: Any) -> None:
    with unchecked(), pytest.raises(UsageError, match="whole number of 0 or more"):
        learner(shards=wrong)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 2)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(len(x))
        return self.layer(x.flatten(1))


class InAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 2)
        self.layers = [self.layer]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x.flatten(1))


@pytest.mark.parametrize(("model", "why"), [(Counting, "keeps numbers"), (InAList, "through its layers")])
def test_a_model_that_cannot_be_divided_is_refused_with_a_reason(model: type[nn.Module], why: str) -> None:
    learn = divided(model(), shards=2)
    with pytest.raises(ModelError, match=why):
        learn.fit(1, show=False)
    whole = divided(model())
    whole.fit(1, show=False)
    assert whole.state.epoch == 1


def test_a_hook_on_a_gradient_is_refused() -> None:
    model = with_batch_norm()
    model[0].weight.register_hook(lambda gradient: gradient * 2)
    with pytest.raises(ModelError, match="hook"):
        divided(model, shards=2).fit(1, show=False)


def test_hooks_of_layers_see_every_part_in_order() -> None:
    model, sizes = with_batch_norm(), []
    model[1].register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    next(iter(divided(model, shards=4).stream(after(epochs=1))))
    assert sizes == [16, 16, 16, 16]


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(weight=torch.ones(2)), nn.CrossEntropyLoss(reduction="sum")])
def test_a_loss_that_is_not_a_mean_over_pictures_is_refused(loss: nn.Module) -> None:
    with pytest.raises(UsageError, match="mean over its pictures"):
        Learner(loaders(shape=(1, 28, 28)), with_batch_norm(), loss, shards=2)


def test_an_error_in_a_part_leaves_a_learner_that_goes_on() -> None:
    class Failing(nn.Module):
        fails = False

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(784, 2)

        def forward(self, x: Tensor) -> Tensor:
            if Failing.fails:
                raise KeyError("mine")
            return self.layer(x.flatten(1))

    learn = divided(Failing(), shards=4)
    Failing.fails = True
    with pytest.raises(KeyError, match="mine"):
        learn.fit(1, show=False)
    Failing.fails = False
    learn.fit(1, show=False)
    assert len(learn.state.history) == 1


def test_a_recipe_divides_batches() -> None:
    splits = Splits(images(80), valid=images(20, seed=1), test=images(20, seed=2))
    recipes = ("cnn", "fashion-10", "fashion-94", "linear", "relu")
    assert [ss.Recipe.load(name).shards for name in recipes] == [2, 2, 2, 0, 0]
    recipe = ss.Recipe.load("cnn").replace(width=2, epochs=1, shards=3)
    learn = recipe.learner(splits)
    assert (learn.parting.shards, learn.parting.precision) == (3, "f32")
    assert recipe.settled(splits).threads == 0  # as many as there are cores, wherever the run goes on
    assert ss.Recipe.from_toml(recipe.to_toml()).shards == 3
    assert ss.Recipe.load("linear").learner(splits).parting.shards == 0
