"""What a model says: of one picture, with the reason to doubt it, or of a whole loader, with or without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, ModelError
from ..ship.abstention import Abstention
from ..ship.answer import Answer, answers_of
from ..steps.repeat import pair
from .growing_tensor import Gathered
from .inputs import Inputs


class Prediction(tuple[Any, Any, Tensor]):
    """The class name, the class index and the probabilities of one picture, as fastai gives them.

    `reason` says why not to trust them: "not sure", "none of these", or None. A notebook shows it behind the three.
    """

    reason: str | None

    def __new__(cls, name: Any, label: Any, probabilities: Tensor, reason: str | None = None) -> Prediction:
        prediction = super().__new__(cls, (name, label, probabilities))
        prediction.reason = reason
        return prediction

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.reason)

    def __repr__(self) -> str:
        return super().__repr__() + (f" {self.reason}" if self.reason else "")


def answered(name: str, x: Tensor, shares: Tensor, inputs: Inputs, abstention: Abstention | None) -> Answer:
    """Return the answer for one picture, as `sevensteps predict` gives it.

    Args:
        name: The name of the picture.
        x: A batch of the picture alone, in [0, 1].
        shares: The probability of each class.
        inputs: What the model takes, with the shape of a picture.
        abstention: When the model gives no answer; None: it always answers.
    """
    assert inputs.shape is not None
    pixels = (x.reshape(1, *inputs.shape) * 255).round().to(torch.uint8).numpy()
    classes = inputs.classes or tuple(map(str, range(len(shares))))
    return answers_of([name], classes, shares[None].numpy(), pixels, abstention)[0]


def doubt(x: Tensor, shares: Tensor, inputs: Inputs, abstention: Abstention | None) -> str | None:
    """Return why the answer for one picture should not be trusted: "not sure" or "none of these"; None if it can be.

    Args:
        x: A batch of the picture alone, in [0, 1].
        shares: The probability of each class.
        inputs: What the model takes.
        abstention: When the model gives no answer; None: it always answers.
    """
    if abstention is None or inputs.shape is None:
        return None
    return answered("", x, shares, inputs, abstention).reason


def refuse_other_count(classes: Sequence[str] | None, count: int) -> None:
    """Raise if a model does not tell as many classes apart as there are names.

    Args:
        classes: The names, where they are known.
        count: The number of probabilities that the model gives.

    Raises:
        ModelError: Says how many outputs there must be.
    """
    if classes and len(classes) != count:
        raise ModelError(
            f"The model tells {count} classes apart, and there are {len(classes)}.",
            hint="Give its last layer one output for two classes, otherwise one for each class.",
        )


def gathered(
    loader: Iterable[Any], scores_of: Callable[[Tensor], Tensor], device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Return raw scores and targets over a loader, both on the CPU.

    Args:
        loader: Gives batches `(x, y)`, or inputs alone: `x`, or `(x,)` as PyTorch's loaders give single tensors.
        scores_of: From the inputs of a batch to its raw scores.
        device: Where the model is.

    Returns:
        The scores, and the targets; None for inputs alone.

    Raises:
        DataError: The loader is empty, or only some of its batches have targets.
    """
    scores, targets = Gathered(), Gathered()
    for batch in loader:
        x, y = _parts(batch, device)
        if not len(x):
            continue
        scores.add(scores_of(x).cpu())
        if y is not None:
            targets.add(y.cpu())
    if not scores.count:
        raise DataError("The loader has no batches.", hint="Give it at least one (x, y).")
    if targets.count not in (0, scores.count):
        raise DataError("Only some batches have labels.", hint="Give each batch as (x, y), or each without labels.")
    return scores.all(), targets.all() if targets.count else None


def _parts(batch: Any, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return inputs and targets of a batch; None for a batch of inputs alone."""
    alone = batch[0] if isinstance(batch, (tuple, list)) and len(batch) == 1 else batch
    return (alone.to(device), None) if isinstance(alone, Tensor) else pair(batch, device)
