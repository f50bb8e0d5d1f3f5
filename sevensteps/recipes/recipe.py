"""Recipe: every setting of a run in one TOML file. The same fields are the flags of the command line.

What was observed while running (versions, threads, the data's fingerprint) stands under `[recorded]` in a run's
recipe: it is compared and reported, and is never a setting.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..base.device import cores
from ..base.setting import setting
from ..data import augment_names
from ..data.files.how import BadFiles, How, file_setting, file_settings
from ..data.fit import Fit
from ..errors import RecipeError, UsageError, nearest
from .settings import _parsed, read_recipe, shipped_recipes

if TYPE_CHECKING:
    from torch import nn

    from ..data.images import Images, Splits
    from ..learner.learner import Learner
    from ..steps.step import Schedule
    from ..steps.stop import StopRule


@dataclass(frozen=True)
class Recipe:
    """Every setting of a run. 0 and "auto" leave a choice open; a run's own recipe has them filled in."""

    name: str = setting("linear", "What the recipe is called.")
    source: str = setting("pullover-dress", "Where the pictures come from: a name, or a path.")
    classes: tuple[str, ...] = setting((), "Only these classes; the order given is the label. Empty: all.")
    size: int = file_setting("size")
    fit: Fit = file_setting("fit")
    bad_files: BadFiles = file_setting("bad_files")
    group: str = file_setting("group")
    file_column: str = file_setting("file_column")
    label_column: str = file_setting("label_column")
    fix: str = setting("", "A corrections file: what pictures count as other classes, or not at all. Empty: none.")
    hold_out: float = setting(0.1, "Share of the training pictures held out for validation.", least=0, most=0.9)
    validate_on: Literal["valid", "test"] = setting("valid", "Pictures looked at after each epoch.")
    batch_size: int = setting(256, "Pictures in a mini-batch.", least=1)
    test: bool = setting(True, "Judge on the test pictures. false leaves them unread.")
    folds: int = setting(
        0,
        "Folds of a cross-validation. 0: five where a fifth of the pictures is too few to test with, else none. "
        "1: none.",
        least=0,
        most=20,
    )
    coverage: float = setting(
        0.95,
        "Share of pictures like these that predict answers; to the rest it says not sure, or none of these. 1: all.",
        least=0.5,
        most=1,
    )
    augment: str = setting("none", f"How training pictures are varied, anew in each epoch: {augment_names.CHOICES}")

    balance: Literal["none", "loss", "sampling"] = setting(
        "none", "How classes with few pictures are made to count as much as others: by the loss, or drawn more often."
    )

    model: Literal["linear", "relu", "cnn"] = setting("linear", "The network.")
    width: int = setting(
        0, "Hidden units of relu, first channels of cnn; linear has none. 0: the model's own.", least=0, most=65536
    )
    test_time_flip: bool = setting(
        False, "Answer with the mean over a picture and its mirror image: better where mirrored pictures are alike."
    )
    normalize: bool = setting(True, "Center and scale the pixels by the training pictures' mean and spread.")
    init: Literal["default", "normal", "zeros", "kaiming"] = setting("default", "How parameters start.")
    init_std: float = setting(1.0, "Standard deviation for init = normal, and for no other.", least=0)

    loss: Literal["auto", "sigmoid_l1_loss", "binary_cross_entropy_with_logits", "cross_entropy", "mse_loss"] = setting(
        "auto", "The loss. auto: cross-entropy, of the kind that fits the number of classes."
    )
    label_smoothing: float = setting(0.0, "Share of the target given to all classes alike.", least=0, most=0.99)
    gradient: Literal["auto", "formula", "autograd"] = setting("auto", "How step 4 is done.")

    optimizer: str = setting("SGD", "SGD, Muon (for networks with convolutions), or a class of torch.optim.")
    lr: float = setting(0.1, "Learning rate.", least=0)
    momentum: float = setting(
        0.0,
        "Momentum; for Adam and its relatives, the first beta. 0: none.",
        least=0,
        most=0.9999,
    )
    nesterov: bool = setting(False, "Nesterov's look-ahead, for SGD with momentum.")
    weight_decay: float = setting(0.0, "Pull of the parameters towards zero.", least=0)
    schedule: Literal["constant", "one_cycle", "cosine"] = setting("constant", "How the learning rate changes.")
    schedule_epochs: int = setting(
        0, "Epochs that the schedule spans; after them its last rate stays. 0: as many as are trained.", least=0
    )
    clip: float = setting(0.0, "Largest norm of the gradient. 0: any.", least=0)

    epochs: int = setting(15, "Passes over the training pictures, at most.", least=1)
    stop_patience: int = setting(
        0, "Stop when the validation loss has not improved for so many epochs. 0: go on.", least=0
    )
    stop_accuracy: float = setting(0.0, "Stop when the validation accuracy reaches this. 0: go on.", least=0, most=1)
    stop_seconds: float = setting(0.0, "Stop after so many seconds of training. 0: go on.", least=0)
    keep: Literal["auto", "last", "best"] = setting(
        "auto", "The parameters kept: the last, or those of the epoch with the best validation loss."
    )

    seed: int = setting(0, "Decides start, order, augmentation and what is held out.", least=0, most=2**63 - 1)
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "Where to compute.")
    threads: int = setting(0, "Threads to compute with. 0: every core for cnn, else one.", least=0, most=1024)
    checkpoint_every: str = setting(
        "auto",
        'When to save: "2 epochs", "500 batches", "60 seconds". auto: so that half a minute can be lost at most. '
        "Changes no number.",
    )

    def __post_init__(self) -> None:
        for key, value in dataclasses.asdict(self).items():
            _check(key, value)
        self.saves_every()
        try:
            augment_names.in_order(self.augment)
        except UsageError as error:
            raise RecipeError(error.message, hint=error.hint) from error
        if self.validate_on == "test" and not self.test:
            raise RecipeError(
                "test is false, and validate_on = test reads the test pictures after each epoch.",
                hint="Set validate_on = valid.",
            )
        if self.validate_on == "test" and self.folds > 1:
            raise RecipeError(
                "folds judge on pictures that a model has not looked at, and validate_on = test looks at them.",
                hint="Set validate_on = valid, or folds = 1.",
            )
        if self.nesterov and not self.momentum:
            raise RecipeError("nesterov needs momentum.", hint="Set momentum = 0.9, or leave nesterov out.")
        if self.width and self.model == "linear":
            raise RecipeError("width belongs to relu and cnn, not to linear.", hint="Set width = 0, or model = relu.")
        if self.init_std != 1 and self.init != "normal":
            raise RecipeError(
                f"init_std belongs to init = normal, not to {self.init}.", hint="Set init = normal, or init_std = 1."
            )
        if self.schedule_epochs and self.schedule == "constant":
            raise RecipeError(
                "schedule_epochs belongs to a schedule that changes the rate, not to constant.",
                hint="Set schedule_epochs = 0, or schedule = one_cycle.",
            )

    @classmethod
    def load(cls, recipe: str | Path) -> Recipe:
        """A recipe by the name of one that ships, or from a TOML file.

        Raises:
            RecipeError: no such recipe or file, damaged TOML, an unknown key, a wrong type or an impossible value.
        """
        shipped = shipped_recipes()
        if str(recipe) in shipped:
            return cls.from_toml(shipped[str(recipe)], f"recipe {recipe}")
        path = Path(recipe)
        if path.is_dir() and (path / "recipe.toml").is_file():
            path = path / "recipe.toml"
        if not path.is_file():
            raise RecipeError(f"There is no recipe or file {str(recipe)!r}.", hint=nearest(str(recipe), shipped))
        return cls.from_toml(read_recipe(path), str(path), path.stem)

    def saves_every(self) -> tuple[int, str]:
        """How often a run is saved: a number of "epochs", "batches" or "seconds"; 0 "auto" leaves it to the run.

        Raises:
            RecipeError: the setting says neither.
        """
        if self.checkpoint_every == "auto":
            return 0, "auto"
        found = re.fullmatch(r"([1-9][0-9]{0,8}) (epoch|batch|second)(?:e?s)?", self.checkpoint_every.strip())
        if not found:
            raise RecipeError(
                f"checkpoint_every is {self.checkpoint_every!r:.80}, and must be epochs, batches or seconds.",
                hint='checkpoint_every = "2 epochs", "500 batches", "60 seconds", or "auto".',
            )
        return int(found[1]), {"epoch": "epochs", "batch": "batches", "second": "seconds"}[found[2]]

    @classmethod
    def from_toml(cls, text: str, where: str = "the recipe", name: str = "own") -> Recipe:
        """A recipe from the text of a TOML file; `where` is named in errors, and `name` is its name if it has none.

        Raises:
            RecipeError: damaged TOML, an unknown key, a wrong type or an impossible value.
        """
        settings = _parsed(text, where)
        settings.pop("recorded", None)
        known = {known.name for known in fields(cls)}
        for key in settings:
            if key not in known:
                hint = f"{nearest(key, sorted(known))} A newer version of sevensteps may have written it."
                raise RecipeError(f"{where} has an unknown key {key!r}.", hint=hint)
        try:
            given: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
            }
            return cls(**{"name": name, **given})
        except RecipeError as error:
            raise RecipeError(f"{where}: {error.message}", hint=error.hint) from error

    def replace(self, **settings: Any) -> Recipe:
        """The same with these settings changed.

        Raises:
            RecipeError: an unknown key, a wrong type or an impossible value.
        """
        known = [known.name for known in fields(self)]
        for key in settings:
            if key not in known:
                raise RecipeError(f"A recipe has no setting {key!r}.", hint=nearest(key, known))
        return dataclasses.replace(self, **settings)

    def to_toml(self, recorded: Mapping[str, Any] | None = None) -> str:
        """The recipe as TOML that `load` reads, with what was observed under `[recorded]`."""
        import tomli_w

        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return tomli_w.dumps({**settings, "recorded": dict(recorded)} if recorded else settings)

    @property
    def how(self) -> How:
        """How to read the picture files of the source."""
        return How(**file_settings(vars(self)))

    # From settings to things

    def settled(self, splits: Splits) -> Recipe:
        """The same with the open choices made for these pictures: what a run writes down.

        How step 4 is done is for the model to say, once it is there: `Learner.gradient`.

        Raises:
            RecipeError: settings that do not go together, or with these pictures.
        """
        from ..data.store.store import StoredImages

        loss, keep = self.loss, self.keep
        two = len(splits.classes) == 2
        if loss == "auto":
            loss = "binary_cross_entropy_with_logits" if two else "cross_entropy"
        if loss in ("sigmoid_l1_loss", "binary_cross_entropy_with_logits") and not two:
            raise RecipeError(
                f"{loss} tells two classes apart, and there are {len(splits.classes)}.",
                hint="Use loss = cross_entropy.",
            )
        if loss == "cross_entropy" and two:
            raise RecipeError(
                "cross_entropy needs a score for each class, and a model for two classes gives one score.",
                hint="Use loss = binary_cross_entropy_with_logits, which is the same for two classes.",
            )
        if self.label_smoothing and loss != "cross_entropy":
            raise RecipeError(f"label_smoothing belongs to cross_entropy, not to {loss}.", hint="Set it to 0.")
        if self.balance == "sampling" and isinstance(splits.train, StoredImages):
            raise RecipeError(
                "balance = sampling draws pictures one by one, and a store is read block by block.",
                hint="Set balance = loss.",
            )
        if self.folds > 1 and isinstance(splits.train, StoredImages):
            raise RecipeError(
                f"folds = {self.folds} trains on parts of the pictures, and a store is read as a whole.",
                hint="Set folds = 1.",
            )
        augment = augment_names.settled(self.augment, splits.classes, splits.train.shape)
        varied = augment.split("+")
        if "mixup" in varied and loss not in ("binary_cross_entropy_with_logits", "cross_entropy"):
            raise RecipeError(
                f"mixup mixes labels, too, and {loss} takes whole ones.", hint="Set loss = auto, or leave mixup out."
            )
        if "mixup" in varied and self.balance == "loss":
            raise RecipeError(
                "mixup mixes labels, too, and balance = loss weights the loss of whole ones.",
                hint="Set balance = sampling, or leave mixup out.",
            )
        looked_at = splits.test if self.validate_on == "test" else splits.valid
        needs = [key for key in ("stop_patience", "stop_accuracy") if getattr(self, key)]
        needs += ["keep = best"] if keep == "best" else []
        if needs and looked_at is None and not self.hold_out:
            raise RecipeError(f"{needs[0]} needs validation pictures.", hint="Set hold_out = 0.1.")
        if keep == "auto":
            keep = "best" if self.stop_patience else "last"
        device = _device(self.device)
        from ..steps.predict import usual_width

        return self.replace(
            source=_from_anywhere(self.source),
            fix=str(Path(self.fix).absolute()) if self.fix else "",
            size=self.size or _own_size(self.source, splits),
            width=self.width or usual_width(self.model),
            augment=augment,
            test_time_flip=self.test_time_flip
            and ("flip" in varied or not augment_names.against_mirrors(splits.classes)),
            loss=loss,
            keep=keep,
            device=device,
            threads=self.threads or (cores() if self.model == "cnn" else 1),
            classes=splits.classes,
        )

    def held_out(self, splits: Splits) -> Splits:
        """The splits with validation pictures held out, as the recipe says; a validation split that is there stays.

        Raises:
            DataError: there are too few pictures to hold any out.
        """
        if splits.valid is not None or not self.hold_out or self.validate_on == "test":
            return splits
        splits = splits.hold_out(self.hold_out, self.seed)
        if splits.valid is not None and not len(splits.valid):
            from ..data.folds import nothing_held_out

            few = "There are too few pictures to hold any out for validation: one of each class to train on."
            raise nothing_held_out(splits.train, few, "Add pictures, or set hold_out = 0.")
        return splits

    def learner(self, splits: Splits) -> Learner:
        """A learner as the recipe says: its `fit()` without arguments trains as the recipe says.

        Raises:
            RecipeError: settings that do not go together, or with these pictures.
        """
        from ..data.batches import DataLoaders
        from ..learner.learner import Learner
        from ..learner.metrics import accuracy

        settled = self.settled(splits)
        splits = settled.held_out(splits)
        dls = DataLoaders.from_images(
            splits,
            settled.batch_size,
            valid=settled.validate_on,
            seed=settled.seed,
            augment=settled.augment,
            balanced=settled.balance == "sampling",
        )
        learn = Learner(
            dls,
            settled.initialized_model(splits),
            settled.loss_function(splits.train),
            settled.optimizer_function(),
            settled.lr,
            metrics=accuracy,
            seed=settled.seed,
            gradient=settled.gradient,
            clip=settled.clip or None,
            device=settled.device,
        )
        learn.follow(settled.stop_rule(), settled.schedule_function())
        return learn

    def initialized_model(self, splits: Splits) -> nn.Module:
        """Step 1: the model for these pictures, with its parameters as they start."""
        import torch

        from ..data.images import mean_and_std
        from ..steps.initialize import initialize
        from ..steps.predict import MODELS, Normalize, mirrored, usual_width

        normalize = Normalize(*mean_and_std(splits.train)) if self.normalize else None
        with torch.random.fork_rng(devices=[]):  # layers draw a start that is of no use, from the caller's generator
            width = self.width or usual_width(self.model)
            model = MODELS[self.model](splits.train.shape, len(splits.classes), normalize, width)
        started = initialize(model, self.init, std=self.init_std, seed=self.seed)
        return mirrored(model) if self.test_time_flip else started

    def loss_function(self, train: Images) -> Any:
        """The loss, with its settings: weights of the classes are of the pictures that are trained on."""
        import numpy as np
        import torch

        from ..data.balance import class_weights
        from ..steps.loss import LOSSES

        settings: dict[str, Any] = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        if self.balance == "loss":
            weights = class_weights(np.bincount(train.labels, minlength=len(train.classes)))
            settings["weight"] = torch.from_numpy(weights).float()
        return functools.partial(LOSSES[self.loss], **settings) if settings else LOSSES[self.loss]

    def optimizer_function(self) -> Any:
        """What makes the optimizer, `opt_func(params, lr=…)`, with its settings.

        Raises:
            RecipeError: no such optimizer, or one without a setting that was asked for.
        """
        from ..errors import UsageError
        from ..steps.step import optimizer_named

        try:
            optimizer = optimizer_named(self.optimizer)
        except UsageError as error:
            raise RecipeError(error.message, hint=error.hint) from error
        takes = inspect.signature(optimizer).parameters
        settings: dict[str, Any] = {}
        if "momentum" not in takes and "betas" in takes:
            settings["betas"] = (self.momentum, 0.999)
        else:
            settings["momentum"] = self.momentum
        settings |= {"weight_decay": self.weight_decay, "nesterov": self.nesterov}
        for key, value in list(settings.items()):
            if key not in takes:
                if value:
                    off = "false" if value is True else "0"
                    raise RecipeError(f"{self.optimizer} has no {key}.", hint=f"Set {key} = {off}.")
                del settings[key]
        return functools.partial(optimizer, **settings)

    def schedule_function(self) -> Schedule:
        """The schedule; where `schedule_epochs` says how far it reaches, its last rate stays from there on."""
        from ..steps.step import SCHEDULES

        schedule = SCHEDULES[self.schedule]
        if not self.schedule_epochs:
            return schedule

        def as_far_as_it_reaches(batch: int, total: int | None) -> float:
            span = max((total or 0) // self.epochs * self.schedule_epochs, 1)
            return schedule(min(batch, span - 1), span)

        return as_far_as_it_reaches

    def stop_rule(self) -> StopRule:
        """Step 7: all rules that the recipe names, whichever holds first."""
        from ..steps.stop import after, when_flat, when_not_finite, when_reached

        rule = after(epochs=self.epochs) | when_not_finite()
        if self.stop_patience:
            rule |= when_flat("valid_loss", self.stop_patience)
        if self.stop_accuracy:
            rule |= when_reached("accuracy", self.stop_accuracy)
        if self.stop_seconds:
            rule |= after(seconds=self.stop_seconds)
        return rule


def _check(key: str, value: Any) -> None:
    """Hold one setting against its type and range.

    Raises:
        RecipeError: a wrong type, a number out of range, or a word that is not among the choices.
    """
    kind = setting_types()[key]
    rules = next(known.metadata for known in fields(Recipe) if known.name == key)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise RecipeError(f"{key} is {value!r}.", hint=nearest(str(value), choices))
        return
    if kind == tuple[str, ...]:
        if not isinstance(value, tuple) or not all(isinstance(part, str) for part in value):
            raise RecipeError(
                f"{key} is {value!r}, and must be a list of words.", hint=f'{key} = ["Pullover", "Dress"]'
            )
        return
    wanted = {int: "a whole number", float: "a number", str: "words", bool: "true or false"}[kind]
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"{key} is {value!r}, and must be {wanted}.", hint=rules["help"])
    if kind is str and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RecipeError(
                f"{key} is {value!a}, whose bytes are no UTF-8, and a recipe cannot hold it.", hint="Rename it first."
            ) from error
    if kind in (int, float) and not (rules["least"] <= value <= rules["most"] and math.isfinite(value)):
        bounds = f"{rules['least']} or more" if rules["most"] == math.inf else f"{rules['least']} to {rules['most']}"
        raise RecipeError(f"{key} is {value}, and must be {bounds}.", hint=rules["help"])


@functools.cache
def setting_types() -> dict[str, Any]:
    """The type of each setting by its name."""
    return typing.get_type_hints(Recipe)


def _from_anywhere(source: str) -> str:
    """A source's path as it can be found from any folder; a name stays as it is.

    Not resolved: where a link leads may change, and the recipe goes where it leads then.
    """
    from ..data.sources.load import SOURCES

    return source if source in SOURCES or not os.path.exists(source) else str(Path(source).absolute())


def _own_size(source: str, splits: Splits) -> int:
    """The pixels a side that picture files were made; 0 of other sources, and where the sides differ."""
    from ..data.sources.load import holds_files

    _, height, width = splits.train.shape
    return height if splits.train.fit and height == width and holds_files(Path(source)) else 0


def _device(wanted: str) -> str:
    """A device that is there.

    Raises:
        RecipeError: the one asked for is not.
    """
    from ..base.device import device_named
    from ..errors import UsageError

    try:
        return device_named(wanted).type
    except UsageError as error:
        raise RecipeError(error.message, hint="Use device = auto.") from error
