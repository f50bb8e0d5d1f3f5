"""Ray as a launcher: its workers start the processes of a training, on this machine or on a cluster.

Each worker starts `sevensteps` with the variables that torchrun would set, so the processes find each other and train
as they do under torchrun. docs/decisions/0053-ray-starts-the-processes.md says why Ray's own trainer is not used.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import ModelError, TrainingError, UsageError

PAUSE = 0.2  # seconds for which a worker waits for output


SECONDS_FOR_ROOM = 120.0  # until a cluster has room for all workers


SECONDS_TO_READ = 5.0  # what a process has printed, after it has ended


# What a process runs. On Linux, the system ends it as SIGTERM does when its worker has ended, and it saves the run.
PROGRAM = """
import ctypes, runpy, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # Ray's workers block SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
del sys.argv[0]
runpy.run_module("sevensteps", run_name="__main__")
"""


Lines = list[tuple[bool, str]]  # for each line, whether it is one of standard error


def launch(arguments: Sequence[str], workers: int, say: Callable[[bool, str], None], *, gpus: bool = False) -> int:
    """Run a command of sevensteps in several processes, each started by a worker of Ray.

    The environment variable RAY_ADDRESS names the cluster; without it, Ray is started on this machine alone, and ends
    with the command.

    Args:
        arguments: The command: `sevensteps` as it was called, `train` or `resume`, and what it takes.
        workers: How many processes.
        say: Receives each line that the processes print, and whether it belongs on standard error.
        gpus: Whether each worker needs a GPU.

    Returns:
        The exit code of the process that leads.

    Raises:
        UsageError: The cluster has no room for so many workers.
        ModelError: Ray is not installed, or cannot be reached.
        TrainingError: The worker that leads has ended.
    """
    with _connected(workers) as ray:
        group = ray.util.placement_group([{"CPU": 1, **({"GPU": 1} if gpus else {})}] * workers)
        if not group.wait(SECONDS_FOR_ROOM):
            raise UsageError(
                f"The cluster has no room for {workers} workers, each with {'a GPU and ' if gpus else ''}one CPU core.",
                hint=f"`ray status` shows what is free. The cluster has {_total(ray, 'GPU' if gpus else 'CPU')}.",
            )
        place = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
        worker = ray.remote(Worker).options(
            num_cpus=1, num_gpus=int(gpus), scheduling_strategy=place, max_concurrency=2
        )
        started = [worker.remote() for _ in range(workers)]
        _start(ray, started, arguments)
        return _passed_on(ray, started, say)


class Worker:
    """A worker of Ray, which starts one process and passes on what it prints."""

    def __init__(self) -> None:
        self._lines: Lines = []
        self._readers: list[threading.Thread] = []
        self._process: subprocess.Popen[str] | None = None

    def place(self) -> tuple[str, int]:
        """Return the address of this machine, and a port that is free on it."""
        import ray

        with socket.socket() as found:
            found.bind(("", 0))
            return ray.util.get_node_ip_address(), int(found.getsockname()[1])

    def start(self, arguments: Sequence[str], folder: str, variables: Mapping[str, str]) -> str:
        """Start the process.

        Args:
            arguments: The command.
            folder: Where it runs.
            variables: For its environment.

        Returns:
            Why it cannot be started; "" if it was.
        """
        if not os.path.isdir(folder):
            return f"The folder {folder} is missing on {socket.gethostname()}."
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that Ctrl-C reaches it once, from `send`
        )
        for is_error, stream in ((False, self._process.stdout), (True, self._process.stderr)):
            self._readers.append(threading.Thread(target=self._read, args=(is_error, stream), daemon=True))
            self._readers[-1].start()
        return ""

    def news(self) -> tuple[Lines, int | None]:
        """Return what the process has printed since the last call, and its exit code once it has ended."""
        assert self._process is not None
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(PAUSE)
            for reader in self._readers:
                reader.join(SECONDS_TO_READ)
        lines, self._lines = self._lines, []
        return lines, code

    def send(self, number: int) -> None:
        """Send a signal to the process."""
        if self._process is not None:
            self._process.send_signal(number)

    def _read(self, is_error: bool, stream: Any) -> None:
        """Keep what the process prints, until it ends."""
        for line in stream:
            self._lines.append((is_error, line))


@contextlib.contextmanager
def _connected(workers: int) -> Iterator[Any]:
    """Yield Ray, connected with the cluster that RAY_ADDRESS names, or with one on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_kill_child_processes_on_worker_exit", "false")  # they end by themselves, and save
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise ModelError(f"--on ray needs the package ray ({error}).", hint="pip install 'sevensteps[ray]'") from error
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not os.environ.get("RAY_ADDRESS"):
        alone = {"num_cpus": max(workers, os.cpu_count() or 1), "_node_ip_address": "127.0.0.1"}
        how.update(alone, include_dashboard=False)
    try:
        ray.init(**how)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"Ray cannot be reached: {' '.join(str(error).split())[:300]}",
            hint="Check RAY_ADDRESS, or unset it to start Ray on this machine.",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _total(ray: Any, resource: str) -> str:
    """Return how much of a resource the cluster has, in words."""
    return f"{ray.cluster_resources().get(resource, 0):g} {resource}s"


def _start(ray: Any, workers: Sequence[Any], arguments: Sequence[str]) -> None:
    """Start a process on each worker: the first leads."""
    places = ray.get([worker.place.remote() for worker in workers])
    on_each: Counter[str] = Counter(address for address, _ in places)
    shared = {"WORLD_SIZE": len(workers), "MASTER_ADDR": places[0][0], "MASTER_PORT": places[0][1]}
    refused = []
    for rank, (worker, (address, _)) in enumerate(zip(workers, places, strict=True)):
        # Ray shows each worker its own GPU alone, which is therefore the first.
        variables = {**shared, "RANK": rank, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": on_each[address]}
        given = {name: str(value) for name, value in variables.items()}
        refused.append(worker.start.remote(list(arguments), os.getcwd(), given))
    if why := next(filter(None, ray.get(refused)), ""):
        raise UsageError(why, hint="Use a folder that all machines share.")


def _passed_on(ray: Any, workers: Sequence[Any], say: Callable[[bool, str], None]) -> int:
    """Pass on what the processes print, until the first has ended; return its exit code."""
    left = dict(enumerate(workers))
    with _signals() as arrived:
        while True:
            while arrived:
                workers[0].send.remote(arrived.pop(0))
            asked = {rank: worker.news.remote() for rank, worker in left.items()}  # all at once: each waits a moment
            for rank, coming in asked.items():
                try:
                    news: tuple[Lines, int | None] = ray.get(coming)
                except ray.exceptions.RayActorError as error:
                    del left[rank]
                    if rank:  # the process that leads notices, and says so
                        continue
                    raise TrainingError(
                        "The Ray worker that leads the training has ended.",
                        hint="Find the run with `sevensteps runs`, then continue it with `sevensteps resume RUN`.",
                    ) from error
                lines, code = news
                for is_error, line in lines:
                    if is_error or not rank:
                        say(is_error, line)
                if code is not None:
                    del left[rank]
                    if not rank:
                        return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield a list of the signals to end that arrive inside the block, for the process that leads to save the run.

    Raised from a call of Ray as KeyboardInterrupt, they would leave Ray waiting forever.
    """
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
