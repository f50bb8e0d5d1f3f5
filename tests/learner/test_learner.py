"""Learner: the seven steps tied together, for our pictures and for the code that its users bring along."""

from __future__ import annotations

import functools
import json
import os
import signal
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save as to_safetensors
from sklearn.metrics import accuracy_score, log_loss
from small import assert_same, everything, images, learner, loaders, unchecked, with_dropout
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import DataError, ModelError, ShapeError, TrainingError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.load import load_learner
from sevensteps.learner.metrics import accuracy
from sevensteps.learner.only_with_loaders import TRAINING
from sevensteps.learner.predictor import Predictor
from sevensteps.learner.saving import finite_arrays
from sevensteps.recipes.recipe import Recipe
from sevensteps.records.events import Batch
from sevensteps.runs.validation import learn_from_validation
from sevensteps.ship.abstention import NONE_OF_THESE
from sevensteps.steps.initialize import initialize
from sevensteps.steps.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss, sigmoid_l1_loss
from sevensteps.steps.predict import MODELS, Normalize
from sevensteps.steps.step import SGD, optimizer_named
from sevensteps.steps.stop import Progress, StopRule, after, when_reached


@pytest.fixture(scope="module")
def walk_through(splits: Splits) -> DataLoaders:
    return DataLoaders.from_images(splits, batch_size=256, flat=True, valid="test")


# Fitting


def test_the_walk_through_reaches_its_accuracy(walk_through: DataLoaders, capsys: pytest.CaptureFixture[str]) -> None:
    learn = Learner(
        walk_through, initialize(nn.Linear(28 * 28, 1)), loss_func=sigmoid_l1_loss, opt_func=SGD, metrics=accuracy
    )
    learn.fit(5, lr=1.0)
    assert learn.recorder.values[-1][-1] > 0.955
    table = capsys.readouterr().out
    for epoch in learn.state.history:
        assert f"{epoch.metrics['accuracy']:.4f}" in table


def test_fitting_twice_goes_on() -> None:
    twice, once = learner(), learner()
    twice.fit(2, show=False)
    assert len(twice.recorder.values) == 2
    twice.fit(3, show=False)
    once.fit(5, show=False)
    assert [epoch.number for epoch in twice.state.history] == [1, 2, 3, 4, 5]
    assert twice.recorder.values == once.recorder.values[2:]
    assert len(twice.recorder.losses) == len(twice.recorder.lrs) == 15
    for one, other in zip(twice.model.parameters(), once.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_recorder_has_a_row_an_epoch_and_a_number_a_batch() -> None:
    learn = learner()
    learn.fit(2, 0.3, show=False)
    assert learn.recorder.metric_names == ["train_loss", "valid_loss", "accuracy"]
    for row, epoch in zip(learn.recorder.values, learn.state.history, strict=True):
        assert row == [epoch.train_loss, epoch.valid_loss, epoch.metrics["accuracy"]]
    assert learn.recorder.lrs == [0.3] * 10
    assert np.mean(learn.recorder.losses[5:]) == pytest.approx(learn.recorder.values[1][0])
    without = Learner(DataLoaders(loaders().train), learner().model)
    without.fit(1, show=False)
    assert without.recorder.metric_names == ["train_loss"]
    assert len(without.recorder.values[0]) == 1


def test_metrics_of_one_name_keep_a_column_each(tmp_path: Path) -> None:
    def valid_loss(predictions: Tensor, targets: Tensor) -> Tensor:
        return predictions.mean()

    metrics = [accuracy, functools.partial(accuracy, activation=torch.sigmoid), lambda p, t: 1, lambda p, t: 2]
    learn = learner(metrics=[*metrics, valid_loss])
    learn.fit(2, show=False)
    names = ["accuracy", "accuracy_2", "<lambda>", "<lambda>_2", "valid_loss_2"]
    assert learn.recorder.metric_names == ["train_loss", "valid_loss", *names]
    for row, epoch in zip(learn.recorder.values, learn.state.history, strict=True):
        assert len(row) == 7
        assert row[4:6] == [1, 2]
        assert list(epoch.metrics) == names
    learn.recorder.plot_metrics()
    again = learner(metrics=learn.metrics).load(learn.save(tmp_path / "saved"))
    assert again.state.history == learn.state.history


def test_fit_takes_fastais_arguments_in_fastais_order() -> None:
    learn = Learner(loaders(flat=True), nn.Linear(64, 1), binary_cross_entropy_with_logits, SGD, 0.25)
    learn.fit(1, show=False)
    assert learn.recorder.lrs == [0.25] * 5
    learn.fit(1, 0.5, 0.01, None, True, show=False)
    assert learn.recorder.lrs == [0.5] * 5
    assert learn.opt.param_groups[0]["weight_decay"] == 0.01


def test_resetting_the_optimizer_forgets_its_momentum() -> None:
    learn = learner("linear", None, None, functools.partial(SGD, momentum=0.9))
    learn.fit(1, show=False)
    before = learn.opt
    learn.fit(0, reset_opt=True, show=False)
    assert learn.opt is not before
    assert not learn.opt.state


def test_one_cycle_goes_up_to_the_rate_and_down_again() -> None:
    learn = learner()
    learn.fit_one_cycle(4, 0.5, show=False)
    rates = learn.recorder.lrs
    assert rates[0] == pytest.approx(0.5 / 25)
    assert max(rates) == pytest.approx(0.5, rel=0.01)
    assert rates.index(max(rates)) == 5
    assert rates[-1] == pytest.approx(0.5 / 1e5)


def test_callbacks_get_an_error_that_shows_the_loop() -> None:
    with unchecked():
        for call in (
            lambda: Learner(loaders(), nn.Linear(64, 1), cbs=[print]),  # type: ignore[arg-type]
            lambda: learner().fit(1, cbs=[print]),  # type: ignore[arg-type]
            lambda: learner().fit_one_cycle(1, cbs=[print]),  # type: ignore[arg-type]
        ):
            with pytest.raises(UsageError, match="stream") as caught:
                call()
            assert "for event in learn.stream" in caught.value.hint


def test_fit_stops_when_its_rule_says() -> None:
    learn = learner()
    learn.fit(50, stop=when_reached("accuracy", 0.1), show=False)
    assert learn.state.epoch == 1
    assert learn.stopped_because is not None
    assert learn.stopped_because.startswith("accuracy has reached 0.1")


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_epoch": -1},
        {"lr": -0.1},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"lr": "0.1"},
        {"wd": -1.0},
        {"wd": "x"},
        {},
    ],
)
def test_fit_refuses_what_cannot_be_and_changes_nothing(arguments: dict[str, Any]) -> None:
    learn = learner()
    learn.fit(1, show=False)
    before = everything(learn)
    fresh = learner()
    with unchecked(), pytest.raises(UsageError) as caught:
        (learn if arguments else fresh).fit(**({"n_epoch": 1, "show": False, **arguments} if arguments else {}))
    assert caught.value.hint
    assert_same(everything(learn), before)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"opt_func": "SGD"}, "opt_func is 'SGD'"),
        ({"opt_func": SGD(nn.Linear(1, 1).parameters(), 0.1)}, "does not make an optimizer"),
        ({"opt_func": nn.Linear}, "does not make an optimizer: "),
        ({"opt_func": lambda params, lr: None}, "makes NoneType"),
        ({"opt_func": functools.partial(torch.optim.Adam, betas=(2, 0))}, "Invalid beta"),
        ({"lr": "x"}, "lr is 'x'"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"clip": "x"}, "clip is 'x'"),
        ({"loss_func": "mse_loss"}, "The loss is 'mse_loss'"),
        ({"loss_func": nn.MSELoss}, "the class MSELoss"),
        ({"activation": "sigmoid"}, "The activation is 'sigmoid'"),
        ({"activation": nn.Sigmoid}, "The activation is"),
        ({"device": "gpu"}, "'gpu' is not a device"),
        ({"device": "cuda:99"}, "cuda:99 is not available"),
        ({"gradient": "hand"}, "gradient is 'hand'"),
        ({"dls": Splits(images(10))}, "The loaders are Splits"),
        ({"dls": (1, 2)}, "The loaders are tuple"),
    ],
)
def test_a_learner_refuses_parts_of_another_kind(how: dict[str, Any], words: str) -> None:
    with unchecked(), pytest.raises(UsageError, match=words) as caught:
        Learner(**{"dls": loaders(flat=True), "model": nn.Linear(64, 1), **how})
    assert caught.value.hint


def test_a_learner_finds_its_device() -> None:
    assert Learner(loaders(flat=True), nn.Linear(64, 1), device="auto").device.type in ("cpu", "cuda", "mps")


def test_weight_decay_for_an_optimizer_without_it_is_refused() -> None:
    learn = learner("linear", None, None, torch.optim.Rprop)
    with pytest.raises(UsageError, match="wd"):
        learn.fit(1, wd=0.1, show=False)


def test_numpys_numbers_are_rates() -> None:
    learn = learner()
    with unchecked():
        learn.set(lr=np.float32(0.5))  # type: ignore[arg-type]
    assert learn.state.lr == 0.5
    assert type(learn.state.lr) is float


# Models, losses, optimizers and loaders of the user's own


def test_a_model_that_cannot_be_trained_is_refused() -> None:
    with unchecked(), pytest.raises(ModelError, match=r"nn\.Module"):
        Learner(loaders(), nn.Linear)  # type: ignore[arg-type]
    with unchecked(), pytest.raises(ModelError, match=r"nn\.Module"):
        Learner(loaders(), lambda x: x)  # type: ignore[arg-type]
    frozen = nn.Linear(64, 1).requires_grad_(False)
    with pytest.raises(ModelError, match="trainable"):
        Learner(loaders(), frozen)


def test_frozen_parameters_stay() -> None:
    model = MODELS["relu"]((1, 8, 8), 2)
    model[1].requires_grad_(False)
    before = model[1].weight.clone()
    learn = Learner(loaders(), model)
    learn.fit(1, 0.5, show=False)
    assert torch.equal(model[1].weight, before)
    assert learn.trainable_count == 31


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta", "ASGD"])
def test_any_optimizer_of_pytorch_trains(name: str, tmp_path: Path) -> None:
    def make() -> Learner:
        return learner("relu", None, None, optimizer_named(name), lr=0.01)

    learn, theirs = make(), make()
    learn.fit(2, show=False)
    opt = getattr(torch.optim, name)(theirs.model.parameters(), lr=0.01)
    for epoch in range(2):
        for x, y in theirs.dls.train.epoch_batches(0, epoch):  # type: ignore[attr-defined]
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(theirs.model(x), y.float().unsqueeze(1)).backward()
            opt.step()
    for one, other in zip(learn.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(one, other)
    other = make().load(learn.save(tmp_path / "saved"))
    assert_same(everything(other), everything(learn))


OPTIMIZERS_THAT_DO_NOT_FIT = [
    torch.optim.LBFGS,
    torch.optim.SparseAdam,
    torch.optim.Muon,
    functools.partial(torch.optim.Muon, momentum=0.9),
    lambda params, lr: torch.optim.LBFGS(params, lr=lr),
]


@pytest.mark.parametrize("opt_func", OPTIMIZERS_THAT_DO_NOT_FIT)
def test_an_optimizer_that_does_not_fit_is_refused(opt_func: Any) -> None:
    with pytest.raises(UsageError, match="needs"):
        Learner(loaders(), nn.Linear(64, 1), opt_func=opt_func)


def test_a_foreign_loss_and_metric_get_columns_of_floats_and_that_is_said_once() -> None:
    shapes = set()

    def own_loss(predictions: Tensor, targets: Tensor) -> Tensor:
        shapes.add((predictions.shape[1:], targets.shape[1:], targets.dtype))
        predictions = predictions.sigmoid()
        return torch.where(targets == 1, 1 - predictions, predictions).mean()

    def batch_accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
        shapes.add((predictions.shape[1:], targets.shape[1:], targets.dtype))
        return ((predictions.sigmoid() > 0.5) == targets).float().mean()

    own = learner("linear", None, own_loss, metrics=batch_accuracy)
    with pytest.warns(UserWarning, match=r"\(batch, 1\) floats") as caught:
        own.fit(3, show=False)
    assert shapes == {((1,), (1,), torch.float32)}
    assert len(caught) == 1
    ours = learner("linear", None, sigmoid_l1_loss, gradient="autograd")
    ours.fit(3, show=False)
    for mine, theirs in zip(own.recorder.values, ours.recorder.values, strict=True):
        assert mine[:2] == theirs[:2]
        assert mine[2] == pytest.approx(theirs[2])  # a mean over all pictures, and the mean of the batches' means


def test_names_of_other_formats_are_refused(tmp_path: Path) -> None:
    for name in ("model.keras", "model.pt", "model.pkl", "model.PTH"):
        with pytest.raises(UsageError, match="suffix of another format") as caught:
            learner().export(tmp_path / name)
        assert "model.safetensors" in caught.value.hint
        assert not (tmp_path / name).exists()


def test_a_loaded_model_says_how_to_train_it(tmp_path: Path) -> None:
    path = learner().export(tmp_path / "model.safetensors")
    loaded: Any = load_learner(path)
    assert isinstance(loaded, Predictor)
    assert not isinstance(loaded, Learner)
    assert isinstance(load_learner(path, dls=loaders()), Learner)
    for name in TRAINING:
        with pytest.raises(DataError, match=f"no {name}: there are no training pictures") as caught:
            getattr(loaded, name)
        assert caught.value.hint == "ss.load_learner(path, dls=dls)"
        assert not hasattr(loaded, name)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        loaded.fitt  # noqa: B018
    with pytest.raises(DataError, match="no training pictures"):
        loaded.validate()
    public = {name for name in {*dir(learner()), *vars(learner())} if not name.startswith("_")}
    assert public - {*dir(loaded), *vars(loaded)} == TRAINING


def test_an_answer_has_its_reason_where_the_model_may_abstain(splits: Splits, tmp_path: Path) -> None:
    recipe = Recipe.load("linear").replace(epochs=2)
    learn = recipe.learner(splits.hold_out(0.1))
    learn.fit(2, show=False)
    held_out = learn.dls.valid.images  # type: ignore[union-attr]
    assert learn.answer(held_out.pixels[0]).reason is None
    learn_from_validation(learn, splits.hold_out(0.1), recipe)
    white = np.full((28, 28), 255, dtype=np.uint8)
    Image.fromarray(white).save(tmp_path / "white.png")
    loaded = load_learner(learn.export(tmp_path / "model.safetensors"))
    for model in (learn, loaded):
        answer = model.answer(white)
        assert answer.reason == NONE_OF_THESE
        assert model.predict(white)[0] == answer.best
        from_file = model.answer(tmp_path / "white.png")
        assert from_file.file.endswith("white.png")
        assert from_file.probabilities == answer.probabilities
        assert model.answer(held_out.pixels[0]).reason != NONE_OF_THESE


def test_a_notebook_shows_what_a_learner_is(tmp_path: Path) -> None:
    learn = learner("relu", loaders(classes=3), metrics=accuracy)
    assert "0 epochs" in repr(learn)
    learn.fit(1, show=False)
    loaded = load_learner(learn.export(tmp_path / "model.safetensors"))
    for model, name in ((learn, "Learner"), (loaded, "Predictor")):
        text, page = repr(model), model._repr_html_()
        assert text.startswith(name + "\n")
        assert " at 0x" not in text
        for word in (name, f"{model.parameter_count:,} parameters", "class 0, class 1, class 2", "8x8 pixels"):
            assert word in text
            assert word in page
    assert f"accuracy {learn.state.history[0].metrics['accuracy']:.4f}" in repr(learn)
    assert "<b>" not in learner(dls=named_loaders("<b>"))._repr_html_()


def named_loaders(name: str) -> DataLoaders:
    """Loaders of two classes, one with this name."""
    some = images(20)
    return DataLoaders.from_images(Splits(Images(some.pixels, some.labels, (name, "other"))))


@pytest.mark.parametrize("loss_func", [F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss(), F.mse_loss])
def test_pytorchs_losses_do_not_broadcast_to_batch_by_batch(loss_func: Any) -> None:
    learn = learner("linear", None, loss_func)
    event = next(learn.stream())
    x, y = next(learn.dls.train.epoch_batches(0, 0))  # type: ignore[attr-defined]
    with torch.no_grad():
        wanted = loss_func(learner().model(x), y.float().unsqueeze(1))
    assert isinstance(event, Batch)
    assert torch.equal(event.loss, wanted)


def test_columns_of_targets_fit_predictions_without_columns() -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).squeeze(1)

    x = torch.rand(32, 3)
    y = x.sum(1, keepdim=True)
    batches = [(x, y)]
    learn = Learner(DataLoaders(batches, batches), Squeezed(), F.mse_loss, lr=0.3)
    learn.fit(400, show=False)
    assert learn.recorder.values[-1][0] < 1e-3  # broadcast to (b, b) it would end at the variance of y


@pytest.mark.parametrize("loss_func", [nn.CrossEntropyLoss(), F.cross_entropy, F.nll_loss])
def test_a_loss_of_several_scores_is_refused_for_one(loss_func: Any) -> None:
    with pytest.raises(ShapeError, match="score for each class"):
        next(learner("linear", None, loss_func).stream())


def test_a_loss_without_a_single_number_is_refused() -> None:
    with pytest.raises(ShapeError, match="one number") as caught:
        next(learner("linear", None, nn.BCEWithLogitsLoss(reduction="none")).stream())
    assert "mean" in caught.value.hint


@pytest.mark.parametrize(
    ("labels", "columns", "loss_func"), [([2, 3], 1, None), ([1, 10], 10, None), ([-1, 1], 1, sigmoid_l1_loss)]
)
def test_labels_of_other_classes_are_refused_before_they_train_towards_nonsense(
    labels: list[int], columns: int, loss_func: Any
) -> None:
    batches = [(torch.rand(4, 3), torch.tensor([labels[0], labels[1]] * 2))]
    learn = Learner(DataLoaders(batches), nn.Linear(3, columns), loss_func)
    with pytest.raises(DataError, match="There is a label") as caught:
        learn.fit(1, show=False)
    assert caught.value.hint


def test_pairs_of_pictures_and_labels_in_pytorchs_loader_work(splits: Splits) -> None:
    x = torch.from_numpy(splits.train.pixels[::12]).flatten(1).float() / 255
    y = torch.from_numpy(splits.train.labels[::12]).unsqueeze(1)
    train = DataLoader(list(zip(x, y, strict=True)), batch_size=64, shuffle=True)
    valid = DataLoader(list(zip(x, y, strict=True)), batch_size=64)
    learn = Learner(DataLoaders(train, valid), initialize(nn.Linear(784, 1)), sigmoid_l1_loss, SGD, metrics=accuracy)
    learn.fit(10, lr=1.0, show=False)
    assert learn.gradient == "formula"
    assert learn.recorder.values[-1][-1] > 0.93


def test_images_are_a_data_set_for_pytorchs_loader(splits: Splits) -> None:
    some = splits.train.take(np.arange(0, 12000, 40))
    learn = Learner(DataLoaders(DataLoader(some, 50, shuffle=True)), MODELS["linear"]((1, 28, 28), 2), lr=0.1)
    learn.fit(2, show=False)
    assert learn.recorder.values[1][0] < learn.recorder.values[0][0]


class Quadratic(nn.Module):
    """The unknown function of the walk-through's first part."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.tensor(1.0)) for _ in range(3))

    def forward(self, t: Tensor) -> Tensor:
        return self.a * t**2 + self.b * t + self.c


def test_an_unknown_function_is_found_from_noisy_points() -> None:
    random = np.random.default_rng(0)
    t = np.linspace(-2, 2, 60)
    y = 3 * t**2 - 2 * t + 1 + random.normal(0, 0.3, 60)
    points = list(zip(torch.tensor(t).float(), torch.tensor(y).float(), strict=True))
    learn = Learner(DataLoaders(DataLoader(points, 20, shuffle=True)), Quadratic(), F.mse_loss)
    learn.fit(200, lr=0.02, show=False)
    found = [float(parameter.detach()) for parameter in learn.model.parameters()]
    assert found == pytest.approx(np.polyfit(t, y, 2).tolist(), abs=0.05)
    assert "loss" in str(learn.xray())


# Looking


def test_validation_weighs_batches_by_their_size() -> None:
    learn = learner(dls=loaders(100, 16))  # validation: 50 pictures in batches of 32 and 18
    learn.fit(1, show=False)
    valid = learn.dls.valid.images  # type: ignore[union-attr]
    found, targets = learn.get_preds()
    loss, share = learn.validate()
    assert share == pytest.approx(accuracy_score(valid.labels, found.argmax(1).numpy()))
    assert loss == pytest.approx(log_loss(valid.labels, found[:, 1].double().numpy()), rel=1e-5)
    assert torch.equal(targets, torch.from_numpy(valid.labels))
    batch_means = [
        np.mean(found.argmax(1)[rows].numpy() == targets[rows].numpy()) for rows in (slice(32), slice(32, 50))
    ]
    assert np.mean(batch_means) != pytest.approx(share)


@pytest.mark.parametrize(
    ("classes", "loss_func"),
    [
        (2, sigmoid_l1_loss),
        (2, binary_cross_entropy_with_logits),
        (2, mse_loss),
        (5, cross_entropy),
        (5, functools.partial(cross_entropy, label_smoothing=0.1)),
        (5, mse_loss),
    ],
)
def test_probabilities_have_a_column_a_class_and_add_up_to_one(classes: int, loss_func: Any) -> None:
    learn = learner("relu", loaders(90, classes=classes), loss_func)
    learn.fit(3, show=False)
    found, targets = learn.get_preds()
    assert found.shape == (45, classes)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(45))
    assert learn.validate()[1] == pytest.approx(accuracy_score(targets.numpy(), found.argmax(1).numpy()))


def test_losses_that_take_probabilities_give_them_as_they_are() -> None:
    sigmoid = nn.Sequential(*initialize(MODELS["linear"]((1, 8, 8), 2)), nn.Sigmoid())
    learn = Learner(loaders(), sigmoid, nn.BCELoss(), metrics=accuracy)
    found, _ = learn.get_preds()
    x = torch.cat([x for x, _ in learn.dls.valid])  # type: ignore[union-attr]
    torch.testing.assert_close(found[:, 1:], sigmoid(x).detach())
    assert learn.validate()[1] == pytest.approx(float((found.argmax(1) == learn.get_preds()[1]).float().mean()))
    logs = nn.Sequential(*initialize(MODELS["linear"]((1, 8, 8), 3)), nn.LogSoftmax(dim=1))
    learn = Learner(loaders(classes=3), logs, nn.NLLLoss())
    torch.testing.assert_close(learn.get_preds()[0].sum(1), torch.ones(40))


def test_a_picture_is_predicted_the_same_as_path_image_array_and_tensor(splits: Splits, tmp_path: Path) -> None:
    for flat in (False, True):
        dls = DataLoaders.from_images(splits, flat=flat)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
        learn = Learner(dls, initialize(model), lr=0.1)
        next(learn.stream())
        pixels = splits.test.pixels[3]  # type: ignore[union-attr]
        Image.fromarray(pixels[0]).save(tmp_path / "picture.png")
        with Image.open(tmp_path / "picture.png") as image:
            image.load()
        answers = [
            learn.predict(picture)
            for picture in (
                tmp_path / "picture.png",
                str(tmp_path / "picture.png"),
                (tmp_path / "picture.png").read_bytes(),
                image,
                pixels,
                pixels[0],
                torch.from_numpy(pixels),
                torch.from_numpy(pixels).float() / 255,
                torch.from_numpy(pixels).double() / 255,
                pixels[0] / 255,
                (pixels[0] / 255)[::-1][::-1],
                np.frombuffer(pixels.tobytes(), dtype=np.uint8).reshape(28, 28),
                splits.test[3][0].flatten(),  # type: ignore[index]
            )
        ]
        name, label, found = answers[0]
        assert name == splits.classes[label]
        assert found[label] == found.max()
        for other in answers[1:]:
            assert other[:2] == (name, label)
            torch.testing.assert_close(other[2], found)


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(1, 9, 8),
        torch.zeros(8, 8, 1),
        torch.full((1, 8, 8), 255.0),
        torch.full((1, 8, 8), float("nan")),
        torch.zeros(1, 8, 8, dtype=torch.int64),
        np.zeros((8, 8), dtype=np.int32),
        np.zeros((9, 9), dtype=np.uint8),
        "no-such-file.png",
        b"no picture",
        17,
    ],
)
def test_what_no_training_picture_looks_like_is_not_predicted(picture: Any) -> None:
    with pytest.raises(DataError) as caught:
        learner().predict(picture)
    assert caught.value.hint


def test_a_model_with_another_number_of_outputs_than_classes_is_said() -> None:
    learn = Learner(loaders(flat=True), nn.Linear(64, 5))
    with pytest.raises(ModelError, match="5 classes"):
        learn.predict(images(1).pixels[0])


def test_there_is_nothing_to_validate_on_without_a_loader_or_batches() -> None:
    with pytest.raises(DataError, match="no validation loader"):
        Learner(DataLoaders(loaders().train), learner().model).validate()
    for look in (learner().validate, learner().get_preds):
        with pytest.raises(DataError, match="no batches"):
            look(dl=[])


def test_looking_puts_every_mode_back_as_it_was() -> None:
    learn = Learner(loaders(), with_dropout())
    learn.model.train()
    learn.model[1].eval()
    learn.validate()
    assert [module.training for module in learn.model] == [True, False, True, True, True, True]


def test_random_layers_and_random_loaders_repeat_when_looked_at_twice() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    learn = Learner(loaders(flat=True), nn.Sequential(Noisy(), nn.Linear(64, 1)))
    assert learn.validate() == learn.validate()


def test_the_summary_counts_parameters_and_names_the_gradient() -> None:
    text = learner("relu").summary()
    assert f"{64 * 4 + 4 + 4 + 1:,} parameters" in text
    assert "gradient: autograd" in text
    assert "gradient: formula" in learner().summary()
    assert "binary_cross_entropy_with_logits" in text


def test_a_learner_keeps_its_model() -> None:
    learn = learner()
    with pytest.raises(UsageError, match="keeps its model") as caught:
        learn.model = nn.Linear(64, 1)
    assert "Learner(learn.dls, model" in caught.value.hint
    assert learn.model is learn.state.model
    copied = learn.copy()
    assert copied.model is copied.state.model is not learn.model


def test_a_copy_trains_without_touching_the_original() -> None:
    learn = learner("relu", None, None, torch.optim.AdamW, lr=0.01)
    learn.fit(1, show=False)
    before = everything(learn)
    other = learn.copy()
    other.fit(1, show=False)
    assert_same(everything(learn), before)
    learn.fit(1, show=False)
    assert_same(everything(learn), everything(other))


# What goes wrong


def test_a_picture_that_is_not_finite_is_named_by_its_row() -> None:
    x, y = torch.rand(40, 3), torch.tensor([0, 1] * 20)
    x[29, 1] = float("nan")
    batches = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 40, 10)]
    with pytest.raises(TrainingError, match="row 9 of epoch 1, batch 3") as caught:
        Learner(DataLoaders(batches), nn.Linear(3, 1), lr=0.1).fit(5, show=False)
    assert "input" in caught.value.message


def test_a_target_that_is_not_finite_is_named_by_its_row() -> None:
    x = torch.rand(20)
    y = 2 * x
    y[13] = float("inf")
    batches = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 20, 10)]
    with pytest.raises(TrainingError, match="target itself is not finite: row 3 of epoch 1, batch 2"):
        Learner(DataLoaders(batches), Quadratic(), F.mse_loss, lr=0.1).fit(5, show=False)


def test_an_infinite_loss_names_the_batch_and_a_lower_rate() -> None:
    x = torch.rand(20)
    batches = [(x, 2 * x)] * 3
    learn = Learner(DataLoaders(batches), Quadratic(), F.mse_loss)
    with pytest.raises(TrainingError, match=r"epoch \d+, batch \d, with learning rate 50") as caught:
        learn.fit(50, lr=50.0, show=False)
    assert "such as 5" in caught.value.hint
    assert learn.stopped_because is not None
    assert "the loss became" in learn.stopped_because
    with pytest.raises(ModelError, match="not finite"):
        learn.save("never-written")
    assert not Path("never-written.safetensors").exists()


def test_after_a_diverged_fit_a_mended_model_trains_again() -> None:
    x = torch.rand(20)
    learn = Learner(DataLoaders([(x, 2 * x)] * 3), Quadratic(), F.mse_loss)
    with pytest.raises(TrainingError):
        learn.fit(50, lr=50.0, show=False)
    with torch.no_grad():
        for parameter in learn.model.parameters():
            parameter.fill_(1.0)
    learn.fit(2, lr=0.1, show=False)
    assert learn.recorder.values[1][0] < learn.recorder.values[0][0]


def test_an_interrupt_is_raised_between_two_batches_and_leaves_a_usable_learner() -> None:
    learn = Learner(loaders(2000, 8), with_dropout(), lr=0.1, metrics=accuracy)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    handler = signal.getsignal(signal.SIGINT)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        learn.fit(10_000, show=False)
    timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    done = learn.state.batch
    assert done > 0
    assert learn.stopped_because == f"it was interrupted after batch {done}"
    whole = Learner(loaders(2000, 8), with_dropout(), lr=0.1, metrics=accuracy)
    list(whole.stream(stop=after(batches=done)))
    whole_state, learned = everything(whole), everything(learn)
    for name in learned.keys() - {"facts", "history"}:
        assert torch.equal(learned[name], whole_state[name]), name
    learn.fit(1, show=False)
    assert learn.stopped_because == "1 epoch was asked for and done"


def test_an_interrupt_after_the_last_batch_is_not_lost() -> None:
    def interrupted_at_the_end(progress: Progress) -> str | None:
        if progress.epochs:
            os.kill(os.getpid(), signal.SIGINT)
            return "it was over"
        return None

    learn = learner()
    with pytest.raises(KeyboardInterrupt):
        learn.fit(5, stop=StopRule(interrupted_at_the_end), show=False)
    assert learn.stopped_because == "it was over"
    learn.fit(1, show=False)


def test_a_learner_fits_in_another_thread() -> None:
    learn = learner()
    thread = threading.Thread(target=lambda: learn.fit(1, show=False))
    thread.start()
    thread.join()
    assert learn.state.epoch == 1


# Saving and loading


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = MODELS["relu"]((1, 8, 8), 2, None, 3)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.body(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: learner("linear"),
        lambda: learner("relu", loaders(classes=4)),
        lambda: learner("cnn", loaders(shape=(3, 9, 9))),
        lambda: learner("relu", loaders(classes=3), mse_loss),
        lambda: Learner(loaders(flat=True), nn.Linear(64, 1), sigmoid_l1_loss),
        lambda: Learner(loaders(), with_dropout()),
    ],
)
def test_an_exported_model_answers_as_the_learner_did(make: Any, tmp_path: Path) -> None:
    learn = make()
    learn.fit(2, 0.05, show=False)
    learn.temperature = 1.7
    loaded = load_learner(learn.export(tmp_path / "model.safetensors"))
    assert loaded.classes == learn.classes
    assert loaded.picture_shape == learn.picture_shape
    assert loaded.temperature == 1.7
    assert loaded.loss_func is learn.loss_func
    ours, theirs = learn.get_preds(), loaded.get_preds(dl=learn.dls.valid)
    assert torch.equal(ours[0], theirs[0])
    pixels = learn.dls.valid.images.pixels[0]
    assert loaded.predict(pixels)[:2] == learn.predict(pixels)[:2]
    with pytest.raises(DataError, match="no training pictures"):
        loaded.fit(1, show=False)


def test_a_foreign_module_is_loaded_into_an_instance(tmp_path: Path) -> None:
    learn = Learner(loaders(), Foreign(), metrics=accuracy)
    learn.fit(1, 0.1, show=False)
    path = learn.export(tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="Foreign") as caught:
        load_learner(path)
    assert "model=" in caught.value.hint
    loaded = load_learner(path, model=Foreign())
    assert torch.equal(loaded.get_preds(dl=learn.dls.valid)[0], learn.get_preds()[0])
    with pytest.raises(ModelError, match="does not fit"):
        load_learner(path, model=nn.Linear(2, 1))
    with unchecked(), pytest.raises(ModelError, match=r"nn\.Module"):
        load_learner(path, model=Foreign)  # type: ignore[arg-type]


def test_a_loaded_learner_trains_on_with_loaders(tmp_path: Path) -> None:
    learn = learner()
    learn.fit(2, show=False)
    loaded = load_learner(learn.export(tmp_path / "m.safetensors"), dls=loaders())
    loaded.fit(1, 0.1, show=False)
    assert loaded.recorder.values[0][0] < learn.recorder.values[0][0]


def test_an_activation_of_the_users_own_must_come_with_the_loss(tmp_path: Path) -> None:
    def own_loss(predictions: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(predictions, targets)

    own_loss.activation = lambda scores: scores.clamp(0, 1)  # type: ignore[attr-defined]
    for learn in (
        learner("linear", None, own_loss),
        learner("linear", None, None, activation=own_loss.activation),  # type: ignore[attr-defined]
    ):
        learn.temperature = 3.0
        path = learn.export(tmp_path / "own.safetensors")
        with pytest.raises(ModelError, match="activation") as caught:
            load_learner(path)
        assert "loss_func=" in caught.value.hint
        loaded = load_learner(path, loss_func=own_loss)
        assert torch.equal(loaded.get_preds(dl=learn.dls.valid)[0], learn.get_preds()[0])


def test_temperature_softens_probabilities_and_changes_no_class() -> None:
    learn = learner()
    learn.fit(3, show=False)
    sharp = learn.get_preds()[0]
    learn.temperature = 4.0
    soft = learn.get_preds()[0]
    assert torch.equal(sharp.argmax(1), soft.argmax(1))
    assert (soft.max(1).values < sharp.max(1).values).all()


def exported(tmp_path: Path) -> Path:
    return learner("relu").export(tmp_path / "whole.safetensors")


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    content = exported(tmp_path).read_bytes()
    for length in [*range(0, 200, 7), *range(200, len(content), 97), len(content) - 1]:
        path = tmp_path / "short.safetensors"
        path.write_bytes(content[:length])
        with pytest.raises(ModelError) as caught:
            load_learner(path)
        assert caught.value.hint


def test_a_file_with_a_damaged_header_is_refused_or_the_same(tmp_path: Path) -> None:
    content = exported(tmp_path).read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.safetensors"
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[random.integers(header)] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            load_learner(path)
        except ModelError:
            refused += 1
    assert refused > 100  # a letter of a class's name, say, may change unseen


@pytest.mark.parametrize(
    "change",
    [
        {"classes": "ab"},
        {"classes": [1, 2]},
        {"classes": 7},
        {"shape": [1, 8]},
        {"shape": [1, 8, "8"]},
        {"shape": [1, -8, 8]},
        {"shape": [1, True, 8]},
        {"shape": {"a": 1}},
        {"flat": "yes"},
        {"loss": ["mse_loss"]},
        {"activation": "os.system"},
        {"temperature": "hot"},
        {"temperature": [1]},
        {"temperature": 0},
        {"temperature": -1.0},
        {"model": 3},
        {"model": {"layer": "eval"}},
        {"model": {"layer": "Linear", "in_features": 2**30, "out_features": 2**30, "bias": True}},
        {"model": {"layer": "Sequential", "layers": [{"layer": "ReLU"}] * 10_000}},
        {"format": 99},
        {"format": "1"},
    ],
)
def test_a_hostile_file_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    learn = learner("relu")
    facts = {"format": 1, **learn.facts().as_json(), **change}
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(
        to_safetensors(finite_arrays(learn.model.state_dict()), metadata={"sevensteps": json.dumps(facts)})
    )
    with pytest.raises(ModelError) as caught:
        load_learner(path)
    assert caught.value.hint
    assert len(str(caught.value)) < 1000


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "pickle.pth")
    (tmp_path / "foreign.safetensors").write_bytes(to_safetensors({"weight": np.zeros(3)}))
    (tmp_path / "huge.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    (tmp_path / "text.safetensors").write_text("hello, is this a model?")
    (tmp_path / "folder.safetensors").mkdir()
    for name in (
        "pickle.pth",
        "foreign.safetensors",
        "huge.safetensors",
        "text.safetensors",
        "folder.safetensors",
        "none",
    ):
        with pytest.raises(ModelError) as caught:
            load_learner(tmp_path / name)
        assert caught.value.hint
        with pytest.raises(ModelError):
            learner().load(tmp_path / name)


def test_saved_and_exported_files_say_which_they_are(tmp_path: Path) -> None:
    learn = learner()
    with pytest.raises(ModelError, match="load_learner"):
        learn.load(learn.export(tmp_path / "exported.safetensors"))
    with pytest.raises(ModelError):
        load_learner(learn.save(tmp_path / "saved"))


def test_the_same_learner_is_the_same_file(tmp_path: Path) -> None:
    learn = learner("relu", None, None, torch.optim.AdamW)
    learn.fit(1, 0.01, show=False)
    assert learn.export(tmp_path / "a").read_bytes() == learn.export(tmp_path / "b").read_bytes()
    assert learn.save(tmp_path / "c").read_bytes() == learn.save(tmp_path / "d").read_bytes()


def test_the_default_loss_fits_the_outputs() -> None:
    assert Learner(loaders(flat=True), nn.Linear(64, 1)).loss_func is binary_cross_entropy_with_logits
    assert Learner(loaders(flat=True), nn.Linear(64, 2)).loss_func is cross_entropy
    assert learner("cnn", loaders(classes=3)).loss_func is cross_entropy


def test_a_normalization_is_part_of_the_model(tmp_path: Path) -> None:
    splits = Splits(images(20))
    model = MODELS["linear"](splits.train.shape, 2, Normalize([0.4], [0.1]))
    learn = Learner(DataLoaders.from_images(splits), model)
    loaded = load_learner(learn.export(tmp_path / "m"))
    assert float(loaded.model[0].mean) == pytest.approx(0.4)  # type: ignore[index]
    assert isinstance(splits.train, Images)
