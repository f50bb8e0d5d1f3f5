"""Accumulated gradients: several batches make one step, which agrees with that of the larger batch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from small import assert_same, everything, images, learner, loaders, unchecked, with_dropout

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.errors import RecipeError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.records.events import Batch
from sevensteps.steps.step import SGD, one_cycle
from sevensteps.steps.stop import after

with_momentum = functools.partial(SGD, momentum=0.9, weight_decay=0.01)


@pytest.mark.parametrize("opt_func", [with_momentum, torch.optim.AdamW])
@pytest.mark.parametrize("model", ["linear", "relu"])
@pytest.mark.parametrize("count", [80, 70])  # of 70, the last batch has 6 pictures, and the last step 22 or 6
def test_a_step_agrees_with_that_of_the_larger_batch(model: str, opt_func: Any, count: int) -> None:
    small = learner(model, loaders(count, 16), None, opt_func, lr=0.01, accumulate=4, clip=0.5)
    large = learner(model, loaders(count, 64), None, opt_func, lr=0.01, clip=0.5)
    assert small.batches_per_epoch == large.batches_per_epoch == 2
    seen = [list(learn.stream(after(epochs=2), schedule=one_cycle())) for learn in (small, large)]
    for mine, theirs in zip(*seen, strict=True):
        if isinstance(mine, Batch):
            for name in ("epoch", "number", "total", "size", "lr"):
                assert getattr(mine, name) == getattr(theirs, name)
            assert float(mine.loss) == pytest.approx(float(theirs.loss), abs=1e-6)
        else:
            assert mine.train_loss == pytest.approx(theirs.train_loss, abs=1e-6)
    for mine, theirs in zip(small.model.parameters(), large.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_accumulating_one_batch_changes_no_bit() -> None:
    plain, one = learner("relu"), learner("relu", accumulate=1)
    plain.fit(2, show=False)
    one.fit(2, show=False)
    assert_same(everything(plain), everything(one))


def accumulating() -> Learner:
    return Learner(loaders(augment="flip+shift"), with_dropout(), None, with_momentum, 0.1, accumulate=2)


def test_leaving_between_two_steps_and_loading_ends_as_an_uninterrupted_run(tmp_path: Path) -> None:
    whole = accumulating()
    events = list(whole.stream(after(epochs=2)))
    assert len([event for event in events if isinstance(event, Batch)]) == 6
    for left_at in range(1, len(events)):
        left = accumulating()
        for _ in zip(range(left_at), left.stream(after(epochs=2)), strict=False):
            pass
        other = accumulating().load(left.save(tmp_path / "half"))
        list(other.stream(after(epochs=2)))
        assert_same(everything(other), everything(whole))


def test_xray_and_lr_find_look_at_the_whole_step() -> None:
    small, large = learner("relu", loaders(80, 16), accumulate=4), learner("relu", loaders(80, 64))
    one, other = small.xray(), large.xray()
    assert one[2].line == other[2].line
    assert one[6].line == other[6].line
    ranges = [learn.lr_find(show_plot=False, num_it=10) for learn in (small, large)]
    assert ranges[0].losses == pytest.approx(ranges[1].losses, abs=1e-4)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "4"])
def test_what_is_no_number_of_batches_is_refused(wrong: Any) -> None:
    with unchecked(), pytest.raises(UsageError, match="whole number of 1 or more"):
        learner(accumulate=wrong)


def test_a_recipe_accumulates() -> None:
    splits = Splits(images(80), valid=images(20, seed=1), test=images(20, seed=2))
    recipe = ss.Recipe.load("relu").replace(batch_size=16, accumulate=4, epochs=1)
    learn = recipe.learner(splits)
    assert (learn.accumulate, learn.batches_per_epoch) == (4, 2)
    assert ss.Recipe.from_toml(recipe.to_toml()).accumulate == 4
    with pytest.raises(RecipeError, match="accumulate"):
        recipe.replace(accumulate=0)
