"""Train on two machines whose network fails: `python -m reliability.network`, as root on Linux with the command `ip`.

The two machines are network namespaces of this one, with a process of torchrun each. The cable between them is a thread
of this program, which passes on each packet, late or not at all if it is told to. Prints one JSON object of counts;
exits with 1 if a run ended with other bytes, a process outlived a cut by more than 30 seconds, or a machine did not say
why it ended. Where the command or the rights are missing, it says so and exits with 0.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import fcntl
import json
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .cases import make_source
from .kill import fresh
from .processes import LONGEST, command, is_alive, same, typed

ADDRESSES = ("10.213.77.1", "10.213.77.2")
OPTIMIZER = "AdamW"
SHORT = 8.0  # seconds of a cut that nobody needs to notice

_TUNSETIFF, _TUN = 0x400454CA, 0x1001  # of Linux: packets without a head of their own


class Cable:
    """The cable between two network namespaces, and what can happen to it."""

    def __init__(self) -> None:
        self.hosts = [f"sevensteps-{os.getpid()}-{host}" for host in (0, 1)]
        self.delay, self.loss = 0.0, 0.0  # seconds, and the share of packets, in each direction
        self.passed = self.dropped = 0
        self._devices = [f"ss{os.getpid()}-{host}" for host in (0, 1)]
        self._ends: list[int] = []
        self._over = threading.Event()

    def inside(self, host: int, *words: str) -> list[str]:
        """Return a command that runs on one of the machines."""
        return ["ip", "netns", "exec", self.hosts[host], *words]

    def connect(self) -> None:
        """Make both machines, and begin to pass on their packets."""
        for host, (name, device) in enumerate(zip(self.hosts, self._devices, strict=True)):
            done("ip", "netns", "add", name)
            self._ends.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
            fcntl.ioctl(self._ends[host], _TUNSETIFF, struct.pack("16sH22x", device.encode(), _TUN))
            done("ip", "link", "set", device, "netns", name)
            own, other = ADDRESSES[host], ADDRESSES[1 - host]
            done(*self.inside(host, "ip", "address", "add", own, "peer", other, "dev", device))
            for each in ("lo", device):
                done(*self.inside(host, "ip", "link", "set", each, "up"))
        threading.Thread(target=self._pass_on, daemon=True).start()

    def disconnect(self) -> None:
        """Take both machines away."""
        self._over.set()
        for end in self._ends:
            os.close(end)
        for name in self.hosts:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def unplug(self) -> None:
        """Take the network away: the first machine sees that it is gone."""
        done(*self.inside(0, "ip", "link", "set", self._devices[0], "down"))

    def plug(self) -> None:
        """Give the network back, as it was."""
        self.delay = self.loss = 0.0
        done(*self.inside(0, "ip", "link", "set", self._devices[0], "up"))

    def lose(self) -> None:
        """Lose every packet: neither machine sees that the network is gone."""
        self.loss = 1.0

    def _pass_on(self) -> None:
        """Pass on packets until the machines are taken away."""
        chance, waiting = random.Random(0), collections.deque[tuple[float, int, bytes]]()
        while not self._over.is_set():
            until = max(waiting[0][0] - time.monotonic(), 0) if waiting else 0.2
            with contextlib.suppress(OSError, ValueError):
                ready, _, _ = select.select(self._ends, [], [], min(until, 0.2))
                for end in ready:
                    packet = os.read(end, 65536)
                    if chance.random() < self.loss:
                        self.dropped += 1
                    else:
                        waiting.append((time.monotonic() + self.delay, self._ends[1 - self._ends.index(end)], packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, end, packet = waiting.popleft()
                with contextlib.suppress(OSError):  # as a cable without a machine at its end
                    os.write(end, packet)
                    self.passed += 1


def main() -> int:
    """Try every part and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reliability.network", description=__doc__)
    parser.add_argument("--cuts", type=int, default=3, help="of each kind")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked = parser.parse_args()
    counts: dict[str, Any] = {"equal": 0, "cuts": 0, "slowest_end_s": 0.0, "slowest_launcher_s": 0.0, "wrong": []}
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder, joined() as cable:
        if cable is None:
            print("Skipped: this needs Linux, root, /dev/net/tun, and the command ip (Debian: iproute2).")
            return 0
        place = Path(folder)
        arguments = command(make_source(place / "source"), OPTIMIZER, asked.epochs)
        typed(*arguments, "--out", str(place / "whole"))
        whole = same(place / "whole")
        ended(place, cable, arguments, whole, counts, "a whole run")
        cable.delay, cable.loss = 0.02, 0.01
        ended(place, cable, arguments, whole, counts, "20 ms and 1 % loss")
        counts["packets_lost"] = cable.dropped
        cable.plug()
        ended(place, cable, arguments, whole, counts, f"unplugged for {SHORT:.0f} s", lambda: short_cut(cable, chance))
        for number in range(asked.cuts):
            for name, cut in (("unplugged", cable.unplug), ("all packets lost", cable.lose)):
                lost(place, cable, arguments, whole, counts, (f"{name}, {number}", cut, chance))
                print(json.dumps(counts), file=sys.stderr, flush=True)
    print(json.dumps(counts, indent=1))
    return 1 if counts["wrong"] else 0


@contextlib.contextmanager
def joined() -> Iterator[Cable | None]:
    """Yield the cable between two new machines; None where they cannot be made."""
    cable = Cable()
    try:
        cable.connect()
    except (OSError, subprocess.CalledProcessError):
        yield None
    else:
        yield cable
    finally:
        if shutil.which("ip"):
            cable.disconnect()


def started(cable: Cable, arguments: Sequence[str], place: Path) -> list[subprocess.Popen[bytes]]:
    """Start a command with torchrun on both machines; what each prints is in a file of its own."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    launcher += ["--master-addr", ADDRESSES[0], "--master-port", "29500"]
    processes = []
    for host in (0, 1):
        with open(place / f"said-{host}", "wb") as file:
            words = [*launcher, "--node-rank", str(host), "-m", "sevensteps", *arguments]
            how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": file}
            processes.append(subprocess.Popen(cable.inside(host, *words), **how, start_new_session=True))
    return processes


def ended(
    place: Path,
    cable: Cable,
    arguments: Sequence[str],
    whole: dict[str, bytes],
    counts: dict[str, Any],
    name: str,
    happens: Callable[[], None] = lambda: None,
) -> None:
    """Train to the end on both machines while something happens, and compare the bytes."""
    folder, began = fresh(place / "run"), time.monotonic()
    processes = started(cable, (*arguments, "--out", str(folder)), place)
    with ending(processes):
        trains(folder, processes)
        happens()
        codes = [process.wait(300) for process in processes]
    counts.setdefault("seconds", {})[name] = round(time.monotonic() - began, 1)
    if codes == [0, 0] and same(folder) == whole:
        counts["equal"] += 1
    else:
        counts["wrong"].append(f"{name}: exit codes {codes}; {said(place, 0)} {said(place, 1)}")


def lost(
    place: Path,
    cable: Cable,
    arguments: Sequence[str],
    whole: dict[str, bytes],
    counts: dict[str, Any],
    how: tuple[str, Callable[[], None], random.Random],
) -> None:
    """Cut the network in the middle of a run, see that both sides end and say so, and resume in one process."""
    name, cut, chance = how
    folder = fresh(place / "run")
    processes = started(cable, (*arguments, "--out", str(folder)), place)
    with ending(processes):
        trains(folder, processes)
        workers = [worker for process in processes for worker in children_of(process.pid)]
        time.sleep(chance.uniform(0, 2))
        counts["cuts"] += 1
        began = time.monotonic()
        cut()
        while any(map(is_alive, workers)) and time.monotonic() - began < 2 * LONGEST:
            time.sleep(0.05)
        took = time.monotonic() - began
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(began + 4 * LONGEST - time.monotonic(), 0))
        launcher = time.monotonic() - began
    cable.plug()
    counts["slowest_end_s"] = round(max(counts["slowest_end_s"], took), 1)
    counts["slowest_launcher_s"] = round(max(counts["slowest_launcher_s"], launcher), 1)
    if took > LONGEST or len(workers) != 2:
        counts["wrong"].append(f"{name}: {len(workers)} processes have not ended after {took:.0f} s")
    for host in (0, 1):
        if len(said(place, host)) != 1:
            counts["wrong"].append(f"{name}: machine {host + 1} says {said(place, host)}")
    typed("resume", str(folder))
    if same(folder) != whole:
        counts["wrong"].append(f"{name}: resumed to other bytes")


def short_cut(cable: Cable, chance: random.Random) -> None:
    """Unplug the cable, and plug it in again before anyone counts as lost."""
    time.sleep(chance.uniform(0, 1))
    cable.unplug()
    time.sleep(SHORT)
    cable.plug()


def trains(folder: Path, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until a run has saved."""
    while not (folder / "checkpoint.safetensors").exists() and all(process.poll() is None for process in processes):
        time.sleep(0.02)


@contextlib.contextmanager
def ending(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End what still runs after the block: launchers, and then their processes, which are in groups of their own."""
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(OSError):
                for one in (*children_of(process.pid), process.pid):
                    os.kill(one, signal.SIGKILL)
            process.wait()


def said(place: Path, host: int) -> list[str]:
    """Return the sentences that a machine's process has printed about its end."""
    lines = (place / f"said-{host}").read_text(errors="replace").splitlines()
    return [line for line in lines if line.startswith("sevensteps: ")]


def children_of(parent: int) -> list[int]:
    """Return the processes that a process's threads have started."""
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def done(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
