"""A run in parts ends with the same bytes on any number of cores, with any threads, and beside another program."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import sevensteps as ss

TRAIN = "train --recipe cnn --width 4 --batch-size 96 --epochs 1 --hold-out 0.2 --seed 3 --shards 3 --folds 1 --out run"


@contextmanager
def busy() -> Iterator[None]:
    """Keep a core busy beside what is done inside."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def hash_of_run(folder: Path, source: Path, optimizer: str, cores: str, threads: str) -> str:
    """Train in a process of its own, and return the hash of every tensor of its checkpoint and predictions."""
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "SEVENSTEPS_STATE": str(folder / "state")}
    command = [sys.executable, "-m", "sevensteps", *TRAIN.split(), str(source), "--optimizer", optimizer]
    prefix = ["taskset", "--cpu-list", cores] if cores else []
    done = subprocess.run([*prefix, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256()
    for file in sorted((folder / "run").glob("*.safetensors")):
        for name, array in sorted(load_file(file).items()):
            if "seconds" not in name:
                digest.update(name.encode() + array.tobytes())
    digest.update((folder / "run" / "predictions.jsonl").read_bytes())
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux's")
def test_one_hash_for_any_number_of_cores_and_threads(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core")
    splits = ss.load("pullover-dress")
    some = splits.train.take(np.arange(600))
    np.savez(tmp_path / "some.npz", allow_pickle=False, x=some.pixels[:, 0], y=some.labels)  # noqa: TID251
    one, two = str(cores[0]), f"{cores[0]},{cores[1]}"
    ways = [(cpus, threads) for cpus in (one, two) for threads in ("1", "2", "3")]
    for optimizer in ("Muon", "AdamW"):
        hashes = [
            hash_of_run(tmp_path / f"{optimizer}{number}", tmp_path / "some.npz", optimizer, *way)
            for number, way in enumerate(ways if optimizer == "Muon" else ways[::3])
        ]
        with busy():
            hashes.append(hash_of_run(tmp_path / f"{optimizer} busy", tmp_path / "some.npz", optimizer, two, "2"))
        assert len(set(hashes)) == 1
