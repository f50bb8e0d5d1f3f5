"""The sample of pictures with which the doctor looks at a learner, and how often it looks."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch

from ...data.images import Images
from ...data.loaders import Access, as_loader, batches_from
from ...learner.learner import Learner
from ...steps.loss import settings_of
from .neighbors import Neighbors, neighbors, spread
from .probe import Pair
from .steady_rate import steady_rate

SAMPLE = 64  # pictures; a look takes about 0.2 ms for a linear model, and otherwise as long as half a batch


OFTEN = 4  # epochs: the first ones are all looked at


COST, SHARE = 14, 0.01  # time of a look at most, in batches; share of the training time that looks may take


class Sampler:
    """The pictures with which a learner is looked at: always the same, so that looks can be compared.

    Everything here can be made again from the loaders.
    """

    def __init__(self, learn: Learner) -> None:
        self._learn = learn

    @property
    def images(self) -> Images | None:
        """The training pictures, if the loader has them."""
        return _images_of(self._learn.dls.train)

    @property
    def valid_images(self) -> Images | None:
        """The validation pictures, if the loader has them."""
        return _images_of(self._learn.dls.valid)

    @functools.cached_property
    def counts(self) -> Mapping[str, int] | None:
        """Training pictures of each class, if the loader has pictures."""
        return None if self.images is None else self.images.counts

    @functools.cached_property
    def valid_counts(self) -> Mapping[str, int] | None:
        """Validation pictures of each class, if the loader has pictures."""
        return None if self.valid_images is None else self.valid_images.counts

    @functools.cached_property
    def is_balanced(self) -> bool:
        """Whether training balances the classes; accuracy may then be below the share of the largest one."""
        settings = settings_of(self._learn.loss_func)
        weighted = settings is not None and "weight" in settings[1]
        return weighted or as_loader(self._learn.dls.train).balanced

    @functools.cached_property
    def chances(self) -> Mapping[str, int] | None:
        """Validation pictures of each class, if accuracy should be compared with always giving one answer."""
        return None if self.is_balanced else self.valid_counts

    @functools.cached_property
    def batch(self) -> Pair | None:
        """Training pictures as the model gets them, without augmentation, and their targets."""
        return self._sampled(self._learn.dls.train)

    @functools.cached_property
    def valid(self) -> Pair | None:
        """Validation pictures as the model gets them, and their targets."""
        return None if self._learn.dls.valid is None else self._sampled(self._learn.dls.valid)

    @functools.cached_property
    def guess(self) -> float:
        """The loss of the training pictures if all scores are zero; 0 if it cannot be computed."""
        if self.batch is None:
            return 0.0
        x, targets = self.batch
        try:
            with self._learn.looking():
                return float(self._learn.objective.loss(torch.zeros_like(self._learn.model(x)), targets))
        except Exception:  # as in `_looked`
            if self.images is not None:
                raise
            return 0.0

    @functools.cached_property
    def near(self) -> Neighbors | None:
        """What nearest neighbors show, if there are pictures."""
        images, valid = self.images, self.valid_images
        return neighbors(images, valid) if images is not None and len(images) > 1 else None

    @functools.cached_property
    def steady_rate(self) -> float | None:
        """A learning rate to try instead of one that does not work; None if it cannot be found."""
        if self.batch is None:
            return None
        try:
            return steady_rate(self._learn, self.batch, self.valid)
        except Exception:  # as in `_looked`
            if self.images is not None:
                raise
            return None

    def is_due(self, epoch: int) -> bool:
        """Return whether an epoch is looked at: the first few, then as often as the allowed time permits.

        Args:
            epoch: The number of the epoch, counted from 1.
        """
        every = math.ceil(COST / SHARE / (self._learn.batches_per_epoch or 100))
        return epoch <= OFTEN or is_round(epoch) or epoch % every == 0

    def _sampled(self, loader: Any) -> Pair | None:
        """Return pictures of a loader with their targets; None if taking them would disturb training."""
        images = _images_of(loader)
        if images is not None:
            order = spread(len(images), SAMPLE)
            pixels, labels = torch.from_numpy(images.inputs[order]), torch.from_numpy(images.labels)
            x = pixels.to(self._learn.device, torch.float32).div_(255)
            return x.flatten(1) if self._learn.flat else x, labels[order].to(self._learn.device)
        # A batch is not taken from training, and no processes are started.
        if as_loader(loader).access not in (Access.ANY_BATCH, Access.FROM_START):
            return None
        batch = next(batches_from(loader, self._learn.state.seed, 0, 0, self._learn.device), None)
        return batch and (batch[0][:SAMPLE], batch[1][:SAMPLE])


def is_round(epoch: int) -> bool:
    """Return whether an epoch is 1, 2, 3, 4, 6, 8, 12, 16 and so on: two in each doubling.

    Args:
        epoch: The number of the epoch, counted from 1.
    """
    return epoch & (epoch - 1) == 0 or (epoch % 3 == 0 and (epoch // 3) & (epoch // 3 - 1) == 0)


def _images_of(loader: Any) -> Images | None:
    """Return the pictures of a loader, if it has any."""
    images = None if loader is None else as_loader(loader).images
    return images if images is not None and len(images) else None
