"""Settings for a linear model on features of a pretrained network, and for training the network's last stages, too."""

from __future__ import annotations

from typing import Any

# The features are alike in size and need no normalization: measured in
# docs/decisions/0035-features-of-a-frozen-network.md.
_LINEAR: dict[str, Any] = {"model": "linear", "normalize": False, "lr": 0.1}


# Pictures to train on, under which these are the pictures in a batch and the epochs.
_STEPS = ((100, 8, 80), (300, 16, 60), (2_500, 32, 30))


_OF_MANY = (64, 15)


# Measured in docs/decisions/0036-fine-tuning.md.
_FINE_TUNING: dict[str, Any] = {
    "optimizer": "AdamW",
    "lr": 3e-4,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "batch_size": 16,
    "epochs": 10,
}


MANY = _STEPS[-1][0]  # a number of pictures for sources that do not tell theirs


def of_linear(count: int) -> dict[str, Any]:
    """Return model, learning rate, batch size and epochs of a linear model on features.

    Args:
        count: Pictures to train on.
    """
    batch_size, epochs = next(((batch, epochs) for most, batch, epochs in _STEPS if count < most), _OF_MANY)
    return {**_LINEAR, "batch_size": batch_size, "epochs": epochs}


def of_fine_tuning(unfreeze: int) -> dict[str, Any]:
    """Return the settings for training the last stages together with a linear model that was fitted before.

    Args:
        unfreeze: The number of stages.
    """
    return {**_LINEAR, **_FINE_TUNING, "unfreeze": unfreeze}


def chosen_for(unfreeze: int, batch_size: int) -> dict[str, Any]:
    """Return the settings that a choice of features makes for any number of pictures.

    Args:
        unfreeze: The number of stages that are trained, too.
        batch_size: A batch size; it is returned with the others if the choice makes it for some number of pictures.
    """
    if unfreeze:
        return {**_LINEAR, **_FINE_TUNING}
    sizes = {batch for *_, batch, _ in (*_STEPS, _OF_MANY)}
    return {**_LINEAR, **({"batch_size": batch_size} if batch_size in sizes else {})}
