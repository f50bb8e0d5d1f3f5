"""Measure the Studio: how soon its page is there, what streaming costs training, and how many frames a page gets.

    python bench/studio.py [--rounds N] [--soak MINUTES]

*First byte* and *usable* are seconds after `sevensteps studio pullover-dress` is typed: when the page's first byte
comes, and when its first batch can be stepped; `import torch` alone is measured beside it. *Streaming* is the CPU time
of a batch at full speed with one page that follows, against none, in turns in the same process; the page is a process
of its own, so that only what the Studio does is counted. With `--soak` a run is trained at full speed for so many
minutes with eight pages, and the memory is printed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))
from in_studio import Page

from sevensteps.studio.start import Opened, beside

FOLLOWER = """
import http.client, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/events", headers={"X-Sevensteps-Token": sys.argv[2]})
stream = connection.getresponse()
while line := stream.readline():
    if line.startswith(b"data"):
        print(time.time(), len(line), flush=True)
"""
EPOCHS = {"plain": 20, "linear": 60, "cnn": 2}  # some seconds at full speed


def followers(page: Page, count: int) -> list[Any]:
    """Start pages that follow the state, each in a process of its own."""
    command = [sys.executable, "-c", FOLLOWER, str(page.port), page.token]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    for process in started:
        process.stdout.readline()
    return started


def ended(processes: list[Any]) -> list[list[tuple[float, int]]]:
    """End the pages, and return when each got how many bytes."""
    got = []
    for process in processes:
        process.kill()
        lines = process.communicate()[0].splitlines()
        got.append([(float(line.split()[0]), int(line.split()[1])) for line in lines if len(line.split()) == 2])
    return got


def trained(studio: Opened, page: Page, pages: int) -> dict[str, float]:
    """Train the run from its start at full speed; return CPU time of a batch, frames and bytes a second."""
    trainer: Any = studio._session.trainer
    page.do("rewind")
    total = page.place["total"]
    time.sleep(3.2)  # who asked for the state is told more for three seconds
    started = followers(page, pages)
    cpu, wall, clock = time.process_time(), time.perf_counter(), time.time()
    trainer.post(lambda trainer: trainer.walk("run")).result()
    while trainer.is_running:
        time.sleep(0.01)
    cpu, wall, until = time.process_time() - cpu, time.perf_counter() - wall, time.time()
    got = ended(started)
    page.rest()
    frames = [sum(clock <= at <= until for at, _ in times) / wall for times in got]
    sizes = [size for times in got for at, size in times if clock <= at <= until]
    return {
        "cpu": 1000 * cpu / total,
        "batches": total / wall,
        "frames": statistics.median(frames) if frames else 0.0,
        "bytes": statistics.median(sizes) if sizes else 0.0,
    }


def streaming(recipe: str, rounds: int) -> None:
    """Print what one page costs a training at full speed."""
    studio = beside("pullover-dress", port=0)
    try:
        page = Page(studio.url)
        page.rest()
        page.do("start", recipe=recipe, epochs=EPOCHS[recipe])
        page.do("speed", value=0)
        trained(studio, page, 0)
        turns = [(trained(studio, page, 0), trained(studio, page, 1)) for _ in range(rounds)]
    finally:
        studio.close()
    ratios = sorted(with_page["cpu"] / without["cpu"] - 1 for without, with_page in turns)
    best = min(one["cpu"] for _, one in turns) / min(one["cpu"] for one, _ in turns) - 1

    def median(at: int, key: str) -> float:
        return statistics.median(turn[at][key] for turn in turns)

    print(
        f"{recipe:8} {median(0, 'cpu'):.3f} ms CPU a batch without a page, {median(1, 'cpu'):.3f} with one: "
        f"{statistics.median(ratios):+.1%} (median of {rounds}; {ratios[0]:+.1%} to {ratios[-1]:+.1%}; best against "
        f"best {best:+.1%}); {median(1, 'batches'):,.0f} batches a second; "
        f"{median(1, 'frames'):.1f} frames a second of {median(1, 'bytes'):,.0f} bytes"
    )


def cpu_of(process: int) -> float:
    """Return the seconds of CPU that a process has taken."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def start(rounds: int) -> None:
    """Print how soon the page is there, and how soon one can step."""
    times: dict[str, list[float]] = {"first byte": [], "usable": [], "import torch": [], "CPU": []}
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        times["import torch"].append(time.perf_counter() - began)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            command = [sys.executable, "-m", "sevensteps", "studio", "pullover-dress", "--no-browser", "--json"]
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            page = Page(json.loads(process.stdout.readline())["url"])
            assert page.send("GET", "/").status == 200
            times["first byte"].append(time.perf_counter() - began)
            times["CPU"].append(cpu_of(process.pid))
            while page.state["run"] is None:
                time.sleep(0.02)
            times["usable"].append(time.perf_counter() - began)
            process.send_signal(signal.SIGINT)
            process.communicate()
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    beyond = median["usable"] - median["import torch"]
    print(
        f"first byte after {median['first byte']:.2f} s ({median['CPU']:.2f} s of CPU); usable after "
        f"{median['usable']:.2f} s, which is {beyond:.2f} s beyond import torch ({median['import torch']:.2f} s); "
        f"medians of {rounds}"
    )


def memory() -> float:
    """Return the resident memory of this process, in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(minutes: float) -> None:
    """Train at full speed with eight pages, run after run, and print the memory."""
    studio = beside("pullover-dress", port=0)
    started: list[Any] = []
    try:
        page = Page(studio.url)
        page.rest()
        page.do("start", epochs=400)
        page.do("speed", value=0)
        started = followers(page, 8)
        page.do("run")
        end, seen = time.monotonic() + 60 * minutes, []
        while time.monotonic() < end:
            time.sleep(min(30.0, max(6 * minutes, 1.0)))
            page.get("/xray")
            if page.place["phase"] in ("done", "paused"):
                page.do("rewind")
                page.do("run")
            seen.append(memory())
            print(f"  {seen[-1]:,.0f} MB, {page.place['batch']:,} batches", flush=True)
        got = ended(started)
        each = [len(times) / (times[-1][0] - times[0][0]) for times in got if len(times) > 1]
        late = seen[len(seen) // 3 :]
        print(
            f"soak of {minutes:g} minutes with 8 pages: {min(each):.1f} to {max(each):.1f} frames a second each; "
            f"memory {late[0]:,.0f} MB after a third, {late[-1]:,.0f} MB at the end"
        )
    except (http.client.HTTPException, OSError):
        ended(started)
        raise
    finally:
        studio.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--only", choices=["start", *EPOCHS, "soak"])
    given = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if given.only in (None, "start"):
            start(given.rounds)
        for recipe in EPOCHS:
            if given.only in (None, recipe):
                streaming(recipe, given.rounds)
        if given.soak:
            soak(given.soak)
        os.chdir("/")


if __name__ == "__main__":
    main()
