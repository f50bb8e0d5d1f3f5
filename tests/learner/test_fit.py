"""What `fit` refuses before the first batch, how it ends, and what it leaves behind."""

from __future__ import annotations

import copy
import functools
import threading
import weakref
from typing import Any

import pytest
import torch
from small import images, learner, loaders, unchecked, with_dropout
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import TrainingError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.recipes.recipe import Recipe
from sevensteps.steps.step import SGD, one_cycle
from sevensteps.steps.stop import after, when_flat, when_reached


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"schedule": "cosine"}, "schedule=cosine"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"schedule": one_cycle}, r"schedule=one_cycle\(\)"),
        ({"schedule": torch.optim.lr_scheduler.StepLR}, r"StepLR\(learn.opt"),
        ({"schedule": lambda batch: 1.0}, "lambda batch, total"),
        ({"schedule": 0.1}, "lambda batch, total"),
        ({"stop": 3}, r"stop=after\(epochs=3\)"),
        ({"stop": when_flat}, "not a rule that ends training"),
        ({"stop": after(epochs=3) | when_flat("acuracy")}, "Did you mean 'accuracy'"),
        ({"stop": when_reached("f1", 0.9)}, "measured now: train_loss, valid_loss, accuracy"),
    ],
)
def test_wrong_rules_and_schedules_are_refused_before_the_first_batch(argument: dict[str, Any], said: str) -> None:
    learn = learner()
    for begin in (lambda: learn.fit(1, show=False, **argument), lambda: learn.stream(**argument)):
        with unchecked(), pytest.raises(UsageError, match=said):
            begin()
    assert learn.state.batch == 0
    learn.fit(1, show=False)


def test_a_rule_on_the_validation_loss_needs_a_validation_loader() -> None:
    learn = learner(dls=DataLoaders(loaders().train), metrics=None)
    with pytest.raises(UsageError, match="a validation loader"):
        learn.fit(1, show=False, stop=when_flat())


def root_at_zero(predictions: Tensor, targets: Tensor) -> Tensor:
    """A loss that is finite and whose slope is not."""
    return torch.sqrt((predictions - predictions.detach()).abs()).sum()


@pytest.mark.parametrize("model", ["linear", "relu"])
def test_a_last_step_that_ruins_the_weights_is_an_error(model: str) -> None:
    dls = DataLoaders(loaders(16).train)
    learn = learner(model, dls, root_at_zero, metrics=None)
    with pytest.raises(
        TrainingError, match=r"last step left numbers in .* that are not finite.*\n.*lower learning rate"
    ):
        learn.fit(1, show=False)
    learn = learner(model, dls, root_at_zero, metrics=None)
    list(learn.stream(after(epochs=1)))
    assert learn.state.stopped.code == "not_finite"


def test_a_loss_without_a_slope_is_refused_in_words() -> None:
    def wrong(predictions: Tensor, targets: Tensor) -> Tensor:
        return ((predictions[:, 0] > 0) != targets).float().mean()

    with pytest.raises(TrainingError, match=r"no slope.*\n.*metrics=accuracy"):
        learner(loss_func=wrong).fit(1, show=False)


@pytest.mark.parametrize("way", ["fit", "stream", "left", "lr_find"])
def test_a_model_is_freed_as_soon_as_its_learner_is(way: str) -> None:
    learn = learner("relu", None, None, functools.partial(SGD, momentum=0.9))
    if way == "fit":
        learn.fit(1, show=False)
    elif way == "lr_find":
        learn.lr_find(num_it=10, show_plot=False)
    else:
        for _ in learn.stream(after(epochs=1)):
            if way == "left":
                break
    alive = weakref.ref(learn.model)
    del learn
    assert alive() is None


def test_a_recorder_outlives_its_learner() -> None:
    learn = learner()
    learn.fit(2, show=False)
    recorder, names = learn.recorder, learn.recorder.metric_names
    assert names == ["train_loss", "valid_loss", "accuracy"]
    del learn
    assert recorder.metric_names == names
    assert len(recorder.values) == 2


def test_threads_train_as_one_would() -> None:
    start, results = with_dropout(), {}
    models = [copy.deepcopy(start) for _ in range(4)]

    def run(number: int) -> None:
        learn = Learner(loaders(), models[number], lr=0.1, seed=3)
        learn.fit(5, show=False)
        results[number] = [epoch.train_loss for epoch in learn.state.history]

    run(0)
    before = torch.get_rng_state()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[number] == results[0] for number in results)
    assert torch.equal(before, torch.get_rng_state())


def test_a_rate_given_to_the_learner_is_that_of_the_next_stream() -> None:
    x = torch.randn(32, 5)
    learn = Learner(DataLoaders(DataLoader(list(zip(x, (x[:, 0] > 0).float(), strict=True)), 8)), nn.Linear(5, 1))
    learn.lr = 0.5
    list(learn.stream(after(epochs=1)))
    assert learn.opt.param_groups[0]["lr"] == 0.5


def overfitting(**how: Any) -> Learner:
    """Return a learner whose validation loss rises: there each label is the opposite."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(24, 5, generator=random), torch.randint(2, (24,), generator=random)
    dls = DataLoaders([(x, y)], [(x, 1 - y)])
    torch.manual_seed(0)
    return Learner(dls, nn.Sequential(nn.Linear(5, 30), nn.ReLU(), nn.Linear(30, 1)), lr=1.0, **how)


@pytest.mark.parametrize("way", ["fit", "one_cycle"])
def test_keep_best_ends_with_the_weights_of_the_best_epoch(way: str) -> None:
    learn = overfitting()
    begin = learn.fit if way == "fit" else learn.fit_one_cycle
    begin(8, keep="best", show=False)
    losses = [epoch.valid_loss for epoch in learn.state.history]
    assert losses[-1] > min(losses)
    assert learn.validate()[0] == pytest.approx(min(losses))
    assert losses[learn.state.best_epoch - 1] == min(losses)
    assert not learn.state.best  # no second copy is kept, or saved


def test_a_later_fit_keeps_the_best_of_its_own_epochs() -> None:
    learn = overfitting()
    learn.fit(8, keep="best", show=False)
    learn.fit(3, 5.0, keep="best", show=False)
    own = [epoch.valid_loss for epoch in learn.state.history[8:]]
    assert learn.validate()[0] == pytest.approx(min(own))
    assert learn.state.best_epoch > 8
    last = overfitting()
    last.fit(8, show=False)
    assert last.validate()[0] == pytest.approx(last.state.history[-1].valid_loss)


def test_keep_is_best_or_last_and_best_needs_validation_pictures() -> None:
    with pytest.raises(UsageError, match='keep="best"'):
        learner().fit(1, keep="first", show=False)
    with pytest.raises(UsageError, match="needs a validation loader"):
        learner(dls=DataLoaders(loaders().train), metrics=None).fit(1, keep="best", show=False)


def test_a_recipe_that_keeps_the_best_does_so_in_python_too() -> None:
    splits = Splits(images(24), valid=images(20, seed=1), test=images(20, seed=2))
    recipe = Recipe.load("relu").replace(batch_size=8, epochs=8, lr=3.0, keep="best", schedule="constant")
    learn = recipe.learner(splits)
    learn.fit(show=False)
    assert learn.validate()[0] == pytest.approx(min(epoch.valid_loss for epoch in learn.state.history))
