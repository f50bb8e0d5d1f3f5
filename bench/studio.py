"""Measure the Studio: how soon its page is there, what streaming costs training, and how many frames a page gets.

    python bench/studio.py [--rounds N] [--only start|plain|linear|cnn|soak] [--batch-size N] [--soak MINUTES]

*First byte* and *usable* are seconds after `sevensteps studio pullover-dress` is typed: when the page's first byte
comes, and when its first batch can be stepped; `import torch` alone is measured beside it. *Streaming* is the CPU time
of a batch at full speed with one page that follows, against none: in turns of a few seconds within one run, so that
both meet the same machine, and for the training thread and the server's thread apart. The page is a process of its own,
so that only what the Studio does is counted. A *frame* is a message that shows a batch which the one before did not.
With `--soak` a run is trained at full speed for so many minutes with eight pages, and the memory is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))
from in_studio import Page

from sevensteps.studio.start import Opened, beside

FOLLOWER = """
import http.client, json, sys, time
for seconds in sys.stdin:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", "/events", headers={"X-Sevensteps-Token": sys.argv[2]})
    stream, end = connection.getresponse(), time.time() + float(seconds)
    while time.time() < end and (line := stream.readline()):
        if line.startswith(b"data"):
            print(time.time(), len(line), json.loads(line[5:]).get("place", {}).get("batch", -1), flush=True)
    connection.close()
    print("end", flush=True)
"""
RECIPES = ("plain", "linear", "cnn")
EPOCHS = 10_000  # more than are trained while it is measured
TURN = 0.5  # seconds with a page, or without one: short, since other work comes and goes


@dataclass(frozen=True)
class Moment:
    """What a Studio has done until now: batches, and seconds of CPU of its threads."""

    clock: float
    batch: int
    training: float
    server: float
    process: float


@dataclass(frozen=True)
class Turn:
    """A few seconds of training: milliseconds of a batch, and what a page got of them."""

    time: float
    training: float
    server: float
    process: float
    frames: float = 0.0  # a second
    bytes: float = 0.0  # of a message
    batches: float = 0.0  # a frame


def followers(page: Page, count: int) -> list[Any]:
    """Start pages that follow the state for as long as they are told, each in a process of its own."""
    command = [sys.executable, "-c", FOLLOWER, str(page.port), page.token]
    return [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]


def follow(process: Any, seconds: float) -> None:
    """Let a page follow for some seconds; return once it has its first message."""
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    process.stdout.readline()


def got(lines: Iterable[str], since: float, until: float) -> list[tuple[float, int]]:
    """Return when a page got how many bytes that showed another batch than those before."""
    frames, before = [], -1
    for line in lines:
        words = line.split()
        if len(words) == 3 and int(words[2]) not in (-1, before):
            before = int(words[2])
            if since <= float(words[0]) <= until:
                frames.append((float(words[0]), int(words[1])))
    return frames


def now(studio: Opened) -> Moment:
    """Return what a Studio has done until now."""
    session: Any = studio._session

    def of_training(trainer: Any) -> tuple[int, float]:
        return trainer.run.work.learn.state.batch, time.thread_time()

    server: Future[float] = Future()
    session._loop.call_soon_threadsafe(lambda: server.set_result(time.thread_time()))
    of_server = server.result()
    batch, training = session.trainer.post(of_training).result()
    return Moment(time.time(), batch, training, of_server, time.process_time())


def turn(studio: Opened, page: Any) -> Turn:
    """Watch a run at full speed for some seconds; with a page, or without one."""
    if page is not None:
        follow(page, TURN + 0.5)
        time.sleep(0.2)  # its first message holds everything
    begin = now(studio)
    time.sleep(TURN)
    end = now(studio)
    count = end.batch - begin.batch
    each = {
        name: 1000 * (getattr(end, name) - getattr(begin, name)) / count for name in ("training", "server", "process")
    }
    wall = end.clock - begin.clock
    if page is None:
        return Turn(1000 * wall / count, **each)
    frames = got(iter(page.stdout.readline, "end\n"), begin.clock, end.clock)
    size = statistics.median(size for _, size in frames) if frames else 0.0
    return Turn(1000 * wall / count, **each, frames=len(frames) / wall, bytes=size, batches=count / max(len(frames), 1))


def streaming(recipe: str, rounds: int, settings: dict[str, int]) -> None:
    """Print what one page costs a training at full speed."""
    studio = beside("pullover-dress", port=0)
    started: list[Any] = []
    try:
        page = Page(studio.url)
        page.rest()
        page.do("start", recipe=recipe, epochs=EPOCHS, **settings)
        page.do("speed", value=0)
        started = followers(page, 1)
        page.do("run")
        time.sleep(3.5)  # who asked for the state is told more for three seconds
        turns = []
        for number in range(rounds):
            order = (None, started[0]) if number % 2 else (started[0], None)
            two = [turn(studio, page) for page in order]
            turns.append((two[order.index(None)], two[order.index(started[0])]))
    finally:
        for process in started:
            process.kill()
            process.communicate()
        studio.close()

    def median(at: int, key: str) -> float:
        return statistics.median(getattr(turn[at], key) for turn in turns)

    print(f"{recipe}: medians of {rounds} rounds of {TURN:g} s without a page and {TURN:g} s with one", flush=True)
    says = {
        "training": "CPU of the training thread",
        "process": "CPU of all threads",
        "time": "time",
    }
    for key, what in says.items():
        more = sorted(getattr(loud, key) / getattr(quiet, key) - 1 for quiet, loud in turns)
        print(
            f"  {what + ', ms a batch':40} {median(0, key):7.3f} {median(1, key):7.3f}  "
            f"{statistics.median(more):+.1%} ({more[0]:+.1%} to {more[-1]:+.1%})"
        )
    frame = {
        key: statistics.median((getattr(loud, key) - getattr(quiet, key)) * loud.batches for quiet, loud in turns)
        for key in ("training", "server", "process")
    }
    print(
        f"  {median(1, 'frames'):.1f} frames a second of {median(1, 'bytes'):,.0f} bytes; a frame costs "
        f"{frame['training']:.2f} ms of CPU on the training thread, {frame['server']:.2f} on the server's, "
        f"{frame['process']:.2f} in all",
        flush=True,
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
    lines: list[list[str]] = [[] for _ in range(8)]
    readers: list[threading.Thread] = []
    try:
        page = Page(studio.url)
        page.rest()
        page.do("start", epochs=400)
        page.do("speed", value=0)
        started = followers(page, len(lines))
        for process, some in zip(started, lines, strict=True):
            follow(process, 60 * minutes + 3600)
            readers.append(threading.Thread(target=some.extend, args=(process.stdout,)))  # else its pipe fills up
            readers[-1].start()
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
    finally:
        for process in started:
            process.kill()
            process.wait()
        for reader in readers:
            reader.join()
        studio.close()
    pages = [got(some, 0.0, time.time()) for some in lines]
    each = [len(frames) / (frames[-1][0] - frames[0][0]) for frames in pages if len(frames) > 1]
    late = seen[len(seen) // 3 :]
    print(
        f"soak of {minutes:g} minutes with 8 pages: {min(each):.1f} to {max(each):.1f} frames a second each; "
        f"memory {late[0]:,.0f} MB after a third, {late[-1]:,.0f} MB at the end"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, help="of the trainings: smaller where other work takes the time")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--only", choices=["start", *RECIPES, "soak"])
    given = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if given.only in (None, "start"):
            start(given.rounds)
        for recipe in RECIPES:
            if given.only in (None, recipe):
                streaming(recipe, given.rounds, {"batch_size": given.batch_size} if given.batch_size else {})
        if given.soak and given.only in (None, "soak"):
            soak(given.soak)
        os.chdir("/")


if __name__ == "__main__":
    main()
