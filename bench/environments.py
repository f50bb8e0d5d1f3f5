"""The virtual environments in which the peers of `speed.py` run: created when first needed, kept between runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

TORCH = "torch==2.13.0"
NUMPY = "numpy==2.4.6"
# What pip installs, by the name of an environment. Pip's own settings (pip.conf, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL,
# PIP_FIND_LINKS) decide where it looks, and whether it takes PyTorch's CPU build; the bench hides every accelerator.
# fastai imports torchvision, which fits one release of torch only.
PINS = {
    "scikit-learn": ("scikit-learn==1.9.1", NUMPY),
    "skorch": ("skorch==1.4.0", "scikit-learn==1.9.1", TORCH, NUMPY),
    "lightning": ("lightning==2.6.6", TORCH, NUMPY),
    "keras": ("keras==3.15.1", TORCH, NUMPY),
    "fastai": ("fastai==2.8.12", "torch==2.14.1", "torchvision==0.29.1", NUMPY),
}
OURS = ""  # the environment that the bench itself runs in


def python_of(environment: str, folder: Path) -> str | None:
    """Return the interpreter of an environment below `folder`, creating it if needed; None if pip fails."""
    if environment == OURS:
        return sys.executable
    pins = PINS[environment]
    digest = hashlib.sha256("\n".join((sys.version, *pins)).encode()).hexdigest()[:8]
    home = folder / f"{environment}-{digest}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
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
