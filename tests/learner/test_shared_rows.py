"""Rows in memory that processes share: everyone gets every row, and one that has ended is noticed."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from sevensteps.learner.shared_rows import SharedRows, joined, offered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is shared so on Linux alone")

WORLD, SIZE = 3, 1000


@contextlib.contextmanager
def together(look: Callable[[], None] = lambda: None) -> Iterator[list[SharedRows]]:
    """Yield the rows of three processes as each of them sees them."""
    words: queue.Queue[str] = queue.Queue()

    def publish(said: str) -> None:
        for _ in range(WORLD - 1):
            words.put(said)

    with ThreadPoolExecutor(WORLD) as threads:
        leader = threads.submit(offered, WORLD, SIZE, publish)
        others = [threads.submit(lambda rank: joined(rank, WORLD, SIZE, words.get()), rank) for rank in (1, 2)]
        rows = [SharedRows(rank, WORLD, *one.result(), look) for rank, one in enumerate((leader, *others))]
    try:
        yield rows
    finally:
        for each in rows:
            each.close()


def row(rank: int, batch: int) -> Tensor:
    """Return what a process sends for a batch."""
    return torch.full((SIZE,), (17 * rank + batch) % 251, dtype=torch.uint8)


def test_all_processes_receive_the_rows_of_each_batch() -> None:
    def takes(rows: SharedRows, rank: int) -> bool:
        every = [torch.empty(SIZE, dtype=torch.uint8) for _ in range(WORLD)]
        right = True
        for batch in range(2000):
            rows.gather(row(rank, batch), every)
            right &= all(torch.equal(each, row(other, batch)) for other, each in enumerate(every))
        return right

    with ThreadPoolExecutor(WORLD) as threads, together() as rows:
        assert all(threads.map(takes, rows, range(WORLD)))


def test_a_process_that_has_ended_is_noticed_by_the_leader_and_then_by_the_others() -> None:
    every = [torch.empty(SIZE, dtype=torch.uint8) for _ in range(WORLD)]
    with together() as (leader, one, another), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(one.gather, row(1, 0), every)
        another.close()
        with pytest.raises(RuntimeError, match="Process 2"):
            leader.gather(row(0, 0), every)
        leader.close()
        with pytest.raises(RuntimeError, match="Process 0"):
            waiting.result(10)


def test_a_leader_that_was_interrupted_while_it_waited_goes_on_with_that_batch() -> None:
    interrupts = [KeyboardInterrupt]
    begin = threading.Event()

    def look() -> None:
        begin.set()
        if threading.current_thread() is threading.main_thread() and interrupts:
            raise interrupts.pop()

    results: list[list[int]] = []

    def follows(rows: list[SharedRows], rank: int) -> None:
        begin.wait()
        every = [torch.empty(SIZE, dtype=torch.uint8) for _ in range(WORLD)]
        for batch in (0, 1):
            rows[rank].gather(row(rank, batch), every)
            results.append([int(each[0]) for each in every])

    every = [torch.empty(SIZE, dtype=torch.uint8) for _ in range(WORLD)]
    with together(look) as rows, ThreadPoolExecutor(WORLD) as threads:
        others = [threads.submit(follows, rows, rank) for rank in (1, 2)]
        with pytest.raises(KeyboardInterrupt):
            rows[0].gather(row(0, 0), every)
        rows[0].gather(row(0, 1), every)
        for other in others:
            other.result(10)
    assert [int(each[0]) for each in every] == [1, 18, 35]
    assert sorted(results) == [[0, 17, 34]] * 2 + [[1, 18, 35]] * 2


def test_a_leader_without_memory_to_share_says_so() -> None:
    with pytest.raises(OSError, match="no memory"):
        joined(1, WORLD, SIZE, "")
