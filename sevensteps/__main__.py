"""The way in for `sevensteps` and `python -m sevensteps`: the version at once, everything else by the command line."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code: 130 when interrupted, 143 when terminated."""
    from .cli.output import failure_of, guard_streams

    guard_streams()
    if sys.argv[1:] == ["--version"]:  # answered without importing more
        from .base.version import __version__

        print(__version__)
        sys.exit(0 if failure_of(sys.stdout) is None else 1)
    from .base import interrupts

    interrupts.terminate_like_ctrl_c()
    # Read when torch is imported: threads spin for a moment, and then give their core away, so that a network trains
    # well alone and beside another program (docs/decisions/0004-waiting-threads.md).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        from .cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt as interrupted:
        code = 128 + interrupts.signal_of(interrupted)
        is_before = interrupts.is_before_training(interrupted)
        _say_interrupted(interrupts.folder_of(interrupted), is_before, "--json" in sys.argv)
    sys.exit(code)


def _say_interrupted(folder: str, is_before: bool, as_json: bool) -> None:
    """Print a line and the command that goes on, also while the command line itself is still being imported."""
    message = "Interrupted before it was done; every file that was written is whole."
    if is_before:
        message = "Stopped before training began. Features that were computed are kept."
    hint = f"sevensteps resume {folder}" if folder else ""
    if as_json:
        import json

        print(json.dumps({"error": {"code": "interrupted", "message": message, "hint": hint}}))
    else:
        print(f"sevensteps: {message}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)


if __name__ == "__main__":
    main()
