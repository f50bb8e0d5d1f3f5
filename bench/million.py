"""Measure what a million pictures cost beside training: CPU seconds, seconds and peak memory of each part.

python bench/million.py                     a million pictures
python bench/million.py --pictures 200000

The pictures are those of Fashion-MNIST, shifted by up to two pixels in each direction, always the same; without
Fashion-MNIST, noise over a pattern for each class. Each part runs in a process of its own. Aims: the baselines cost at
most twice an epoch, and judging takes at most 5 s.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import describe

import sevensteps as ss
from sevensteps.base.device import computing_with
from sevensteps.trust.baselines import baseline_answers

SHIFT = 2  # pixels
PARTS = ("epoch", "baselines", "predictions", "judge")
TITLES = {
    "epoch": "an epoch of the linear recipe",
    "baselines": "all baselines, 10,000 test pictures",
    "predictions": "predict all pictures and write the table",
    "judge": "judge: every figure from the table",
}


def make(folder: Path, count: int) -> None:
    """Write the pictures into a folder, as arrays that can be mapped into memory."""
    try:
        source = ss.load("fashion-mnist").train
    except ss.SevenstepsError:
        random = np.random.default_rng(0)
        labels = np.arange(60_000) % 10
        patterns = random.integers(0, 256, (10, 1, 28, 28))
        noise = random.integers(0, 256, (60_000, 1, 28, 28))
        pixels = (0.3 * patterns[labels] + 0.7 * noise).astype(np.uint8)
        source = ss.Images(pixels, labels, tuple(f"class {label}" for label in range(10)))
    random = np.random.default_rng(0)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (count, *source.shape))
    for first in range(0, count, len(source)):
        some = source.pixels[: count - first]
        pixels[first : first + len(some)] = np.roll(some, random.integers(-SHIFT, SHIFT + 1, 2), (2, 3))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.int64, (count,))
    labels[:] = source.labels[np.arange(count) % len(source)]
    (folder / "classes.json").write_text(json.dumps(source.classes))


def pictures(folder: Path) -> ss.Images:
    """Return the pictures of a folder, in memory."""
    classes = tuple(json.loads((folder / "classes.json").read_text()))
    pixels, labels = (np.array(np.lib.format.open_memmap(folder / f"{name}.npy")) for name in ("pixels", "labels"))
    return ss.Images(pixels, labels, classes)


def epoch(folder: Path) -> Callable[[], object]:
    """Return the training of one epoch, as the baselines train: on one thread, with nothing held out."""
    images = pictures(folder)
    recipe = ss.Recipe.load("linear").replace(epochs=1, hold_out=0.0, keep="last")
    learn = recipe.learner(ss.Splits(images))
    return lambda: [None for _ in learn.stream()]


def baselines(folder: Path) -> Callable[[], object]:
    """Return all baselines, for 10,000 other pictures."""
    images = pictures(folder)
    rows = np.arange(len(images))
    train, test = images.take(rows[10_000:]), images.take(rows[:10_000])
    _ = train.fingerprint, test.fingerprint  # which a run has computed before
    return lambda: baseline_answers(train, test)


def predictions(folder: Path) -> Callable[[], object]:
    """Return the judging of a model that has not been judged, on all pictures."""
    from sevensteps.runs.judged import save_judgement
    from sevensteps.trust.predictions import predict_split

    images = dataclasses.replace(pictures(folder), classes=tuple(map(str, range(10))))  # as a file of arrays has them
    few = {"x_train": images.pixels[:20_000], "y_train": images.labels[:20_000]}
    np.savez(folder / "few.npz", **few, allow_pickle=False)  # noqa: TID251 - a file of arrays, as users have them
    run = ss.train(folder / "few.npz", "linear", epochs=1, out=folder / "run", observe=lambda event: None)

    def judged() -> None:
        save_judgement(folder / "run", run.judgement(), {"test": predict_split(run.learn, images, "test")})

    return judged


def judge(folder: Path) -> Callable[[], object]:
    """Return `judge` for that model, from its table."""
    return lambda: ss.judge(folder / "run", "test")


def measured(part: str, folder: Path) -> None:
    """Do one part, and print CPU seconds, seconds and MB as JSON."""
    with computing_with(1):
        work = globals()[part](folder)
        began, used = time.perf_counter(), time.process_time()
        work()
    figures = time.process_time() - used, time.perf_counter() - began
    print(json.dumps([*figures, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the CPU seconds of each part to this file, too")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        measured(arguments.part, arguments.at)
        return
    print(f"{describe()}\n{arguments.pictures:,} pictures; memory includes that of the pictures", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.pictures)
        empty = os.environ | {"SEVENSTEPS_CACHE": str(folder / "cache")}  # baselines are kept there
        spent = {}
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--at", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=empty)
            if done.returncode:
                raise SystemExit(done.stderr)
            cpu, seconds, memory = spent[part] = json.loads(done.stdout.splitlines()[-1])
            print(f"{TITLES[part]:<44} {cpu:6.2f} s of CPU {seconds:6.2f} s {memory:6.0f} MB", flush=True)
        kept = sum(path.stat().st_size for path in (folder / "run").glob("predictions.*"))
        print(f"the table of predictions takes {kept / 1e6:.0f} MB")
        if arguments.json:
            arguments.json.write_text(json.dumps({part: figures[0] for part, figures in spent.items()}))
        print(f"baselines: {spent['baselines'][0] / spent['epoch'][0]:.2f} of an epoch (aim: at most 2)")


if __name__ == "__main__":
    main()
