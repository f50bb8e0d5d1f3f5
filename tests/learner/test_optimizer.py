"""What is trained is looked at before each epoch: unfrozen, replaced and added parameters train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small import assert_same, everything, learner, loaders
from torch import Tensor, nn

from sevensteps.errors import ModelError, TrainingError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.records.events import Batch, Epoch
from sevensteps.steps.step import SGD
from sevensteps.steps.stop import after


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 1))


def moved(layer: nn.Module, learn: Learner, epochs: int = 1) -> bool:
    before = layer.weight.detach().clone()
    learn.fit(epochs, show=False)
    return not torch.equal(before, layer.weight)


OPTIMIZERS = [SGD, torch.optim.AdamW, torch.optim.Adagrad, torch.optim.RMSprop]


@pytest.mark.parametrize("opt_func", OPTIMIZERS)
def test_an_unfrozen_layer_trains_and_the_others_keep_their_state(opt_func: Any) -> None:
    model = network()
    model[1].requires_grad_(False)
    learn = Learner(loaders(), model, None, opt_func, 0.01)
    assert learn.trainable_count == 7
    assert not moved(model[1], learn)
    state = dict(learn.opt.state[model[3].weight])
    model[1].requires_grad_(True)
    assert "7 of them trainable" in learn.summary()  # what the optimizer holds
    assert moved(model[1], learn)
    assert learn.trainable_count == 64 * 6 + 6 + 7
    assert learn.opt.state[model[3].weight].keys() == state.keys()
    assert len(learn.opt.param_groups) == 1
    assert learn.opt.param_groups[0]["params"] == list(model.parameters())


def test_a_layer_can_be_unfrozen_in_the_loop() -> None:
    model = network()
    model[1].requires_grad_(False)
    learn, before = Learner(loaders(), model, lr=0.1), model[1].weight.detach().clone()
    for event in learn.stream(after(epochs=2)):
        if isinstance(event, Epoch):
            model[1].requires_grad_(True)
    assert not torch.equal(before, model[1].weight)


def test_a_replaced_layer_trains_and_the_old_one_is_forgotten() -> None:
    model = network()
    learn = Learner(loaders(), model, None, torch.optim.AdamW, 0.01)
    learn.fit(1, show=False)
    old = model[3].weight
    model[3] = nn.Linear(6, 1)
    assert moved(model[3], learn)
    assert old not in set(learn.opt.state)
    assert learn.opt.param_groups[0]["params"] == list(model.parameters())


def test_a_frozen_layer_keeps_its_momentum_until_it_is_unfrozen() -> None:
    model = network()
    learn = Learner(loaders(), model, None, torch.optim.AdamW, 0.01)
    learn.fit(1, show=False)
    kept = learn.opt.state[model[1].weight]["exp_avg"].clone()
    model[1].requires_grad_(False)
    model[3] = nn.Linear(6, 1)
    learn.fit(1, show=False)
    assert torch.equal(learn.opt.state[model[1].weight]["exp_avg"], kept)
    assert learn.trainable_count == 7


def test_what_opt_func_leaves_out_stays_left_out() -> None:
    model = network()
    learn = Learner(loaders(), model, None, lambda parameters, lr: SGD(model[3].parameters(), lr), 0.1)
    assert not moved(model[1], learn, 2)
    assert learn.trainable_count == 7
    model[3] = nn.Linear(6, 1)  # opt_func is asked again, and takes it
    assert moved(model[3], learn)
    assert learn.trainable_count == 7


def test_groups_of_opt_func_take_a_replaced_layer_at_their_own_rate() -> None:
    model = network()

    def two(parameters: Any, lr: float) -> SGD:
        return SGD([{"params": model[1].parameters(), "lr": lr / 10}, {"params": model[3].parameters()}], lr)

    learn = Learner(loaders(), model, None, two, 0.1)
    model[3] = nn.Linear(6, 1)
    assert moved(model[3], learn)
    assert [group["lr"] for group in learn.opt.param_groups] == pytest.approx([0.01, 0.1])


def test_where_the_group_is_not_clear_the_fit_is_refused() -> None:
    model = network()
    model[1].requires_grad_(False)
    learn = Learner(loaders(), model, lr=0.1)
    learn.opt.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    model[1].requires_grad_(True)
    with pytest.raises(
        TrainingError, match=r"does not hold 2 trainable parameters, such as 1.bias.*\n.*add_param_group"
    ):
        learn.fit(1, show=False)
    learn.fit(1, reset_opt=True, show=False)
    assert learn.trainable_count == learn.parameter_count


def test_a_model_that_is_frozen_later_is_refused() -> None:
    learn = Learner(loaders(), network(), lr=0.1)
    learn.model.requires_grad_(False)
    with pytest.raises(ModelError, match="no trainable parameters"):
        learn.fit(1, show=False)


@pytest.mark.parametrize("at", [Batch, Epoch])
def test_a_weight_frozen_in_the_loop_stays_though_the_formula_would_move_it(at: type) -> None:
    learn = learner("linear")
    assert learn.gradient == "formula"
    layer = learn.model[-1]
    for event in learn.stream(after(epochs=3)):
        if type(event) is at and layer.weight.requires_grad:
            layer.weight.requires_grad_(False)
            before, bias = layer.weight.clone(), layer.bias.detach().clone()
    assert torch.equal(layer.weight, before)
    assert not torch.equal(layer.bias, bias)
    assert learn.gradient == "autograd"


@pytest.mark.parametrize("kind", ["forward", "gradient"])
@pytest.mark.parametrize("at", [Batch, Epoch])
def test_a_hook_added_in_the_loop_is_called_though_the_formula_would_not(kind: str, at: type) -> None:
    learn, called = learner("linear"), []
    hook: Any = None
    for number, event in enumerate(learn.stream(after(epochs=2))):
        if hook is None and type(event) is at:
            layer, began = learn.model[-1], number
            if kind == "forward":
                hook = layer.register_forward_hook(lambda *given: called.append(1))
            else:
                hook = layer.weight.register_hook(lambda gradient: called.append(1))
    assert len(called) >= 10 - began - 1


def test_going_over_to_autograd_in_an_epoch_misses_no_picture_and_sees_none_twice() -> None:
    plain, hooked = learner("linear", gradient="autograd"), learner("linear")
    list(plain.stream(after(epochs=1)))
    for number, _ in enumerate(hooked.stream(after(epochs=1))):
        if number == 1:
            hooked.model[-1].register_forward_hook(lambda *given: None)
    for mine, theirs in zip(hooked.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


class Scaled(nn.Module):
    """A loss with a parameter of its own, a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1))

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        logits = predictions.flatten() * self.log_scale.exp()
        return nn.functional.binary_cross_entropy_with_logits(logits, targets.flatten().float())


def test_a_losss_own_parameters_train_and_are_saved(tmp_path: Path) -> None:
    def made() -> Learner:
        return Learner(loaders(), network(), Scaled(), torch.optim.AdamW, 0.05)

    learn = made()
    learn.lr_find(show_plot=False, num_it=10)
    assert learn.loss_func.log_scale == 0
    learn.fit(1, show=False)
    assert learn.loss_func.log_scale != 0
    assert learn.trainable_count == learn.parameter_count + 1
    other = made().load(learn.save(tmp_path / "with_loss"))
    assert other.loss_func.log_scale == learn.loss_func.log_scale
    learn.fit(1, show=False)
    other.fit(1, show=False)
    assert_same(everything(other), everything(learn))


def rated(opt_func: Any) -> Learner:
    """A learner that is given the rate 0.01."""
    return Learner(loaders(40), network(), opt_func=opt_func, lr=0.01)


def test_a_rate_in_a_tensor_is_the_rate_that_was_given() -> None:
    learn = rated(lambda parameters, lr: torch.optim.Adam(parameters, torch.tensor(lr)))
    learn.fit(1, show=False)
    assert learn.opt.param_groups[0]["lr"] == pytest.approx(0.01)
    with pytest.raises(UsageError, match=r"rate 0.02, but lr is 0.01"):
        rated(lambda parameters, lr: SGD(parameters, lr=2 * lr))
