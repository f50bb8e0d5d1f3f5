"""`train` and `resume` with --on ray: the same command, in processes that Ray starts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from ..errors import UsageError
from .flags import TRAINING, whole_number

On = Annotated[Literal["ray"] | None, Parameter(group=TRAINING)]
Workers = Annotated[int | None, Parameter(converter=whole_number, group=TRAINING)]


def on_ray(on: str | None, workers: int | None, processes: int | None, *, gpus: bool = False) -> int | None:
    """Run this very command in processes that Ray starts, if that is asked for.

    Args:
        on: "ray", or None.
        workers: How many processes.
        processes: What was given for `--processes`.
        gpus: Whether each process needs a GPU.

    Returns:
        Its exit code; None where Ray is not asked for.

    Raises:
        UsageError: Flags are missing, or contradict each other.
        ModelError: Ray is not installed, or cannot be reached.
        TrainingError: The worker that leads has ended.
    """
    if on is None and workers is None:
        return None
    if on is None:
        raise UsageError(
            "--workers needs --on ray.", hint=f"Use --on ray --workers {workers}; without Ray: --processes {workers}"
        )
    if workers is None or workers < 1:
        raise UsageError(f"--on {on} needs the number of workers, 1 or more.", hint=f"--on {on} --workers 2")
    if processes is not None:
        raise UsageError(
            "--processes and --on ray cannot be combined.",
            hint="Use only one of the two: --processes starts the processes without Ray.",
        )
    from ..integrations.ray import launch

    def say(is_error: bool, line: str) -> None:
        stream = sys.stderr if is_error else sys.stdout
        stream.write(line)
        stream.flush()

    return launch([sys.argv[0], *_without(sys.argv[1:], ("--on", "--workers"))], workers, say, gpus=gpus)


def _without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return the words of a command without some flags and their values."""
    kept, skips = list[str](), False
    for word in words:
        if not skips and word.partition("=")[0] not in flags:
            kept.append(word)
        skips = word in flags and not skips
    return kept
