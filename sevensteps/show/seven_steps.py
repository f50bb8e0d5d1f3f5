"""The seven steps of a run in words that a beginner understands: one line each, with one number at most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..base.words import counted
from ..records.events import Ready


def steps_in_words(ready: Ready, settings: Mapping[str, Any], classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return what each step does, as (number and name, sentence).

    Args:
        ready: The start of training, with the seven steps of the batch that comes next.
        settings: The recipe's settings by name.
        classes: The names of the classes, in the order of their labels.
    """
    is_new = not ready.batches_done
    sentences = (
        _initialize(ready, settings, len(classes), is_new),
        _predict(ready, settings, classes, is_new),
        f"how wrong the scores are, in one number: {ready.xray[3].values['loss']:.2f}",
        "which way to move each weight to lower the loss",
        _step(settings) if is_new else f"move each weight a little (learning rate {ready.xray[5].values['lr']:.2g})",
        f"with the next batch; {counted(ready.batches_per_epoch, 'batch makes', 'batches make')} an epoch",
        f"after {counted(ready.epochs, 'epoch')}{_sooner(settings)}",
    )
    return [(f"{step.number} {step.name}", line) for step, line in zip(ready.xray.steps, sentences, strict=True)]


def _initialize(ready: Ready, settings: Mapping[str, Any], classes: int, is_new: bool) -> str:
    count = sum(math.prod(parameter.shape) for parameter in ready.xray[1].values["parameters"].values())
    model = settings.get("model", "linear")
    if not is_new:
        return f"{count:,} weights continue from their last values"
    if settings.get("init") == "zeros":
        return f"{count:,} weights start at zero"
    if settings.get("unfreeze"):
        return f"{count:,} weights: {_stages(settings)}, and a linear model fitted before"
    if model == "linear":
        biases = classes if classes > 2 else 1
        per = "pixel" if settings.get("features", "none") == "none" else "feature"
        return f"{count - biases:,} random weights, one per {per}{' and class' if classes > 2 else ', plus a bias'}"
    kind = {
        "relu": "a network with a hidden layer",
        "cnn": "a convolutional network",
        "vgg": "a convolutional network",
    }.get(model, "a network")
    return f"{kind}: {count:,} random weights"


def _predict(ready: Ready, settings: Mapping[str, Any], classes: Sequence[str], is_new: bool) -> str:
    values = ready.xray[2].values
    rule = f"score > 0: {classes[1]}" if len(classes) == 2 else "the highest score wins"
    if values.get("right") is None:
        return rule
    if settings.get("features", "none") != "none":
        count = f"{math.prod(values['x'].shape[1:]):,}"
        takes = f"{count} features of a frozen network, then learned weights"
        if settings.get("unfreeze"):
            takes = f"{count} values of the frozen stages, then trained layers"
        rule = f"{takes}; {rule}"
    share = f"{100 * values['right'] / len(values['x']):.0f} % right"
    luck = "" if settings.get("unfreeze") else ", by luck"
    return f"{rule}; batch 1: {share}{luck}" if is_new else f"{rule}; next batch: {share}"


def _stages(settings: Mapping[str, Any]) -> str:
    count = settings["unfreeze"]
    stages = "the last stage" if count == 1 else f"the last {count} stages"
    return f"{stages} of {settings['features']}"


def _step(settings: Mapping[str, Any]) -> str:
    """The learning rate as it was typed, and how it changes."""
    rate = f"{settings.get('lr', 0):g}"
    changes = {
        "one_cycle": f"the learning rate climbs to {rate}, then falls",
        "cosine": f"the learning rate falls from {rate} to 0",
    }
    return changes.get(settings.get("schedule", ""), f"move each weight a little (learning rate {rate})")


def _sooner(settings: Mapping[str, Any]) -> str:
    rules = ("stop_patience", "stop_accuracy", "stop_seconds")
    return ", or sooner" if any(settings.get(rule) for rule in rules) else ""
