"""Processes that share out the parts of a batch end with the bits of one process. Here each is a thread."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typed import three_classes

import sevensteps as ss
from sevensteps.base.device import computing_with
from sevensteps.base.seeds import one_thread_draws
from sevensteps.records.events import Batch
from sevensteps.steps.exchange import Exchange


@dataclasses.dataclass
class InThreads:
    """One of several threads that exchange rows of bytes."""

    rank: int
    world: int
    rows: list[Tensor]
    barrier: threading.Barrier

    def gather(self, mine: Tensor, every: Sequence[Tensor]) -> None:
        self.rows[self.rank] = mine.clone()
        self.barrier.wait(60)
        for row, sent in zip(every, self.rows, strict=True):
            row.copy_(sent)
        self.barrier.wait(60)


def trained(make: Make, folder: Path, epochs: int, team: InThreads | None) -> dict[str, bytes]:
    """Train; return the bits of each loss, of the model, of the optimizer and of all else that is saved."""
    own = folder / f"{team.rank}-of-{team.world}" if team else folder / "alone"  # for the pictures that it writes
    own.mkdir(exist_ok=True)
    learn = make(own)
    learn.follow(ss.after(epochs=epochs), ss.one_cycle())
    if team is not None:
        learn.exchange = Exchange(team, learn.model, learn.parting.shards)
    try:
        losses = [event.loss for event in learn.stream() if isinstance(event, Batch)]
    except BaseException:
        if team is not None:
            team.barrier.abort()
        raise
    tensors = {"losses": torch.stack(losses), **learn.state.tensors()}
    return {name: value.detach().contiguous().numpy().tobytes() for name, value in tensors.items()}


def by_processes(make: Make, folder: Path, epochs: int, world: int) -> list[dict[str, bytes]]:
    """Train in as many threads as there would be processes; return what each has learned."""
    rows, barrier = [torch.empty(0)] * world, threading.Barrier(world)
    teams = [InThreads(rank, world, rows, barrier) for rank in range(world)]
    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(lambda team: trained(make, folder, epochs, team), teams))


Make = Callable[[Path], ss.Learner]


def recipe_of(name: str = "cnn", count: int = 210, **settings: Any) -> Make:
    """Return what makes a learner of a small network on few pictures; the last batch is uneven."""
    usual: dict[str, Any] = {"batch_size": 70, "hold_out": 0.0, "shards": 4, "validate_on": "test", "augment": "none"}
    usual |= {"folds": 1, "seed": 5, "width": 0 if name == "linear" else 4}

    def make(folder: Path) -> ss.Learner:
        splits = ss.load(three_classes(folder) if "label_smoothing" in settings else "pullover-dress")
        assert splits.test is not None
        few = {"train": splits.train.take(np.arange(count)), "test": splits.test.take(np.arange(20))}
        return ss.Recipe.load(name).replace(**{**usual, **settings}).learner(dataclasses.replace(splits, **few))

    return make


class Peculiar(nn.Module):
    """Dropout, batch norm, double precision, a frozen layer, and one that only some batches reach."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.frozen, self.seldom = nn.Linear(784, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.norm, self.drop, self.last = nn.BatchNorm1d(12), nn.Dropout(0.3), nn.Linear(12, 1)
        self.frozen.requires_grad_(False)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.frozen(torch.relu(self.norm(self.first(x.flatten(1).double()))))
        if float(x.sum()) % 2 < 1:
            hidden = hidden + self.seldom(hidden)
        scores: Tensor = self.last(self.drop(hidden))
        return scores


def peculiar(folder: Path) -> ss.Learner:
    """Return a learner of the peculiar network."""
    splits = ss.load("pullover-dress")
    few = dataclasses.replace(splits, train=splits.train.take(np.arange(150)), valid=None, test=None)
    with one_thread_draws(), torch.random.fork_rng():
        torch.manual_seed(2)
        model = Peculiar()
    dls = ss.DataLoaders.from_images(few, 64)
    return ss.Learner(dls, model, ss.binary_cross_entropy_with_logits, ss.Muon, 0.01, shards=4, seed=1)


QUICK: dict[str, Make] = {
    "SGD, uneven last batch": recipe_of(optimizer="SGD", momentum=0.9, count=170),
    "fewer parts than processes": recipe_of(batch_size=20, count=70),
    "formula": recipe_of(name="linear", normalize=True),
    "peculiar": peculiar,
}
CASES: dict[str, Make] = {
    "AdamW": recipe_of(optimizer="AdamW"),
    "Muon and clipping": recipe_of(optimizer="Muon", clip=0.1),
    "mixup and label smoothing": recipe_of(augment="flip+mixup", label_smoothing=0.1),
    "class weights": recipe_of(balance="loss"),
    "accumulated": recipe_of(accumulate=2),
    "formula, accumulated": recipe_of(name="linear", accumulate=3),
    "vgg": recipe_of(model="vgg", width=4, count=140),
}


def check(make: Make, folder: Path, epochs: int, worlds: Sequence[int]) -> None:
    """Assert that each process ends with the bits of one process alone."""
    with computing_with(1, 1):
        alone = trained(make, folder, epochs, None)
        for world in worlds:
            for rank, found in enumerate(by_processes(make, folder, epochs, world)):
                different = [name for name in alone if found[name] != alone[name] and not name.startswith("history")]
                assert not different, (world, rank, different)


@pytest.mark.parametrize("case", QUICK)
def test_two_and_three_processes_give_the_bits_of_one(case: str, tmp_path: Path) -> None:
    check(QUICK[case], tmp_path, 1, (2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("case", [*QUICK, *CASES])
def test_any_number_of_processes_gives_the_bits_of_one(case: str, tmp_path: Path) -> None:
    check({**QUICK, **CASES}[case], tmp_path, 2, (2, 3, 4))
