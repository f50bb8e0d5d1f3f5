"""The number of worker processes is no part of the seed: it does not change the order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler, WeightedRandomSampler

from sevensteps.data.loaders import batches_from

PAIRS = [(torch.tensor([float(number)]), 0.0) for number in range(60)]


class DrawsEveryBatch(Sampler[list[int]]):
    """A batch sampler that draws from torch's global generator at each batch."""

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(8):
            yield torch.randint(60, (5,)).tolist()

    def __len__(self) -> int:
        return 8


class DrawsAtOnce(Sampler[int]):
    """A sampler that draws all when it is asked for an iterator."""

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(60).tolist())

    def __len__(self) -> int:
        return 60


def shuffled(workers: int, **how: Any) -> DataLoader[Any]:
    return DataLoader(PAIRS, 8, shuffle=True, num_workers=workers, **how)


MAKERS: dict[str, Any] = {
    "shuffle": shuffled,
    "generator": lambda workers: shuffled(workers, generator=torch.Generator().manual_seed(5)),
    "replacement": lambda workers: DataLoader(PAIRS, 8, sampler=RandomSampler(PAIRS, True), num_workers=workers),
    "weighted": lambda workers: DataLoader(
        PAIRS, 8, sampler=WeightedRandomSampler([1.0, 2.0] * 30, 60), num_workers=workers
    ),
    "every batch": lambda workers: DataLoader(PAIRS, batch_sampler=DrawsEveryBatch(), num_workers=workers),
    "at once": lambda workers: DataLoader(PAIRS, 8, sampler=DrawsAtOnce(), num_workers=workers),
}


def order(loader: DataLoader[Any], epoch: int = 0) -> list[float]:
    return [x for xs, _ in batches_from(loader, 7, epoch, 0, torch.device("cpu")) for x in xs.flatten().tolist()]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_order_is_the_same_with_and_without_workers(make: Any) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    alone = [order(make(0), epoch) for epoch in range(2)]
    assert alone[0] != alone[1]
    for workers in (1, 2):
        loader = make(workers)
        assert [order(loader, epoch) for epoch in range(2)] == alone
    assert torch.equal(before, torch.get_rng_state())


def test_workers_that_stay_have_the_same_order_and_the_loader_stays_as_it_was() -> None:
    loader = shuffled(1, persistent_workers=True)
    own = loader.batch_sampler
    assert [order(loader, epoch) for epoch in range(3)] == [order(shuffled(0), epoch) for epoch in range(3)]
    assert loader.batch_sampler is own
    torch.manual_seed(3)
    first = [float(x[0]) for x, _ in loader]
    torch.manual_seed(3)
    assert [float(x[0]) for x, _ in loader] == first
    assert len(loader) == 8
