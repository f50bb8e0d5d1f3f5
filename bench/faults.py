"""The faults that bench/doctor.py injects, and the runs into which it injects them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sevensteps.data.images import Images, Splits, mean_and_std
from sevensteps.data.sources.load import load
from sevensteps.learner.learner import Learner
from sevensteps.recipes.recipe import Recipe
from sevensteps.steps.initialize import initialize
from sevensteps.steps.predict import Normalize, outputs

# Healthy settings, chosen on pullover and dress, seeds 0-39: none of them causes a finding.
SGD: dict[str, Any] = {"optimizer": "SGD", "momentum": 0.9, "schedule": "one_cycle", "batch_size": 64}
RECIPES = {
    "linear": Recipe(name="linear", model="linear", lr=0.01, epochs=12, **SGD),
    "relu": Recipe(name="relu", model="relu", width=30, init="kaiming", lr=0.03, weight_decay=0.003, epochs=12, **SGD),
    "cnn": replace(Recipe.load("cnn"), width=4, epochs=10, batch_size=64, threads=1),
    "deep": Recipe(name="deep", lr=0.02, weight_decay=0.003, epochs=12, **SGD),
    "conv": Recipe(name="conv", lr=0.01, epochs=10, **SGD),
}
# Digits have 64 pixels instead of 784, so rates are higher; a flipped digit is a different one, or none.
FOR_DIGITS: dict[str, dict[str, Any]] = {
    "linear": {"lr": 0.1},
    "relu": {"lr": 0.1},
    "cnn": {"width": 8, "augment": "none"},
    "deep": {},
    "conv": {},
}
WIDE = 32


@dataclass(frozen=True)
class Case:
    """A planned run: its pictures, its settings, and functions that create and change its model."""

    splits: Splits
    recipe: Recipe
    model: str
    activation: Callable[[], nn.Module] = nn.ReLU
    alter: Callable[[nn.Sequential], nn.Module] = lambda model: model
    settings: Mapping[str, Any] = field(default_factory=dict)

    def learner(self) -> Learner:
        """Return the learner that trains."""
        recipe, splits = self.recipe, self.splits
        learn = recipe.learner(splits)
        model = self._own_model() if self.model in ("deep", "conv") else learn.model
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(recipe.seed)
            model = self.alter(model)  # type: ignore[arg-type]
        made = Learner(
            learn.dls,
            model,
            recipe.settled(splits).replace(threads=1).loss_function(splits.train),
            recipe.optimizer_function(),
            recipe.lr,
            metrics=learn.metrics,
            seed=recipe.seed,
            clip=recipe.clip or None,
            device="cpu",
        )
        made.follow(recipe.stop_rule(), recipe.schedule_function())
        return made

    def _own_model(self) -> nn.Sequential:
        """Return models deeper than the shipped ones, without batch norm."""
        channels, height, width = self.splits.train.shape
        ends = outputs(len(self.splits.classes))
        normalize = Normalize(*mean_and_std(self.splits.train))
        if self.model == "deep":
            sizes = [channels * height * width, WIDE, WIDE, WIDE, WIDE, WIDE]
            layers: list[nn.Module] = [normalize, nn.Flatten()]
            for before, after in itertools.pairwise(sizes):
                layers += [nn.Linear(before, after), self.activation()]
            layers.append(nn.Linear(WIDE, ends))
        else:
            layers = [normalize]
            before = channels
            for after, stride in ((8, 2), (8, 1), (16, 2), (16, 1)):
                layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), self.activation()]
                before = after
            layers += [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * before, ends)]
        how = self.settings.get("init", "kaiming")
        model = initialize(nn.Sequential(*layers), how, std=self.settings.get("std", 1.0), seed=self.recipe.seed)
        assert isinstance(model, nn.Sequential)
        return model


def small(splits: Splits, seed: int, train: int = 1200, valid: int = 400) -> Splits:
    """Return some pictures of each split, which differ with the seed."""
    order = np.random.default_rng(seed).permutation(len(splits.train))
    return Splits(splits.train.take(order[:train]), valid=splits.train.take(order[train : train + valid]))


def healthy(splits: Splits, model: str, seed: int) -> Case:
    """Return a run without a fault."""
    recipe = RECIPES[model].replace(seed=seed, **(FOR_DIGITS[model] if len(splits.classes) > 2 else {}))
    if len(splits.train) < 1600:
        return Case(splits.hold_out(0.25, seed), recipe, model)
    return Case(small(splits, seed), recipe, model)


def shipped(splits: Splits, name: str, seed: int) -> Case:
    """Return a run of a shipped recipe on all pictures."""
    recipe = Recipe.load(name).replace(seed=seed, threads=1)
    return Case(recipe.held_out(splits), recipe, name)


def _with_labels(splits: Splits, labels: Callable[[Images], np.ndarray]) -> Splits:
    """Replace the labels of every split."""
    changed = {
        name: replace(images, labels=labels(images))
        for name, images in vars(splits).items()
        if isinstance(images, Images)
    }
    return replace(splits, **changed)


def shuffled(case: Case) -> Case:
    """Shuffle the labels."""
    random = np.random.default_rng(case.recipe.seed)
    return replace(case, splits=_with_labels(case.splits, lambda images: random.permutation(images.labels)))


def imbalanced(case: Case) -> Case:
    """Keep one in 25 pictures of the last class."""

    def few(images: Images) -> Images:
        last = np.flatnonzero(images.labels == len(images.classes) - 1)
        return images.take(np.setdiff1d(np.arange(len(images)), last[max(len(last) // 25, 1) :]))

    assert case.splits.valid is not None
    return replace(case, splits=Splits(few(case.splits.train), valid=few(case.splits.valid)))


def other_valid(case: Case) -> Case:
    """Change the validation pictures."""
    valid = case.splits.valid
    assert valid is not None
    random = np.random.default_rng(case.recipe.seed)
    kinds = (
        lambda pixels: 255 - pixels,
        lambda pixels: np.clip(pixels * 0.35, 0, 255),
        lambda pixels: np.clip(pixels + random.normal(0, 60, pixels.shape), 0, 255),
        lambda pixels: np.roll(pixels, pixels.shape[3] // 4, 3),
    )
    other = replace(valid, pixels=kinds[case.recipe.seed % len(kinds)](valid.pixels.astype(float)).astype(np.uint8))
    return replace(case, splits=replace(case.splits, valid=other))


def few_pictures(case: Case) -> Case:
    """Keep twenty pictures of each class, a fifth of them with wrong labels, which the model will memorize."""
    recipe = case.recipe.replace(
        augment="none",
        schedule="constant",
        epochs=60 if case.model == "linear" else 40,
        batch_size=8,
        weight_decay=0.0,
        lr=case.recipe.lr / (3 if case.model == "linear" else 6),
    )
    classes = len(case.splits.classes)
    train = case.splits.train.take(np.arange(20 * classes))
    labels = train.labels.copy()
    labels[::5] = (labels[::5] + 1) % classes
    return replace(case, splits=replace(case.splits, train=replace(train, labels=labels)), recipe=recipe)


def too_short(case: Case) -> Case:
    """Train three epochs with few steps in large batches; with batch norm, whose averages need more, in small ones."""
    slower = {"linear": 1, "relu": 3, "cnn": 10}[case.model]
    settings = {"lr": case.recipe.lr / slower} | ({} if case.model == "cnn" else {"batch_size": 600})
    return replace(case, recipe=case.recipe.replace(epochs=3, schedule="constant", **settings))


def rate(times: float) -> Callable[[Case], Case]:
    """Multiply the learning rate."""
    return lambda case: replace(case, recipe=case.recipe.replace(lr=case.recipe.lr * times))


def altered(alter: Callable[[nn.Sequential], nn.Module]) -> Callable[[Case], Case]:
    """Change the model after it is created."""
    return lambda case: replace(case, alter=alter)


def _last(model: nn.Module) -> Any:
    """Return the last linear layer."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]


def _sunk(model: nn.Sequential) -> nn.Module:
    """Push the input of every ReLU far below zero."""
    layers = list(model)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.ReLU):
            before = next(x for x in reversed(layers[:place]) if isinstance(x, (nn.Linear, nn.Conv2d, nn.BatchNorm2d)))
            before.bias.fill_(-30.0)  # type: ignore[union-attr]
    return model


def _frozen(model: nn.Sequential) -> nn.Module:
    """Freeze the first layer."""
    first = next(layer for layer in model if isinstance(layer, (nn.Linear, nn.Conv2d)))
    first.weight.requires_grad_(False)
    return model


def _one_class(model: nn.Sequential) -> nn.Module:
    """Make the last class's score large."""
    _last(model).bias[-1] += 30
    return model


def _unscaled(model: nn.Sequential) -> nn.Module:
    """Give the model pixels up to 255."""
    channels = model[0].mean.shape[0]  # type: ignore[union-attr,index]
    model[0] = Normalize([0.0] * channels, [1 / 255] * channels)
    return model


def _squashed_twice(model: nn.Sequential) -> nn.Module:
    """Add a sigmoid or softmax that the loss applies, too."""
    model.append(nn.Sigmoid() if _last(model).out_features == 1 else nn.Softmax(1))
    return model


def _pushed(model: nn.Sequential) -> nn.Module:
    """Make scores so large that the sigmoid is flat."""
    _last(model).weight.mul_(0.1)
    _last(model).bias.fill_(60.0)
    return model


def saturated(case: Case) -> Case:
    """Use a loss that becomes flat, with scores that are too large."""
    return replace(case, recipe=case.recipe.replace(loss="sigmoid_l1_loss"), alter=_pushed)


def squashing(case: Case) -> Case:
    """Replace ReLUs by sigmoids."""
    return replace(case, activation=nn.Sigmoid, settings={"init": "default"})


def exploding(case: Case) -> Case:
    """Start with weights that are too large."""
    if case.model == "relu":
        return replace(case, recipe=case.recipe.replace(init="normal", init_std=1.0))
    return replace(case, settings={"init": "normal", "std": 1.0 if case.model == "deep" else 0.7})


@dataclass(frozen=True)
class Fault:
    """A change to a healthy run, the findings that name it, and the models to which it applies."""

    codes: tuple[str, ...]
    inject: Callable[[Case], Case]
    models: tuple[str, ...] = ("linear", "relu", "cnn")
    only_two: bool = False  # classes


DEEP = ("relu", "cnn", "deep")
FAULTS = {
    "inputs not scaled": Fault(("inputs_not_scaled",), altered(_unscaled)),
    "sigmoid or softmax twice": Fault(("loss_misfit",), altered(_squashed_twice)),
    "frozen parameters": Fault(("frozen",), altered(_frozen)),
    "class imbalance": Fault(("class_imbalance",), imbalanced),
    "other validation pictures": Fault(("split_mismatch",), other_valid),
    "shuffled labels": Fault(("shuffled_labels",), shuffled),
    "exploding gradients": Fault(("exploding",), exploding, ("relu", "deep", "conv")),
    "vanishing gradients": Fault(("vanishing",), squashing, ("deep", "conv")),
    "dead ReLUs": Fault(("dead_relus",), altered(_sunk), DEEP),
    "rate far too high": Fault(("diverging", "oscillating"), rate(1000)),
    "rate too high": Fault(("diverging", "oscillating"), rate(50)),
    "rate too low": Fault(("rate_too_low",), rate(1 / 1000)),
    "saturated": Fault(("saturated",), saturated, only_two=True),
    "one class for all": Fault(("one_class",), altered(_one_class)),
    "overfitting": Fault(("overfitting",), few_pictures),
    "too few epochs": Fault(("too_few_epochs",), too_short),
}


def pictures(name: str) -> Splits:
    """Two classes of Fashion-MNIST by `A/B`, or scikit-learn's digits.

    Raises:
        DataError, DownloadError: they are not on this machine.
    """
    if name == "Pullover/Dress":
        return load("pullover-dress")
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = (digits.images * 255 / 16).round().astype(np.uint8)[:, None]
        return Splits(Images(pixels, digits.target.astype(np.int64), tuple(map(str, range(10)))))
    from sevensteps.base import user_folders
    from sevensteps.data.sources import fashion

    if not fashion.SYSTEM.is_dir() and not (user_folders.cache_folder() / "fashion-mnist" / "decoded").is_dir():
        raise FileNotFoundError("Fashion-MNIST is not on this machine: apt-get install dataset-fashion-mnist")
    return load("fashion-mnist", classes=name.split("/"))
