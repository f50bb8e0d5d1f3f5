"""X-ray: one batch through the seven steps with the numbers that training will have, changing nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small import assert_same, everything, images, learner, loaders, with_dropout
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sevensteps.data.batches import DataLoaders
from sevensteps.errors import DataError
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.records.events import Batch
from sevensteps.records.steps import XRay
from sevensteps.steps.step import SGD, cosine, one_cycle
from sevensteps.steps.stop import after

with_momentum = functools.partial(SGD, momentum=0.9)


def by_formula() -> Learner:
    return learner("linear", None, None, with_momentum)


def with_random_layers() -> Learner:
    return Learner(loaders(augment="flip+shift"), with_dropout(), None, with_momentum, 0.1, metrics=accuracy, clip=0.3)


def over_a_foreign_loader() -> Learner:
    train = DataLoader(images(80), 16, shuffle=True)
    return Learner(DataLoaders(train), with_dropout(), nn.BCEWithLogitsLoss(), torch.optim.AdamW, 0.01)


@pytest.mark.parametrize("make", [by_formula, with_random_layers, over_a_foreign_loader])
def test_every_number_is_the_one_that_training_then_has(make: Callable[[], Learner]) -> None:
    learn = make()
    seen: list[Batch] = []
    stream = learn.stream(stop=after(epochs=2), schedule=one_cycle())
    for _ in range(12):
        xray = learn.xray()
        event = next(stream)
        if not isinstance(event, Batch):
            continue  # at the end of an epoch the batch shown is the next epoch's first, and comes after this event
        seen.append(event)
        shown = xray[3].values["loss"]
        assert shown == float(event.loss)
        assert xray[5].values["lr"] == event.lr
        assert (xray[6].values["epoch"], xray[6].values["batch"]) == (event.epoch, event.number)
        parameters = dict(learn.model.named_parameters())
        gradients = xray[4].values["gradients"]
        if learn.clip:  # the gradient is shortened in step 5
            norm = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
            gradients = {name: g * min(1.0, learn.clip / (float(norm) + 1e-6)) for name, g in gradients.items()}
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, parameters[name].grad, rtol=1e-5 if learn.clip else 0, atol=0)
        for name, after_step in xray[5].values["parameters"].items():
            assert torch.equal(after_step, parameters[name]), name
    assert len(seen) == 10


@pytest.mark.parametrize("make", [by_formula, with_random_layers, over_a_foreign_loader])
def test_after_the_last_batch_of_an_epoch_the_next_epochs_first_is_shown(make: Callable[[], Learner]) -> None:
    learn = make()
    stream = learn.stream(stop=after(epochs=2))
    for _ in range(5):
        next(stream)
    xray = learn.xray()
    next(stream)  # the epoch's end
    assert str(learn.xray()[3]) == str(xray[3])
    event = next(stream)
    assert isinstance(event, Batch)
    assert xray[3].values["loss"] == float(event.loss)
    assert (xray[6].values["epoch"], xray[6].values["batch"]) == (2, 1)


def test_after_a_fit_the_batch_shown_begins_the_next_fit() -> None:
    learn = by_formula()
    learn.follow(after(epochs=1), cosine)
    list(learn.stream(stop=after(batches=8), schedule=one_cycle()))
    xray = learn.xray()
    assert "stopped after the 8 batches you asked for" in xray[7].line
    event = next(learn.stream())
    assert isinstance(event, Batch)
    assert xray[5].values["lr"] == event.lr
    assert xray[3].values["loss"] == float(event.loss)


@pytest.mark.parametrize("make", [by_formula, with_random_layers, over_a_foreign_loader])
def test_looking_changes_nothing(make: Callable[[], Learner]) -> None:
    learn = make()
    next(learn.stream())
    before, random = everything(learn), torch.get_rng_state()
    gradients = [parameter.grad for parameter in learn.model.parameters()]
    assert str(learn.xray()) == str(learn.xray())
    assert_same(everything(learn), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(now is then for now, then in zip([p.grad for p in learn.model.parameters()], gradients, strict=True))


def test_a_batch_of_the_users_goes_through_the_same_steps() -> None:
    learn = by_formula()
    x, y = torch.rand(7, 1, 8, 8), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    xray = learn.xray(x, y)
    scores = learn.model(x)
    loss = F.binary_cross_entropy_with_logits(scores, y.float().unsqueeze(1))
    assert xray[3].values["loss"] == pytest.approx(float(loss.detach()))
    torch.testing.assert_close(xray[2].values["logits"], scores.detach())
    torch.testing.assert_close(xray[2].values["probabilities"][:, 1:], scores.detach().sigmoid())
    for name, wanted in zip(
        ("2.weight", "2.bias"), torch.autograd.grad(loss, list(learn.model.parameters())), strict=True
    ):
        torch.testing.assert_close(xray[4].values["gradients"][name], wanted, rtol=1e-4, atol=1e-6)
    right = int(((scores[:, 0] > 0) == y).sum())
    assert f"{right} of 7 are right" in xray[2].line


def test_it_reads_as_seven_lines_in_the_words_of_the_seven_steps() -> None:
    lines = str(by_formula().xray()).splitlines()
    names = ["initialize", "predict", "loss", "gradient", "step", "repeat", "stop"]
    assert [line.split()[:2] for line in lines] == [[str(number), name] for number, name in enumerate(names, 1)]
    assert "65 parameters (" in lines[0]
    assert "weight 1x64" in lines[0]
    assert "by formula" in lines[3]
    assert "batch 1 of 5 of epoch 1" in lines[5]


def test_the_model_may_be_a_function_of_numbers() -> None:
    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.tensor(1.0))

        def forward(self, t: torch.Tensor) -> torch.Tensor:
            return self.slope * t

    t = torch.linspace(0, 1, 5)
    xray = Learner(DataLoaders([(t, 3 * t)]), Line(), F.mse_loss, lr=0.1).xray()
    assert isinstance(xray, XRay)
    assert float(xray[4].values["gradients"]["slope"]) == pytest.approx(float((2 * (t - 3 * t) * t).mean()))


def test_there_is_nothing_to_show_without_a_batch() -> None:
    with pytest.raises(DataError, match="no batches"):
        Learner(DataLoaders([]), nn.Linear(3, 1)).xray()


def test_a_saved_run_shows_the_batch_that_comes_next(tmp_path: Path) -> None:
    learn = with_random_layers()
    stream = learn.stream(stop=after(epochs=2))
    for _ in range(3):
        next(stream)
    other = with_random_layers().load(learn.save(tmp_path / "saved"))
    other.stop = learn.stop
    assert str(other.xray()) == str(learn.xray())
