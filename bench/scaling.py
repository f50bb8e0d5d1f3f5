"""How a step grows with the number of processes: `python bench/scaling.py`.

Trains `cnn` in four parts of a batch with 1 to 4 processes on the loopback. A step is the computation of the slowest
process, in CPU seconds, so that it counts as if each process had a core of its own, and the exchange, from the moment
when all have come to it. Beside it stands a simulation: each part takes one of the times that were measured with one
process, and the exchange follows the model below, fitted to 2 processes. The second table continues the simulation on
paper, with a network between machines in place of the loopback.

A step takes the parts of the process that is last, what each process does for all parts (adding them, step 5), and
(N - 1) rounds of a ring, in each of which every process passes on a row: rounds x (latency + bytes of a row /
bandwidth). The last column is for sums that are not built: each process receives its share of the gradient from all,
adds it in order, and gives the sum to all, in two rings of smaller rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

import sevensteps as ss
from sevensteps.base.device import computing_with
from sevensteps.base.launched import Launched
from sevensteps.learner.distributed import Processes
from sevensteps.learner.meeting import store_here
from sevensteps.records.events import Batch
from sevensteps.runs.together import exchanging

PARTS = 4
ALONE = "alone"  # the rank of one process without others


@dataclass(frozen=True)
class Steps:
    """The seconds of each step of several processes."""

    computation: list[float]  # of the slowest process
    common: list[float]  # of it: what each process does for all parts
    exchange: list[float]
    bytes: int  # that each process sends


class Timed(Processes):
    """Processes that note how long each exchange takes, once all have come to it."""

    computed = began = seconds = 0.0

    def gather(self, mine: Tensor, every: Sequence[Tensor]) -> None:
        """Exchange a row of bytes; see `steps.exchange.Team`."""
        self.computed = time.process_time()
        dist.barrier()
        began = time.perf_counter()
        super().gather(mine, every)
        self.seconds = time.perf_counter() - began
        self.began = time.process_time()


def worker(rank: str, world: int, batch: int, steps: int) -> None:
    """Train as one of the processes; print the seconds of computation and exchange of each step, and the bytes."""
    splits = ss.load("pullover-dress")
    recipe = ss.Recipe.load("cnn").replace(batch_size=batch, shards=PARTS, folds=1, seed=1)
    learn = recipe.learner(splits)
    learn.dls.valid = None
    learn.follow(ss.after(epochs=1000), ss.one_cycle())
    computation: list[float] = []
    common: list[float] = []
    exchange: list[float] = []
    if rank == ALONE:
        with computing_with(1, 1):
            before = time.process_time()
            for number, _ in enumerate(learn.stream()):
                computation.append(time.process_time() - before)
                if number == steps:
                    break
                before = time.process_time()
        print(json.dumps([computation[1:], [], [], 0]))
        return
    place = Launched(int(rank), world, int(rank), world)
    server = dist.TCPStore("127.0.0.1", int(os.environ["MASTER_PORT"]), None, False, wait_for_workers=False)
    processes = Timed(place, dist.PrefixStore("sevensteps", server))
    processes.tell(b" ") if not place.rank else processes.hear()
    with exchanging(processes, learn):
        before = time.process_time()
        for number, event in enumerate(learn.stream()):
            if number == steps:
                break
            if isinstance(event, Batch):
                after = time.process_time() - processes.began
                computation.append(processes.computed - before + after)
                common.append(after)
                exchange.append(processes.seconds)
            before = time.process_time()
        size = learn.exchange.size if learn.exchange else 0
        print(json.dumps([computation[1:], common[1:], exchange[1:], size]), flush=True)
        os._exit(0)  # all have done the same number of steps


def measured(world: int, batch: int, steps: int) -> Steps:
    """Return the seconds of each step of several processes."""
    store, port = store_here(world)
    ranks = [ALONE] if world == 1 else list(map(str, range(world)))
    started = []
    for rank in ranks:
        place = {"RANK": rank, "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, __file__, "--rank", rank, "--world", str(world)]
        command += ["--batch", str(batch), "--steps", str(steps)]
        environment = {**os.environ, **({} if rank == ALONE else place)}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    each = [json.loads(process.communicate(timeout=600)[0].splitlines()[-1]) for process in started]
    del store
    slowest = [[max(one) for one in zip(*(facts[kind] for facts in each), strict=True)] for kind in range(3)]
    return Steps(*slowest, bytes=each[0][3])


def simulated(world: int, parts: int, part: Sequence[float], exchange: float, common: float) -> float:
    """Return the seconds of a step whose parts take times that were measured, the mean of 200 draws."""
    own = math.ceil(parts / world)
    drawn = np.random.default_rng(0).choice(part, (200, world, own))
    return float(drawn.sum(2).max(1).mean()) + common + exchange


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1472)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rank", default="")
    parser.add_argument("--world", type=int, default=1)
    asked = parser.parse_args()
    if asked.rank:
        worker(asked.rank, asked.world, asked.batch, asked.steps)
        return
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, cnn, batches of {asked.batch} in {PARTS} parts\n")
    every = {world: measured(world, asked.batch, asked.steps) for world in (1, 2, 3, 4)}
    step = {world: statistics.median(each.computation) for world, each in every.items()}
    cost = {world: statistics.median(every[world].exchange) if world > 1 else 0.0 for world in every}
    common = statistics.median(every[2].common)
    alone = np.asarray(every[1].computation)
    jitter = alone / alone.mean()
    times = ((step[1] - common) / PARTS * jitter).tolist()
    print("| processes | computation | exchange | step measured | step simulated | lost to the exchange | speed-up |")
    print("|---|---|---|---|---|---|---|")
    for world in (1, 2, 3, 4):
        total = step[world] + cost[world]
        model = simulated(world, PARTS, times, cost[2] * (world - 1), common)
        figures = [f"{1000 * each:.1f} ms" for each in (step[world], cost[world], total, model)]
        print(f"| {world} | {' | '.join(figures)} | {cost[world] / total:.1%} | {step[1] / total:.2f} |")
    size = every[4].bytes
    print(f"\nOn paper: parts of 100 ms, one for each process, rows of {size / 1000:.0f} KB, 25 us a round, 10 Gbit/s")
    print("| processes | exchange | step | share of linear | by sums in order at one process for each share |")
    print("|---|---|---|---|---|")
    for world in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000):
        gathered = (world - 1) * (25e-6 + size / 1.25e9)
        spread = 2 * (world - 1) * (25e-6 + size / world / 1.25e9)
        steps = [simulated(world, world, (0.1 * jitter).tolist(), each, common) for each in (gathered, spread)]
        print(
            f"| {world} | {1000 * gathered:.1f} ms | {1000 * steps[0]:.0f} ms | "
            + " | ".join(f"{0.1 / each:.0%}" for each in steps)
            + " |"
        )


if __name__ == "__main__":
    main()
