"""Write the program's own output into the README, between its markers, and its figures into docs/images.

    python tools/make_readme.py

`tests/test_readme.py` holds the README against what the program says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from sevensteps import files

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- output: (?P<command>[^>]*) -->\n```\n)(?P<output>.*?)(```\n<!-- end -->)", re.DOTALL)


def output_of(command: str) -> str:
    """What `sevensteps …` prints to a pipe 100 columns wide, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=folder,
            env={
                **os.environ,
                "COLUMNS": "100",
                "PATH": str(Path(sys.executable).parent),
                "SEVENSTEPS_STATE": str(Path(folder) / "state"),  # nobody has looked at the test pictures yet
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.strip().splitlines())


def filled(readme: str) -> str:
    """The README with every block of output made anew."""
    return BLOCK.sub(lambda block: block[1] + output_of(block["command"]) + block[4], readme)


def make_figures() -> None:
    """The figures of the first job that the README shows."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sevensteps", "train", "--plots", "--out", "run"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        for name in ("weights.png", "mistakes.png"):
            files.write(README.parent / "docs" / "images" / name, (Path(folder) / "run" / name).read_bytes())


def main() -> None:
    """Replace the README and the figures."""
    files.write(README, filled(README.read_text("utf-8")))
    make_figures()


if __name__ == "__main__":
    main()
