"""Seeds as pure functions: what is random at a place in training depends on where it is, not on what came before.

`seed_of(seed, epoch, position)` gives the seed for one batch. There is nothing to fast-forward when a run goes on
from the middle, and nothing to lose when it is cut off.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1


def seed_of(*parts: int) -> int:
    """Mix whole numbers into one seed of 63 bits; every part and its place matter.

    The mixing step is SplitMix64's finalizer (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014).
    """
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


# What a seed is for, so that two uses at the same place never share their numbers.
ORDER, AUGMENT, LAYERS, HOLD_OUT, INITIALIZE, LOADER, ABSTAIN, PREPARE, BALANCE, FOLDS = range(1, 11)
