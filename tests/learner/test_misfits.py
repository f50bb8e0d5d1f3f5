"""Batches, models, losses and metrics that do not go together: said with shapes, types and what would fit."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251 - to see that it is refused
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import images, learner, loaders, unchecked
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import DataError, SevenstepsError, ShapeError, TrainingError, UsageError
from sevensteps.learner.learner import Learner

X, Y = torch.rand(8, 4), torch.arange(8) % 2


def over(x: Any, y: Any, model: nn.Module | None = None, *arguments: Any, **how: Any) -> Learner:
    """A learner over one batch."""
    batches = [(x, y)]
    return Learner(DataLoaders(batches, batches), model or nn.Linear(4, 1), *arguments, **how)


def pictures(model: nn.Module) -> Learner:
    """A learner over pictures that are not flat."""
    return Learner(DataLoaders.from_images(Splits(images(20), valid=images(10))), model)


def own_cross_entropy(predictions: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(predictions, targets)


MISFITS: dict[str, tuple[Callable[[], Learner], list[str]]] = {
    "pictures for a linear layer": (lambda: pictures(nn.Linear(64, 1)), ["0, 1, 8, 8)", "flat=True"]),
    "pictures of another size": (lambda: pictures(nn.Linear(784, 1)), ["0, 1, 8, 8)", "in_features=784"]),
    "color for grey": (lambda: pictures(nn.Conv2d(3, 1, 8)), ["0, 1, 8, 8)", "3 channels", "Conv2d(3, 1"]),
    "double precision": (lambda: over(X.double(), Y), ["(8, 4)", "torch.float64", "x.float()"]),
    "bytes": (lambda: over((X * 255).to(torch.uint8), Y), ["torch.uint8", "x.float() / 255"]),
    "single for double": (lambda: over(X, Y, nn.Linear(4, 1).double()), ["torch.float32", "x.double()"]),
    "arrays": (lambda: over(X.numpy(), Y.numpy()), ["(ndarray, ndarray)", "torch.from_numpy"]),
    "an array of targets": (lambda: over(X, Y.numpy()), ["(Tensor, ndarray)", "torch.from_numpy"]),
    "three parts": (lambda: Learner(DataLoaders([(X, X, Y)], [(X, X, Y)]), nn.Linear(4, 1)), ["has 3 parts", "(x, y)"]),
    "a tensor for a loader": (lambda: Learner(DataLoaders(X, X), nn.Linear(4, 1)), ["is Tensor", "list(zip(x, y))"]),
    "pictures one by one": (
        lambda: Learner(DataLoaders(images(4), images(4)), nn.Linear(64, 1)),
        ["(Tensor, int)", "DataLoader"],
    ),
    "whole numbers for BCE": (
        lambda: over(X, Y[:, None], None, nn.BCEWithLogitsLoss()),
        ["BCEWithLogitsLoss", "(8, 1) torch.int64", "y.float()"],
    ),
    "whole numbers for a loss of one's own": (
        lambda: over(X, Y[:, None], None, own_cross_entropy),
        ["own_cross_entropy", "(8, 1) torch.int64", "y.float()"],
    ),
    "floats for classes": (
        lambda: over(X, Y.float(), nn.Linear(4, 2), nn.CrossEntropyLoss()),
        ["CrossEntropyLoss", "(8,) torch.float32", "y.long()"],
    ),
    "another count": (
        lambda: over(X, Y[:5, None].float(), None, own_cross_entropy),
        ["own_cross_entropy", "(8, 1)", "(5, 1)"],
    ),
}


@pytest.mark.parametrize("look", [lambda learn: learn.fit(1, show=False), Learner.validate, Learner.xray])
@pytest.mark.parametrize("what", MISFITS)
def test_what_does_not_go_together_is_said_with_shapes_types_and_a_remedy(
    what: str, look: Callable[[Learner], Any]
) -> None:
    make, words = MISFITS[what]
    with pytest.raises(SevenstepsError) as caught:
        look(make())
    assert isinstance(caught.value, (ShapeError, DataError))
    assert caught.value.hint
    for word in words:
        assert word in str(caught.value), caught.value


def test_a_label_of_another_class_is_refused_also_the_second_time() -> None:
    learn = over(X, Y + 1)
    for _ in range(2):
        with pytest.raises(DataError, match="There is a label 2"):
            learn.fit(1, show=False)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (lambda p, t: (p > 0) == t, "The metric <lambda> returns a tensor (20, 1)"),
        (lambda p, t: None, "The metric <lambda> returns None"),
        (lambda p, t: p @ t, "The metric <lambda> cannot take predictions (20, 1) torch.float32 with targets (20, 1)"),
    ],
)
def test_a_metric_that_gives_no_number_is_named(metric: Any, words: str) -> None:
    learn = learner("linear", loaders(40), metrics=metric)
    with pytest.raises(ShapeError) as caught:
        learn.fit(1, show=False)
    assert words in caught.value.message


def test_an_error_of_the_models_own_kind_stays_what_it_is() -> None:
    class Full(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        over(X, Y, Full(4, 1)).fit(1, show=False)


def test_a_loader_that_is_used_up_is_said() -> None:
    learn = Learner(DataLoaders(batch for batch in [(X, Y)]), nn.Linear(4, 1))
    with pytest.raises(TrainingError, match=r"exhausted: epoch 2") as caught:
        learn.fit(2, show=False)
    assert "list" in caught.value.hint


def test_a_picture_to_validate_on_that_is_not_finite_is_named_by_its_row() -> None:
    bad = X.clone()
    bad[3, 1] = torch.nan
    learn = Learner(DataLoaders([(X, Y)], [(X, Y), (bad, Y)]), nn.Linear(4, 1))
    for look in (lambda: learn.fit(3, show=False), learn.validate):
        with pytest.raises(
            DataError, match="The input itself is not finite: row 3 of batch 2 of the validation loader"
        ):
            look()


def test_half_a_batch_is_not_looked_at() -> None:
    learn = over(X, Y)
    for given in ({"x": X}, {"y": Y}):
        with pytest.raises(UsageError, match="both x and y"):
            learn.xray(**given)


def rows(count: int = 65) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(count, 5)
    return x, (x[:, 0] > 0).long()


def said_of(targets: Tensor, model: nn.Module, loss_func: Any = None) -> str:
    """Return what a fit on rows says; "" if it trains."""
    dls = DataLoaders(DataLoader(list(zip(rows()[0], targets, strict=True)), 16))
    try:
        Learner(dls, model, loss_func).fit(1, show=False)
    except SevenstepsError as error:
        return str(error)
    return ""


def through_a_function(predictions: Tensor, targets: Tensor) -> Tensor:
    """A loss of one's own that calls PyTorch's."""
    return nn.functional.cross_entropy(predictions, targets)


@pytest.mark.parametrize("loss_func", [nn.CrossEntropyLoss(), through_a_function])
def test_what_the_hints_advise_works(loss_func: Any) -> None:
    y, several = rows()[1], nn.Linear(5, 2)
    assert "y.long()" in said_of(y.int(), several, loss_func)
    assert "y.long()" in said_of(y.float(), several, loss_func)
    assert "y.squeeze(1)," in said_of(y.unsqueeze(1), several, loss_func)
    assert "y.squeeze(1).long()" in said_of(y.int().unsqueeze(1), several, loss_func)
    assert said_of(y, several, loss_func) == ""
    assert said_of(y.unsqueeze(1), several) == ""
    assert "y.float()" in said_of(y.unsqueeze(1), nn.Linear(5, 1), nn.BCEWithLogitsLoss())
    assert said_of(y.unsqueeze(1).float(), nn.Linear(5, 1), nn.BCEWithLogitsLoss()) == ""


def test_a_last_batch_of_one_under_batch_norm_names_drop_last() -> None:
    x, y = rows()
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    assert "drop_last=True" in said_of(y, model)
    dls = DataLoaders(DataLoader(list(zip(x, y, strict=True)), 16, drop_last=True))
    Learner(dls, model).fit(1, show=False)


class Wrapped(nn.Module):
    """A model that returns more than its scores."""

    def __init__(self, how: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.how = nn.Linear(5, 1), how

    def forward(self, x: Tensor) -> Any:
        return self.how(self.layer(x))


@pytest.mark.parametrize(
    ("how", "kind"), [(lambda x: (x, x), "tuple"), (lambda x: {"logits": x}, "dict"), (lambda x: None, "NoneType")]
)
def test_a_model_that_returns_no_tensor_is_refused_in_words(how: Callable[[Tensor], Any], kind: str) -> None:
    assert f"The model returns a {kind}" in said_of(rows()[1].float(), Wrapped(how), lambda p, y: p[0].mean())


@pytest.mark.parametrize("loss_func", [None, nn.CrossEntropyLoss()])
def test_a_wrong_label_in_a_later_batch_is_named(loss_func: Any) -> None:
    y = rows()[1].clone()
    y[40] = 5
    assert "There is a label 5, but the model has 3 outputs" in said_of(y, nn.Linear(5, 3), loss_func)


def test_a_wrong_label_that_no_loss_refuses_is_named_too() -> None:
    y = rows()[1].clone()
    y[40] = 2
    assert "There is a label 2" in said_of(y, nn.Linear(5, 1))


def test_several_rows_for_predict_name_what_takes_several() -> None:
    x, y = rows()
    learn = Learner(DataLoaders(DataLoader(list(zip(x, y, strict=True)), 16)), nn.Linear(5, 1))
    with pytest.raises(DataError, match="get_preds"):
        learn.predict(x[:2])
    with pytest.raises(DataError, match="get_preds"):
        learner().predict(torch.rand(3, 1, 8, 8))


def test_a_learner_is_copied_and_not_pickled() -> None:
    learn = learner()
    with pytest.raises(UsageError, match=r"learn\.save"):
        pickle.dumps(learn)
    deep, shallow = copy.deepcopy(learn), copy.copy(learn)
    deep.fit(1, show=False)
    assert learn.state.epoch == 0
    assert shallow.model is learn.model
    assert deep.recorder.metric_names == ["train_loss", "valid_loss", "accuracy"]


def test_a_metric_class_is_refused() -> None:
    class F1:
        def __call__(self, predictions: Tensor, targets: Tensor) -> float:
            return 0.0

    with unchecked(), pytest.raises(UsageError, match=r"metrics=F1\(\)"):
        learner(metrics=F1)
    learner(metrics=F1()).fit(1, show=False)


@pytest.mark.parametrize("loss_func", [nn.NLLLoss(), F.nll_loss])
def test_a_loss_of_log_probabilities_refuses_raw_scores(loss_func: Any) -> None:
    y = rows()[1]
    assert "nn.LogSoftmax(dim=1)" in said_of(y, nn.Linear(5, 2), loss_func)
    assert said_of(y, nn.Sequential(nn.Linear(5, 2), nn.LogSoftmax(dim=1)), loss_func) == ""


@pytest.mark.parametrize(
    ("end", "hint"),
    [
        (lambda loss: loss.item(), "Leave out .item()"),
        (lambda loss: None, "End it with return"),
        (lambda loss: (loss, 1), "Return only the number"),
        (lambda loss: loss.expand(4), "End it with .mean()"),
    ],
)
def test_the_hint_for_a_loss_fits_what_it_returns(end: Callable[[Tensor], Any], hint: str) -> None:
    assert hint in said_of(rows()[1], nn.Linear(5, 2), lambda p, t: end(F.cross_entropy(p, t)))


@pytest.mark.parametrize("factor", [None, "high", float("nan"), float("inf"), -1.0])
def test_a_schedule_that_gives_no_rate_is_named(factor: Any) -> None:
    learn = learner("linear", loaders(40))
    with unchecked(), pytest.raises(UsageError, match="The schedule returns") as caught:
        learn.fit(1, schedule=lambda batch, total: factor, show=False)
    assert "schedule=lambda batch, total" in caught.value.hint
