"""Names in order, however many there are and however few may be in memory."""

from __future__ import annotations

import os
import random
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from sevensteps.base.sorted_names import sorted_names

NAMES = [f"{number}\n{'é' * (number % 5)}{os.fsdecode(bytes([200 + number % 50]))}.png" for number in range(1000)]


@pytest.mark.parametrize("at_once", [1, 7, 999, 1000, 1001, 50_000])
def test_all_names_come_once_and_in_order(at_once: int) -> None:
    shuffled = random.Random(0).sample(NAMES, len(NAMES))
    assert list(sorted_names(shuffled, at_once)) == sorted(NAMES)
    assert list(sorted_names([], at_once)) == []


def test_without_a_place_for_temporary_files_names_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert list(sorted_names(reversed(NAMES), 10)) == sorted(NAMES)


def test_memory_does_not_grow_with_the_number() -> None:
    def names(count: int) -> Iterator[str]:
        return (f"a picture with a long name {number * 7919 % count}.png" for number in range(count))

    peaks = []
    for count in (10_000, 40_000):
        tracemalloc.start()
        assert sum(1 for _ in sorted_names(names(count), 5000)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
