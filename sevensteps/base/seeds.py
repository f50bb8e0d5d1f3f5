"""Seeds as pure functions: random numbers in training depend on the epoch and the batch, not on what came before.

`seed_of(seed, epoch, position)` returns the seed of one batch. So there is nothing to fast-forward when a run resumes
in the middle, and nothing to lose when it is interrupted.
"""

from __future__ import annotations

import contextlib
import os
import threading

_MASK = (1 << 64) - 1


def seed_of(*parts: int) -> int:
    """Mix integers into one seed.

    The mixing step is SplitMix64's finalizer (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014).

    Args:
        parts: Any integers; each value and its position matter.

    Returns:
        A seed of 63 bits.
    """
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


# What a seed is for, so that two uses in the same batch never share their numbers.
ORDER, AUGMENT, LAYERS, HOLD_OUT, INITIALIZE, LOADER, ABSTAIN, PREPARE, BALANCE, FOLDS = range(1, 11)


_LOCKS = [threading.RLock()]


def one_thread_draws() -> contextlib.AbstractContextManager[bool]:
    """Let only one thread at a time seed and use PyTorch's global generators: all threads share them."""
    return _LOCKS[0]


def _renew() -> None:
    """Make a new lock in a forked process: the thread that held the old one does not live there."""
    _LOCKS[0] = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
