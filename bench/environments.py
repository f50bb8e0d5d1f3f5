"""The virtual environments in which other libraries run: created when first needed, kept between runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from platformdirs import user_cache_path

ENVIRONMENTS = user_cache_path("sevensteps-bench", appauthor=False)
TORCH = "torch==2.13.0"
NUMPY = "numpy==2.4.6"
PILLOW = "pillow==13.0.0"  # with which coming_from.py reads picture files
# What pip installs, by the name of an environment. Pip's own settings (pip.conf, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL,
# PIP_FIND_LINKS) decide where it looks, and whether it takes PyTorch's CPU build; the bench hides every accelerator.
# fastai imports torchvision, which fits one release of torch only.
PINS = {
    "scikit-learn": ("scikit-learn==1.9.1", NUMPY),
    "skorch": ("skorch==1.4.0", "scikit-learn==1.9.1", TORCH, NUMPY),
    "lightning": ("lightning==2.6.6", TORCH, NUMPY, PILLOW),
    "keras": ("keras==3.15.1", TORCH, NUMPY, PILLOW, "grain==0.2.18"),
    "fastai": ("fastai==2.8.12", "torch==2.14.1", "torchvision==0.29.1", NUMPY),
}
OURS = ""  # the environment that the bench itself runs in


def python_of(environment: str, folder: Path) -> str | None:
    """Return the interpreter of an environment below `folder`, creating it if needed; None if pip fails."""
    if environment == OURS:
        return sys.executable
    pins = PINS[environment]
    home, python = _places(environment, folder)
    finished = home / "finished"  # written last, so that an unfinished environment is created again
    if not finished.exists():
        print(f"creating the environment of {environment} in {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(home)],
            [str(python), "-m", "pip", "install", "--quiet", *pins],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
                print(f"skipping {environment}: {', '.join(pins)}: {errors[-1]}", file=sys.stderr, flush=True)
                return None
        finished.write_text("\n".join(pins) + "\n")
    return str(python)


def python_made(environment: str, folder: Path) -> str | None:
    """Return the interpreter of an environment below `folder`; None if it has not been created."""
    if environment == OURS:
        return sys.executable
    home, python = _places(environment, folder)
    return str(python) if (home / "finished").exists() else None


def _places(environment: str, folder: Path) -> tuple[Path, Path]:
    """Return the folder of an environment, and its interpreter."""
    digest = hashlib.sha256("\n".join((sys.version, *PINS[environment])).encode()).hexdigest()[:8]
    home = folder / f"{environment}-{digest}"
    return home, home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
