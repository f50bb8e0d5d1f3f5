"""Measure a training step with two threads while another program is busy: threads that spin, wait, or do both.

python bench/waiting.py
"""

from __future__ import annotations

import os
import subprocess
import sys

from machine import describe

STEP = """
import statistics, time, torch
from sevensteps.steps.loss import cross_entropy
from sevensteps.steps.predict import cnn
torch.set_num_threads(2)
model = cnn((1, 28, 28), 10, None, 16)
x, y = torch.rand(256, 1, 28, 28), torch.randint(0, 10, (256,))
seconds = []
for _ in range(60):
    began = time.perf_counter()
    cross_entropy(model(x), y).backward()
    seconds.append(time.perf_counter() - began)
print(statistics.median(seconds))
"""


POLICIES = {
    "spinning": {"OMP_WAIT_POLICY": "active"},
    "as it comes": {},
    "a thousand turns": {"GOMP_SPINCOUNT": "1000"},
    "waiting": {"OMP_WAIT_POLICY": "passive"},
}


def step(policy: str) -> float:
    """Return the median seconds of a step under a wait policy."""
    done = subprocess.run(
        [sys.executable, "-c", STEP],
        env={**os.environ, **POLICIES[policy]},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    """Print the seconds of a step alone and beside a busy process, for each policy."""
    print(describe())
    for title, busy in (("alone", False), ("beside a busy process", True)):
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
        try:
            for policy in POLICIES:
                print(f"{title:<22} {policy:<17} {step(policy):.3f} s per step", flush=True)
        finally:
            if other is not None:
                other.kill()
                other.wait()


if __name__ == "__main__":
    main()
