"""Step 5: SGD equals PyTorch's bit for bit, and so do the schedules that are defined in the same way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import learner, unchecked
from torch import nn
from torch.optim import lr_scheduler

from sevensteps.errors import UsageError
from sevensteps.steps.step import (
    SCHEDULES,
    SGD,
    Muon,
    clipped,
    constant,
    cosine,
    one_cycle,
    optimizer_named,
    orthogonal,
)

SETTINGS = [
    {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    for momentum, weight_decay, nesterov in itertools.product((0.0, 0.5, 0.9), (0.0, 0.01, 1.0), (False, True))
    if momentum or not nesterov
]


def problem() -> tuple[nn.Module, Callable[[nn.Module], torch.Tensor]]:
    """Return a small network, and a function for the loss of the batch of each step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))
    batches = itertools.cycle([(torch.randn(11, 7), torch.randint(0, 3, (11,))) for _ in range(4)])

    def loss(model: nn.Module) -> torch.Tensor:
        x, targets = next(batches)
        return nn.functional.cross_entropy(model(x), targets)

    return model, loss


def trained(make: Callable[..., torch.optim.Optimizer], steps: int = 20, **settings: Any) -> list[torch.Tensor]:
    model, loss = problem()
    optimizer = make(model.parameters(), lr=0.3, **settings)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("settings", SETTINGS)
def test_sgd_is_pytorchs_bit_for_bit_over_20_steps(settings: dict[str, Any]) -> None:
    for ours, theirs in zip(trained(SGD, **settings), trained(torch.optim.SGD, **settings), strict=True):
        assert torch.equal(ours, theirs)


def test_sgd_takes_parameters_and_rate_by_position_as_the_walk_through_does() -> None:
    model = nn.Linear(2, 1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = SGD(model.parameters(), 1.0)
    model(torch.ones(3, 2)).mean().backward()
    optimizer.step()
    for was, parameter in zip(before, model.parameters(), strict=True):
        assert torch.equal(parameter, was - 1)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_sgd_leaves_parameters_without_a_gradient_alone() -> None:
    used, unused = nn.Linear(2, 1), nn.Linear(2, 1)
    before = unused.weight.detach().clone()
    optimizer = SGD([*used.parameters(), *unused.parameters()], 1.0, momentum=0.9, weight_decay=0.1)
    used(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(unused.weight, before)


def test_the_state_of_sgd_goes_through_state_dict() -> None:
    model, loss = problem()
    whole = trained(SGD, momentum=0.9)
    optimizer = SGD(model.parameters(), lr=0.3, momentum=0.9)
    for step in range(20):
        if step == 7:
            saved, parameters = optimizer.state_dict(), model.state_dict()
            model = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))
            model.load_state_dict(parameters)
            optimizer = SGD(model.parameters(), lr=123.0)
            optimizer.load_state_dict(saved)
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), whole, strict=True))


def test_sgd_works_with_pytorchs_schedulers() -> None:
    def with_scheduler(make: Any) -> list[torch.Tensor]:
        model, loss = problem()
        optimizer = make(model.parameters(), lr=0.3, momentum=0.9)
        scheduler = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)
        for _ in range(10):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
            scheduler.step()
        return [parameter.detach() for parameter in model.parameters()]

    ours, theirs = with_scheduler(SGD), with_scheduler(torch.optim.SGD)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "settings",
    [{"lr": -0.1}, {"lr": float("nan")}, {"lr": "x"}, {"momentum": -0.9}, {"weight_decay": -1e-4}, {"nesterov": True}],
)
def test_sgd_refuses_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with unchecked(), pytest.raises(UsageError, match=next(iter(settings))):
        SGD(nn.Linear(1, 1).parameters(), **{"lr": 0.1, **settings})


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (72, 8), (64, 576)])
def test_what_is_made_orthogonal_keeps_its_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonal(matrix)
    inside = left.t() @ made @ right.t()
    values = inside.diagonal()
    torch.testing.assert_close(inside, values.diag(), atol=1e-9, rtol=0)
    tiny = torch.linalg.svdvals(matrix / matrix.norm()) < 0.01  # which five steps do not bring up
    assert ((values > 0.6) & (values < 1.25))[~tiny].all()


def test_muon_is_pytorchs_for_filters_and_adamw_for_the_rest() -> None:
    def gradients(model: nn.Module, step: int) -> None:
        random = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)

    def network() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 3))

    ours, theirs = network(), network()
    settings = {"lr": 0.02, "weight_decay": 0.1}
    own = Muon(ours.parameters(), momentum=0.9, **settings)
    filters, *rest = theirs.parameters()
    matrix = filters.detach().flatten(1).clone().requires_grad_()
    muon = torch.optim.Muon([matrix], momentum=0.9, adjust_lr_fn="match_rms_adamw", **settings)
    adamw = torch.optim.AdamW(rest, betas=(0.9, 0.99), **settings)
    for step in range(10):
        gradients(ours, step)
        gradients(theirs, step)
        matrix.grad = filters.grad.flatten(1)  # type: ignore[union-attr]
        for optimizer in (own, muon, adamw):
            optimizer.step()
    for one, other in zip(list(ours.parameters())[1:], rest, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    moved, wanted = ours[0].weight.flatten(1) - filters.flatten(1), matrix - filters.flatten(1)  # type: ignore[operator, union-attr]
    assert (moved - wanted).norm() < 0.02 * wanted.norm(), "PyTorch iterates in half precision"


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"momentum": 1.0}, {"betas": (0.9, 1.0)}, {"weight_decay": -0.1}])
def test_muon_refuses_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        Muon(nn.Conv2d(1, 2, 3).parameters(), **settings)


def test_hooks_on_a_step_are_called_in_training() -> None:
    learn = learner()
    batches = learn.batches_per_epoch or 0
    called: list[str] = []
    hook = learn.opt.register_step_pre_hook(lambda *_: called.append("before"))
    learn.fit(1, show=False)
    hook.remove()
    learn.opt.register_step_post_hook(lambda *_: called.append("after"))
    learn.fit(1, show=False)
    assert called == ["before"] * batches + ["after"] * batches


def test_a_closure_is_called_with_gradients_and_gives_its_loss() -> None:
    x, y = torch.rand(8, 3), torch.rand(8, 1)
    losses = {}
    for make in (SGD, torch.optim.SGD):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = make(model.parameters(), lr=0.1, momentum=0.9)

        def closure(model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            return loss

        losses[make] = [float(optimizer.step(closure).detach()) for _ in range(5)]
    assert losses[SGD] == losses[torch.optim.SGD]
    assert losses[SGD][-1] < losses[SGD][0]


def rates_of(scheduler: Any, optimizer: torch.optim.Optimizer, total: int) -> list[float]:
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("total", "share"), [(100, 0.25), (43, 0.3), (1000, 0.1), (20, 0.5)])
def test_one_cycle_is_pytorchs_where_both_peak_at_the_same_batch(total: int, share: float) -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    theirs = lr_scheduler.OneCycleLR(
        optimizer, 0.4, total, pct_start=share, div_factor=25.0, final_div_factor=1e5 / 25, cycle_momentum=False
    )
    wanted = [*rates_of(theirs, optimizer, total - 1), 0.4 / 1e5]
    # PyTorch's peak is at batch total * share - 1, counted from 0; ours is at a share of the last batch's number.
    ours = one_cycle(pct_start=(total * share - 1) / (total - 1))
    assert [0.4 * ours(batch, total) for batch in range(total)] == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_one_cycle_starts_low_peaks_after_a_quarter_and_ends_near_zero() -> None:
    factors = [one_cycle()(batch, 101) for batch in range(101)]
    assert factors[0] == pytest.approx(1 / 25)
    assert factors[25] == max(factors) == 1
    assert factors[100] == pytest.approx(1e-5)
    assert one_cycle(pct_start=1.0)(100, 101) == 1
    assert one_cycle(pct_start=0.0)(0, 101) == 1
    assert one_cycle()(0, 1) == pytest.approx(1 / 25)


def test_cosine_is_pytorchs() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.7)
    wanted = rates_of(lr_scheduler.CosineAnnealingLR(optimizer, 50), optimizer, 50)
    assert [0.7 * cosine(batch, 50) for batch in range(50)] == pytest.approx(wanted)
    assert cosine(50, 50) == 0


def test_constant_is_constant_and_needs_no_end() -> None:
    assert {constant(batch, None) for batch in range(5)} == {1.0}


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
def test_a_schedule_that_must_know_the_end_says_so(name: str) -> None:
    with pytest.raises(UsageError, match="when training will end"):
        SCHEDULES[name](0, None)


@pytest.mark.parametrize("settings", [{"div": 0.0}, {"div_final": -1.0}, {"pct_start": 1.5}, {"pct_start": -0.1}])
def test_one_cycle_refuses_settings_that_cannot_be(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="one_cycle"):
        one_cycle(**settings)


@pytest.mark.parametrize("clip", [0.01, 0.5, 1e6])
def test_a_clipped_step_is_pytorchs_clipping_and_then_the_step(clip: float) -> None:
    def after(step_of: Callable[[torch.optim.Optimizer, nn.Module], Callable[[], Any]]) -> list[torch.Tensor]:
        model, loss = problem()
        optimizer = SGD(model.parameters(), lr=0.3, momentum=0.9)
        step = step_of(optimizer, model)
        for _ in range(5):
            optimizer.zero_grad()
            loss(model).backward()
            step()
        return [parameter.detach() for parameter in model.parameters()]

    def by_hand(optimizer: torch.optim.Optimizer, model: nn.Module) -> Callable[[], Any]:
        def step() -> None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()

        return step

    ours = after(lambda optimizer, model: clipped(optimizer, model, clip))
    assert all(torch.equal(one, other) for one, other in zip(ours, after(by_hand), strict=True))
    unclipped = after(lambda optimizer, model: optimizer.step)
    assert torch.equal(ours[0], unclipped[0]) == (clip == 1e6)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_clipping_to_nothing_is_refused(clip: float) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(UsageError, match="clip"):
        clipped(SGD(model.parameters(), 0.1), model, clip)


def test_an_optimizer_is_found_by_its_name() -> None:
    assert optimizer_named("SGD") is SGD
    assert optimizer_named("AdamW") is torch.optim.AdamW
    for name in ("LBFGS", "SparseAdam", "Optimizer", "lr_scheduler", "Adamm"):
        with pytest.raises(UsageError) as caught:
            optimizer_named(name)
        assert caught.value.hint
