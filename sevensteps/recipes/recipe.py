"""Recipe: the settings of a run, and the things that they make: the pictures, the model, the loss, the optimizer.

What was observed while running (versions, threads, the data's fingerprint) stands under `[recorded]` in a run's
recipe: it is compared and reported, and is never a setting.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base.own_code import is_own
from ..errors import RecipeError
from .on_features import of_linear
from .rate_changes import rate_changes_in
from .settings import Settings
from .settle import settle

if TYPE_CHECKING:
    from torch import nn

    from ..data.batches import DataLoaders
    from ..data.images import Images, Splits
    from ..learner.learner import Learner
    from ..steps.step import Schedule
    from ..steps.stop import StopRule


@dataclass(frozen=True)
class Recipe(Settings):
    """Every setting of a run, and what makes a learner of them.

    >>> Recipe.load("linear").replace(epochs=3).epochs
    3
    """

    def settled(self, splits: Splits) -> Recipe:
        """Return the recipe with its open choices made for these pictures: what a run writes down.

        How step 4 is done is for the model to say, once it is there: `Learner.gradient`.

        Args:
            splits: The pictures, with validation pictures held out.

        Returns:
            The settled recipe; settling it again changes nothing.

        Raises:
            RecipeError: Settings that do not go together, or not with these pictures.
        """
        return settle(self, splits)

    def held_out(self, splits: Splits, left: bool = False) -> Splits:
        """Hold out validation pictures as the recipe says; existing ones stay.

        Args:
            splits: The pictures.
            left: Whether a fold was taken away before.

        Returns:
            The splits.

        Raises:
            DataError: There are too few pictures to hold any out.
        """
        if splits.valid is not None or not self.hold_out or self.validate_on == "test":
            return splits
        splits = splits.hold_out(self.hold_out, self.seed)
        if splits.valid is not None and not len(splits.valid):
            from ..data.folds import nothing_held_out

            few = "There are too few pictures to hold any out for validation: training needs one of each class."
            left = left or (splits.test is not None and splits.test.origin == splits.train.origin)
            raise nothing_held_out(splits.train, few, "Add pictures, or set {hold_out}.", {"hold_out": 0}, left)
        return splits

    def learner(self, splits: Splits, loaders: DataLoaders | None = None) -> Learner:
        """Make a learner: its `fit()` without arguments trains as the recipe says.

        Args:
            splits: The pictures.
            loaders: Other loaders of these pictures than those that the recipe makes.

        Returns:
            The learner, with its parameters as they start.

        Raises:
            RecipeError: Settings that do not go together, or not with these pictures.
        """
        from ..data.batches import DataLoaders
        from ..learner.learner import Learner
        from ..learner.metrics import accuracy

        settled = self.settled(splits)
        splits = settled.held_out(splits)
        dls = loaders or DataLoaders.from_images(
            splits,
            settled.batch_size,
            valid=settled.validate_on,
            seed=settled.seed,
            augment=settled.augment,
            balanced=settled.balance == "sampling",
        )
        model, opt_func = settled.initialized_model(splits), settled.optimizer_function()
        if settled.unfreeze:
            from .fine_tuning import by_depth

            opt_func = by_depth(opt_func, model)
        learn = Learner(
            dls,
            model,
            settled.loss_function(splits.train),
            opt_func,
            settled.lr,
            metrics=accuracy,
            seed=settled.seed,
            gradient=settled.gradient,
            clip=settled.clip or None,
            accumulate=settled.accumulate,
            shards=settled.shards,
            precision=settled.precision,
            device=settled.device,
        )
        learn.follow(settled.stop_rule(), settled.schedule_function(), settled.keep)
        learn.rate_changes = rate_changes_in(settled.lr_changes)
        return learn

    def initialized_model(self, splits: Splits) -> nn.Module:
        """Step 1: make the model for these pictures and initialize its parameters.

        With `unfreeze`, it starts from the pretrained network and from a linear model that is trained here.

        Args:
            splits: The pictures.

        Returns:
            The model.

        Raises:
            ModelError, ShapeError: A network of the user's own was not given for this call, or cannot be trained.
            RecipeError: `unfreeze` is set, and the pictures were not taken through the network.
        """
        if self.unfreeze:
            from ..data.images import Splits
            from .fine_tuning import fine_tuned

            features = splits.train.features
            if features is None or features.whole is None:
                raise RecipeError(
                    "unfreeze needs pictures that the first layers of the network have seen.",
                    hint=f"ss.train(source, features={self.features!r}, unfreeze={self.unfreeze}) prepares them.",
                )
            probe = self.probe(len(splits.train)).learner(
                Splits(dataclasses.replace(splits.train, features=features.whole))
            )
            for _ in probe.stream():
                pass
            probe.check_finite()
            return fine_tuned(features, probe.model)
        import torch

        from ..base.seeds import one_thread_draws
        from ..data.images import mean_and_std
        from ..steps.initialize import initialize
        from ..steps.own_model import own_model
        from ..steps.predict import MODELS, Normalize, mirrored, usual_width

        normalize = Normalize(*mean_and_std(splits.train)) if self.normalize else None
        if is_own(self.model):
            own = own_model(self.model, splits.train.input_shape, len(splits.classes), normalize, self.seed)
            if self.init != "default":  # which keeps the start that its code chose, perhaps one that was learned before
                initialize(own, self.init, std=self.init_std, seed=self.seed)
            return mirrored(own) if self.test_time_flip else own
        with one_thread_draws(), torch.random.fork_rng(devices=[]):  # layers draw a start, which is of no use
            width = self.width or usual_width(self.model)
            model = MODELS[self.model](splits.train.input_shape, len(splits.classes), normalize, width)
        started = initialize(model, self.init, std=self.init_std, seed=self.seed)
        return mirrored(model) if self.test_time_flip else started

    def probe(self, count: int) -> Recipe:
        """Return the recipe of the linear model on features that fine-tuning starts from and is compared with.

        Args:
            count: Pictures to train on.
        """
        kept = ("seed", "classes", "features", "balance", "loss", "label_smoothing", "normalize", "threads", "device")
        settings = {**of_linear(count), **{key: getattr(self, key) for key in kept}}
        return Recipe.load("linear").replace(hold_out=0.0, folds=1, **settings)

    def loss_function(self, train: Images) -> Any:
        """Make the loss with its settings; class weights come from the training pictures.

        Args:
            train: The training pictures.

        Returns:
            `loss(predictions, targets)`.
        """
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
        """Make the function that makes the optimizer with its settings.

        Returns:
            `opt_func(params, lr=…)`.

        Raises:
            RecipeError: There is no such optimizer, or it lacks a setting that was asked for.
        """
        from ..errors import UsageError
        from ..steps.step import optimizer_named

        try:
            optimizer = optimizer_named(self.optimizer)
        except UsageError as error:
            raise error.as_kind(RecipeError) from error
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
                    off: bool | int = False if value is True else 0
                    raise RecipeError(f"{self.optimizer} has no {key}.", hint=f"Set {{{key}}}.", settings={key: off})
                del settings[key]
        return functools.partial(optimizer, **settings)

    def schedule_function(self) -> Schedule:
        """Return the schedule, which starts again after each of `schedule_restarts`.

        The last cycle spans the epochs up to `schedule_epochs`, if given, after which its last rate stays; otherwise
        all that remain.

        Returns:
            `schedule(batch, total)`, the factor of the learning rate.
        """
        from ..steps.step import SCHEDULES

        schedule = SCHEDULES[self.schedule]
        last = self.schedule_epochs or self.epochs
        begins = [0, *(epoch for epoch in self.restarts() if epoch < min(last, self.epochs))]
        if len(begins) == 1 and not self.schedule_epochs:
            return schedule

        def in_cycles(batch: int, total: int | None) -> float:
            per_epoch = (total or 0) // self.epochs
            cycle = max(place for place, begin in enumerate(begins) if begin * per_epoch <= batch)
            begin, end = begins[cycle], [*begins[1:], last][cycle]
            span = max((end - begin) * per_epoch, 1)
            return schedule(min(batch - begin * per_epoch, span - 1), span)

        return in_cycles

    def stop_rule(self) -> StopRule:
        """Step 7: combine the stop rules that the recipe names; the first that holds ends training.

        Returns:
            The rule.
        """
        from ..steps.stop import after, when_flat, when_not_finite, when_reached

        rule = after(epochs=self.epochs) | when_not_finite()
        if self.stop_patience:
            rule |= when_flat("valid_loss", self.stop_patience)
        if self.stop_accuracy:
            rule |= when_reached("accuracy", self.stop_accuracy)
        if self.stop_seconds:
            rule |= after(seconds=self.stop_seconds)
        return rule
