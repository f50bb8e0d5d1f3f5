"""Compute in threads that use one core each, so that no sum depends on how many cores there are.

PyTorch divides one operation among its threads, and the order of the sums then follows their number. Here each thread
computes its own operations alone, and the threads share out whole tasks.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from .device import at_once

T = TypeVar("T")


def each_in_one_thread(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks side by side, each in one thread, as many at once as there are cores to use.

    The calling thread takes tasks as well if it computes with one thread: on a busy machine, each thread that sleeps
    and is woken waits for its turn.

    Args:
        tasks: Functions without arguments that use PyTorch on the CPU.

    Returns:
        What they return, in their order.

    Raises:
        Exception: The error of the first task that fails. No task is running afterward.
    """
    import torch

    takes_part = torch.get_num_threads() == 1
    others = min(at_once(), len(tasks)) - takes_part
    if not others:
        return [task() for task in tasks]
    futures: list[Future[T]] = [Future() for _ in tasks]
    waiting = deque(zip(futures, tasks, strict=True))
    pool = _POOLS.get(others) or _new_pool(others)
    helpers = [pool.submit(_take, waiting) for _ in range(others)]
    try:
        if takes_part:
            _take(waiting)
        return [future.result() for future in futures]
    finally:
        waiting.clear()
        wait(helpers)


def in_one_thread(task: Callable[[], T]) -> T:
    """Run a task in one thread.

    Args:
        task: A function without arguments that uses PyTorch on the CPU.

    Returns:
        What it returns.
    """
    return each_in_one_thread([task])[0]


_POOLS: dict[int, ThreadPoolExecutor] = {}  # by their number of threads


def _new_pool(workers: int) -> ThreadPoolExecutor:
    """Start threads that compute with one thread of PyTorch's each, and wait until all have started."""
    import torch

    pool = _POOLS[workers] = ThreadPoolExecutor(workers, "part", _compute_alone)
    started = threading.Barrier(workers + 1)
    for _ in range(workers):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(torch.get_num_threads())  # threads that others start later take the last number that was set
    return pool


def _compute_alone() -> None:
    """Let this thread's operations use no other thread."""
    import torch

    torch.get_num_threads()  # a thread takes the number of others when it first asks, and keeps what is set afterward
    torch.set_num_threads(1)


def _take(waiting: deque[tuple[Future[T], Callable[[], T]]]) -> None:
    """Run one task after another, until none is waiting."""
    while waiting:
        try:
            future, task = waiting.popleft()
        except IndexError:  # another thread has taken the last
            return
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)


if hasattr(os, "register_at_fork"):  # not on Windows; a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_POOLS.clear)
