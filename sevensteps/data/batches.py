"""Shuffled mini-batches, each gathered at once from one uint8 array, and DataLoaders: training and validation together.

No Python code runs for single pictures, and there are no worker processes. The order of an epoch is a pure function of
(seed, epoch), and augmentation of (seed, epoch, position), so training can start at any batch of an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..base import memory
from ..base.device import device_named
from ..base.fastai import INSTEAD, instead_of
from ..base.seeds import AUGMENT, ORDER, seed_of
from ..base.words import counted
from ..errors import DataError, UsageError
from . import augment_names
from .augment import Augment, augmentation, mixup
from .balance import balanced_rows
from .images import Images, Splits
from .loaders import Access, as_loader, refuse_other_classes
from .store.far_blocks import far_pixels
from .store.store import StoredImages


class Batches:
    """`Images` as mini-batches: iterating yields pixels in [0, 1] and labels, as fresh tensors.

    Pixels are float32 `(b, c, h, w)`, labels int64 `(b,)`. With mixup, targets are floats: the share of the second of
    two classes, `(b,)`, or of each class, `(b, classes)`.

    Args:
        images: The pictures.
        batch_size: Pictures in a batch; the last batch may be smaller.
        shuffle: Whether each pass has a new order.
        flat: Whether pixels are rows, `(b, pixels)`.
        seed: Decides order and augmentation.
        augment: Names joined with `+`, as in a recipe, or a function `augment(pixels, generator)` from one uint8 batch
            to another.
        balanced: Whether an epoch has the same number of pictures of each class, and as many in all as without; see
            `balance.balanced_rows`.
        device: Where the tensors are.

    Raises:
        UsageError: The batch size or the augmentation is not valid, or `balanced` comes without `shuffle` or with a
            store.
        DataError: There are no pictures.
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
                "Balanced batches draw single pictures at random: they need shuffle=True and cannot come from a store.",
                hint="Weight the loss instead: functools.partial(cross_entropy, weight=...).",
            )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size is {batch_size!r}; it must be 1 or more.", hint="256 is a good start.")
        if not len(images):
            raise DataError("There are no pictures to make batches from.", hint="Check the source and its classes.")
        self.images, self.batch_size, self.shuffle, self.flat = images, batch_size, shuffle, flat
        self.mixup = False
        if isinstance(augment, str):
            augment = augment_names.settled(augment, images.classes, images.shape)
            self.mixup = "mixup" in augment.split("+")
            augment = augmentation(augment)
        self.seed, self.augment, self.balanced, self.device = seed, augment, balanced, device_named(device)
        self._passes = 0

    access = Access.ANY_BATCH

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        return len(self)

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._passes += 1
        return self.epoch_batches(self.seed, self._passes - 1)

    def __repr__(self) -> str:
        return f"Batches({self._in_words()})"

    def _repr_html_(self) -> str:
        """Return the size of the batches and some pictures, as a notebook shows them."""
        from ..show.notebook import paragraphs

        return "".join(paragraphs(self._in_words())) + self.images._repr_html_()

    def _in_words(self) -> str:
        """Describe the batches: how many, of what, and in which order."""
        channels, height, width = self.images.shape
        what = (
            f"rows of {math.prod(self.images.shape)} pixels"
            if self.flat
            else f"pictures of {width}x{height}x{channels}"
        )
        batches = counted(len(self), "batch", "batches")
        named = {"shuffled": self.shuffle, "augmented": self.augment is not None, "balanced": self.balanced}
        words = [f"{len(self.images):,} {what}", *(name for name, holds in named.items() if holds)]
        return f"{batches} of {self.batch_size:,}; {', '.join(words)}"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; a label is an index into them."""
        return self.images.classes

    def order(self, seed: int, epoch: int) -> Tensor:
        """Return the rows of `images` in the order of one epoch.

        Args:
            seed: The seed of the run.
            epoch: The epoch, from 0.

        Returns:
            The rows, `(n,)` int64; with `balanced` some occur several times and others not at all.
        """
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
        """Yield the batches of one epoch, as fresh tensors.

        Args:
            seed: The seed of the run.
            epoch: The epoch, from 0.
            start: The first batch to yield, from 0.

        Yields:
            Pixels in [0, 1] and targets.
        """
        for pixels, labels in self._gathered(seed, epoch, start):
            x = pixels.to(self.device, torch.float32).div_(255)
            yield x.flatten(1) if self.flat else x, labels

    def unscaled_batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the same batches as floats from 0 to 255, in a buffer that the next batch overwrites.

        This is faster for a caller that can scale something smaller than the pixels and keeps none of them.

        Args:
            seed: The seed of the run.
            epoch: The epoch, from 0.
            start: The first batch to yield, from 0.

        Yields:
            Pixels from 0 to 255 and targets.
        """
        size = min(self.batch_size, len(self.images))
        buffer = torch.empty((size, *self.images.input_shape), device=self.device)
        for pixels, labels in self._gathered(seed, epoch, start):
            x = buffer[: len(pixels)].copy_(pixels.to(self.device))
            yield x.flatten(1) if self.flat else x, labels

    def _gathered(self, seed: int, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented bytes, whose memory the next batch may overwrite, and labels on the device."""
        chosen = self._from_disk if isinstance(self.images, StoredImages) else self._from_memory
        for position, (pixels, labels) in enumerate(chosen(seed, epoch, start), start):
            if self.augment is not None or self.mixup:
                generator = torch.Generator().manual_seed(seed_of(seed, epoch, position, AUGMENT))
                pixels = pixels if self.augment is None else self.augment(pixels, generator)
                if self.mixup:
                    pixels, labels = mixup(pixels, labels, len(self.classes), generator)
            yield pixels, labels.to(self.device)

    def _from_memory(self, seed: int, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the bytes and labels of each batch from `start` on."""
        size, count = self.batch_size, len(self.images)
        far = None if self.images.features is not None else far_pixels(self.images.pixels)
        if far is not None and far.nbytes > memory.available() // 4:
            places = self.order(seed, epoch).numpy()
            for low in range(start * size, count, size):
                some = places[low : low + size]
                yield torch.from_numpy(far[some]), torch.from_numpy(self.images.labels[some])
            return
        pixels, labels = self.images.tensors
        # In their own order the bytes need no copy, unless an augmentation may change them.
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
        """Yield the same from a store."""
        assert isinstance(self.images, StoredImages)
        for pixels, labels in self.images.blocks.batches(
            self.batch_size, start, (seed, epoch) if self.shuffle else None
        ):
            yield torch.from_numpy(pixels), torch.from_numpy(labels)


class DataLoaders:
    """A training and a validation loader; `from_images` makes both from pictures.

    Args:
        train: Any iterable of batches `(x, y)`.
        valid: The same for validation, if there is one.
        splits: The pictures that the loaders were made from, if there are any.

    Raises:
        UsageError: A loader cannot be iterated.
        DataError: The two loaders have different classes, or have them in different orders.
    """

    @instead_of(**INSTEAD["DataLoaders"])
    def __init__(
        self, train: Iterable[Any], valid: Iterable[Any] | None = None, *, splits: Splits | None = None
    ) -> None:
        for name, loader in (("training", train), ("validation", valid)):
            if loader is not None and not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
                raise UsageError(
                    f"The {name} loader is of type {type(loader).__name__}, which cannot be iterated.",
                    hint="Pass loaders of (x, y), or for pictures: DataLoaders.from_images(splits).",
                )
        if valid is not None:
            refuse_other_classes(
                as_loader(train).classes, as_loader(valid).classes, "The validation loader has classes"
            )
        self.train, self.valid, self.splits = train, valid, splits

    @classmethod
    @instead_of(**INSTEAD["from_images"])
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
        """Return shuffled training batches, and validation batches in the order of the pictures.

        Args:
            splits: The pictures; without a validation split there are no validation batches.
            batch_size: Training pictures in a batch; validation batches have twice as many.
            flat: Whether pixels are rows, `(b, pixels)`.
            valid: "test" validates on the test pictures, as the walk-through does. If you then choose a setting by
                looking at them, they are no longer an honest test.
            seed: Decides order and augmentation.
            augment: How training pictures are varied: "flip+shift", for example, or a function as in `Batches`.
            balanced: Whether an epoch trains on the same number of pictures of each class.
            device: Where the tensors are.

        Returns:
            The loaders.

        Raises:
            UsageError: `splits` is not `Splits`, `valid` or `augment` is not valid, or `balanced` comes with a store.
            DataError: `valid` is "test" and there is no test split.
        """
        if not isinstance(splits, Splits):
            raise UsageError(
                f"from_images needs Splits, but got {type(splits).__name__}.",
                hint='splits = ss.load("pullover-dress"), or Splits(train, valid=valid) of Images.',
            )
        if valid not in ("valid", "test"):
            raise UsageError(f"valid is {valid!r}; it must be 'valid' or 'test'.", hint="Leave it out.")
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
        """Return the training loader for index 0 and the validation loader for 1, as in fastai."""
        return (self.train, self.valid)[index]

    def __repr__(self) -> str:
        return f"DataLoaders(\n  train={_shortly(self.train)},\n  valid={_shortly(self.valid)},\n)"

    def _repr_html_(self) -> str:
        """Return both loaders in words, and some training pictures if they are known, as a notebook shows them."""
        from ..show import notebook

        in_words = {
            name: loader._in_words() if isinstance(loader, Batches) else _shortly(loader)
            for name, loader in (("training", self.train), ("validation", self.valid))
        }
        pictures = self.train.images._repr_html_() if isinstance(self.train, Batches) else ""
        return notebook.framed(notebook.facts(in_words)) + pictures

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, if the training loader knows them."""
        return as_loader(self.train).classes

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """Return the first training batch of a new pass: `(x, y)`."""
        x, y = next(iter(self.train))
        return x, y

    @instead_of(**INSTEAD["show_batch"])
    def show_batch(self, max_n: int = 9) -> Any:
        """Draw the first pictures of a training batch with their labels.

        Args:
            max_n: The number of pictures.

        Returns:
            A Matplotlib figure.

        Raises:
            DataError: The batches do not hold pictures.
        """
        from ..show import figures
        from ..show.labels import label_of

        x, y = self.one_batch()
        images = self.train.images if isinstance(self.train, Batches) else None
        if isinstance(images, Images) and images.features is not None:  # the batch holds features, and no pictures
            some = images.take(np.arange(min(max_n, len(images))))
            return figures.grid(some.pixels, [label_of(label, some.classes) for label in some.labels])
        shape = tuple(x.shape[1:]) if images is None else images.shape
        if len(shape) != 3:
            raise DataError(
                f"A batch of shape {tuple(x.shape)} does not hold pictures.",
                hint="show_batch needs (batch, channels, height, width), or loaders from DataLoaders.from_images.",
            )
        pixels = x[:max_n].reshape(-1, *shape).cpu().numpy()
        labels = [label_of(label, self.classes or ()) for label in y[:max_n].cpu().numpy()]
        return figures.grid(pixels, labels)


def _shortly(loader: Iterable[Any] | None) -> str:
    """Describe a loader without iterating it: other people's loaders by their type alone."""
    return repr(loader) if loader is None or isinstance(loader, Batches) else f"<{type(loader).__name__}>"
