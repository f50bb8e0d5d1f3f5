"""Type a command as a user would: a process of its own, its exit code, stdout and stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def sevensteps(*arguments: str, cwd: Path, **environment: str) -> Done:
    """Run `sevensteps` with these arguments in a folder; variables given by name are set."""
    done = subprocess.run(
        [sys.executable, "-m", "sevensteps", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)
