"""Rates: groups keep their ratios, and what somebody else writes into an optimizer acts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import assert_same, everything, learner
from torch import nn
from torch.optim import lr_scheduler

from sevensteps.errors import UsageError
from sevensteps.learner.learner import Learner
from sevensteps.records.events import Epoch
from sevensteps.steps.step import SGD, cosine
from sevensteps.steps.stop import after


def in_two_groups(first: float = 0.1, **how: Any) -> Learner:
    """Return a learner whose optimizer has a rate of its own for the first layer."""

    def two(parameters: Any, lr: float) -> SGD:
        weights = list(parameters)
        return SGD([{"params": weights[:2], "lr": lr * first, "weight_decay": 0.0}, {"params": weights[2:]}], lr, **how)

    return learner("relu", None, None, two)


def rates(learn: Learner) -> list[float]:
    return [group["lr"] for group in learn.opt.param_groups]


def epochs_of(learn: Learner, change: Callable[[Epoch], Any], count: int = 3) -> list[float]:
    """Return the rate of each epoch; after each of them `change` is called."""
    seen = []
    for event in learn.stream(after(epochs=count)):
        if isinstance(event, Epoch):
            seen.append(event.lr)
            change(event)
    return seen


def test_groups_keep_their_ratio_under_another_rate_and_a_schedule() -> None:
    learn = in_two_groups()
    learn.fit(1, 0.5, show=False)
    assert rates(learn) == pytest.approx([0.05, 0.5])
    for _ in learn.stream(after(epochs=1), schedule=cosine):
        assert rates(learn)[0] == pytest.approx(rates(learn)[1] / 10)


def test_the_first_layer_trains_as_with_a_tenth_of_the_rate() -> None:
    learn, other = in_two_groups(), learner("relu", None, None, torch.optim.SGD)
    other.state.use(
        torch.optim.SGD(
            [
                {"params": list(other.model.parameters())[:2], "lr": 0.01},
                {"params": list(other.model.parameters())[2:]},
            ],
            0.1,
        ),
        0.1,
    )
    learn.fit(2, show=False)
    other.fit(2, show=False)
    for mine, theirs in zip(learn.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-7)


def test_a_weight_decay_of_zero_stays_zero_and_the_others_keep_their_ratio() -> None:
    learn = in_two_groups(weight_decay=0.01)
    learn.fit(1, wd=0.2, show=False)
    assert [group["weight_decay"] for group in learn.opt.param_groups] == [0.0, 0.2]
    plain = learner()
    plain.fit(1, wd=0.2, show=False)
    assert plain.opt.param_groups[0]["weight_decay"] == 0.2


def step_lr(learn: Learner) -> Callable[[Epoch], Any]:
    scheduler = lr_scheduler.StepLR(learn.opt, 1, 0.1)
    return lambda epoch: scheduler.step()


def lambda_lr(learn: Learner) -> Callable[[Epoch], Any]:
    scheduler = lr_scheduler.LambdaLR(learn.opt, lambda epoch: 0.1**epoch)
    return lambda epoch: scheduler.step()


def on_plateau(learn: Learner) -> Callable[[Epoch], Any]:
    scheduler = lr_scheduler.ReduceLROnPlateau(learn.opt, patience=0, threshold=1e9)
    return lambda epoch: scheduler.step(epoch.train_loss)


def by_hand(learn: Learner) -> Callable[[Epoch], Any]:
    def change(epoch: Epoch) -> None:
        for group in learn.opt.param_groups:
            group["lr"] *= 0.1

    return change


def of_the_learner(learn: Learner) -> Callable[[Epoch], Any]:
    def change(epoch: Epoch) -> None:
        learn.lr *= 0.1

    return change


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("change", [step_lr, lambda_lr, on_plateau, by_hand, of_the_learner])
@pytest.mark.parametrize("make", [learner, in_two_groups])
def test_a_rate_changed_in_the_loop_acts(make: Callable[[], Learner], change: Callable[[Learner], Any]) -> None:
    learn = make()
    seen = epochs_of(learn, change(learn))
    assert seen == pytest.approx([0.1, 0.01, 0.001])


def test_a_scheduler_between_fits_acts_and_its_rate_stays() -> None:
    learn = learner()
    scheduler = lr_scheduler.StepLR(learn.opt, 2, 0.1)
    seen = []
    for _ in range(4):
        learn.fit(1, show=False)
        seen += rates(learn)
        scheduler.step()
    assert seen == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_a_warmup_from_zero_acts() -> None:
    learn = learner()
    scheduler = lr_scheduler.LambdaLR(learn.opt, lambda epoch: epoch / 2)
    assert epochs_of(learn, lambda epoch: scheduler.step()) == pytest.approx([0, 0.05, 0.1])


def test_one_group_can_be_changed_alone() -> None:
    learn = in_two_groups()

    def change(epoch: Epoch) -> None:
        learn.opt.param_groups[0]["lr"] = 0.07

    epochs_of(learn, change, 2)
    assert rates(learn) == pytest.approx([0.07, 0.1])
    learn.fit(1, 0.2, show=False)
    assert rates(learn) == pytest.approx([0.14, 0.2])


def test_a_rate_that_cannot_act_is_refused() -> None:
    learn = learner()
    stream = learn.stream(after(epochs=3), schedule=lambda batch, total: 0.0)
    next(stream)
    learn.opt.param_groups[0]["lr"] = 0.3
    with pytest.raises(UsageError, match=r"cannot act.*\n.*learn.set"):
        next(stream)
    learn = learner()
    learn.opt.param_groups[0]["lr"] = -1.0
    with pytest.raises(UsageError, match=r"set to -1\.0"):
        next(learn.stream())


def test_the_rate_that_opt_func_chose_is_the_learners() -> None:
    learn = learner(lr=None, opt_func=lambda parameters, lr: SGD(parameters, 0.3))
    learn.fit(1, show=False)
    assert learn.lr == 0.3
    assert rates(learn) == [0.3]
    learn.fit(1, 0.05, show=False)
    assert rates(learn) == [0.05]
    with pytest.raises(UsageError, match=r"learning rate 0.3, but lr is 0.1"):
        learner(lr=0.1, opt_func=lambda parameters, lr: SGD(parameters, 0.3))
    assert learner(lr=None).lr == 0.001


def test_a_learner_with_groups_goes_on_after_loading_as_if_it_had_not_been_saved(tmp_path: Path) -> None:
    def run(learn: Learner) -> Any:
        return learn.stream(after(epochs=2), schedule=cosine)

    whole = in_two_groups(momentum=0.9)
    list(run(whole))
    left = in_two_groups(momentum=0.9)
    for _ in zip(range(3), run(left), strict=False):
        pass
    other = in_two_groups(momentum=0.9).load(left.save(tmp_path / "half"))
    list(run(other))
    assert_same(everything(other), everything(whole))


def test_lr_find_and_xray_show_every_group_at_its_own_rate() -> None:
    learn = in_two_groups()
    seen = learn.xray()
    assert seen[5].values["lr"] == 0.1
    gradient, before, after_step = (
        seen[4].values["gradients"],
        seen[1].values["parameters"],
        seen[5].values["parameters"],
    )
    name = next(iter(before))
    assert torch.allclose(before[name] - after_step[name], 0.01 * gradient[name], atol=1e-6)
    learn.lr_find(show_plot=False, num_it=10)
    assert rates(learn) == pytest.approx([0.01, 0.1])


def test_a_group_that_is_added_in_the_loop_trains_at_the_learners_rate() -> None:
    extra = nn.Parameter(torch.zeros(3))
    learn = learner(opt_func=functools.partial(SGD, momentum=0.9), lr=0.2)
    for event in learn.stream(after(epochs=2)):
        if isinstance(event, Epoch) and event.number == 1:
            learn.opt.add_param_group({"params": [extra]})
    assert rates(learn) == [0.2, 0.2]
