"""A classifier for scikit-learn: a recipe of ours behind `fit`, `predict` and `predict_proba`."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..base.own_code import is_own
from ..base.seeds import ORDER, seed_of
from ..data.batches import Batches, DataLoaders
from ..data.images import Images, Splits
from ..data.sources.facts import Facts
from ..errors import DataError, ModelError, RecipeError
from ..learner.load import predictor_from
from ..learner.saving import infinite_in
from ..recipes.choose import suited
from ..recipes.recipe import Recipe
from ..runs.validation import learn_from_validation
from ..ship import file as model_file
from ..trust.calibration import fit_temperature

if TYPE_CHECKING:
    from ..learner.learner import Learner
    from ..learner.predictor import Predictor

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
except ImportError:  # `from sevensteps import *` works without it; making a classifier says what to install
    BaseEstimator, ClassifierMixin = (type(name, (), {}) for name in ("BaseEstimator", "ClassifierMixin"))

INSTALL = "pip install 'sevensteps[sklearn]'"
AT_ONCE = 1 << 20  # numbers that are predicted at once, at most
# PyTorch's random numbers and its number of threads are those of the whole process, and joblib may fit in threads.
_ONE_AT_A_TIME = threading.Lock()


class SevenStepsClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a recipe as a scikit-learn estimator, on arrays of pictures or on rows of numbers.

    Pictures are uint8, `(n, height, width)` or `(n, height, width, channels)` with 1 or 3 channels. Rows are numbers,
    `(n, features)`; each feature is centered and scaled unless the recipe says `normalize = false`. The same arrays
    and parameters give the same model. Every picture gets an answer: `predict` never says "not sure".

    Args:
        recipe: The name of a recipe that ships, a TOML file, or a `Recipe` with any other settings. None chooses one by
            the number and size of the pictures: a network for pictures, a linear model for rows.
        epochs: Passes through the training pictures. This and the following arguments replace settings of the recipe.
        lr: Learning rate.
        batch_size: Pictures in a batch.
        weight_decay: How strongly weights are pulled toward zero.
        width: Hidden units of `relu`, or channels of `cnn`.
        augment: How training pictures are varied, such as "flip+shift".
        hold_out: Share held out for validation, which sets the temperature of the probabilities.
        seed: Decides every random choice.

    Raises:
        ModelError: scikit-learn is not installed.
    """

    def __init__(
        self,
        recipe: str | Path | Recipe | None = None,
        *,
        epochs: int | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        weight_decay: float | None = None,
        width: int | None = None,
        augment: str | None = None,
        hold_out: float | None = None,
        seed: int | None = None,
    ) -> None:
        if not hasattr(BaseEstimator, "get_params"):
            raise ModelError("SevenStepsClassifier needs scikit-learn.", hint=INSTALL)
        self.recipe, self.epochs, self.lr, self.batch_size = recipe, epochs, lr, batch_size
        self.weight_decay, self.width, self.augment = weight_decay, width, augment
        self.hold_out, self.seed = hold_out, seed

    def fit(self, X: Any, y: Any) -> SevenStepsClassifier:  # noqa: N803  scikit-learn's names
        """Train on pictures or rows and their classes.

        Args:
            X: The pictures or rows.
            y: The class of each: text or whole numbers.

        Returns:
            The classifier itself, with `classes_`, `n_features_in_`, the settled `recipe_`, and `predictor_`, whose
            `export` writes the model.

        Raises:
            DataError, ValueError: The arrays cannot be used.
            RecipeError: A parameter is not valid, or is for pictures and there are rows.
            TrainingError: The loss became infinite or not a number.
        """
        before = self.__dict__
        self.__dict__ = {name: value for name, value in before.items() if not name.endswith("_")}
        try:
            self._fit(X, y)
        except BaseException:  # what was fitted before still answers, as a whole
            self.__dict__ = before
            raise
        return self

    def _fit(self, X: Any, y: Any) -> None:  # noqa: N803
        """Fit an estimator that was not fitted before; see `fit`."""
        if _is_of_pictures(X):
            self.shape_: tuple[int, ...] | None = _checked_pictures(X).shape[1:]
            X, y = np.asarray(X), validate_data(self, y=y)  # noqa: N806
            check_consistent_length(X, y)
            self.n_features_in_ = math.prod(self.shape_)
        else:
            X, y = validate_data(self, X, y, dtype=np.float64)  # noqa: N806
            self.shape_ = None
        try:
            check_classification_targets(y)
            self.classes_, labels = np.unique(y, return_inverse=True)
        except TypeError as error:  # classes that cannot be sorted
            raise DataError(
                f"y mixes kinds of classes: {error}.", hint="Make all of them text: [str(name) for name in y]"
            ) from error
        if len(self.classes_) < 2:
            raise DataError(
                f"y has only 1 class, {self.classes_.tolist()[0]!r:.80}.",
                hint="A classifier needs at least two classes.",
            )
        # For rows, pictures without content stand in: they say which rows train, and which shape the model has.
        of_nothing = np.broadcast_to(np.uint8(0), (*X.shape, 1, 1))
        pixels = of_nothing if self.shape_ is None else _as_pixels(X)
        splits = Splits(Images(pixels, labels.astype(np.int64), _names(self.classes_)), source="arrays")
        recipe = self._recipe(splits.train)
        if max(splits.train.counts.values()) == 1:  # nothing can be held out
            recipe = recipe.replace(hold_out=0.0)
        splits = recipe.held_out(splits)
        self.recipe_ = recipe.settled(splits)
        with _ONE_AT_A_TIME, self.recipe_.computing():
            learn = self._of_rows(X, splits) if self.shape_ is None else self._of_pictures(splits)
            # What answers is what a pickle holds, and the training pictures are not kept.
            self.predictor_ = predictor_from(_content(learn), "the model")

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the most probable class of each picture or row.

        Args:
            X: Pictures or rows as in training.

        Returns:
            One of `classes_` for each.

        Raises:
            DataError, ValueError: They have another shape or kind.
        """
        best = self.predict_proba(X).argmax(1)
        predicted: np.ndarray = self.classes_[best]
        return predicted

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the probability of each class, with a temperature that was fitted to the pictures held out.

        Args:
            X: Pictures or rows as in training.

        Returns:
            One row for each, one column for each of `classes_`.

        Raises:
            DataError, ValueError: They have another shape or kind.
        """
        check_is_fitted(self)
        if self.shape_ is None:
            X = validate_data(self, X, reset=False, dtype=np.float64)  # noqa: N806
            # In double precision, the answer for a row does not depend on the rows beside it.
            model = copy.deepcopy(self.predictor_.model).double()
            x = torch.from_numpy(self.scaler_.transform(X))[:, :, None, None]
            with torch.no_grad():
                scores = torch.cat([model(some) for some in torch.split(x, max(1, AT_ONCE // X.shape[1]))])
        else:
            pixels = _as_pixels(_checked_pictures(X, self.shape_))
            images = Images(pixels, np.zeros(len(pixels), dtype=np.int64), _names(self.classes_))
            batches = Batches(images, max(1, min(1000, AT_ONCE // self.n_features_in_)), flat=self.predictor_.flat)
            with _ONE_AT_A_TIME, self.recipe_.computing():
                scores, _ = self.predictor_.get_logits(dl=batches)
        shares: np.ndarray = self.predictor_.probabilities(scores).numpy()
        return shares

    def _recipe(self, train: Images) -> Recipe:
        """Return the recipe with the parameters that were given.

        Raises:
            RecipeError: A parameter is not valid, or not for such arrays.
        """
        given = {key: value for key, value in self.get_params(deep=False).items() if value is not None}
        given = {key: value.item() if isinstance(value, np.generic) else value for key, value in given.items()}
        named: Any = given.pop("recipe", None)
        if named is None:
            facts = Facts(len(train), min(train.counts.values()), train.classes, train.shape)
            recipe = suited(facts).with_given(given)
        else:
            if not isinstance(named, (str, Path, Recipe)):
                raise RecipeError(
                    f"recipe is {named!r:.80}, but must be the name of a recipe, a TOML file, or a Recipe.",
                    hint='SevenStepsClassifier(ss.Recipe.load("linear").replace(epochs=5))',
                )
            recipe = (named if isinstance(named, Recipe) else Recipe.load(named)).replace(**given)
        if is_own(recipe.model) or recipe.features != "none":
            which = f"model = {recipe.model}" if is_own(recipe.model) else f"features = {recipe.features}"
            raise RecipeError(
                f"SevenStepsClassifier does not take {which}.", hint="Train with ss.train(source, ...) instead."
            )
        if self.shape_ is None:
            _refuse_for_rows(recipe)
        # There are no test pictures here: the walk-through's recipes train without validation.
        return recipe.replace(validate_on="valid", folds=1)

    def _of_pictures(self, splits: Splits) -> Learner:
        """Return a learner that was trained on pictures, as `ss.train` does it."""
        learn = self.recipe_.learner(splits)
        learn.fit(show=False)
        learn_from_validation(learn, splits, self.recipe_)
        return learn

    def _of_rows(self, X: np.ndarray, splits: Splits) -> Learner:  # noqa: N803
        """Return a learner that was trained on rows; in `splits`, stand-ins say which of them train."""
        recipe, valid = self.recipe_.replace(normalize=False), splits.valid  # the rows are normalized here
        how = {"with_mean": self.recipe_.normalize, "with_std": self.recipe_.normalize}
        self.scaler_ = StandardScaler(**how).fit(X[splits.train.rows])
        rows = self.scaler_.transform(X).astype(np.float32)[:, :, None, None]
        train = _Rows(rows, splits.train, recipe.batch_size, recipe.seed, shuffle=True)
        held = None if valid is None else _Rows(rows, valid, 2 * recipe.batch_size, recipe.seed)
        learn = recipe.learner(splits, DataLoaders(train, held))
        learn.fit(show=False)
        if valid is not None and learn.objective.activation is None:
            logits, _ = learn.get_logits()
            learn.temperature = fit_temperature(logits.numpy(), valid.labels)
        return learn

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: plain data, the model as the bytes of our own file, the recipe as TOML."""
        state = dict(super().__getstate__())
        if "predictor_" in state:
            state["predictor_"] = _content(state["predictor_"])
            state["recipe_"] = str(state["recipe_"].to_toml())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what `__getstate__` gave; the model is checked as a file is."""
        super().__setstate__(state)
        if "predictor_" in state:
            self.predictor_ = predictor_from(state["predictor_"], "the pickled model")
            self.recipe_ = Recipe.from_toml(state["recipe_"])

    def __sklearn_tags__(self) -> Any:
        """Say that pictures have more than two dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class _Rows:
    """A loader of rows, which gives them in the order in which `Batches` would give pictures."""

    def __init__(self, rows: np.ndarray, images: Images, size: int, seed: int, *, shuffle: bool = False) -> None:
        self.rows, self.labels = torch.from_numpy(rows[images.rows]), torch.from_numpy(images.labels)
        self.size, self.seed, self.shuffle, self.classes = size, seed, shuffle, images.classes

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.epoch_batches(self.seed, 0)

    def epoch_batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch."""
        order = torch.arange(len(self.rows))
        if self.shuffle:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(seed_of(seed, epoch, ORDER)))
        for first in range(start * self.size, len(order), self.size):
            chosen = order[first : first + self.size]
            yield self.rows[chosen], self.labels[chosen]


def _is_of_pictures(X: Any) -> bool:  # noqa: N803
    """Return whether an array has the dimensions of pictures."""
    return bool((X if hasattr(X, "ndim") else np.asarray(X)).ndim > 2)


def _checked_pictures(X: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:  # noqa: N803
    """Return an array of pictures; of this shape, if one is given.

    Raises:
        DataError: It is of another kind or shape.
    """
    pictures = np.asarray(X)
    if shape is not None and pictures.shape[1:] != shape:
        raise DataError(f"X has shape {pictures.shape}.", hint=f"The model was trained on pictures of shape {shape}.")
    if pictures.dtype != np.uint8:
        raise DataError(
            f"X has {pictures.ndim} dimensions and type {pictures.dtype}, but pictures are uint8, from 0 to 255.",
            hint="Convert values from 0 to 1: (X * 255).round().astype(np.uint8). Rows of numbers are (n, features).",
        )
    if pictures.ndim > 4 or (pictures.ndim == 4 and pictures.shape[3] not in (1, 3)) or 0 in pictures.shape:
        raise DataError(
            f"X has shape {pictures.shape}, but pictures are (n, height, width) or (n, height, width, channels), with "
            "1 or 3 channels.",
            hint="Channels come last: X.transpose(0, 2, 3, 1).",
        )
    return pictures


def _as_pixels(pictures: np.ndarray) -> np.ndarray:
    """Return pictures with their channels first."""
    return np.ascontiguousarray(pictures[:, None] if pictures.ndim == 3 else pictures.transpose(0, 3, 1, 2))


def _names(classes: np.ndarray) -> tuple[str, ...]:
    """Return the classes as text, and their places where two have the same text."""
    names = tuple(map(str, classes.tolist()))
    return names if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def _refuse_for_rows(recipe: Recipe) -> None:
    """Raise if a recipe has settings that only pictures can follow.

    Raises:
        RecipeError: The first of them.
    """
    fitting = {
        "model": ("linear", "relu"),
        "augment": ("none",),
        "balance": ("none", "loss"),
        "test_time_flip": (False,),
    }
    for key, values in fitting.items():
        if getattr(recipe, key) not in values:
            raise RecipeError(
                f"{key} = {getattr(recipe, key)} is for pictures, but X has rows of numbers.",
                hint=f"Set {{{key}}}, or give uint8 pictures (n, height, width).",
                settings={key: values[0]},
            )


def _content(model: Predictor) -> bytes:
    """Return a model as the bytes of a model.safetensors."""
    return model_file.to_bytes(model.arrays(), {**model.facts().as_json(), **infinite_in(model.arrays())})
