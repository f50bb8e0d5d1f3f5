"""Shuffled mini-batches, gathered whole from one uint8 array, and DataLoaders: training and validation together.

There is no per-picture Python and there are no worker processes. The order of an epoch is a pure function of
(seed, epoch), augmentation of (seed, epoch, position): an epoch can be entered at any batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from ..base.device import device_named
from ..base.fastai import instead_of
from ..base.seeds import AUGMENT, ORDER, seed_of
from ..errors import DataError, UsageError
from . import augment_names
from .augment import Augment, augmentation, mixup
from .balance import balanced_rows
from .images import Images, Splits
from .store.store import StoredImages


class Batches:
    """`Images` as mini-batches of float pixels in [0, 1] and int64 labels.

    Pixels are `(b, c, h, w)`, or `(b, pixels)` with `flat=True`. Iterating gives fresh tensors, and a new order each
    time where `shuffle` is set. `augment` is names joined with `+`, as a recipe has them, or a function
    `augment(pixels, generator)` that takes and gives a whole uint8 batch. Under mixup targets are floats: the share of
    the second of two classes, `(b,)`, or of each class, `(b, classes)`. With `balanced` an epoch has as many pictures
    as ever, and the same number of each class; see `balance.balanced_rows`.

    Raises:
        UsageError: a batch size that is none, an augmentation that there is not, or `balanced` without `shuffle` or for
            a store.
        DataError: there are no pictures.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int = 256,
        *,
        shuffle: bool = False,
        flat: bool = False,
        seed: int = 0,
        augment: Augment | str | None = None,
        balanced: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        if balanced and (not shuffle or isinstance(images, StoredImages)):
            raise UsageError(
                "Balanced batches draw single pictures: not in the order of the pictures, and not from a store.",
                hint="Weight the loss instead: functools.partial(cross_entropy, weight=...).",
            )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size is {batch_size!r}, and must be 1 or more.", hint="256 is a good start.")
        if not len(images):
            raise DataError("There are no pictures to make batches of.", hint="Check the source and its classes.")
        self.images, self.batch_size, self.shuffle, self.flat = images, batch_size, shuffle, flat
        self.mixup = False
        if isinstance(augment, str):
            augment = augment_names.settled(augment, images.classes, images.shape)
            self.mixup = "mixup" in augment.split("+")
            augment = augmentation(augment)
        self.seed, self.augment, self.balanced, self.device = seed, augment, balanced, device_named(device)
        self._passes = 0

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._passes += 1
        return self.epoch_batches(self.seed, self._passes - 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a place in them."""
        return self.images.classes

    def order(self, seed: int, epoch: int) -> Tensor:
        """The rows of `images` in the order of this epoch; balanced, some of them several times and others not."""
        if isinstance(self.images, StoredImages):
            return torch.from_numpy(self.images.blocks.order((seed, epoch) if self.shuffle else None))
        count = len(self.images)
        if not self.shuffle:
            return torch.arange(count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, epoch, ORDER)))
        if not self.balanced:
            return order
        return torch.from_numpy(balanced_rows(self.images.labels, len(self.classes), seed, epoch))[order]

    def epoch_batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch (from 0), beginning with batch `start`, as fresh tensors."""
        for pixels, labels in self._gathered(seed, epoch, start):
            x = pixels.to(self.device, torch.float32).div_(255)
            yield x.flatten(1) if self.flat else x, labels

    def unscaled_batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The same as floats from 0 to 255, in a buffer that the next batch overwrites.

        For what can divide something smaller than the pixels, and keeps none of them.
        """
        size = min(self.batch_size, len(self.images))
        buffer = torch.empty((size, *self.images.shape), device=self.device)
        for pixels, labels in self._gathered(seed, epoch, start):
            x = buffer[: len(pixels)].copy_(pixels.to(self.device))
            yield x.flatten(1) if self.flat else x, labels

    def _gathered(self, seed: int, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented bytes, of which the next batch may overwrite the memory, and labels on the device."""
        chosen = self._from_disk if isinstance(self.images, StoredImages) else self._from_memory
        for position, (pixels, labels) in enumerate(chosen(seed, epoch, start), start):
            if self.augment is not None or self.mixup:
                generator = torch.Generator().manual_seed(seed_of(seed, epoch, position, AUGMENT))
                pixels = pixels if self.augment is None else self.augment(pixels, generator)
                if self.mixup:
                    pixels, labels = mixup(pixels, labels, len(self.classes), generator)
            yield pixels, labels.to(self.device)

    def _from_memory(self, seed: int, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The bytes and labels of each batch from `start` on."""
        pixels, labels = self.images.tensors
        size, count = self.batch_size, len(self.images)
        # In their own order the bytes need no copy, unless somebody may change them.
        order = self.order(seed, epoch) if self.shuffle or self.augment else None
        if order is None:
            for low in range(start * size, count, size):
                yield pixels[low : low + size], labels[low : low + size].clone()
            return
        buffer = pixels.new_empty((min(size, count), *pixels.shape[1:]))
        for low in range(start * size, count, size):
            rows = order[low : low + size]
            yield torch.index_select(pixels, 0, rows, out=buffer[: len(rows)]), labels.index_select(0, rows)

    def _from_disk(self, seed: int, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same of a store."""
        assert isinstance(self.images, StoredImages)
        for pixels, labels in self.images.blocks.batches(
            self.batch_size, start, (seed, epoch) if self.shuffle else None
        ):
            yield torch.from_numpy(pixels), torch.from_numpy(labels)


class DataLoaders:
    """A training and a validation loader: any iterables of `(x, y)`, or `Batches` with `from_images`.

    Raises:
        UsageError: something that cannot be iterated.
    """

    @instead_of(
        device="Learner(..., device=...)",
        path="save, load and export of a Learner take the whole path.",
        bs="The loaders have their own: DataLoader(pairs, batch_size=256).",
        batch_size="The loaders have their own: DataLoader(pairs, batch_size=256).",
    )
    def __init__(
        self, train: Iterable[Any], valid: Iterable[Any] | None = None, *, splits: Splits | None = None
    ) -> None:
        for name, loader in (("training", train), ("validation", valid)):
            if loader is not None and not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
                raise UsageError(
                    f"The {name} loader is {type(loader).__name__}, and gives no batches.",
                    hint="Pass loaders of (x, y), or for pictures: DataLoaders.from_images(splits).",
                )
        self.train, self.valid, self.splits = train, valid, splits

    @classmethod
    @instead_of(
        bs="Call it batch_size.",
        val_bs="Validation batches are twice as large: nothing is kept for the gradient.",
        shuffle="Training pictures always are, validation pictures never.",
        shuffle_train="Training pictures always are, validation pictures never.",
        num_workers="There are none: whole batches are gathered at once.",
        valid_pct="splits.hold_out(0.1)",
        item_tfms='augment="flip+crop+brightness" changes whole batches.',
        batch_tfms='augment="flip+crop+brightness" changes whole batches.',
    )
    def from_images(
        cls,
        splits: Splits,
        batch_size: int = 256,
        *,
        flat: bool = False,
        valid: Literal["valid", "test"] = "valid",
        seed: int = 0,
        augment: Augment | str | None = None,
        balanced: bool = False,
        device: torch.device | str = "cpu",
    ) -> DataLoaders:
        """Shuffled training batches and unshuffled validation batches, from `.valid` where there is one.

        `valid="test"` validates on the test pictures, as the walk-through does: what is then chosen by looking at
        them is no longer an honest test. `augment` ("flip+shift", or as `Batches` takes it) is of training pictures
        alone. With `balanced` the training pictures of an epoch are of each class alike.

        Raises:
            UsageError: no splits, `valid` is neither "valid" nor "test", an augmentation that there is not, or
                `balanced` for a store.
            DataError: `valid="test"` and there is no test split.
        """
        if not isinstance(splits, Splits):
            raise UsageError(
                f"from_images takes Splits, and was given {type(splits).__name__}.",
                hint='splits = ss.load("pullover-dress"), or Splits(train, valid=valid) of Images.',
            )
        if valid not in ("valid", "test"):
            raise UsageError(f"valid is {valid!r}, and must be 'valid' or 'test'.", hint="Leave it out.")
        looked_at = splits.valid if valid == "valid" else splits.test
        if looked_at is None and valid == "test":
            raise DataError("There is no test split to validate on.", hint="Leave valid='test' out.")
        return cls(
            Batches(
                splits.train,
                batch_size,
                shuffle=True,
                flat=flat,
                seed=seed,
                augment=augment,
                balanced=balanced,
                device=device,
            ),
            # Nothing is kept for the gradient, so twice the batch fits, as in fastai.
            None if looked_at is None else Batches(looked_at, 2 * batch_size, flat=flat, device=device),
            splits=splits,
        )

    def __getitem__(self, index: int) -> Iterable[Any] | None:
        """`dls[0]` is the training loader and `dls[1]` the validation loader, as in fastai."""
        return (self.train, self.valid)[index]

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names, where the loaders know them."""
        return getattr(self.train, "classes", None)

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """The first training batch of a fresh pass."""
        x, y = next(iter(self.train))
        return x, y

    @instead_of(nrows="max_n=9 says how many.", ncols="max_n=9 says how many.")
    def show_batch(self, max_n: int = 9) -> Any:
        """A figure with the first pictures of a training batch and their labels.

        Raises:
            DataError: the batches hold something other than pictures.
        """
        from ..show import figures
        from ..show.labels import label_of

        x, y = self.one_batch()
        shape = self.train.images.shape if isinstance(self.train, Batches) else tuple(x.shape[1:])
        if len(shape) != 3:
            raise DataError(f"A batch of shape {tuple(x.shape)} holds no pictures to show.", hint="Draw it yourself.")
        pixels = x[:max_n].reshape(-1, *shape).cpu().numpy()
        labels = [label_of(label, self.classes or ()) for label in y[:max_n].cpu().numpy()]
        return figures.grid(pixels, labels)
