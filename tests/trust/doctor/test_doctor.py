"""The doctor: each fault gets its finding, a run that is fine gets none, and looking changes nothing."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import images, learner, loaders, with_dropout
from torch import Tensor, nn
from torch.utils.data import DataLoader

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.features import Features
from sevensteps.data.images import Images, Splits
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.records.events import Batch, Epoch, Finding
from sevensteps.steps.initialize import initialize
from sevensteps.steps.loss import binary_cross_entropy_with_logits, mse_loss, sigmoid_l1_loss
from sevensteps.steps.predict import Normalize
from sevensteps.steps.schedule import SCHEDULES
from sevensteps.steps.step import SGD
from sevensteps.trust.doctor.doctor import CHECKS, Doctor
from sevensteps.trust.doctor.neighbors import neighbors
from sevensteps.trust.doctor.probe import _directions
from sevensteps.trust.doctor.sampler import Sampler

SHAPE = (1, 8, 8)


def pictures(train: int = 320, valid: int = 240, classes: int = 2) -> Splits:
    """Made-up pictures that are learned in an epoch or two."""
    return Splits(images(train, SHAPE, classes), valid=images(valid, SHAPE, classes, seed=1))


def layers(*widths: int, outputs: int = 1, activation: type[nn.Module] = nn.ReLU, first: Any = None) -> nn.Sequential:
    """A network of fully connected layers, the same each time."""
    made: list[nn.Module] = [first or Normalize([0.5], [0.25]), nn.Flatten()]
    before = 64
    for width in widths:
        made += [nn.Linear(before, width), activation()]
        before = width
    model = initialize(nn.Sequential(*made, nn.Linear(before, outputs)), seed=1)
    assert isinstance(model, nn.Sequential)
    return model


def learn_of(model: nn.Module | None = None, splits: Splits | None = None, **how: Any) -> Learner:
    """A learner that, unless told otherwise, is fine."""
    dls = DataLoaders.from_images(splits or pictures(), how.pop("batch_size", 32), seed=how.get("seed", 0))
    arguments = {"metrics": accuracy, "lr": 0.2, **how}
    return Learner(dls, model if model is not None else layers(16), **arguments)


def watched(learn: Learner, epochs: int = 4, doctor: Doctor | None = None, **how: Any) -> list[Finding]:
    """Train under the doctor's eyes; what it said, in order."""
    doctor = doctor or Doctor(learn)
    heard: list[Finding] = []
    for event in learn.stream(ss.after(epochs=epochs), **how):
        heard += doctor.observe(event)
    return heard


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def relabeled(splits: Splits, change: Callable[[Images], Images], only: tuple[str, ...] = ("train", "valid")) -> Splits:
    return dataclasses.replace(splits, **{name: change(getattr(splits, name)) for name in only})


def shuffled(images: Images) -> Images:
    return dataclasses.replace(images, labels=np.random.default_rng(0).permutation(images.labels))


def mostly_first(images: Images) -> Images:
    rare = np.flatnonzero(images.labels == 1)[12:]
    return images.take(np.setdiff1d(np.arange(len(images)), rare))


def partly_wrong(images: Images) -> Images:
    labels = images.labels.copy()
    labels[::5] = 1 - labels[::5]
    return dataclasses.replace(images, labels=labels)


def negative(images: Images) -> Images:
    return dataclasses.replace(images, pixels=255 - images.pixels)


class Squashed(nn.Module):
    """A model whose last operation is no module."""

    def __init__(self, inner: nn.Module, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.how = inner, how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.inner(x))


def with_bias(model: nn.Sequential, value: float, *places: int) -> nn.Sequential:
    """The biases of these layers at one value."""
    with torch.no_grad():
        for place in places:
            model[place].bias.fill_(value)  # type: ignore[union-attr,operator]
    return model


def frozen_first(model: nn.Sequential) -> nn.Sequential:
    model[2].weight.requires_grad_(False)  # type: ignore[union-attr,operator]
    return model


def without_the_last(parameters: Any, lr: float) -> SGD:
    return SGD(list(parameters)[:-1], lr)


def pushed(scale: float) -> nn.Sequential:
    """Answers the second class for every picture, the more surely the larger the scale."""
    model = layers()
    with torch.no_grad():
        model[2].weight.zero_()  # type: ignore[union-attr,operator]
    return with_bias(model, scale, 2)


FAULTS: dict[str, tuple[str, Callable[[], list[Finding]]]] = {
    "pixels up to 255": ("inputs_not_scaled", lambda: watched(learn_of(layers(16, first=Normalize([0.0], [1 / 255]))))),
    "pixels down to 1/255": (
        "inputs_not_scaled",
        lambda: watched(learn_of(layers(16, first=Normalize([0.0], [255.0])))),
    ),
    "sigmoid twice": ("loss_misfit", lambda: watched(learn_of(layers(16).append(nn.Sigmoid())))),
    "sigmoid twice, as a function": ("loss_misfit", lambda: watched(learn_of(Squashed(layers(16), torch.sigmoid)))),
    "softmax twice": (
        "loss_misfit",
        lambda: watched(learn_of(layers(16, outputs=4).append(nn.Softmax(1)), pictures(classes=4))),
    ),
    "softmax twice, PyTorch's loss": (
        "loss_misfit",
        lambda: watched(
            learn_of(
                Squashed(layers(16, outputs=4), lambda z: z.softmax(1)),
                pictures(classes=4),
                loss_func=nn.CrossEntropyLoss(),
            )
        ),
    ),
    "no logarithm of probabilities": (
        "loss_misfit",
        # Scores above 0 are refused before training; these are below, and yet no logarithms of shares of 1.
        lambda: watched(
            learn_of(
                layers(16, outputs=4).append(nn.LogSigmoid()), pictures(classes=4), loss_func=nn.NLLLoss(), lr=0.001
            )
        ),
    ),
    "no gradient asked for": ("frozen", lambda: watched(learn_of(frozen_first(layers(16))))),
    "a parameter that the optimizer lacks": ("frozen", lambda: watched(learn_of(opt_func=without_the_last))),
    "few of one class": (
        "class_imbalance",
        lambda: watched(learn_of(splits=relabeled(pictures(), mostly_first))),
    ),
    "other validation pictures": (
        "split_mismatch",
        lambda: watched(learn_of(splits=relabeled(pictures(), negative, ("valid",)))),
    ),
    "other shares of the classes in validation": (
        "split_mismatch",
        lambda: watched(learn_of(splits=relabeled(pictures(), mostly_first, ("valid",)))),
    ),
    "labels shuffled": ("shuffled_labels", lambda: watched(learn_of(splits=relabeled(pictures(), shuffled)))),
    "validation labels shuffled": (
        "shuffled_labels",
        lambda: watched(learn_of(splits=relabeled(pictures(), shuffled, ("valid",)))),
    ),
    "parameters that start large": (
        "exploding",
        lambda: watched(learn_of(initialize(layers(16, 16, 16), "normal", std=1.0, seed=1), lr=0.001)),  # type: ignore[arg-type]
    ),
    "sigmoids between many layers": (
        "vanishing",
        lambda: watched(learn_of(layers(16, 16, 16, 16, 16, activation=nn.Sigmoid))),
    ),
    "ReLUs pushed under zero": ("dead_relus", lambda: watched(learn_of(with_bias(layers(16, 16), -30.0, 2, 4)))),
    "a rate that leads to infinity": ("diverging", lambda: watched(learn_of(loss_func=mse_loss, lr=100.0))),
    "a rate that leads uphill": ("diverging", lambda: watched(learn_of(opt_func=torch.optim.Adam, lr=1.0), 6)),
    "a rate that overshoots": (
        "oscillating",
        lambda: watched(learn_of(layers(16, 16, 16), lr=4.0)),
    ),
    "a rate far too low": ("rate_too_low", lambda: watched(learn_of(lr=0.00005))),
    "a sigmoid that is flat": ("saturated", lambda: watched(learn_of(pushed(60.0), loss_func=sigmoid_l1_loss))),
    "one class from the start": ("one_class", lambda: watched(learn_of(pushed(30.0)))),
    "learned by heart": (
        "overfitting",
        lambda: watched(learn_of(layers(64), relabeled(pictures(40), partly_wrong, ("train",)), batch_size=4), 30),
    ),
    "over too soon": ("too_few_epochs", lambda: watched(learn_of(batch_size=80), 3)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_first(fault: str) -> None:
    code, run = FAULTS[fault]
    heard = run()
    assert codes(heard)[:1] == [code]
    assert heard[0].evidence is not None
    assert heard[0].message.endswith(".")
    assert heard[0].fix


HEALTHY: dict[str, Callable[[], list[Finding]]] = {
    "a linear model": lambda: watched(learn_of(layers()), 8),
    "a network": lambda: watched(learn_of(), 8),
    "a network of four classes": lambda: watched(learn_of(layers(16, outputs=4), pictures(classes=4)), 8),
    "a CNN with batch norm": lambda: watched(learner("cnn", loaders(800, 32), opt_func=torch.optim.AdamW, lr=0.005), 6),
    "dropout": lambda: watched(learn_of(with_dropout(), lr=0.1), 8),
    "losses that take probabilities": lambda: watched(
        learn_of(layers(16).append(nn.Sigmoid()), loss_func=nn.BCELoss()), 8
    ),
    "losses that take their logarithms": lambda: watched(
        learn_of(layers(16, outputs=4).append(nn.LogSoftmax(1)), pictures(classes=4), loss_func=nn.NLLLoss()),
        8,
    ),
    "a mean squared distance": lambda: watched(learn_of(layers(16), loss_func=mse_loss, lr=0.02), 8),
}


@pytest.mark.parametrize("run", HEALTHY)
def test_a_run_that_is_fine_has_no_finding(run: str) -> None:
    assert HEALTHY[run]() == []


def test_a_clipped_gradient_does_not_explode() -> None:
    large = initialize(layers(16, 16, 16), "normal", std=1.0, seed=1)
    assert "exploding" not in codes(watched(learn_of(large, lr=0.001, clip=1.0)))


@pytest.mark.parametrize(("recipe", "lr"), [("linear", 1e30), ("linear", 1000.0), ("linear", 1e-7), ("relu", 1000.0)])
def test_what_is_said_of_a_rate_helps_when_it_is_done_once_or_twice(recipe: str, lr: float) -> None:
    of_rates = {"diverging", "oscillating", "rate_too_low"}
    for _ in range(3):
        try:
            run = ss.train("pullover-dress", recipe=recipe, lr=lr, epochs=4)
        except ss.errors.TrainingError as error:
            fix = error.hint
        else:
            fix = next((finding.fix for finding in run.findings if finding.code in of_rates), "")
        if not fix:
            break
        (said,) = re.findall(r"--lr ([^\s)]+)", fix)
        lr = float(said)
    assert {finding.code for finding in run.findings} <= {"too_few_epochs"}
    assert run.test is not None
    assert run.test.accuracy > 0.95


def test_no_rate_is_advised_that_fails_from_a_new_start() -> None:
    """One step may be ten thousand times as long; a run at that rate fails."""
    for lr in (1e-7, 1e-5, 1e-3):
        for splits in (pictures(), relabeled(pictures(), black, ("train", "valid"))):
            for finding in watched(learn_of(splits=splits, lr=lr), 6):
                said = [float(rate) for rate in re.findall(r"--lr ([^\s),]+)", finding.fix)]
                assert all(rate <= 10 for rate in said), finding
                if finding.code == "rate_too_low":
                    (rate,) = said
                    slow, better = (watched_loss(splits, rate) for rate in (lr, rate))
                    assert better < slow, (lr, rate)


def black(images: Images) -> Images:
    """Replace most pictures of the first class by black ones, as a wrong range of values does."""
    pixels = images.pixels.copy()
    pixels[(images.labels == 0) & (np.arange(len(images)) % 5 > 0)] = 0
    return dataclasses.replace(images, pixels=pixels)


def watched_loss(splits: Splits, lr: float) -> float:
    """The validation loss after six epochs at a rate."""
    learn = learn_of(splits=splits, lr=lr)
    watched(learn, 6)
    loss = learn.state.history[-1].valid_loss
    assert loss is not None
    return loss


def test_a_step_that_is_tried_is_the_step_of_the_optimizer_with_its_decay() -> None:
    learn = learn_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), opt_func=functools.partial(SGD, weight_decay=5.0))
    named = dict(learn.model.named_parameters())
    x, targets = next(iter(learn.dls.train))
    learn.objective.loss(learn.model(x), targets).backward()
    gradients = {name: parameter.grad for name, parameter in named.items()}
    directions = _directions(learn, named, gradients)
    assert directions is not None
    tried = {name: named[name].detach() - learn.lr * direction for name, direction in directions.items()}
    learn.opt.step()
    for name, parameter in named.items():
        torch.testing.assert_close(tried[name], parameter.detach())


@pytest.mark.parametrize("settings", [{"recipe": "relu"}, {"normalize": False}, {}])
def test_a_rate_of_zero_is_too_low(settings: dict[str, Any]) -> None:
    run = ss.train("pullover-dress", lr=0.0, epochs=3, **settings)
    (finding,) = run.findings
    assert (finding.code, finding.epoch, finding.recovered_at) == ("rate_too_low", 1, None)
    assert finding.fix.startswith("Leave --lr out")
    assert float(finding.fix.split()[-1].strip(".")) > 0


def test_a_rate_that_still_climbs_is_not_called_too_low() -> None:
    """In the first of 60 epochs a schedule keeps the rate at a few hundredths of its full value."""
    learn = learn_of(layers(), pictures(40), batch_size=16)
    doctor = Doctor(learn)
    watched(learn, 60, doctor, schedule=SCHEDULES["one_cycle"])
    assert "rate_too_low" not in codes(doctor.findings)


def test_pictures_are_not_to_be_varied_where_features_are_learned_from() -> None:
    plain = relabeled(pictures(40), partly_wrong, ("train",))
    of_features = relabeled(plain, with_own_pixels_as_features)
    for splits, is_advised in ((plain, True), (of_features, False)):
        heard = watched(learn_of(layers(64), splits, batch_size=4), 30)
        (fix,) = [finding.fix for finding in heard if finding.code == "overfitting"]
        assert ("--augment" in fix) == is_advised


def with_own_pixels_as_features(images: Images) -> Images:
    rows = images.pixels.reshape(len(images), -1)
    features = Features(rows=rows, name="pixels", sha256="", shape=images.shape)
    return dataclasses.replace(images, features=features, rows=np.arange(len(images)))


def test_suggesting_a_rate_changes_nothing() -> None:
    learn = learn_of(with_dropout(), opt_func=torch.optim.AdamW, lr=0.01)
    learn.fit(1, show=False)
    before, drawn = everything(learn), torch.random.get_rng_state()
    assert Sampler(learn).steady_rate
    assert torch.equal(torch.random.get_rng_state(), drawn)
    for name, value in everything(learn).items():
        assert same(value, before[name]), name


# Chance


def untrained(model: nn.Module, loss: Any = binary_cross_entropy_with_logits, batches: int = 100) -> Learner:
    """A learner that stands after so many batches, as though they had changed nothing."""
    learn = learn_of(model, loss_func=loss)
    learn.stop, learn.state.batch = ss.after(epochs=99), batches
    return learn


def after_epoch(learn: Learner, doctor: Doctor, accuracy: float | None, train: float = 0.6931) -> list[Finding]:
    """What is said of one more epoch with these figures."""
    metrics = {} if accuracy is None else {"accuracy": accuracy}
    state = learn.state
    event = Epoch(number=state.epoch + 1, train_loss=train, valid_loss=0.6931, metrics=metrics, lr=0.2)
    state.history.append(event)
    state.epoch += 1
    return doctor.observe(event)


def test_a_saturated_run_is_said_once_with_its_evidence() -> None:
    learn = untrained(pushed(30.0), sigmoid_l1_loss)
    doctor = Doctor(learn)
    assert after_epoch(learn, doctor, 0.5) == []  # too early to say
    (finding,) = after_epoch(learn, doctor, 0.5)
    assert (finding.code, finding.epoch, finding.recovered_at) == ("saturated", 2, None)
    assert "100% of the pictures it gets wrong lie on the flat end of the sigmoid" in finding.message
    assert "no better than always answering" in finding.message
    assert "50% of the validation pictures right" in finding.message
    assert "may recover late or never" in finding.fix
    assert "--recipe linear" in finding.fix
    assert after_epoch(learn, doctor, 0.5) == []
    assert [(f.code, f.epoch, f.recovered_at) for f in doctor.findings] == [("saturated", 2, None)]


def test_a_finding_that_passes_is_marked_recovered_and_may_come_again() -> None:
    learn = untrained(pushed(30.0), sigmoid_l1_loss)
    doctor = Doctor(learn)
    for share in [0.5, 0.5, 0.55, 0.95, 0.95, 0.5]:
        after_epoch(learn, doctor, share)
    assert [(f.code, f.epoch, f.recovered_at) for f in doctor.findings] == [("saturated", 2, 4), ("saturated", 6, None)]


@pytest.mark.parametrize("early", [[0.9, 0.5], [0.5, 0.9]])
def test_a_run_above_chance_by_epoch_2_is_never_said_to_be_saturated(early: list[float]) -> None:
    learn = untrained(pushed(30.0), sigmoid_l1_loss)
    doctor = Doctor(learn)
    for share in [*early, 0.5, 0.5, 0.5]:
        after_epoch(learn, doctor, share)
    assert doctor.findings
    assert not {"saturated", "stuck"} & set(codes(doctor.findings))


def test_stuck_is_said_when_the_gradient_has_fallen_for_five_epochs_and_passes_when_the_run_learns() -> None:
    model = pushed(15.0)
    learn = untrained(model, sigmoid_l1_loss)
    doctor = Doctor(learn)
    for epoch in range(1, 13):
        with_bias(model, 15.0 + (epoch if epoch < 10 else -epoch / 4), 2)
        after_epoch(learn, doctor, 0.5)
    said = [(f.code, f.epoch, f.recovered_at) for f in doctor.findings]
    assert said == [("saturated", 2, None), ("stuck", 7, None)]  # the gradient rises from epoch 10 on, at chance
    assert len((doctor.findings[0].evidence or {})["gradients"]) == 6
    after_epoch(learn, doctor, 0.95)
    assert [(f.code, f.recovered_at) for f in doctor.findings] == [("saturated", 13), ("stuck", 13)]


def test_a_run_that_is_saturated_no_more_and_still_at_chance_is_told_so() -> None:
    model = pushed(30.0)
    learn = untrained(model, sigmoid_l1_loss)
    doctor = Doctor(learn)
    after_epoch(learn, doctor, 0.5)
    after_epoch(learn, doctor, 0.5)
    with_bias(model, 0.01, 2)
    after_epoch(learn, doctor, 0.5)
    (passed, now) = doctor.findings
    assert (passed.code, passed.recovered_at) == ("saturated", 3)
    assert (now.epoch, now.recovered_at) == (3, None)


def test_at_chance_without_any_reason_is_said_to_be_so() -> None:
    learn = untrained(layers(16))
    doctor = Doctor(learn)
    assert after_epoch(learn, doctor, 0.5) == []
    (finding,) = after_epoch(learn, doctor, 0.1)  # worse than chance
    assert finding.code == "at_chance"
    assert (finding.evidence or {})["gradient"] > 0
    assert "flat" not in finding.message


def test_a_sigmoid_is_not_saturated_where_the_loss_is_steep() -> None:
    for loss in (binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss()):
        learn = untrained(pushed(30.0), loss)
        doctor = Doctor(learn)
        after_epoch(learn, doctor, 0.5)
        after_epoch(learn, doctor, 0.5)
        assert codes(doctor.findings)
        assert "saturated" not in codes(doctor.findings)


def test_below_chance_is_said_to_be_so() -> None:
    learn = untrained(layers(16))
    doctor = Doctor(learn)
    after_epoch(learn, doctor, 0.128)
    (finding,) = after_epoch(learn, doctor, 0.128)
    assert finding.message.startswith("After epoch 2 the model is worse than always answering")
    assert "13% of the validation pictures right" in finding.message


def test_at_chance_after_a_handful_of_batches_is_no_finding_until_the_run_ends() -> None:
    learn = untrained(layers(16), batches=4)
    doctor = Doctor(learn)
    assert after_epoch(learn, doctor, 0.5) + after_epoch(learn, doctor, 0.5) == []
    learn.stop = ss.after(epochs=3)
    assert codes(after_epoch(learn, doctor, 0.5)) == ["at_chance"]


def test_a_run_that_ends_after_one_epoch_at_chance_is_told_at_its_end() -> None:
    run = ss.train("pullover-dress", recipe="walkthrough-by-hand", seed=0, epochs=1)
    assert [(f.code, f.epoch) for f in run.findings] == [("saturated", 1)]


def test_what_was_said_of_the_end_is_taken_back_where_the_run_goes_on() -> None:
    short, long = learn_of(batch_size=80), learn_of(batch_size=80)
    doctor = Doctor(short)
    assert codes(watched(short, 3, doctor)) == ["too_few_epochs"]
    short.state.stopped = None
    watched(short, 5, doctor)
    whole = Doctor(long)
    watched(long, 5, whole)
    assert doctor.findings == whole.findings


def test_the_doctor_says_nothing_where_it_cannot_know() -> None:
    learn = untrained(layers(16))
    learn.dls.valid = list(learn.dls.valid)  # batches from anywhere, whose classes are not known
    doctor = Doctor(learn)
    assert after_epoch(learn, doctor, 0.5) + after_epoch(learn, doctor, 0.5) == []
    learn = untrained(layers(16))
    doctor = Doctor(learn)
    assert after_epoch(learn, doctor, None) + after_epoch(learn, doctor, None) == []


def test_a_model_that_fits_numbers_is_watched_too() -> None:
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    batches = [(x, 3 * x)]
    learn = Learner(DataLoaders(batches, batches), nn.Linear(1, 1), mse_loss, SGD, 0.5)
    assert watched(learn, 8) == []
    learn = Learner(DataLoaders(batches, batches), nn.Linear(1, 1), mse_loss, SGD, 50.0)
    assert codes(watched(learn, 60))[:1] == ["diverging"]


def test_findings_pass_when_their_cause_does() -> None:
    model = layers(16)
    learn = learn_of(model)
    frozen_first(model)
    doctor = Doctor(learn)
    for event in learn.stream(ss.after(epochs=4)):
        doctor.observe(event)
        if isinstance(event, Epoch) and event.number == 2:
            model[2].weight.requires_grad_(True)  # type: ignore[union-attr,operator]
    (finding, *_) = doctor.findings
    assert (finding.code, finding.epoch, finding.recovered_at) == ("frozen", 1, 3)


def test_a_symptom_is_not_said_beside_its_cause() -> None:
    doctor = Doctor(learn := learn_of(with_bias(layers(16, 16), -30.0, 2, 4)))
    watched(learn, 6, doctor)
    assert codes(doctor.findings) == ["dead_relus"]
    for check in CHECKS.values():
        assert check.explained_by <= CHECKS.keys()
        assert check.code not in check.explained_by


# A loss that is no number


def test_a_run_that_diverges_is_told_before_it_fails(tmp_path: Path) -> None:
    heard: list[Any] = []
    with pytest.raises(ss.errors.TrainingError, match="The loss became"):
        ss.train("pullover-dress", loss="mse_loss", lr=1e6, schedule="constant", observe=heard.append)
    found = [event for event in heard if isinstance(event, Finding)]
    assert codes(found) == ["diverging"]
    assert isinstance(heard[-2], Batch)
    assert heard[-1] is found[0]
    (lower,) = re.findall(r"--lr (\S+?)\)", found[0].fix)
    assert ss.train("pullover-dress", loss="mse_loss", lr=float(lower), epochs=2).test is not None


# Nothing is changed, and nothing is hidden


def everything(learn: Learner) -> dict[str, Any]:
    """All that training goes on from, and what a look might leave behind."""
    parameters = dict(learn.model.named_parameters())
    return {
        **{f"state {name}": tensor.clone() for name, tensor in learn.state.tensors().items()},
        **{f"gradient {name}": None if p.grad is None else p.grad.clone() for name, p in parameters.items()},
        "modes": [module.training for module in learn.model.modules()],
        "wanted": [p.requires_grad for p in parameters.values()],
        "hooks": [len(module._forward_hooks) + len(module._backward_hooks) for module in learn.model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": str(np.random.get_state()),
        "facts": learn.state.facts(),
        "gradient": learn.gradient,
    }


def same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else bool(one == other)


def foreign(**how: Any) -> DataLoaders:
    train, valid = ([(x, y) for x, y in images] for images in (pictures(96).train, pictures(96, 64).train))
    return DataLoaders(DataLoader(train, 16, **how), DataLoader(valid, 32))  # type: ignore[arg-type]


LEARNERS: dict[str, Callable[[], Learner]] = {
    "linear, by formula": lambda: learn_of(layers()),
    "batch norm and dropout": lambda: learn_of(with_dropout(), opt_func=torch.optim.AdamW, lr=0.01),
    "a CNN with momentum": lambda: learner("cnn", opt_func=lambda p, lr: SGD(p, lr, momentum=0.9)),
    "batches of PyTorch's loader, shuffled": lambda: Learner(
        foreign(shuffle=True), layers(16), binary_cross_entropy_with_logits, SGD, 0.1, metrics=accuracy
    ),
    "at chance, and saturated": lambda: learn_of(pushed(20.0), loss_func=sigmoid_l1_loss),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_the_doctor_changes_nothing(name: str) -> None:
    plain, seen = LEARNERS[name](), LEARNERS[name]()
    doctor = None
    kept: list[dict[str, Any]] = []
    for learn in (plain, seen):
        torch.manual_seed(3)
        if learn is seen:
            doctor = Doctor(learn)
        states = []
        for event in learn.stream(ss.after(epochs=3)):
            if doctor is not None:
                doctor.observe(event)
            states.append(everything(learn))
        kept = kept or states
    for before, after in zip(kept, states, strict=True):
        for what, value in before.items():
            assert same(value, after[what]), what


def test_a_loader_that_gives_a_batch_once_is_left_alone() -> None:
    taken = []

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for number, (x, y) in enumerate(learn_of().dls.train):
            taken.append(number)
            yield x, y

    learn = Learner(DataLoaders(batches()), layers(16), lr=0.1)
    doctor = Doctor(learn)
    assert taken == []
    watched(learn, 1, doctor)
    assert taken == list(range(10))


def test_a_loader_with_processes_of_its_own_starts_none_for_the_doctor() -> None:
    dls = foreign(num_workers=2)
    assert Sampler(Learner(dls, layers(16), lr=0.1)).batch is None
    assert Sampler(Learner(foreign(), layers(16), lr=0.1)).batch is not None


def test_a_model_of_others_that_refuses_the_sample_keeps_its_run() -> None:
    class OfSixteen(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            assert len(x) == 16
            return super().forward(x.flatten(1))

    dls = foreign()
    dls.train = [(x.repeat(2, 1, 1, 1)[:16], y.repeat(2)[:16]) for x, y in dls.train]
    learn = Learner(DataLoaders(dls.train), OfSixteen(64, 1), lr=0.1)
    learn.dls.train[0] = tuple(part[:8] for part in learn.dls.train[0])
    doctor = Doctor(learn)
    assert doctor.findings == []


@pytest.mark.parametrize("fault", ["saturated", "overfitting", "rate_too_low", "at_chance", "frozen", "too_few_epochs"])
@pytest.mark.parametrize("leave", [(0, 2), (1, 0), (3, 2), (7, 0)])
def test_a_run_that_was_cut_off_is_judged_as_one_that_was_not(fault: str, leave: tuple[int, int]) -> None:
    def made() -> Learner:
        if fault == "saturated":
            return learn_of(pushed(20.0), loss_func=sigmoid_l1_loss)
        if fault == "overfitting":
            return learn_of(layers(64), relabeled(pictures(40), partly_wrong, ("train",)), batch_size=4, lr=0.5)
        if fault == "rate_too_low":
            return learn_of(lr=0.0001)
        if fault == "frozen":
            return learn_of(frozen_first(layers(16)))
        if fault == "too_few_epochs":
            return learn_of(batch_size=160, lr=0.03)
        return learn_of(splits=pictures(48), lr=1e-9, batch_size=8)

    whole = Doctor(learn := made())
    watched(learn, 9, whole)
    assert whole.findings

    cut = made()
    doctor = Doctor(cut)
    for event in cut.stream(ss.after(epochs=9)):
        doctor.observe(event)
        if (cut.state.epoch, cut.state.position) == leave:
            break
    cut.close()
    again = made()
    resumed = Doctor(again)
    again.state.restore({name: tensor.clone() for name, tensor in cut.state.tensors().items()}, cut.state.facts())
    resumed.findings = [Finding.from_json(finding.as_json()) for finding in doctor.findings]
    watched(again, 9, resumed)
    assert resumed.findings == whole.findings


def test_small_sets_are_looked_at_less_often_later() -> None:
    few, many = (Sampler(learn_of(splits=pictures(count), batch_size=2)) for count in (40, 3000))
    assert [epoch for epoch in range(1, 75) if few.is_due(epoch)] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 70]
    assert all(many.is_due(epoch) for epoch in range(1, 100))


# The pictures alone


def test_nearest_neighbors_are_those_of_slow_arithmetic() -> None:
    train, valid = images(30, SHAPE, 3), images(20, SHAPE, 3, seed=1)
    found = neighbors(train, valid)
    chosen = {"training": train, "validation": valid}
    points = {name: im.pixels[:].reshape(len(im), -1).astype(float) / 255 for name, im in chosen.items()}
    assert found.n == {"training": 20, "validation": 20}
    every = [(name, row) for name in ("validation",) for row in range(20)]
    near = [
        min(
            (other for other in every if other != own),
            key=lambda o: float(np.linalg.norm(points[own[0]][own[1]] - points[o[0]][o[1]])),
        )
        for own in every
    ]
    agree = np.mean([valid.labels[own[1]] == valid.labels[other[1]] for own, other in zip(every, near, strict=True)])
    assert found.agreement["validation"] == pytest.approx(float(agree))
    assert found.by_chance["validation"] == pytest.approx(sum((np.bincount(valid.labels) / 20) ** 2))


def test_splits_of_the_same_pictures_are_not_apart() -> None:
    for seed in range(5):
        found = neighbors(images(400, SHAPE, 4, seed=seed), images(300, SHAPE, 4, seed=seed + 50))
        assert all(0.35 < share < 0.65 for share in found.own_split.values())


def test_a_single_picture_and_a_large_one_are_no_matter() -> None:
    large = Images(np.zeros((3, 3, 90, 50), dtype=np.uint8), np.array([0, 1, 0]), ("a", "b"))
    assert neighbors(large, large.take(np.array([0]))).n == {"training": 1, "validation": 1}
