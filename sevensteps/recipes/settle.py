"""Settle a recipe: the one place that fills what it leaves open, for the pictures that are there.

The choice of the recipe itself, before any picture is read, is in `choose`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..base.device import cores
from ..base.own_code import is_own
from ..base.words import pictures
from ..data import augment_names
from ..errors import DataError, RecipeError, UsageError
from .settings import Settings

if TYPE_CHECKING:
    from ..data.images import Splits

R = TypeVar("R", bound=Settings)


def settle(recipe: R, splits: Splits) -> R:
    """Make the open choices of a recipe for these pictures.

    Args:
        recipe: The recipe, whose number of folds is chosen already; see `choose_folds`.
        splits: The pictures, with validation pictures held out.

    Returns:
        The recipe that a run writes down. It is complete but for how step 4 is done, which the model decides:
        see `Learner.gradient`.

    Raises:
        RecipeError: Settings that do not go together, or not with these pictures.
    """
    from ..steps.predict import usual_width

    loss = _loss(recipe, len(splits.classes))
    augment = augment_names.settled(recipe.augment, splits.classes, splits.train.shape)
    _check_store(recipe, splits)
    _check_mixup(recipe, augment, loss)
    _check_restarts(recipe)
    device = _device(recipe.device)
    may_flip = "flip" in augment.split("+") or not augment_names.against_mirrors(splits.classes)
    return recipe.replace(
        source=_from_anywhere(recipe.source),
        features=_with_absolute_file(recipe.features),
        fix=str(Path(recipe.fix).absolute()) if recipe.fix else "",
        size=recipe.size or _own_size(recipe.source, splits),
        width=recipe.width or (0 if is_own(recipe.model) else usual_width(recipe.model)),
        augment=augment,
        test_time_flip=recipe.test_time_flip and may_flip,
        loss=loss,
        keep=_keep(recipe, splits),
        device=device,
        threads=recipe.threads or _threads(recipe),
        precision=_precision(recipe, device),
        classes=splits.classes,
    )


def choose_folds(recipe: Settings, splits: Splits) -> tuple[int, str]:
    """Choose the number of folds of a cross-validation.

    Args:
        recipe: The recipe; its `folds` is 0 where the choice is open.
        splits: The pictures, before validation pictures are held out.

    Returns:
        The number of folds, 1 for none; and a line that says why, if the choice was open and there are folds.

    Raises:
        RecipeError: There are more folds than a class has pictures.
        DataError: A fold leaves nothing to hold out of the others.
    """
    from ..data.folds import FEWEST_TO_TEST, USUAL, most_folds, why_kept_whole

    most = max(splits.train.counts.values())
    folds = recipe.folds or (min(USUAL, most) if splits.test is None else 1)
    if folds == 1:
        return 1, ""
    if folds > most:
        raise RecipeError(
            f"folds is {folds}, and no class has more than {most} training pictures.",
            hint="Set {folds}, or add pictures.",
            settings={"folds": min(most, USUAL)},
        )
    if splits.valid is None and recipe.hold_out and most - math.ceil(most / folds) < 2:
        raise DataError(
            "There are too few pictures to hold any out for validation: training needs one of each class.",
            hint="Add pictures, or set {hold_out}.",
            settings={"hold_out": 0},
        )
    possible = max(min(folds, most_folds(splits.train)), 2)
    if recipe.folds:
        fewer = f"{why_kept_whole(splits.train)}: {possible} folds, where {folds} were asked for."
        return possible, fewer[0].upper() + fewer[1:] if possible < folds else ""
    folds, count = possible, len(splits.train)
    few = f"A fifth of {pictures(count)} is too few to test with"
    if count >= FEWEST_TO_TEST * 5 and splits.train.groups is not None:
        why = why_kept_whole(splits.train)
        few = f"Groups leave fewer than {FEWEST_TO_TEST} of {pictures(count)} to test with ({why})"
    return folds, (
        f"{few}, so {folds} models are trained and tested in turn (cross-validation), and the saved model learns from "
        "all pictures. To hold out a fifth instead, if possible: --folds 1"
    )


def _loss(recipe: Settings, classes: int) -> str:
    """Return the loss for this number of classes.

    Raises:
        RecipeError: The recipe's loss does not fit it.
    """
    loss = recipe.loss
    if loss == "auto":
        loss = "binary_cross_entropy_with_logits" if classes == 2 else "cross_entropy"
    if loss in ("sigmoid_l1_loss", "binary_cross_entropy_with_logits") and classes != 2:
        raise RecipeError(
            f"{loss} is for two classes, but there are {classes}.",
            hint="Use {loss}.",
            settings={"loss": "cross_entropy"},
        )
    if loss == "cross_entropy" and classes == 2:
        raise RecipeError(
            "cross_entropy needs a score for each class, but a model for two classes gives one score.",
            hint="Use {loss}, which is the same for two classes.",
            settings={"loss": "binary_cross_entropy_with_logits"},
        )
    if recipe.label_smoothing and loss != "cross_entropy":
        raise RecipeError(f"label_smoothing applies to cross_entropy, not to {loss}.", hint="Set it to 0.")
    return loss


def _check_store(recipe: Settings, splits: Splits) -> None:
    """Raise an error if the pictures are a store, and the recipe needs to take them one by one.

    Raises:
        RecipeError: Drawing by class, or folds.
    """
    from ..data.store.store import StoredImages

    if not isinstance(splits.train, StoredImages):
        return
    if recipe.balance == "sampling":
        raise RecipeError(
            "balance = sampling draws pictures one by one, but a store is read block by block.",
            hint="Set {balance}.",
            settings={"balance": "loss"},
        )
    if recipe.folds > 1:
        raise RecipeError(
            f"folds = {recipe.folds} trains on parts of the pictures, but a store is read as a whole.",
            hint="Set {folds}.",
            settings={"folds": 1},
        )


def _check_mixup(recipe: Settings, augment: str, loss: str) -> None:
    """Raise an error if mixup mixes labels that must stay whole.

    Raises:
        RecipeError: A loss that takes whole labels, or weights for them.
    """
    if "mixup" not in augment.split("+"):
        return
    if loss not in ("binary_cross_entropy_with_logits", "cross_entropy"):
        raise RecipeError(
            f"mixup also mixes labels, but {loss} takes only whole labels.",
            hint="Set {loss}, or leave mixup out.",
            settings={"loss": "auto"},
        )
    if recipe.balance == "loss":
        raise RecipeError(
            "mixup also mixes labels, but balance = loss needs whole labels.",
            hint="Set {balance}, or leave mixup out.",
            settings={"balance": "sampling"},
        )


def _check_restarts(recipe: Settings) -> None:
    """Raise an error if a schedule is to start again that never ends.

    Raises:
        RecipeError: A constant schedule; or restarts that are not rising numbers.
    """
    if recipe.restarts() and recipe.schedule == "constant":
        raise RecipeError(
            "schedule_restarts belongs to a schedule that changes the rate, not to constant.",
            hint="Leave it out, or set {schedule}.",
            settings={"schedule": "one_cycle"},
        )


def _keep(recipe: Settings, splits: Splits) -> str:
    """Return which parameters are kept: "best" or "last".

    Raises:
        RecipeError: A setting needs validation pictures, and there are none.
    """
    validated_on = splits.test if recipe.validate_on == "test" else splits.valid
    needs = [key for key in ("stop_patience", "stop_accuracy") if getattr(recipe, key)]
    needs += ["keep = best"] if recipe.keep == "best" else []
    if needs and validated_on is None and not recipe.hold_out:
        raise RecipeError(f"{needs[0]} needs validation pictures.", hint="Set {hold_out}.", settings={"hold_out": 0.1})
    if recipe.keep == "auto":
        return "best" if recipe.stop_patience else "last"
    return recipe.keep


def _from_anywhere(source: str) -> str:
    """Return a source's path as it can be found from any folder; a name stays as it is.

    It is not resolved: a link may lead elsewhere later, and the recipe follows it.
    """
    from ..data.sources.named import named

    return source if named(source) or not os.path.exists(source) else str(Path(source).absolute())


def _with_absolute_file(features: str) -> str:
    """Return the name of features in which the path of a file of weights can be found from any folder."""
    network, at, file = features.partition("@")
    return f"{network}{at}{Path(file).absolute()}" if file else network


def _own_size(source: str, splits: Splits) -> int:
    """Return the side length, in pixels, that picture files were resized to; 0 for other sources and other shapes."""
    from ..data.sources.find import holds_files

    _, height, width = splits.train.shape
    return height if splits.train.fit and height == width and holds_files(Path(source)) else 0


def _threads(recipe: Settings) -> int:
    """Return the number of threads; 0 where it changes no number, and a run may go on with more or fewer."""
    if recipe.shards:
        return 0
    return 1 if recipe.model in ("linear", "relu") and not recipe.unfreeze else cores()


def _precision(recipe: Settings, device: str) -> str:
    """Return a precision that this machine computes with.

    Raises:
        RecipeError: It does not, or step 4 is done by formula.
    """
    if recipe.precision == "f32":
        return recipe.precision
    import torch

    from ..steps.precision import checked_precision

    if recipe.gradient == "formula":
        raise RecipeError(
            "precision = bf16 applies to networks, not to gradient = formula.",
            hint="Set {precision}.",
            settings={"precision": "f32"},
        )
    try:
        return checked_precision(recipe.precision, torch.device(device))
    except UsageError as error:
        raise RecipeError(error.message, hint="Set {precision}.", settings={"precision": "f32"}) from error


def _device(wanted: str) -> str:
    """Return a device that this machine has.

    Raises:
        RecipeError: It has no such device.
    """
    from ..base.device import device_named

    try:
        return device_named(wanted).type
    except UsageError as error:
        raise RecipeError(error.message, hint="Use {device}.", settings={"device": "auto"}) from error
