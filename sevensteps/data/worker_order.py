"""Make the order of a DataLoader with worker processes that of the same loader without.

Without workers its sampler draws random numbers for each batch when that batch is asked for; with workers it draws for
several batches ahead, at other moments. Here each batch's draws come from the batch's own place, whenever they happen.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

Draws = Callable[[int], contextlib.AbstractContextManager[None]]


class _ByPlace:
    """A sampler that draws for each batch inside the context that belongs to it."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.draws: Draws | None = None

    def __iter__(self) -> Iterator[Any]:
        return _drawn(iter(self.sampler), self.draws)

    def __len__(self) -> int:
        return len(self.sampler)


def _drawn(batches: Iterator[Any], draws: Draws | None) -> Iterator[Any]:
    """Give the indices of batch after batch."""
    end, position = object(), 0
    while True:
        with draws(position) if draws is not None else contextlib.nullcontext():
            indices = next(batches, end)
        if indices is end:
            return
        yield indices
        position += 1


# Workers that outlive an epoch keep the sampler that they began with.
_SAMPLERS: weakref.WeakKeyDictionary[DataLoader[Any], _ByPlace] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def drawn_by_place(loader: Any, draws: Draws) -> Iterator[None]:
    """Let an iteration that begins inside the context draw its order batch by batch; the loader is not changed.

    Args:
        loader: Only a DataLoader with worker processes and a sampler needs it.
        draws: The context for the draws of a batch, by its position.

    Yields:
        Nothing.
    """
    if not isinstance(loader, DataLoader) or not loader.num_workers or isinstance(loader.dataset, IterableDataset):
        yield
        return
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    own = getattr(loader, name)
    by_place = _SAMPLERS.setdefault(loader, _ByPlace(own))
    by_place.sampler, by_place.draws = own, draws
    vars(loader)[name] = by_place  # a DataLoader forbids to assign it
    try:
        yield
    finally:
        vars(loader)[name], by_place.draws = own, None
