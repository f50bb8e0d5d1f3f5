"""Abstention on features: what is unlike every class is refused, also where few pictures are held out."""

from __future__ import annotations

import numpy as np
import pytest

from sevensteps.data.images import Features, Images
from sevensteps.ship.abstention import NONE_OF_THESE
from sevensteps.trust.abstain import fit_abstention


def made(count: int, seed: int, away: float = 0.0) -> Images:
    """Pictures with features around the centers of three classes, or away from all of them."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centers = np.random.default_rng(0).normal(0, 1, (3, 200))
    values = centers[labels] + random.normal(0, 1, (count, 200)) + away * random.normal(0, 1, (count, 200))
    rows = np.clip(128 + 12 * values, 0, 255).astype(np.uint8)
    pixels = np.zeros((count, 3, 2, 2), np.uint8)
    return Images(pixels, labels, ("a", "b", "c"), features=Features(rows, "efficientnet-lite0", "0" * 64))


@pytest.mark.parametrize("held_out", [3, 20, 38])
def test_few_validation_pictures_refuse_no_more_than_was_stated(held_out: int) -> None:
    """The mean over ten draws: 95 % are to be answered."""
    far = []
    for seed in range(10):
        train, valid, new = made(120, 3 * seed + 1), made(held_out, 3 * seed + 2), made(300, 3 * seed + 3)
        confidences = np.random.default_rng(seed).uniform(0.3, 1, held_out)
        abstention = fit_abstention(train, valid, confidences, 0.95)
        assert abstention is not None
        assert NONE_OF_THESE not in abstention.never_says
        distances = abstention.distances(new.inputs)
        far.append((distances > abstention.distance).mean())
        assert (abstention.distances(made(50, 999, away=2.0).inputs) > abstention.distance).all()
        assert abstention.confidence == 0
    assert 0.005 < np.mean(far) < 0.07  # the mean of ten draws is known to about a point
