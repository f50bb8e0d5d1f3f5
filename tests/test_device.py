"""Where to compute, and what memory does meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from sevensteps.device import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
def a_batch():
    return [torch.empty(4 << 20, dtype=torch.uint8).fill_(1) for _ in range(10)]

for _ in range(5):
    a_batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    a_batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_a_batch_frees_is_there_for_the_next() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("kept") < 5_000 < faults("as it comes")  # 200 tensors of 1,024 pages
