"""Train on a set eight times larger than the allowed memory: measure memory and speed.

python bench/larger_than_memory.py [--gib 2]

Artificial pictures (28x28, two classes, sorted by class, each with its number in its first pixels) are written as IDX
files. `sevensteps prepare` and `sevensteps train` run in a control group whose memory is limited to an eighth, if this
machine allows that. Files are cold: the system is told to forget them before each measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from machine import describe

SIDE = 28
TEST = 10_000
REPEATS = 3
MEMORY_TARGET = 64 << 20  # bytes above torch alone
READER_TARGET, TRAINING_TARGET = 0.8, 0.9


def make_idx(folder: Path, count: int) -> None:
    """Write IDX files of training pictures, sorted by class, and some test pictures."""
    random = np.random.default_rng(0)
    folder.mkdir()
    patterns = random.integers(0, 128, (2, SIDE * SIDE), dtype=np.uint8)
    for split, many in (("train", count), ("t10k", TEST)):
        labels = (np.arange(many) * 2 // many).astype(np.uint8)
        with (folder / f"{split}-images-idx3-ubyte").open("wb") as file:
            file.write(struct.pack(">HBB3I", 0, 8, 3, many, SIDE, SIDE))
            for first in range(0, many, 1 << 15):
                rows = labels[first : first + (1 << 15)]
                pixels = random.integers(0, 128, (len(rows), SIDE * SIDE), dtype=np.uint8)
                pixels[:, : SIDE * SIDE // 16] += patterns[rows, : SIDE * SIDE // 16]
                pixels[:, :4] = np.arange(first, first + len(rows), dtype="<u4").view(np.uint8).reshape(-1, 4)
                file.write(pixels.tobytes())
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, many) + labels.tobytes())


@contextlib.contextmanager
def limited_to(size: int) -> Iterator[Path | None]:
    """Create a control group (version 2 or 1) with limited memory; yield None if this machine does not allow it."""
    for root, limit in ((Path("/sys/fs/cgroup"), "memory.max"), (_of_version_1(), "memory.limit_in_bytes")):
        group = root / f"sevensteps-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():  # an ordinary folder
                raise FileNotFoundError(group / limit)
            (group / limit).write_text(str(size))
        except OSError:
            group.rmdir()
            continue
        try:
            yield group
        finally:
            time.sleep(0.2)  # until the last process has ended
            with contextlib.suppress(OSError):
                group.rmdir()
        return
    yield None


def _of_version_1() -> Path:
    """Return this process's own group, below which one can be created."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / place.strip("/")
    return Path("/sys/fs/cgroup/memory")


def watched(command: Sequence[str | Path], group: Path | None, folder: Path) -> tuple[int, float, str]:
    """Run a command in a group, and return its peak anonymous memory, its seconds, and its output."""

    if group is not None:
        command = ["sh", "-c", 'echo 0 > "$0"; exec "$@"', group / "cgroup.procs", *command]
    began, most = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, 1024 * next(int(line.split()[1]) for line in status.splitlines() if "RssAnon" in line))
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    assert process.stdout is not None
    out = process.stdout.read()
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(
            f"{' '.join(map(str, command))}: {process.returncode}: {process.stderr.read()[-1000:]} {out[-1000:]}"
        )
    return most, seconds, out


def forget(path: Path) -> None:
    """Make the system drop a file from its cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path: Path) -> float:
    """Return the seconds of a cold read of a whole file."""
    forget(path)
    buffer = bytearray(1 << 20)
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - began


def timed_epochs(path: Path) -> dict[str, float]:
    """Return seconds per picture, medians of epochs in turns: a cold read, the reader, training with either."""
    import torch

    from sevensteps.data.images import Images, Splits
    from sevensteps.data.sources.load import load
    from sevensteps.data.store.store import StoredImages
    from sevensteps.recipes.recipe import Recipe
    from sevensteps.records.events import Batch

    torch.set_num_threads(1)
    splits = load(path)
    train = splits.train
    assert isinstance(train, StoredImages)
    part = train[: len(train) // 8]
    in_memory = Splits(Images(np.array(part.pixels), np.array(part.labels), part.classes), None, splits.valid)
    recipe = Recipe.load("linear").replace(epochs=10**6, schedule="constant")

    def trained(on: Splits) -> float:
        learn = recipe.learner(on)
        batches, began = 0, time.perf_counter()
        for event in learn.stream():
            batches += isinstance(event, Batch)
            if batches == learn.batches_per_epoch:
                break
        seconds = time.perf_counter() - began
        learn.close()
        return seconds / len(on.train)

    def read() -> float:
        began = time.perf_counter()
        for _ in train.blocks.batches(256, 0, (0, 0)):
            pass
        return (time.perf_counter() - began) / len(train)

    times: dict[str, list[float]] = {"cold read": [], "reader": [], "training": [], "in memory": []}
    for _ in range(REPEATS):
        times["cold read"].append(read_through(path) * train.pixels.nbytes / path.stat().st_size / len(train))
        forget(path)
        times["reader"].append(read())
        forget(path)
        times["training"].append(trained(splits))
        times["in memory"].append(trained(in_memory))
    return {name: statistics.median(of_one) for name, of_one in times.items()}


def every_picture_once(path: Path, count: int) -> bool:
    """Return whether an epoch and the held-out pictures contain every number once, and the next epoch differs."""
    from sevensteps.data.batches import Batches
    from sevensteps.data.sources.load import load

    splits = load(path)
    assert splits.valid is not None
    seen, firsts = np.zeros(count, dtype=np.uint8), []
    for images, shuffle in ((splits.train, True), (splits.valid, False)):
        for position, (pixels, _) in enumerate(Batches(images, 1024, shuffle=shuffle).unscaled_batches(0, 0)):
            numbers = pixels.flatten(1)[:, :4].numpy().astype(np.uint8).copy().view("<u4").ravel()
            np.add.at(seen, numbers, 1)
            firsts += [numbers[0]] * (position == 0 and shuffle)
    for epoch in (0, 1):
        pixels, _ = next(Batches(splits.train, 1024, shuffle=True).unscaled_batches(0, epoch))
        firsts.append(pixels.flatten(1)[0, :4].numpy().astype(np.uint8).copy().view("<u4")[0])
    return bool((seen == 1).all()) and firsts[0] == firsts[1] != firsts[2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--times", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.times:
        print(json.dumps(timed_epochs(given.times)))
        return
    home = Path(tempfile.mkdtemp(dir=given.folder))
    os.environ["SEVENSTEPS_CACHE"], os.environ["SEVENSTEPS_STATE"] = str(home / "cache"), str(home / "state")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        figures = measure(home, given.gib)
        if given.json:
            given.json.write_text(json.dumps(figures, indent=1) + "\n")
    finally:
        shutil.rmtree(home)


def measure(home: Path, gib: float) -> dict[str, float]:
    """Make the sets, compare every measurement with its target, and return those that are ratios or MiB."""
    print(describe())
    python, size = sys.executable, int(gib * 2**30)
    limit = size // 8
    alone, _, _ = watched([python, "-c", "import torch, time; time.sleep(0.2)"], None, home)
    print(f"torch alone: {alone / 2**20:.0f} MiB of anonymous memory")
    rows = []
    with limited_to(limit) as group:
        how = (
            f"limited to {limit / 2**20:.0f} MiB by a control group" if group else "not limited: no control group here"
        )
        print(f"prepare and train are {how}\n")
        for share in (8, 1):
            count = size // share // SIDE**2
            source, target = home / f"set-{share}", home / f"set-{share}.store"
            make_idx(source, count)
            most, seconds, _ = watched([python, "-m", "sevensteps", "prepare", source, "--out", target], group, home)
            shutil.rmtree(source)
            line = (
                f"{size / share / 2**30:.2f} GiB, {count:,} pictures: prepare {seconds:.0f} s, {most / 2**20:.0f} MiB"
            )
            command = [python, "-m", "sevensteps", "train", target, "--epochs", "2", "--json"]
            most, seconds, out = watched(command, group, home)
            found = json.loads(out)
            print(f"{line}; train {seconds:.0f} s, {most / 2**20:.0f} MiB, accuracy {found['test']['accuracy']:.2%}")
            rows.append(most)
    once = every_picture_once(target, count)
    _, _, out = watched([python, __file__, "--times", target], None, home)
    each = json.loads(out)
    speed = {name: SIDE**2 / seconds / 2**30 for name, seconds in each.items()}
    slower = max(each["reader"], each["in memory"])
    print("\n| what | measured | target | |\n|---|---|---|---|")
    over = max(rows) - alone
    reader, training = each["cold read"] / each["reader"], slower / each["training"]
    flat = max(rows) / min(rows)
    against_cold = f"reader ({speed['reader']:.2f} GiB/s) against a cold read ({speed['cold read']:.2f})"
    against_both = f"training ({speed['training']:.2f} GiB/s) against the slower of reader and memory"
    for what, reached, aim, is_met in (
        ("anonymous memory of `train` above torch alone", f"{over / 2**20:.0f} MiB", "64 MiB", over <= MEMORY_TARGET),
        ("the most that any size takes, against the least", f"{flat:.2f}", "1.10", flat <= 1.1),
        (against_cold, f"{reader:.2f}", f"{READER_TARGET}", reader >= READER_TARGET),
        (
            f"{against_both} ({speed['in memory']:.2f})",
            f"{training:.2f}",
            f"{TRAINING_TARGET}",
            training >= TRAINING_TARGET,
        ),
        ("every picture once an epoch, in another order the next", "yes" if once else "no", "yes", once),
    ):
        print(f"| {what} | {reached} | {aim} | {'' if is_met else 'missed'} |")
    return {"MiB above torch": over / 2**20, "reader": reader, "training": training}


if __name__ == "__main__":
    main()
