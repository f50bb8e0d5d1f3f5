"""The way in for `sevensteps` and `python -m sevensteps`: the version at once, everything else by the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] == ["--version"]:  # answered without importing anything
        from . import __version__

        print(__version__)
        return
    from .cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
