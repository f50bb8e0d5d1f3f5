"""Write the program's own output into README.md and docs/*.md, between their markers, and its figures into docs/images.

    python tools/make_readme.py

`tests/test_readme.py` compares these pages with what the program prints.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from sevensteps.base import files
from sevensteps.jobs.report import write_report

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- output: (?P<command>[^>]*) -->\n```\n)(?P<output>.*?)(```\n<!-- end -->)", re.DOTALL)
SECONDS = re.compile(r"\d+\.\d\d s\b")


def output_of(command: str) -> str:
    """Return what `sevensteps …` prints to a pipe 100 columns wide, results and progress, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=folder,
            env={
                **os.environ,
                "COLUMNS": "100",
                "PATH": str(Path(sys.executable).parent),
                # A new user's machine: nothing was counted or cached before.
                "SEVENSTEPS_STATE": str(Path(folder) / "state"),
                "SEVENSTEPS_CACHE": str(Path(folder) / "cache"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # the table of epochs
            text=True,
            check=True,
        )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.strip().splitlines())


def filled(page: str) -> str:
    """Return a page with the output of every block written again, unless only times have changed."""

    def written(block: re.Match[str]) -> str:
        output = output_of(block["command"])
        is_same = SECONDS.sub("", output) == SECONDS.sub("", block["output"])
        return block[0] if is_same else block[1] + output + block[4]

    return BLOCK.sub(written, page)


def make_figures() -> None:
    """Write the figures of the first job that the README shows."""
    images = ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sevensteps", "train", "--plots", "--out", "pullover-dress-linear-1"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        run = Path(folder) / "pullover-dress-linear-1"
        for name in ("weights.png", "mistakes.png"):
            files.write(images / name, (run / name).read_bytes())
        files.write(images / "report.png", screenshot(write_report(run), Path(folder)))


def screenshot(page: Path, folder: Path) -> bytes:
    """Return the top of a page as a browser shows it, as a PNG with few colors. This needs Debian's chromium."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1240"]
    shot = folder / "shot.png"
    where = [f"--user-data-dir={folder / 'profile'}", f"--screenshot={shot}", page.as_uri()]
    subprocess.run(["chromium", *flags, *where], capture_output=True, check=True)
    small = io.BytesIO()
    Image.open(shot).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    """Write the pages and the figures again."""
    for page in PAGES:
        files.write(page, filled(page.read_text("utf-8")))
    make_figures()
    subprocess.run([sys.executable, str(ROOT / "tools" / "make_studio_pictures.py")], check=True)


if __name__ == "__main__":
    main()
