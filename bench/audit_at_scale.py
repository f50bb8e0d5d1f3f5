"""Compare the audit of many pictures with an exact search, side by side, and measure it on a million pictures.

python bench/audit_at_scale.py            Fashion-MNIST's 70,000: what is found of planted copies, labels and outliers
python bench/audit_at_scale.py command    `sevensteps data fashion-mnist` with an empty cache: seconds and memory
python bench/audit_at_scale.py million    1,000,000 pictures made from them: `sevensteps data`, seconds and memory

`--json FILE` writes what a command took.

All seconds are of the processor. The exact search compares all pictures with all, learns from all of them, and takes
the fifth neighbor among all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from audit import KINDS
from machine import describe
from sklearn.metrics import roc_auc_score

import sevensteps as ss
from sevensteps.data.folds import USUAL, folds_of
from sevensteps.data.near_pairs import near_pairs
from sevensteps.data.near_search import copies_among
from sevensteps.trust.audit.outliers import deviations, distances
from sevensteps.trust.audit.quick_model import MOST, components, probabilities_of

T = TypeVar("T")

PLANTED = 1000  # copies of each kind
SEEDS = 3


def timed(work: Callable[..., T], *given: Any) -> tuple[T, float]:
    """Return what work returns, and its seconds of the processor."""
    began = time.process_time()
    return work(*given), time.process_time() - began


def with_copies(pictures: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures with copies of each kind, the picture that each is of, and its kind (-1: own)."""
    random = np.random.default_rng(0)
    made, of, kinds = [pictures], [np.arange(len(pictures))], [np.full(len(pictures), -1)]
    for place, change in enumerate(KINDS.values()):
        rows = random.choice(len(pictures), count, replace=False)
        made.append(np.stack([change(pictures[row], number) for number, row in enumerate(rows)]))
        of.append(rows)
        kinds.append(np.full(count, place))
    return np.concatenate(made)[:, None], np.concatenate(of), np.concatenate(kinds)


def copies(pictures: np.ndarray) -> list[str]:
    """Plant copies, and return a row of the table for each kind."""
    pixels, source, kinds = with_copies(pictures, PLANTED)
    exact, long = timed(near_pairs, pixels)
    new, short = timed(copies_among, pixels)
    shares = []
    for pairs in (exact, new.pairs):
        is_planted = (source[pairs.first] == source[pairs.second]) & (kinds[pairs.first] == -1)
        of_kind = np.bincount(kinds[pairs.second][is_planted], minlength=len(KINDS))
        shares.append([*(of_kind / PLANTED), of_kind.sum() / PLANTED / len(KINDS)])
    rows = [
        f"| {name} | {one:.2%} | {other:.2%} |"
        for name, one, other in zip([*KINDS, "all planted copies"], *shares, strict=True)
    ]
    both = set(zip(exact.first.tolist(), exact.second.tolist(), strict=True))
    found = set(zip(new.pairs.first.tolist(), new.pairs.second.tolist(), strict=True))
    reach = f"{new.reach:.4f}" if new.reach is not None else "exact"
    return [
        *rows,
        f"| pairs, and the share that was found | {len(both):,} | {len(both & found) / len(both):.4f} |",
        f"| reach, as the search measures it | | {reach} |",
        f"| seconds: copies | {long:.1f} | {short:.1f} |",
    ]


def labels(pixels: np.ndarray, right: np.ndarray) -> list[str]:
    """Plant 3 % wrong labels, and return the areas under the curve by the probability of the label."""
    classes = int(right.max()) + 1
    points, _ = components(pixels)
    areas, seconds = ([], []), ([], [])
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        rows = random.choice(len(right), round(0.03 * len(right)), replace=False)
        wrong = right.copy()
        wrong[rows] = (right[rows] + random.integers(1, classes, len(rows))) % classes
        folds = folds_of(wrong, classes, USUAL, 0)
        for place, most in enumerate((None, MOST)):
            found, took = timed(probabilities_of, points, wrong, classes, folds, most)
            areas[place].append(roc_auc_score(wrong != right, 1 - found[np.arange(len(wrong)), wrong]))
            seconds[place].append(took)
    return [
        f"| area under the curve, wrong labels | {np.mean(areas[0]):.4f} | {np.mean(areas[1]):.4f} |",
        f"| seconds: wrong labels | {min(seconds[0]):.1f} | {min(seconds[1]):.1f} |",
    ]


def fifth_of_all(points: np.ndarray, rest: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Return the distance of each picture from its fifth neighbor among all others; none is a copy."""
    assert (copies < 0).all()
    lengths = (points**2).sum(1) + rest
    squares = np.empty(len(points))
    for first in range(0, len(points), 64):
        rows = slice(first, first + 64)
        near = lengths + lengths[rows, None] - 2 * (points[rows] @ points.T)
        near[np.arange(len(near)), np.arange(first, first + len(near))] = np.inf
        squares[rows] = np.partition(near, 4, axis=1)[:, 4]
    return np.sqrt(np.maximum(squares, 1e-12))


def outliers(pictures: np.ndarray, labels: np.ndarray) -> list[str]:
    """Plant pictures unlike all others, and return the areas under the curve."""
    areas, seconds = ([], []), ([], [])
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        some = [pictures[random.choice(len(pictures), 50, replace=False)] for _ in range(3)]
        made = np.concatenate(
            [
                pictures,
                random.integers(0, 256, some[0].shape),
                255 - some[0],
                np.stack([random.permutation(one.ravel()).reshape(one.shape) for one in some[1]]),
                np.rot90(some[2], axes=(1, 2)),
            ]
        ).astype(np.uint8)
        of_class = np.append(labels, random.choice(labels, len(made) - len(pictures)))
        points, rest = components(made[:, None])
        for place, work in enumerate((fifth_of_all, distances)):
            found, took = timed(work, points, rest, np.full(len(made), -1))
            scores = deviations(np.log(found), of_class)
            areas[place].append(roc_auc_score(np.arange(len(made)) >= len(pictures), scores))
            seconds[place].append(took)
    return [
        f"| area under the curve, outliers | {np.mean(areas[0]):.4f} | {np.mean(areas[1]):.4f} |",
        f"| seconds: outliers | {min(seconds[0]):.1f} | {min(seconds[1]):.1f} |",
    ]


def warped(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turn, stretch, move, bend, mirror and darken pictures at random, and add noise."""
    n, side = len(pictures), pictures.shape[-1]

    def each(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, (n, 1, 1)).astype(np.float32)

    at = np.arange(side, dtype=np.float32) - (side - 1) / 2
    y, x = np.meshgrid(at, at, indexing="ij")
    turn, lean = each(-0.2, 0.2), each(-0.15, 0.15)
    down = (np.cos(turn) * y - np.sin(turn) * x) / each(0.85, 1.15) + each(-2, 2)
    right = ((np.sin(turn) + lean) * y + np.cos(turn) * x) / each(0.85, 1.15) + each(-2, 2)
    for place in (down, right):
        place += each(0, 1.2) * np.sin(each(0.1, 0.35) * y + each(0.1, 0.35) * x + each(0, 6.28))
        place += (side - 1) / 2
        np.clip(place, 0, side - 1.001, out=place)
    top, left = down.astype(np.int32), right.astype(np.int32)
    low, far = down - top, right - left
    first = np.arange(n, dtype=np.int32)[:, None, None] * side * side + top * side + left
    flat = pictures.reshape(-1)
    upper = flat[first] * (1 - far) + flat[first + 1] * far
    lower = flat[first + side] * (1 - far) + flat[first + side + 1] * far
    made = upper * (1 - low) + lower * low
    is_mirrored = random.random(n) < 0.5
    made[is_mirrored] = made[is_mirrored, :, ::-1]
    made *= each(0.8, 1)
    made += 3 * random.standard_normal(made.shape, dtype=np.float32)
    return np.rint(np.clip(made, 0, 255)).astype(np.uint8)


def make_million(folder: Path, count: int) -> np.ndarray:
    """Write an .npz of warped clothes, with copies, wrong labels and outliers planted; return the rows of each copy."""
    splits = ss.load("fashion-mnist")
    assert splits.test is not None
    clothes = np.concatenate([splits.train.pixels, splits.test.pixels])[:, 0]
    right = np.concatenate([splits.train.labels, splits.test.labels])
    random = np.random.default_rng(0)
    pixels, named = np.empty((count, 28, 28), dtype=np.uint8), np.empty(count, dtype=np.int64)
    for first in range(0, count, 10_000):
        rows = random.integers(0, len(clothes), min(10_000, count - first))
        pixels[first : first + len(rows)] = warped(clothes[rows], random)
        named[first : first + len(rows)] = right[rows]
    places = random.permutation(count)[: 2 * PLANTED * len(KINDS)].reshape(2, -1)
    for number, (of, copy) in enumerate(places.T.tolist()):
        change = list(KINDS.values())[number % len(KINDS)]
        pixels[copy], named[copy] = change(pixels[of], number // len(KINDS)), named[of]
    test = count // 10
    np.savez(  # noqa: TID251
        folder / "million.npz",
        x_train=pixels[test:],
        y_train=named[test:],
        x_test=pixels[:test],
        y_test=named[:test],
        allow_pickle=False,
    )
    return places.T


def typed(source: str, home: Path, written: Path | None) -> dict[str, Any]:
    """Type `sevensteps data` with an empty cache, print and write what it took, and return what it found."""
    environment = os.environ | {"SEVENSTEPS_CACHE": str(home / "cache"), "SEVENSTEPS_STATE": str(home / "state")}
    command = [sys.executable, "-m", "sevensteps", "data", source, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    seconds, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:] + done.stdout[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    count = sum(sum(counts.values()) for counts in found["counts"].values())
    print(f"| {count:,} pictures, `sevensteps data` | |\n|---|---|")
    print(f"| seconds | {seconds:.0f} |")
    cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6
    print(f"| seconds of the processor | {cpu:.1f} |")
    print(f"| most memory, MB | {memory:.0f} |", flush=True)
    if written:
        written.write_text(json.dumps({"seconds": seconds, "CPU seconds": cpu, "MB": memory}) + "\n")
    return found


def million(count: int, home: Path, written: Path | None) -> None:
    """Make the pictures, type `sevensteps data`, and print what it took and what it found."""
    places = make_million(home, count)
    found = typed("million.npz", home, written)
    test = count // 10

    def name(row: int) -> str:
        return f"test/{row}" if row < test else f"train/{row - test}"

    group_of = {
        one: number for number, group in enumerate(found["duplicates"] + found["leaks"]) for one in group["pictures"]
    }
    hits = [group_of.get(name(of), -1) == group_of.get(name(copy), -2) for of, copy in places.tolist()]
    print(f"| planted copies found | {np.mean(hits):.2%} of {len(hits):,} |")
    print(f"| reach, as the search measures it | {found['near_reach']} |")
    print(
        f"| groups of copies, suspicious labels, outliers | {len(set(group_of.values())):,}, "
        f"{len(found['suspects']):,}, {len(found['outliers']):,} |"
    )
    print(f"| train against test | {found['train_against_test']['auc']:.3f} |")
    print(f"| not looked for | {found['not_looked_for']} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["compare", "command", "million"], default="compare")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(describe())
    if given.what != "compare":
        with tempfile.TemporaryDirectory() as home:
            if given.what == "million":
                million(given.count, Path(home), given.json)
            else:
                typed("fashion-mnist", Path(home), given.json)
        return
    splits = ss.load("fashion-mnist")
    assert splits.test is not None
    pixels = np.concatenate([splits.train.pixels, splits.test.pixels])
    right = np.concatenate([splits.train.labels, splits.test.labels])
    print(f"| {len(pixels):,} pictures | exact | new |\n|---|---|---|", flush=True)
    for rows in (lambda: copies(pixels[:, 0]), lambda: labels(pixels, right), lambda: outliers(pixels[:, 0], right)):
        print("\n".join(rows()), flush=True)


if __name__ == "__main__":
    main()
