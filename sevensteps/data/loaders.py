"""Loaders: what training needs from one, and an adapter for any iterable of `(x, y)`.

Only `as_loader` finds out what a foreign loader has; all other code reads the properties of `Loader`.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from ..base.seeds import LOADER, seed_of
from ..errors import DataError, SevenstepsError, UsageError
from ..steps.draws import drawn_from
from ..steps.repeat import pair
from ..steps.state import State
from .images import Images
from .worker_order import drawn_by_place

EpochBatches = Callable[[int, int, int], Iterator[tuple[Tensor, Tensor]]]  # of (seed, epoch, start)


class Access(enum.Enum):
    """Whether and how a loader can give the batches of an epoch again."""

    ANY_BATCH = "an epoch can be entered at any batch"
    FROM_START = "the first batches are given again"
    UNKNOWN = "an iterable of an unknown kind; it is asked for its first batches again"
    NEW_EPOCH = "worker processes or a stream: an epoch can only be started over"
    ONCE = "an iterator: each batch is given once"


@runtime_checkable
class Loader(Protocol):
    """What training, prediction and the doctor need from a loader. `Batches` is one; `as_loader` adapts any other."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names; None where the loader does not know them."""

    @property
    def images(self) -> Images | None:
        """The pictures; None where the loader does not hold `Images`."""

    @property
    def flat(self) -> bool:
        """Whether pictures come as rows of pixels."""

    @property
    def seed(self) -> int:
        """The seed of its order and augmentation."""

    @property
    def mixup(self) -> bool:
        """Whether targets are shares of classes."""

    @property
    def balanced(self) -> bool:
        """Whether an epoch has the same number of pictures of each class."""

    @property
    def access(self) -> Access:
        """Whether and how the loader can give the batches of an epoch again."""

    @property
    def batches_per_epoch(self) -> int | None:
        """The number of batches in an epoch; None where it is not known."""

    @property
    def unscaled_batches(self) -> EpochBatches | None:
        """The batches as floats from 0 to 255, for training by formula; None if the loader has only scaled ones."""

    def epoch_batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch.

        Args:
            seed: The seed of the run.
            epoch: The epoch, from 0.
            start: The first batch to yield, from 0.
        """


class ForeignLoader:
    """Any iterable of `(x, y)` as a `Loader`.

    A loader with `epoch_batches(seed, epoch, start)` starts there. Any other is iterated from its beginning, and the
    batches before `start` are dropped. Random numbers that it draws from torch's global generator, or from its own,
    depend only on (seed, epoch, position), so its order repeats exactly, with and without worker processes.

    Args:
        batches: The iterable.
        device: The device whose random numbers it may draw.
    """

    def __init__(self, batches: Iterable[Any], device: torch.device) -> None:
        def optional(name: str, default: Any = None) -> Any:
            return getattr(batches, name, default)

        self._batches, self._device = batches, device
        self._enter: EpochBatches | None = optional("epoch_batches")
        self.unscaled_batches: EpochBatches | None = optional("unscaled_batches")
        names = optional("classes") or _classes_of(optional("dataset"))
        self.classes: tuple[str, ...] | None = tuple(names) if names else None
        images = optional("images")
        self.images: Images | None = images if isinstance(images, Images) else None
        self.flat, self.mixup, self.balanced = (bool(optional(name)) for name in ("flat", "mixup", "balanced"))
        self.seed = int(optional("seed") or 0)
        # The generators that PyTorch's DataLoader and its samplers draw from, where they were given some.
        batch_sampler = optional("batch_sampler")
        owners = (batches, optional("sampler"), batch_sampler, getattr(batch_sampler, "sampler", None))
        generators = (getattr(owner, "generator", None) for owner in owners)
        self._generators = list({id(g): g for g in generators if isinstance(g, torch.Generator)}.values())
        self.access = self._access(bool(optional("num_workers")), optional("dataset"))

    def _access(self, has_workers: bool, dataset: Any) -> Access:
        """Return whether and how the batches of an epoch can be given again."""
        if self._enter is not None:
            return Access.ANY_BATCH
        if has_workers or isinstance(dataset, IterableDataset):
            return Access.NEW_EPOCH
        if isinstance(self._batches, Iterator):
            return Access.ONCE
        return Access.FROM_START if isinstance(self._batches, (DataLoader, list, tuple)) else Access.UNKNOWN

    @property
    def batches_per_epoch(self) -> int | None:
        """The number of batches in an epoch; None where the iterable has no length."""
        try:
            return len(self._batches)  # type: ignore[arg-type]
        except TypeError:
            return None

    def epoch_batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch.

        Args:
            seed: The seed of the run.
            epoch: The epoch, from 0.
            start: The first batch to yield, from 0.
        """
        if self._enter is not None:
            yield from self._enter(seed, epoch, start)
            return

        # Read now: inside a context the generators have the seed of the context.
        own = [(generator, generator.initial_seed()) for generator in self._generators]

        def draws(*place: int) -> contextlib.AbstractContextManager[None]:
            return drawn_from(seed_of(seed, epoch, *place, LOADER), self._device, own)

        with draws(), drawn_by_place(self._batches, draws):
            iterator = iter(self._batches)
        position = 0
        while True:
            with draws(position):
                batch = next(iterator, None)
            if batch is None:
                return
            if position >= start:
                yield batch
            position += 1


def _classes_of(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names of `Images` that PyTorch's DataLoader reads, whole or in part; None for other data."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset.classes if isinstance(dataset, Images) else None


def refuse_other_classes(
    own: Sequence[str] | None, others: Sequence[str] | None, what: str, kind: type[SevenstepsError] = DataError
) -> None:
    """Raise if two lists of class names differ: a label is a place in the list, so it would mean another class.

    Args:
        own: The class names of a model; None where they are not known.
        others: Those of loaders or of a file.
        what: What has the others, as the subject of a sentence.
        kind: The error to raise.

    Raises:
        DataError: Or an error of `kind`: both are known, and their names or the order of these differ.
    """
    if not own or not others or list(own) == list(others):
        return
    ours, theirs = (", ".join(names[:10]) + (", …" if len(names) > 10 else "") for names in (own, others))
    if sorted(own) == sorted(others):
        words = f"{what} in another order ({theirs}) than the model ({ours}), so each label would mean another class."
        hint = "Load the pictures with the classes in the model's order: ss.load(..., classes=learn.classes)."
    else:
        words = f"{what} ({theirs}) other than the model's ({ours})."
        hint = "To train its weights on other classes, make a new learner: Learner(dls, learn.model)."
    raise kind(words, hint=hint)


def as_loader(batches: Iterable[Any], device: torch.device = torch.device("cpu")) -> Loader:  # noqa: B008
    """Return any iterable of `(x, y)` as a loader; one of our own is returned unchanged.

    Args:
        batches: `Batches`, a PyTorch DataLoader, a list of batches, or any other iterable.
        device: The device whose random numbers a foreign loader may draw.
    """
    return batches if isinstance(batches, Loader) else ForeignLoader(batches, device)


def batches_from(
    batches: Iterable[Any], seed: int, epoch: int, start: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one epoch of any loader, on the device.

    Args:
        batches: Any iterable of `(x, y)`.
        seed: The seed of the run.
        epoch: The epoch, from 0.
        start: The first batch to yield, from 0.
        device: Where the tensors go.

    Raises:
        DataError: A batch is not a pair of tensors, or is empty.
    """
    for number, batch in enumerate(as_loader(batches, device).epoch_batches(seed, epoch, start), start + 1):
        x, targets = pair(batch, device)
        if not len(x):
            raise DataError(f"Batch {number} of the training loader is empty.", hint="Leave it out of the loader.")
        yield x, targets


def refuse_iterator(loader: Loader) -> None:
    """Raise if looking at the next batches would take them from training.

    Args:
        loader: The training loader.

    Raises:
        UsageError: The loader is an iterator.
    """
    if loader.access is Access.ONCE:
        raise UsageError(
            "The training loader yields each batch only once, and looking at one would take it from training.",
            hint="Give a DataLoader, or a list of batches.",
        )


def enter_epoch(loader: Loader, state: State) -> str | None:
    """Prepare to resume a saved state in the middle of an epoch, and say what that costs.

    Our own loaders can start at any batch. A loader without worker processes repeats its first batches, which are
    dropped. Worker processes and streams cannot repeat what they gave: there the epoch starts over, and the parameters
    stay as they are.

    Args:
        loader: The training loader.
        state: The saved state; its position is set to 0 if the epoch starts over.

    Returns:
        A sentence about the cost, or None if there is none.
    """
    if not state.position or loader.access is Access.ANY_BATCH:
        return None
    if loader.access is not Access.NEW_EPOCH:
        return f"The loader repeats the {state.position:,} batches of this epoch that are done, and they are dropped."
    state.position, state.seen, state.loss_sum = 0, 0, torch.zeros_like(state.loss_sum)
    return (
        "The loader has worker processes or is a stream, so it cannot start in the middle of an epoch: "
        f"epoch {state.epoch + 1} starts over, and the parameters stay as they are."
    )
