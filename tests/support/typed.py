"""Run a command as a user types it, in its own process or, faster, in this one; returns exit code, stdout, stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def sevensteps(*arguments: str, cwd: Path, **environment: str) -> Done:
    """Run `sevensteps` with these arguments in a folder; keyword arguments set environment variables."""
    with start(*arguments, cwd=cwd, **environment) as process:
        return finished(process)


def here(*arguments: str, cwd: Path, capsys: pytest.CaptureFixture[str]) -> Done:
    """Run the command in this process, which is enough for most tests."""
    from sevensteps.cli.app import run

    capsys.readouterr()
    with contextlib.chdir(cwd):
        code = run(arguments)
    return Done(code, *capsys.readouterr())


class Started(subprocess.Popen[str]):
    """A command that a failing test neither leaves running nor waits for."""

    def __exit__(self, kind: type[BaseException] | None, *raised: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *raised)


def start(*arguments: str, cwd: Path, python: tuple[str, ...] = (), how: Any = None, **environment: str) -> Any:
    """Start the command and return it running; `python` has interpreter options, `how` those of `subprocess.Popen`.

    The environment is active, as README and documentation have it: what is printed to be typed next begins with
    `sevensteps`.
    """
    active = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return Started(
        [sys.executable, *python, "-m", "sevensteps", *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": active, **environment},
        text=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **(how or {})},
    )


def finished(process: Any) -> Done:
    """Wait for a running command, and assert that it printed no traceback."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)


def shown(done: Done) -> str:
    """Return all that a terminal received, after asserting that it contains no control characters."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", done.out + done.err)
    return done.out + done.err


def refused(done: Done, code: int, *words: str) -> None:
    """Assert that a command failed properly: nothing on stdout, one line with the error, at most two of hints."""
    lines = done.err.splitlines()
    assert (done.code, done.out) == (code, ""), done
    assert lines[0].startswith("sevensteps: "), done.err
    assert all(line.startswith("  ") for line in lines[1:]), done.err
    assert 1 <= len(lines) <= 3, done.err
    for word in words:
        assert word in done.err, done.err


def error_in(done: Done) -> dict[str, str]:
    """Return the error object of a command with --json, after asserting that it printed nothing else."""
    assert done.err == "", done.err
    (said,) = done.out.splitlines()
    found = json.loads(said)
    assert list(found) == ["error"]
    assert list(found["error"]) == ["code", "message", "hint"]
    error: dict[str, str] = found["error"]
    return error


def idx(array: np.ndarray) -> bytes:
    """Return the bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, split: str, labels: Any, side: int = 12) -> Path:
    """Write pictures, a noisy pattern for each label, into files named as MNIST's."""
    labels = np.asarray(labels, dtype=np.uint8)
    patterns = np.random.default_rng(0).integers(0, 256, (256, side, side))
    noise = np.random.default_rng([len(labels), len(split)]).integers(0, 256, (len(labels), side, side))
    folder.mkdir(exist_ok=True)
    (folder / f"{split}-images-idx3-ubyte").write_bytes(idx((patterns[labels] + noise) // 2))
    (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def three_classes(folder: Path) -> Path:
    """Write a small source of three classes: 300 training pictures and 60 test pictures."""
    write_idx(folder, "train", np.arange(300) % 3)
    return write_idx(folder, "t10k", np.arange(60) % 3)
