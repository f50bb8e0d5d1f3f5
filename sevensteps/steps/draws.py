"""What random layers draw: numbers that belong to one batch of one epoch, or to one part of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..base.seeds import LAYERS, one_thread_draws, seed_of


@dataclass(frozen=True)
class Place:
    """A place in training: the run's seed, the epoch, the batch in it, and the part of the batch, all from 0."""

    seed: int
    epoch: int
    position: int
    part: int | None = None  # None: the batch as a whole


def drawn_at(place: Place, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Make random layers draw the numbers that belong to a place in training, inside the context.

    Args:
        place: The place.
        device: Where the model is.

    Returns:
        A context manager.
    """
    of_part = () if place.part is None else (place.part,)
    return drawn_from(seed_of(place.seed, place.epoch, place.position, LAYERS, *of_part), device)


@contextlib.contextmanager
def drawn_from(seed: int, device: torch.device, own: Sequence[tuple[torch.Generator, int]] = ()) -> Iterator[None]:
    """Seed torch's global generators, and others, inside the context; restore them afterward.

    All threads share them, so another thread waits until the context ends.

    Args:
        seed: The seed.
        device: An accelerator's own generator is seeded too.
        own: More generators, each seeded from `seed` and a seed of its own.

    Yields:
        Nothing.
    """
    with one_thread_draws():
        before = [(generator, generator.get_state()) for generator in (torch.default_generator, *dict(own))]
        torch.default_generator.manual_seed(seed)
        for generator, own_seed in own:
            generator.manual_seed(seed_of(seed, own_seed))
        accelerator: Any = None if device.type == "cpu" else getattr(torch, device.type)
        if accelerator is not None:
            accelerator_before = accelerator.get_rng_state()
            accelerator.manual_seed(seed)
        try:
            yield
        finally:
            for generator, generator_before in before:
                generator.set_state(generator_before)
            if accelerator is not None:
                accelerator.set_rng_state(accelerator_before)
