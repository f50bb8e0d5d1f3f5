"""Every setting of a recipe, its type and limits."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..base.addresses import without_secrets
from ..base.device import computing_with
from ..base.setting import LARGEST, MOST, setting
from ..base.words import Shown
from ..data import augment_names
from ..data.files.how import BadFiles, How, file_setting, file_settings
from ..data.fit import Fit
from ..data.range_ends import BY_TYPE, Ends
from ..errors import RecipeError, UsageError, nearest
from .check import check_setting
from .check_features import check_features
from .rate_changes import rate_changes_in
from .recipe_file import parsed, read_recipe, shipped_recipes

S = TypeVar("S", bound="Settings")

MOST_PARTS = 1024  # of a batch


@dataclass(frozen=True)
class Settings:
    """Every setting of a run. 0 and "auto" leave a choice open; a run's own recipe has them filled in."""

    name: str = setting("linear", "What the recipe is called.")
    source: str = setting("pullover-dress", "Where the pictures come from: a name, a path, or the address of a store.")
    classes: tuple[str, ...] = setting((), "Use only these classes, labeled in this order.")
    size: int = file_setting("size")
    fit: Fit = file_setting("fit")
    range: Ends = file_setting("range")
    bad_files: BadFiles = file_setting("bad_files")
    group: str = file_setting("group")
    file_column: str = file_setting("file_column")
    label_column: str = file_setting("label_column")
    split_column: str = file_setting("split_column")
    fix: str = setting("", "A corrections file: which pictures change class, and which are left out.")
    hold_out: float = setting(0.1, "Share of the training pictures to hold out for validation.", least=0, most=0.9)
    validate_on: Literal["valid", "test"] = setting("valid", "Which pictures to check after each epoch.")
    batch_size: int = setting(256, "Number of pictures in a batch.", least=1, most=MOST)
    test: bool = setting(True, "Test the model on the test pictures at the end.")
    folds: int = setting(
        0,
        "Cross-validate with this many models. 0: with five if there are too few pictures for a test set. 1: never.",
        least=0,
        most=20,
    )
    coverage: float = setting(
        0.95,
        'Share of pictures like yours that predict should answer; for the rest it says "not sure" or "none of these". '
        "1: always answer.",
        least=0.5,
        most=1,
    )
    augment: str = setting(
        "none", f"How to vary the training pictures, differently in each epoch: {augment_names.CHOICES}"
    )

    balance: Literal["none", "loss", "sampling"] = setting(
        "none", "How to make small classes count as much as large ones: weight the loss, or draw them more often."
    )

    features: Literal["none", "efficientnet-lite0"] | str = setting(
        "none",
        "Learn from features that a pretrained network finds in each picture, instead of from pixels. timm:NAME "
        "downloads a network of timm once; timm:NAME@FILE.safetensors reads its weights.",
    )
    unfreeze: int = setting(
        0, "Number of last stages of the pretrained network to train as well (0 to 3).", least=0, most=3
    )
    model: Literal["linear", "relu", "cnn", "vgg"] | str = setting(
        "linear",
        "The model: one weight per pixel, a hidden layer, or a convolutional network (cnn; vgg is slower and often "
        "better); or package.module:function, a network of your own.",
    )
    width: int = setting(
        0,
        "Number of hidden units in relu, or of channels in the first layer of cnn or vgg. 0: the default.",
        least=0,
        most=65536,
    )
    test_time_flip: bool = setting(False, "Average the answers for a picture and its mirror image.")
    normalize: bool = setting(True, "Center and scale the pixels.")
    init: Literal["default", "normal", "zeros", "kaiming"] = setting("default", "How to initialize the weights.")
    init_std: float = setting(
        1.0, "Standard deviation of the starting weights, for init normal.", least=0, most=LARGEST
    )

    loss: Literal["auto", "sigmoid_l1_loss", "binary_cross_entropy_with_logits", "cross_entropy", "mse_loss"] = setting(
        "auto", "The loss. auto: the cross-entropy for this number of classes."
    )
    label_smoothing: float = setting(0.0, "Share of each label to spread over all classes.", least=0, most=0.99)
    gradient: Literal["auto", "formula", "autograd"] = setting("auto", "How to compute the gradient.")

    optimizer: str = setting("SGD", "SGD, Muon (for networks with convolutions), or a class of torch.optim.")
    lr: float = setting(0.1, "Learning rate.", least=0, most=LARGEST)
    momentum: float = setting(
        0.0,
        "Momentum; for Adam and its relatives, the first beta. 0: none.",
        least=0,
        most=0.9999,
    )
    nesterov: bool = setting(False, "Nesterov's look-ahead, for SGD with momentum.")
    weight_decay: float = setting(0.0, "How strongly to pull the weights toward zero.", least=0, most=LARGEST)
    schedule: Literal["constant", "one_cycle", "cosine"] = setting(
        "constant", "How the learning rate changes during training."
    )
    schedule_epochs: int = setting(
        0, "Epochs that the schedule spans; later epochs keep its last rate. 0: all epochs.", least=0, most=MOST
    )
    schedule_restarts: str = setting(
        "", "Epochs after which the schedule starts again, separated by commas, such as 2,7. Empty: never."
    )
    lr_changes: str = setting(
        "", "Changes of the learning rate, as BATCHES:RATE separated by commas, such as 300:0.05,600:0.01. Empty: none."
    )
    accumulate: int = setting(
        1,
        "Batches whose gradients are averaged for one step, where memory is too small for a larger batch.",
        least=1,
        most=MOST,
    )
    shards: int = setting(
        0,
        "Parts that each batch is computed in, each by one thread: the numbers are the same on one core and on many. "
        "0: all threads compute the batch as a whole.",
        least=0,
        most=MOST_PARTS,
    )
    precision: Literal["f32", "bf16"] = setting(
        "f32", "Numbers of 32 bits, or bfloat16 in the network: faster if the processor has AVX512_BF16 or AMX."
    )
    clip: float = setting(0.0, "Scale down gradients whose norm is larger than this. 0: never.", least=0, most=MOST)

    epochs: int = setting(15, "Maximum number of passes through the training pictures.", least=1, most=MOST)
    stop_patience: int = setting(
        0, "Stop when the validation loss has not improved for this many epochs. 0: never.", least=0, most=MOST
    )
    stop_accuracy: float = setting(
        0.0, "Stop when the validation accuracy reaches this value, from 0 to 1. 0: never.", least=0, most=1
    )
    stop_seconds: float = setting(0.0, "Stop after this many seconds of training. 0: never.", least=0, most=MOST)
    keep: Literal["auto", "last", "best"] = setting(
        "auto", "Which weights to keep: the last, or those of the epoch with the best validation loss."
    )

    seed: int = setting(0, "Seed for all random choices.", least=0, most=2**63 - 1)
    device: Literal["auto", "cpu", "cuda", "mps"] = setting("auto", "Where to compute.")
    threads: int = setting(0, "Number of threads. 0: all cores for cnn, otherwise one.", least=0, most=1024)
    checkpoint_every: str = setting(
        "auto",
        'How often to save: "2 epochs", "500 batches", "60 seconds". auto: at most half a minute of work can be lost.',
    )

    track: Literal["none", "tensorboard", "mlflow"] = setting(
        "none", "Also write settings and results for TensorBoard or MLflow (docs/integrations.md)."
    )

    def __post_init__(self) -> None:
        for known in fields(Settings):
            check_setting(known, setting_types()[known.name], getattr(self, known.name))
        object.__setattr__(self, "source", without_secrets(self.source))  # a recipe is saved and shown
        self.saves_every()
        rate_changes_in(self.lr_changes)
        try:
            augment_names.in_order(self.augment)
        except UsageError as error:
            raise error.as_kind(RecipeError) from error
        if self.validate_on == "test" and not self.test:
            raise RecipeError(
                "test is false, but validate_on = test reads the test pictures after each epoch.",
                hint="Set {validate_on}.",
                settings={"validate_on": "valid"},
            )
        if self.validate_on == "test" and self.folds > 1:
            raise RecipeError(
                "folds tests models on pictures that they have not seen, but validate_on = test uses these "
                "pictures in each epoch.",
                hint="Set {validate_on}, or {folds}.",
                settings={"validate_on": "valid", "folds": 1},
            )
        if self.nesterov and not self.momentum:
            raise RecipeError(
                "nesterov needs momentum.",
                hint="Set {momentum}, or leave nesterov out.",
                settings={"momentum": 0.9},
            )
        if self.width and self.model not in ("relu", "cnn", "vgg"):
            raise RecipeError(
                f"width applies to relu, cnn and vgg, not to {self.model}.",
                hint="Set {width}, or {model}.",
                settings={"width": 0, "model": "relu"},
            )
        if self.features != "none" or self.unfreeze:
            check_features(self)
        if self.init_std != 1 and self.init != "normal":
            raise RecipeError(
                f"init_std applies to init = normal, not to {self.init}.",
                hint="Set {init}, or {init_std}.",
                settings={"init": "normal", "init_std": 1},
            )
        if self.schedule_epochs and self.schedule == "constant":
            raise RecipeError(
                "schedule_epochs applies to schedules that change the learning rate, not to constant.",
                hint="Set {schedule_epochs}, or {schedule}.",
                settings={"schedule_epochs": 0, "schedule": "one_cycle"},
            )

    @classmethod
    def load(cls: type[S], recipe: str | Path) -> S:
        """Load a recipe that ships, or one from a TOML file.

        Args:
            recipe: The name of one that ships, a file, or a run's folder.

        Returns:
            The recipe.

        Raises:
            RecipeError: There is no such recipe or file; damaged TOML, an unknown key, a wrong type or an
                impossible value.
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
        """Return how often to save a run.

        Returns:
            A number of "epochs", "batches" or "seconds"; 0 and "auto" leave it to the run.

        Raises:
            RecipeError: The setting says none of these.
        """
        if self.checkpoint_every == "auto":
            return 0, "auto"
        found = re.fullmatch(r"([1-9][0-9]{0,8}) (epoch|batch|second)(?:e?s)?", self.checkpoint_every.strip())
        if not found:
            raise RecipeError(
                f"checkpoint_every is {self.checkpoint_every!r:.80}, but must be epochs, batches or seconds.",
                hint='{checkpoint_every}, "500 batches", "60 seconds", or "auto".',
                settings={"checkpoint_every": "2 epochs"},
            )
        return int(found[1]), {"epoch": "epochs", "batch": "batches", "second": "seconds"}[found[2]]

    def restarts(self) -> list[int]:
        """Return the epochs after which the schedule starts again.

        Returns:
            Rising numbers of 1 or more; none for a schedule that runs once.

        Raises:
            RecipeError: The setting says something else.
        """
        if not self.schedule_restarts.strip():
            return []
        words = [word.strip() for word in self.schedule_restarts.split(",")]
        epochs = [int(word) for word in words if re.fullmatch(r"[1-9][0-9]{0,8}", word)]
        if len(epochs) < len(words) or any(after <= before for before, after in itertools.pairwise(epochs)):
            raise RecipeError(
                f"schedule_restarts is {self.schedule_restarts!r:.80}, but must be rising numbers of epochs.",
                hint="Use {schedule_restarts}, for example.",
                settings={"schedule_restarts": "2,7"},
            )
        return epochs

    @classmethod
    def from_toml(cls: type[S], text: str, where: str = "the recipe", name: str = "own") -> S:
        """Read a recipe from the text of a TOML file.

        Args:
            text: The text.
            where: What errors call it.
            name: Its name, if the text gives none.

        Returns:
            The recipe.

        Raises:
            RecipeError: Damaged TOML, an unknown key, a wrong type or an impossible value.
        """
        settings = parsed(text, where)
        is_of_a_run = settings.pop("recorded", None) is not None
        if is_of_a_run and "range" not in settings:
            settings["range"] = BY_TYPE  # a run from before there were ranges keeps its pixels
        known = {known.name for known in fields(cls)}
        for key in settings:
            if key not in known:
                hint = f"{nearest(key, sorted(known))} A newer version of sevensteps may have written it."
                raise RecipeError(f"{where} has an unknown key {key!r}.", hint=hint)
        try:
            made = cls(**{"name": name, **_with_tuples(settings)})
            if not is_of_a_run:  # an older run may have been saved so, and opens as it was
                made.refuse_idle_hold_out()
            return made
        except RecipeError as error:
            raise error.as_kind(RecipeError, f"{where}: {error.message}") from error

    def refuse_idle_hold_out(self, typed: float | None = None) -> None:
        """Raise if pictures are to be held out although the test pictures are those that each epoch is checked on.

        Args:
            typed: The share, if someone has typed it.

        Raises:
            RecipeError: `hold_out` would have no effect.
        """
        if self.validate_on == "test" and (typed or self.hold_out not in (0, Settings.hold_out)):
            raise RecipeError(
                f"hold_out is {self.hold_out}, but with validate_on = test nothing is held out for validation.",
                hint="Set {hold_out}, or {validate_on}.",
                settings={"hold_out": 0, "validate_on": "valid"},
            )

    def replace(self: S, **settings: Any) -> S:
        """Return the recipe with some settings changed.

        Args:
            settings: The new values by name; a list is taken as a tuple.

        Returns:
            The new recipe.

        Raises:
            RecipeError: An unknown key, a wrong type or an impossible value.
        """
        known = [known.name for known in fields(self)]
        for key in settings:
            if key not in known:
                raise RecipeError(f"A recipe has no setting {key!r}.", hint=nearest(key, known))
        changed = dataclasses.replace(self, **_with_tuples(settings))
        if {"hold_out", "validate_on"} & settings.keys():
            changed.refuse_idle_hold_out()
        return changed

    def to_toml(self, recorded: Mapping[str, Any] | None = None) -> str:
        """Return the recipe as TOML that `load` reads.

        Args:
            recorded: What was observed, for the table `[recorded]`.

        Returns:
            The text.
        """
        import tomli_w

        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return Shown(tomli_w.dumps({**settings, "recorded": dict(recorded)} if recorded else settings))

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which PyTorch computes with the threads of a settled recipe.

        Parts of a batch take one thread each, as many at once as there are cores, and so does everything else then: no
        sum may depend on the number of threads.
        """
        return computing_with(1, self.threads) if self.shards else computing_with(self.threads)

    @property
    def how(self) -> How:
        """How to read the picture files of the source."""
        return How(**file_settings(vars(self)))


def _with_tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which every list, or other sequence but text, is a tuple."""
    return {
        key: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in settings.items()
    }


@functools.cache
def setting_types() -> dict[str, Any]:
    """Return the type of each setting by its name."""
    return typing.get_type_hints(Settings)
