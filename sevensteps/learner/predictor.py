"""Predictor: a model that answers, with what belongs to its answers. `Learner` adds training to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..base.fastai import INSTEAD, instead_of
from ..base.seeds import LOADER, seed_of
from ..base.words import Shown
from ..data.decode import Fit
from ..data.images import Images
from ..data.loaders import as_loader, refuse_other_classes
from ..errors import DataError, ModelError, UsageError
from ..ship.abstention import Abstention
from ..ship.answer import Answer
from ..ship.facts import Facts
from ..steps.draws import drawn_from
from ..steps.modes import Modes
from ..steps.parts import predict_in_parts
from ..steps.predict import predict
from ..steps.repeat import pair
from ..steps.way import Parting
from .inputs import Inputs, refuse_several
from .layers import layers_in_words
from .measure import measured
from .not_pickled import NotPickled
from .objective import Metric, Objective, names_of
from .only_with_loaders import TRAINING, NoTrainingError
from .prediction import Prediction, answered, doubt, gathered, refuse_other_count
from .saving import arrays_of, export, facts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Predictor(NotPickled):
    """A model that answers: what `load_learner(path)` gives, and what every `Learner` is.

    Args:
        model: From inputs to raw scores.
        objective: The loss, and what makes probabilities of its scores.
        inputs: What the model takes.
        metrics: Functions of (predictions, targets), for `validate`.
        device: Where the model is.
        temperature: What scores are divided by before they become probabilities.
        abstention: When the model gives no answer; None: it always answers.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        inputs: Inputs,
        *,
        metrics: Sequence[Metric] = (),
        device: torch.device = torch.device("cpu"),  # noqa: B008
        temperature: float = 1.0,
        abstention: Abstention | None = None,
    ) -> None:
        self._model, self._inputs, self.objective = model, inputs, objective
        self.metrics, self.device, self.parting = list(metrics), device, Parting()
        self.temperature, self.abstention = temperature, abstention
        self.interrupted: Callable[[], int] = lambda: 0  # whether somebody waits for this to stop; the signal

    if not TYPE_CHECKING:  # a type checker should miss what is not there

        def __getattr__(self, name: str) -> Any:
            """Say how to get what only a learner has."""
            if name in TRAINING and type(self) is Predictor:
                raise NoTrainingError(
                    f"A model that was loaded without loaders has no {name}: there are no training pictures.",
                    hint="ss.load_learner(path, dls=dls)",
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def model(self) -> nn.Module:
        """The model. A learner trains it in place."""
        return self._model

    @model.setter
    def model(self, model: nn.Module) -> None:
        raise UsageError(
            "A learner keeps its model: its optimizer holds the parameters, and its history is theirs.",
            hint="Make another: Learner(learn.dls, model, ...). Other weights: learn.model.load_state_dict(...).",
        )

    @property
    def inputs(self) -> Inputs:
        """What the model takes."""
        return self._inputs

    @property
    def seed(self) -> int:
        """The seed of what random layers and loaders draw."""
        return 0

    @property
    def loss_func(self) -> Any:
        """The loss as it was given, or chosen."""
        return self.objective.loss_func

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names, where they are known; a label is a place in them."""
        return self.inputs.classes

    @property
    def flat(self) -> bool:
        """Whether the model takes pictures as rows of pixels."""
        return self.inputs.flat

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of the pictures, where the model takes pictures."""
        return self.inputs.shape

    @property
    def picture_fit(self) -> Fit | None:
        """How pictures of other sizes came to that shape, where there were some."""
        return self.inputs.fit

    @property
    def parameter_count(self) -> int:
        """The number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def trainable_count(self) -> int:
        """The number of parameters that are not frozen."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    @property
    def metric_names(self) -> list[str]:
        """The name of each metric, with a number where an earlier figure has that name already."""
        return names_of(self.metrics)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode without gradients; afterwards all is as before."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad(), drawn_from(seed_of(self.seed, LOADER), self.device):
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    def _predict(self, x: Tensor) -> Tensor:
        """Take a batch through the model."""
        return predict_in_parts(self.model, x, self.parting.shards)

    def into_training(self, model: nn.Module) -> None:
        """Put the model or a copy of it into training mode; layers that are frozen and at rest stay so."""
        Modes().train(model)

    @instead_of(**INSTEAD["validate"])
    def validate(self, ds_idx: int = 1, dl: Iterable[Any] | None = None) -> list[float]:
        """Return the loss, a mean over pictures, and each metric of all predictions together; nothing is changed.

        Args:
            ds_idx: 0 for the training loader, 1 for the validation loader.
            dl: A loader to use instead.

        Returns:
            The loss, then each metric in the order of `metrics`.

        Raises:
            DataError: There is no such loader, it is empty, or it holds numbers that are not finite.
            ShapeError: Model and batch, or predictions and targets, do not fit each other.
            KeyboardInterrupt: Training was asked to stop meanwhile.
        """
        loader = self._loader(ds_idx, dl)
        with self.looking():
            return measured(loader, self._predict, self.objective, self.metrics, self.device, self.interrupted)

    def get_logits(
        self, ds_idx: int = 1, dl: Iterable[Any] | None = None
    ) -> tuple[Float[Tensor, "n ..."], Tensor | None]:
        """Return raw scores and targets over a loader.

        Args:
            ds_idx: 0 for the training loader, 1 for the validation loader.
            dl: A loader to use instead; it may give inputs without labels.

        Returns:
            The logits, one row a picture, and the targets, both on the CPU; None for inputs without labels.

        Raises:
            DataError: There is no such loader, it is empty, or only some of its batches have labels.
        """
        with self.looking():
            return gathered(self._loader(ds_idx, dl), self._predict, self.device)

    @instead_of(**INSTEAD["get_preds"])
    def get_preds(
        self, ds_idx: int = 1, dl: Iterable[Any] | None = None
    ) -> tuple[Float[Tensor, "n ..."], Tensor | None]:
        """Return probabilities and targets over a loader; a regression model's predictions are returned as they are.

        A model does regression where there are no class names and the loss is a distance, or a loss of your own with
        float targets that are not all 0 and 1.

        Args:
            ds_idx: 0 for the training loader, 1 for the validation loader.
            dl: A loader to use instead; it may give inputs without labels, such as a list of batches `x`.

        Returns:
            The probabilities, one column a class (two for two classes), and the targets; None where there are none.

        Raises:
            DataError: There is no such loader, or it is empty.
        """
        scores, targets = self.get_logits(ds_idx, dl)
        if targets is not None:
            self.objective.look_at_targets(targets)
        return scores if self.objective.is_regression else self.probabilities(scores), targets

    def probabilities(self, logits: Float[Tensor, "n scores"]) -> Float[Tensor, "n classes"]:
        """Return raw scores as probabilities, with the activation and the temperature of this model.

        Args:
            logits: One row a picture, as `get_logits` gives them.
        """
        return self.objective.probabilities(logits, self.temperature)

    @overload
    def predict(self, picture: list[Any]) -> list[Prediction]: ...
    @overload
    def predict(self, picture: Any) -> Prediction: ...
    @instead_of(**INSTEAD["predict"])
    def predict(self, picture: Any) -> Prediction | list[Prediction]:
        """Return (class name, class index, probabilities) for one picture, or a list of these for a list of pictures.

        Its `reason` is "not sure" or "none of these" where the model should not be trusted. A regression model returns
        its prediction three times.

        Args:
            picture: A path, bytes, an open file, a PIL image, a uint8 array `(h, w)`, `(c, h, w)` or `(h, w, 3)`, or a
                float tensor in [0, 1]; or a list of these. Files and images are resized as training pictures were.

        Raises:
            DataError: The picture cannot be read, has another shape, or values that no training picture has.
            ModelError: The model has another number of outputs than there are classes.
        """
        if isinstance(picture, list):
            return [self._prediction(each) for each in picture]
        return self._prediction(picture)

    def _prediction(self, picture: Any) -> Prediction:
        """Return what `predict` returns for one picture."""
        scores = self._scores_of(x := self.inputs.batch_of(picture))
        if self.objective.is_regression:
            return Prediction(scores[0], scores[0], scores[0])
        shares = self._shares_of(scores)
        label = int(shares.argmax())
        reason = doubt(x, shares, self.inputs, self.abstention)
        return Prediction(self.classes[label] if self.classes else str(label), label, shares, reason)

    def answer(self, picture: Any) -> Answer:
        """Return what the model says of one picture, or why it gives no answer, as `sevensteps predict` does.

        Args:
            picture: As `predict` takes it.

        Returns:
            An answer with `best`, `probabilities` and `reason`: "not sure", "none of these", or None.

        Raises:
            DataError: As `predict`, or the model was not trained on pictures.
            ModelError: The model has another number of outputs than there are classes.
        """
        x = self.inputs.batch_of(picture)
        if self.picture_shape is None or self.objective.is_regression:
            raise DataError("This model does not classify pictures.", hint="Use learn.predict(x).")
        name = str(picture) if isinstance(picture, (str, Path)) else ""
        return answered(name, x, self._shares_of(self._scores_of(x)), self.inputs, self.abstention)

    def _scores_of(self, x: Tensor) -> Tensor:
        """Return the raw scores of one input."""
        kinds = (parameter.dtype for parameter in self.model.parameters() if parameter.is_floating_point())
        with self.looking():
            return predict(self.model, x.to(self.device, next(kinds, x.dtype))).cpu()

    def _shares_of(self, scores: Tensor) -> Tensor:
        """Return the probabilities of one picture, of as many classes as there are names."""
        refuse_several(scores)
        shares = self.probabilities(scores)[0]
        if not bool(torch.isfinite(shares).all()):
            raise ModelError(
                "The model's scores are not finite.",
                hint="Train it again with a lower learning rate, or load it again.",
            )
        refuse_other_count(self.classes, len(shares))
        return shares

    @instead_of(**INSTEAD["show_results"])
    def show_results(self, ds_idx: int = 1, dl: Iterable[Any] | None = None, max_n: int = 9) -> Figure:
        """Return a figure of the first pictures with their labels and predictions.

        Args:
            ds_idx: 0 for the training loader, 1 for the validation loader.
            dl: A loader to use instead.
            max_n: The number of pictures, at most.

        Raises:
            DataError: The loader holds no pictures.
        """
        from ..show import figures

        loader = self._loader(ds_idx, dl)
        images = as_loader(loader, self.device).images
        if isinstance(images, Images) and images.features is not None:  # its batches hold features, and no pictures
            some = images.take(np.arange(min(max_n, len(images))))
            x = torch.from_numpy(some.inputs).to(self.device) / 255
            shares = self.probabilities(self._scores_of(x.flatten(1) if self.flat else x))
            return figures.results(some.pixels, some.labels.tolist(), shares.numpy(), some.classes)
        x, y = pair(next(iter(loader)), self.device)
        shape = self.picture_shape
        if shape is None:
            raise DataError("The loaders hold no pictures to show.", hint="Use learn.get_preds().")
        shares = self.probabilities(self._scores_of(x[:max_n]))
        names = self.classes or tuple(map(str, range(shares.shape[1])))
        pixels = x[:max_n].reshape(-1, *shape).cpu().numpy()
        return figures.results(pixels, y[:max_n].flatten().tolist(), shares.numpy(), names)

    def summary(self) -> str:
        """Return the model layer by layer, with parameters and loss, as text to print."""
        counts = f"{self.parameter_count:,} parameters, {self.trainable_count:,} of them trainable"
        return Shown("\n".join([*layers_in_words(self.model), counts, f"loss: {self.objective.name}"]))

    def facts(self) -> Facts:
        """Return what an exported file says beside the tensors."""
        return facts_of(self.model, self.objective, self.inputs, self.temperature, self.abstention)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what an exported file holds: the model's tensors, and what it needs to abstain.

        Raises:
            ModelError: There are numbers that are not finite.
        """
        return {**arrays_of(self.model), **(self.abstention.arrays() if self.abstention else {})}

    @instead_of(**INSTEAD["export"])
    def export(self, path: str | Path | None = None) -> Path:
        """Save the model alone, with class names, picture shape and what turns scores into probabilities.

        Args:
            path: Of the file; its suffix says the format: `.safetensors`, `.onnx`, `.html` (a page), `.py` (a program).
                A name without a suffix is kept as it is, and the file is a safetensors file.

        Returns:
            The path of the file.

        Raises:
            UsageError: There is no path, or it has the suffix of another format.
            FileError: The file cannot be written.
            ModelError: There are numbers that are not finite, or the model cannot be written in this format.
        """
        if path is None:
            raise UsageError("export() needs the path of a file.", hint='learn.export("model.safetensors")')
        return export(Path(path), self.arrays(), self.facts())

    def __repr__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join([type(self).__name__, *(f"  {name:<{width}}  {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        """Return a small table for a notebook."""
        from ..show.notebook import facts, framed

        return framed(type(self).__name__, facts(dict(self._rows())))

    def _rows(self) -> list[tuple[str, str]]:
        """Return what a notebook shows: names and values."""
        model = f"{type(self.model).__name__}, {self.parameter_count:,} parameters"
        return [("model", model), *self.inputs.rows(), ("loss", self.objective.name)]

    def _loader(self, ds_idx: int, dl: Iterable[Any] | None) -> Iterable[Any]:
        """Return the loader to go through."""
        if dl is None:
            raise DataError(
                "A loaded model has no validation loader, and no training pictures.",
                hint="Pass a loader, dl=..., or load with loaders: ss.load_learner(path, dls=dls)",
            )
        refuse_other_classes(self.classes, as_loader(dl, self.device).classes, "The loader has classes")
        return dl
