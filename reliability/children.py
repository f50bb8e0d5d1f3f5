"""Run commands in forked children of a process that has imported PyTorch once and never computes with it itself."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 120.0  # seconds; a child that takes longer counts as hung


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (negative: the signal that killed it), its output, and what it returned."""

    code: int
    out: str
    err: str
    given: Any = None


def prepare() -> None:
    """Import everything that a run needs, so that children start with it."""
    for name in (
        "cli.app",
        "jobs.train",
        "jobs.resume",
        "runs.training",
        "show.terminal",
        "show.figures",
        "data.sources.idx",
        "data.augment",
    ):
        importlib.import_module(f"sevensteps.{name}")
    for name in ("filelock", "safetensors.numpy", "torch._dynamo"):  # creating an optimizer imports the last one
        importlib.import_module(name)


def typed(*arguments: str, inside: Callable[[], contextlib.AbstractContextManager[Any]] | None = None) -> Ended:
    """Run `sevensteps` in a child.

    Args:
        *arguments: The command's arguments.
        inside: Creates the context, a watched disk, in which the command runs.

    Returns:
        How it ended; `given` is the number of calls that the watched disk has seen.
    """
    return in_child(lambda: _command(arguments, inside))


def _command(
    arguments: tuple[str, ...], inside: Callable[[], contextlib.AbstractContextManager[Any]] | None
) -> tuple[int, Any]:
    """Run the command; return its exit code and the number of watched calls."""
    from sevensteps.cli.app import run

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with inside() if inside else contextlib.nullcontext() as context:
        code = run(arguments)
    return code, None if context is None else len(context.calls)


def in_child(work: Callable[[], tuple[int, Any]], kill_after: float | None = None) -> Ended:
    """Call `work` in a forked child, which is killed after `kill_after` seconds if it still runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            code = 70
            try:
                os.close(reading)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
                sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
                code, given = work()
                sys.stdout.flush()
                os.write(writing, json.dumps(given).encode())
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                with contextlib.suppress(OSError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        content = _until_it_ends(reading, child, kill_after)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        printed, said = map(_text_of, (out, err))
    return Ended(os.waitstatus_to_exitcode(status), printed, said, json.loads(content) if content else None)


def _text_of(file: Any) -> str:
    """Return what a child wrote to a file, as text."""
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))


def _until_it_ends(reading: int, child: int, kill_after: float | None) -> bytes:
    """Return what the child writes until it closes its end; kill it if it hangs or its time is over."""
    content, began = b"", time.monotonic()
    limit = LONGEST if kill_after is None else kill_after
    while True:
        left = limit - (time.monotonic() - began)
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            if kill_after is None:
                raise TimeoutError(f"a child hung for {LONGEST:g} seconds")
            left = LONGEST
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            return content
        content += chunk


def final(folder: Path) -> dict[str, bytes]:
    """Return the files that two equal runs share byte for byte: all but timings, earlier saves and the lock."""
    apart = {"timings.jsonl", "checkpoint.previous.safetensors", "checkpoint.damaged.safetensors", ".lock"}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in apart}
