"""Stores at an address: throughput against the link alone, wrong pictures under faults, and memory.

python bench/remote_stores.py [--mib 64] [--rate 20] [--delay 20]

A web server in a process of its own is the link: so many MB in a second for all connections together, and so many
milliseconds before each answer. The link alone is measured by one connection that asks for the same bytes in ranges of
4 MiB, one after the other, and in one range. Then the reader takes an epoch with an empty cache, without a cache, and
with a full one. Each kind is measured three times in turns, and the median is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

sys.path.append(str(Path(__file__).parent.parent / "tests/support"))
from ranges import web

TURNS, BATCH, TOGETHER = 3, 256, 4 << 20
FAULTS = {"busy": 0.1, "cut": 0.1, "reset": 0.1, "late": 0.1, "wrong": 0.03}
TARGET = 0.8


def serve(path: Path, settings: dict[str, Any]) -> None:
    """Serve a file until standard input ends; print the port, and at the end what went wrong as planned."""
    with web({path.name: path.read_bytes()}, **settings) as there:
        print(there.port, flush=True)
        sys.stdin.read()
        print(json.dumps({"did": there.did, "sent": there.sent}), flush=True)


@contextmanager
def served(path: Path, found: dict[str, Any], **settings: Any) -> Iterator[str]:
    """Serve a file from a process of its own and give its address; afterward `found` holds what the server did."""
    command = [sys.executable, __file__, "--serve", str(path), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield f"http://127.0.0.1:{port}/{path.name}"
        out, _ = process.communicate()
        found.update(json.loads(out))


def pulled(address: str, first: int, stop: int, piece: int) -> float:
    """Return the bytes a second of the link alone, by requests for ranges one after the other."""
    host, _, name = address.removeprefix("http://").partition("/")
    link = http.client.HTTPConnection(host)
    began = time.perf_counter()
    for at in range(first, stop, piece):
        link.request("GET", f"/{name}", headers={"Range": f"bytes={at}-{min(at + piece, stop) - 1}"})
        assert len(link.getresponse().read()) == min(at + piece, stop) - at
    return (stop - first) / (time.perf_counter() - began)


def epochs(source: str, count: int) -> dict[str, Any]:
    """Return bytes a second and a digest of each epoch of a reader, and the most memory that the process took."""
    from sevensteps.data.sources.load import load

    train, speeds, digests = load(source).train, [], []
    for epoch in range(count):
        digest, began = hashlib.sha256(), time.perf_counter()
        for pixels, _ in train.blocks.batches(BATCH, 0, (0, epoch)):
            digest.update(pixels)
        speeds.append(train.blocks.size * len(train) / (time.perf_counter() - began))
        digests.append(digest.hexdigest())
    most = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "speeds": speeds,
        "digests": digests,
        "most": most.ru_maxrss / 1024,
        "cpu": most.ru_utime + most.ru_stime,
    }


def read(source: str | Path, count: int, cache: Path, limit: str = "20GB") -> dict[str, Any]:
    """Return what `epochs` finds in a process of its own."""
    environment = {**os.environ, "SEVENSTEPS_CACHE": str(cache), "SEVENSTEPS_PAGE_CACHE": limit}
    command = [sys.executable, __file__, "--read", str(source), str(count)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def store_of(home: Path, mib: int) -> tuple[Path, int, int]:
    """Write a store of noise; return it with the first and last byte of its training pixels."""
    from sevensteps.data.images import Images, Splits
    from sevensteps.data.store.layout import parsed
    from sevensteps.data.store.prepare import prepare
    from sevensteps.data.store.streams import of_splits

    count = (mib << 20) // 3072
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    images = Images(pixels, np.arange(count) % 10, tuple(f"class {label}" for label in range(10)))
    path = home / f"{mib}.store"
    header = prepare(of_splits(Splits(images, test=images.take(np.arange(10)), source="noise")), path, hold_out=0.0)
    assert parsed(header.to_bytes()[16:]) is not None
    first = header.places().pixels["train"]
    return path, first, first + header.splits["train"].count * header.picture


def measure(home: Path, mib: int, rate: float, delay: float) -> bool:
    """Measure and print; return whether every target is met."""
    path, first, stop = store_of(home, mib)
    small, *_ = store_of(home, mib // 4)
    print(f"{describe()}\nlink: {rate:g} MB/s, {delay:g} ms; {(stop - first) / 1e6:.0f} MB of training pictures\n")
    how = {"rate": rate * 1e6, "latency": delay / 1000}
    speeds: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {"with a cache": [], "without": [], "a quarter of the set": []}

    def add(name: str, speed: float) -> None:
        speeds.setdefault(name, []).append(speed / 1e6)

    cpu = []
    with served(path, {}, **how) as address, served(small, {}, **how) as other:
        for turn in range(TURNS):
            add("link, ranges of 4 MiB", pulled(address, first, stop, TOGETHER))
            add("link, one range", pulled(address, first, stop, stop - first))
            found = read(address, 2, home / f"cache {turn}")
            add("reader, empty cache", found["speeds"][0])
            add("reader, second epoch", found["speeds"][1])
            memory["with a cache"].append(found["most"])
            found = read(address, 1, home / f"no cache {turn}", "0")
            add("reader, no cache", found["speeds"][0])
            memory["without"].append(found["most"])
            cpu.append(found["cpu"])
            memory["a quarter of the set"].append(read(other, 1, home / f"quarter {turn}")["most"])
    for name, each in speeds.items():
        print(f"{name:24} {statistics.median(each):8.1f} MB/s   ({min(each):.1f} to {max(each):.1f})")
    plain = max(statistics.median(speeds[name]) for name in speeds if name.startswith("link"))
    ratios = {name: statistics.median(speeds[name]) / plain for name in ("reader, empty cache", "reader, no cache")}
    here = read(path, 2, home / "here")
    wrong, faults = 0, 0
    for seed in range(TURNS):
        did: dict[str, Any] = {}
        with served(path, did, seed=seed, spare=2, **FAULTS) as address:
            found = read(address, 2, home / f"faults {seed}", "0")
        wrong += sum(a != b for a, b in zip(here["digests"], found["digests"], strict=True))
        faults += sum(count for name, count in did["did"].items() if name != "request")
    print("\n| what | measured | target | |\n|---|---|---|---|")
    rows = [
        (f"{name}, against the faster of the links", f"{ratio:.2f}", TARGET, ratio >= TARGET)
        for name, ratio in ratios.items()
    ]
    rows.append((f"epochs with a wrong picture, of {2 * TURNS} under {faults} faults", f"{wrong}", 0, not wrong))
    grown = max(memory["with a cache"]) / max(memory["a quarter of the set"])
    rows.append(("most memory of the reading process, against a quarter of the set", f"{grown:.2f}", 1.1, grown <= 1.1))
    for what, reached, aim, is_met in rows:
        print(f"| {what} | {reached} | {aim} | {'' if is_met else 'missed'} |")
    print("\nmost memory: " + ", ".join(f"{max(each):.0f} MiB {name}" for name, each in memory.items()))
    print(f"\nCPU seconds of a process that imports, opens and reads without a cache: {statistics.median(cpu):.2f}")
    return all(is_met for *_, is_met in rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rate", type=float, default=20.0, help="MB in a second")
    parser.add_argument("--delay", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--serve", nargs=2)
    parser.add_argument("--read", nargs=2)
    given = parser.parse_args()
    if given.serve:
        serve(Path(given.serve[0]), json.loads(given.serve[1]))
    elif given.read:
        print(json.dumps(epochs(given.read[0], int(given.read[1]))))
    else:
        home = Path(tempfile.mkdtemp())
        os.environ["SEVENSTEPS_CACHE"] = str(home / "cache")
        try:
            sys.exit(0 if measure(home, given.mib, given.rate, given.delay) else 1)
        finally:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
