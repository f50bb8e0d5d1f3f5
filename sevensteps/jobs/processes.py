"""Several processes for one training: start them here, or take the place that a launcher such as torchrun gives.

The process that you start leads. The others follow it: they never return from the first `train` or `resume` that they
come to, and end with the leader. So a script or a command line runs on as if it were alone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..base.launched import Launched, launched
from ..base.own_code import given, is_importable, name_of
from ..errors import SevenstepsError, UsageError
from ..recipes.settings import MOST_PARTS

if TYPE_CHECKING:
    from ..learner.distributed import Processes
    from ..recipes.recipe import Recipe

SECONDS_TO_END = 10.0  # for processes that have nothing more to do


# Set for the processes that are started here: their standard input is a pipe, which closes when the leader ends.
LEADER_AT = "SEVENSTEPS_LEADER"


LEADER_ENDED = "The process that leads this training has ended."


TO_CONTINUE = "Find the run with `sevensteps runs`, then continue it with `sevensteps resume RUN`."


SECONDS_AFTER_SIGTERM = 25  # a launcher may end all at once, and the leader still saves what is half done


_OF_LAUNCHER: list[Processes] = []


def follow_if_launched(model: Any = None) -> None:
    """Follow the leader until it ends, where a launcher started this process to follow; it does not return then.

    Args:
        model: The network of the user's own that the leader was given, too.

    Raises:
        SystemExit: The leader has ended.
    """
    place = launched()
    if place is not None:
        # A lost connection is reported below, in words; PyTorch would print its calls in C++ before.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    if place is not None and place.rank:
        _follow(place, model)


@contextlib.contextmanager
def together(processes: int | None, model: Any = None) -> Iterator[None]:
    """Let several processes compute the trainings inside the block.

    Args:
        processes: How many; None for as many as a launcher has started, or one.
        model: The network of the user's own, for the processes that are started here.

    Raises:
        UsageError: The number makes no sense, the processes that are started here cannot import the network, or this
            one exchanges tensors already.
    """
    follow_if_launched(model)
    place = launched()
    if processes is not None and processes < 1:
        raise UsageError(f"processes is {processes}, but must be 1 or more.", hint="sevensteps train --processes 2")
    if processes is not None and processes > MOST_PARTS:
        message = f"processes is {processes!r:.40}, but a batch has at most {MOST_PARTS} parts."
        raise UsageError(message, hint="sevensteps train --processes 2")
    if place is not None:
        if processes not in (None, place.world):
            raise UsageError(
                f"processes is {processes}, but the launcher has started {place.world}.",
                hint="Leave out --processes: the launcher sets the number.",
            )
        yield from _launched(place)
    elif processes in (None, 1):
        yield
    else:
        assert processes is not None
        yield from _started_here(processes, model)


def refuse_more_than_parts(recipe: Recipe, run: str = "") -> None:
    """Raise if there are more processes than a batch has parts.

    Args:
        recipe: The settled recipe.
        run: The folder of a run that is resumed: its number of parts stays.

    Raises:
        UsageError: There are; it says what to type.
    """
    from ..learner.distributed import current

    processes = current()
    if processes is None or processes.world <= recipe.shards:
        return
    world, parts = processes.world, recipe.shards
    message = f"{world} processes need batches of at least {world} parts, but shards is {parts}."
    if not run:
        raise UsageError(message, hint="Set {shards}.", settings={"shards": world})
    fewer = f" --processes {parts}" if parts > 1 else ""
    raise UsageError(message, hint=f"sevensteps resume {run}{fewer}")


def number_of_processes() -> int:
    """Return how many processes compute trainings here."""
    if "torch" not in sys.modules:
        return 1
    from ..learner.distributed import current

    processes = current()
    return 1 if processes is None else processes.world


def _launched(place: Launched) -> Iterator[None]:
    """Lead the processes that a launcher has started, until this one ends."""
    from ..learner.distributed import Processes, current, leading
    from ..learner.meeting import refuse_in_use, store_of_launcher

    if not _OF_LAUNCHER:
        refuse_in_use()
        _OF_LAUNCHER.append(Processes(place, store_of_launcher(place)))
        atexit.register(_end_launched, _OF_LAUNCHER[0])
    with leading(_OF_LAUNCHER[0]) if current() is None else contextlib.nullcontext():
        yield


def _end_launched(processes: Processes) -> None:
    """Let the others end, where this process ends; without waiting for one that was stopped."""
    if processes.heartbeat.silent() is None:
        processes.end()
        return
    for printed in (sys.stdout, sys.stderr):
        printed.flush()
    os._exit(1)  # else PyTorch's threads wait for what the other sends


def _started_here(count: int, model: Any) -> Iterator[None]:
    """Start processes on this machine, lead them, and end them."""
    from ..learner.distributed import Processes, current, leading
    from ..learner.meeting import refuse_in_use, store_here

    if current() is not None:
        yield
        return
    if model and not is_importable(model):
        raise UsageError(
            f"The other processes cannot import {name_of(model)}: it is in a script, or inside a function.",
            hint="Move it to a file of its own, such as nets.py, and import it from there.",
        )
    refuse_in_use()
    store, port = store_here(count)
    own = ["--model", name_of(model)] if model else []
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared[LEADER_AT] = "stdin"
    started: list[subprocess.Popen[bytes]] = []
    processes = Processes(Launched(0, count, 0, count), store, lambda: _ended(started))
    try:
        for rank in range(1, count):
            variables = {**shared, "RANK": rank, "LOCAL_RANK": rank}
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "sevensteps", "train", *own],
                    env={**os.environ, **{name: str(value) for name, value in variables.items()}},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the leader, which saves
                )
            )
        with leading(processes):
            yield
    finally:
        # They may not even have begun; and one that was stopped neither ends by itself nor lets the group end.
        if not processes.is_connected or processes.heartbeat.silent() is not None:
            for process in started:
                process.kill()
        processes.end()
        waits = time.monotonic() + SECONDS_TO_END
        for process in started:
            try:
                process.wait(max(waits - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _ended(started: Sequence[subprocess.Popen[bytes]]) -> str:
    """Say which process has ended and how; "" if all are running."""
    codes = {place: process.poll() for place, process in enumerate(started, 2)}
    killed = {place: code for place, code in codes.items() if code}
    if not killed:
        return ""
    place, code = min(killed.items(), key=lambda one: one[1])  # what a signal ended comes before what followed
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"Process {place} of {len(started) + 1} {how}."


def _leave_silent_leader(place: Launched) -> NoReturn:
    """End this process, whose main thread may wait for the leader without end."""
    _leave(place, f"Process 1 of {place.world} has not answered for some time: it was stopped, or its network failed.")


def _end_with_leader(place: Launched) -> None:
    """End this process as soon as the one that started it has ended, also while this one still imports or connects."""

    def look() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        _leave(place, LEADER_ENDED)

    threading.Thread(target=look, name="leader", daemon=True).start()


def _leave(place: Launched, message: str) -> NoReturn:
    """End this process at once; one of those that follow says why."""
    try:
        _say_lost(place, message)
    finally:
        os._exit(1)


def _say_lost(place: Launched, message: str) -> None:
    """Say that the leader is lost, in one process of those that follow."""
    if place.rank == 1:
        print(f"sevensteps: {message}\n  {TO_CONTINUE}", file=sys.stderr, flush=True)


def _follow(place: Launched, model: Any) -> NoReturn:
    """Follow the leader until it ends, and end."""
    if os.environ.get(LEADER_AT) == "stdin":
        _end_with_leader(place)
    met: list[Processes] = []

    def terminated(number: int, frame: object) -> None:
        if not any(processes.is_connected for processes in met):
            sys.exit(128 + number)  # nothing depends on this process yet
        for processes in met:
            processes.heartbeat.say_asked_to_end()  # the leader saves, and ends all
        signal.alarm(SECONDS_AFTER_SIGTERM)

    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader decides
    from ..learner.distributed import Processes
    from ..learner.meeting import LOST, store_of_launcher
    from ..runs.follow import follow

    code = 0
    try:
        store = store_of_launcher(place)
    except SevenstepsError as error:  # the leader may have ended, or there is none
        print(f"sevensteps: {error.message}\n  {error.hint}", file=sys.stderr)
        sys.exit(1)
    processes = Processes(place, store)
    met.append(processes)
    processes.heartbeat.watch(lambda: _leave_silent_leader(place))
    try:
        with given(model):
            follow(processes)
    except SevenstepsError as error:
        code = 1
        if error.kind != LOST:
            processes.say_failed(error)
        else:
            _say_lost(place, error.message)
    except Exception as error:
        code = 1
        where = f"process {place.rank + 1} of {place.world}"
        processes.say_failed(SevenstepsError(f"Internal error in {where}: {type(error).__name__}: {error}"))
    processes.heartbeat.end()
    sys.exit(code)
