"""The way in for `sevensteps` and `python -m sevensteps`: the version at once, everything else by the command line."""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> None:
    """Run the command line and leave with its exit code: 130 when interrupted, 143 when terminated."""
    if sys.argv[1:] == ["--version"]:  # answered without importing anything
        from .base.version import __version__

        print(__version__)
        return
    import signal

    signal.signal(signal.SIGTERM, _interrupt)
    # Read when torch is imported: threads spin for a moment, and then give their core away, so that a network trains
    # well alone and beside another program (docs/decisions/0004-waiting-threads.md).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        from .cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt as interrupt:
        number, *folder = interrupt.args or (signal.SIGINT,)
        code = 128 + number
        _say_interrupted(folder, "--json" in sys.argv)
    sys.exit(code)


def _interrupt(number: int, frame: Any) -> None:
    """End as Ctrl-C does, and remember which signal it was."""
    raise KeyboardInterrupt(number)


def _say_interrupted(folder: list[str], as_json: bool) -> None:
    """A line, and what to type to go on, also while the command line itself is still being imported."""
    message = "Interrupted before it was done; every file that was written is whole."
    hint = f"sevensteps resume {folder[0]}" if folder else ""
    if as_json:
        import json

        print(json.dumps({"error": {"code": "interrupted", "message": message, "hint": hint}}))
    else:
        print(f"sevensteps: {message}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)


if __name__ == "__main__":
    main()
