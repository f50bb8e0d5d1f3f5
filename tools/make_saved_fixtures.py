"""Make what `tests/test_saved_before.py` opens: runs, model files, a store and a cache, as one version saves them.

Used once, at commit 4e1d92b, the last one before the inside of the package was rearranged: what users saved with it
must open, verify, predict and go on with every version since. It makes them with whatever sevensteps Python imports,
so to make those of another commit, put a checkout of that commit first:

    PYTHONPATH=CHECKOUT python tools/make_saved_fixtures.py tests/saved/COMMIT

It types commands and uses public names only. Runs record where their pictures are; here that is a path under
/proc/self/cwd, Linux's name for the folder that a program runs in, so that the fixtures can be copied anywhere and hold
no path of the machine that made them. The pictures are some of the embedded pullovers and dresses, made smaller.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sevensteps as ss

HERE = "/proc/self/cwd"
ZIP, FEW, FIX = f"{HERE}/pictures.zip", f"{HERE}/few", f"{HERE}/corrections.csv"
FILES = ("few/Dress/0.png", "few/Pullover/0.png", "noise.png", "few/Dress/broken.png")
# Batches, of 6 an epoch: within epoch 10, when epoch 8 is the best, patience is running out and a finding is open.
LEFT_AFTER = 57
CUT: dict[str, Any] = {
    "recipe": "cnn",
    "fix": FIX,
    "hold_out": 0.2,
    "batch_size": 16,
    "augment": "photos+rotate+cutout+mixup",
    "balance": "sampling",
    "width": 2,
    "test_time_flip": True,
    "optimizer": "Muon",
    "lr": 0.05,
    "schedule": "cosine",
    "clip": 1.0,
    "epochs": 16,
    "stop_patience": 3,
    "keep": "best",
    "seed": 1,
    "threads": 1,
    "checkpoint_every": "1 batch",
}
# Made in this order, and not repeated by the test.
MADE: tuple[tuple[str, ...], ...] = (
    ("train", ZIP, "--recipe", "linear", "--out", "runs/linear"),
    ("train", ZIP, "--recipe", "relu", "--width", "4", "--lr", "3", "--epochs", "6", "--out", "runs/relu"),
    ("train", FEW, "--recipe", "linear", "--epochs", "3", "--bad-files", "skip", "--folds", "3", "--out", "runs/folds"),
    ("prepare", ZIP, "--out", "pictures.store"),
)
# What is typed that changes nothing; what it answers is kept, and asked for again by the test.
READ: tuple[tuple[str, ...], ...] = (
    ("runs",),
    *(("verify", f"runs/{name}") for name in ("linear", "relu", "folds", "cut")),
    *(("verify", name) for name in ("resumed/cut", "exported.safetensors", "pictures.store")),
    ("judge", "runs/linear"),
    ("judge", "runs/linear", "--split", "valid", "--clopper-pearson"),
    ("judge", "runs/folds"),
    ("judge", "resumed/cut"),
    *(("doctor", f"runs/{name}") for name in ("linear", "relu", "folds", "cut")),
    ("compare", "runs/linear", "runs/relu", "resumed/cut"),
    ("xray", "runs/relu", "--start"),
    ("xray", "runs/linear", "--picture", "2"),
    ("xray", "runs/cut", "--picture", "2"),
    *(("predict", model, *FILES) for model in ("runs/linear", "runs/folds", "resumed/cut", "exported.safetensors")),
    ("data", "pictures.zip"),
    ("data", "pictures.zip", "--fix", "corrections.csv"),
    ("data", "few"),
    ("data", "pictures.store"),
    ("verify", "runs/linear", "--rerun"),
)
OF_NO_USE = shutil.ignore_patterns("checkpoint.previous.safetensors", "timings.jsonl", ".lock")
# What goes on with a run, in a copy.
RESUMED = (("resume", "runs/cut"), ("resume", "runs/linear", "--epochs", "2"))


class Enough(Exception):  # noqa: N818  not an error
    """What an observer raises to leave a run as a kill leaves it."""


def main(target: Path) -> None:
    """Write all fixtures into a folder, which must not be there yet."""
    target = target.absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ |= {"SEVENSTEPS_CACHE": "cache", "SEVENSTEPS_STATE": "state"}
        make_pictures()
        for words in MADE:
            typed(*words)
        leave_a_run(Path("runs/cut"))
        answers = make_learner()
        kept = make_decoded()
        for words in READ:  # once, so that what is found out about the pictures is in the cache from here on
            if words[0] == "data":
                typed(*words)
        looks = Path("state/looks.json").read_bytes()
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(".", copy, dirs_exist_ok=True)
            with contextlib.chdir(copy):
                resumed = [answer(*words) for words in RESUMED]
            for name in ("cut", "linear"):
                shutil.copytree(Path(copy, "runs", name), Path("resumed", name), ignore=OF_NO_USE)
        said = {"read": [answer(*words) for words in READ], "resumed": resumed, "decoded": kept, "learner": answers}
        Path("state/looks.json").write_bytes(looks)  # before the runs that went on were judged
        write_json(Path("said.json"), said)
        write_json(Path("made.json"), surroundings())
        shutil.rmtree("cache/stores")  # which stores of this disk are whole: of no use on another
        for path in Path().rglob(".lock"):
            path.unlink()
        refuse_paths_of_this_machine()
        shutil.copytree(".", target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size:,} bytes")


def make_pictures() -> None:
    """Write a zip with 120 pictures to train on and 48 to test with, a folder of 30 and a broken one, and corrections.

    There is a picture of noise, too, to be predicted.
    """
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    with zipfile.ZipFile("pictures.zip", "w") as archive:
        for split, images, count in (("train", splits.train, 60), ("test", splits.test, 24)):
            for label, name in enumerate(images.classes):
                for number, row in enumerate(np.flatnonzero(images.labels == label)[:count].tolist()):
                    archive.writestr(zipfile.ZipInfo(f"{split}/{name}/{number}.png"), png(images.pixels[row, 0], 12))
    for label, name in enumerate(splits.classes):
        folder = Path("few", name)
        folder.mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(splits.train.labels == label)[100:115].tolist()):
            (folder / f"{number}.png").write_bytes(png(splits.train.pixels[row, 0], 10))
    Path("few/Dress/broken.png").write_bytes(Path("few/Dress/0.png").read_bytes()[:60])
    noise = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    Path("noise.png").write_bytes(png(noise, 12))
    rows = ("picture,now,was,why", "train/Dress/3.png,Pullover,Dress,a look", "train/Pullover/7.png,,Pullover,blurred")
    Path("corrections.csv").write_text("\n".join(rows) + "\n")


def png(pixels: np.ndarray, side: int) -> bytes:
    """Give the bytes of a picture made so many pixels a side."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX).save(file, "png", optimize=True)
    return file.getvalue()


def leave_a_run(folder: Path) -> None:
    """Train a run with much state, and leave it within an epoch."""
    seen: list[ss.Batch] = []

    def observe(event: Any) -> None:
        if isinstance(event, ss.Batch):
            seen.append(event)
            if len(seen) > LEFT_AFTER:
                raise Enough

    with contextlib.suppress(Enough):
        ss.train(ZIP, out=folder, observe=observe, **CUT)
        raise RuntimeError("The run came to its end before it was left.")


def make_learner() -> dict[str, Any]:
    """Save a learner whole, export its model, and give what the next epoch brings and what it answers then."""
    import torch

    torch.set_num_threads(1)
    learn = ss.Recipe.load("relu").replace(width=4, batch_size=16).learner(ss.load("pictures.zip"))
    learn.fit(2, show=False)
    learn.save("learner.safetensors")
    learn.export("exported.safetensors")
    learn.fit(1, show=False)
    return {"values": learn.recorder.values, "probabilities": [learn.predict(file)[2].tolist() for file in FILES[:3]]}


def make_decoded() -> dict[str, Any]:
    """Have decoded pictures kept in the cache, which is done where decoding takes half a second or more.

    The pictures are large and nearly empty; they are not among the fixtures.
    """
    drawn = np.random.default_rng(1)
    for name in ("bars", "boxes"):
        folder = Path("wide", name)
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = np.zeros((6000, 6000), dtype=bool)
            left, top = drawn.integers(0, 3000, 2).tolist()
            pixels[top : top + 3000, left : left + (500 if name == "bars" else 3000)] = True
            Image.fromarray(pixels).save(folder / f"{number}.png", optimize=True)
    words = ("data", "wide", "--size", "8")
    typed(*words)
    if not list(Path("cache/decoded").glob("*.pixels")):
        raise RuntimeError("Decoding was too quick to be kept: make the pictures larger.")
    said = answer(*words)
    shutil.rmtree("wide")
    return said


def typed(*words: str) -> tuple[int, str]:
    """Type a command, with --json, and give its exit code and what it said on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "sevensteps", *words, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}")
    return done.returncode, done.stdout


def answer(*words: str) -> dict[str, Any]:
    """Give what was typed, its exit code, and its answer."""
    code, out = typed(*words)
    return {"typed": words, "code": code, "said": json.loads(out)}


def surroundings() -> dict[str, str]:
    """Give what the numbers were computed by: where all of it is the same, so is every byte."""
    import safetensors
    import scipy
    import torch
    from PIL import __version__ as pillow

    return {
        "sevensteps": ss.__version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pillow": pillow,
        "safetensors": safetensors.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
    }


def processor() -> str:
    """Give the maker, family and model of the CPU: libraries choose their loops by these, too."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    said = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    return " ".join(said.get(name, "") for name in ("vendor_id", "cpu family", "model"))


def write_json(path: Path, said: Any) -> None:
    """Write a value a line at the first two levels: small, and differences can be seen."""
    parts = []
    for name, value in said.items():
        rows = ",\n  ".join(json.dumps(row) for row in value) if isinstance(value, list) else ""
        parts.append(f"{json.dumps(name)}: " + (f"[\n  {rows}\n ]" if rows else json.dumps(value)))
    path.write_text("{\n " + ",\n ".join(parts) + "\n}\n")


def refuse_paths_of_this_machine() -> None:
    """Raise if a file names a folder of this machine."""
    ours = {str(Path.cwd()), str(Path(__file__).parent.parent), str(Path.home()), str(Path(ss.__file__).parent.parent)}
    for path in files_in(Path()):
        content = path.read_bytes()
        if found := [name for name in sorted(ours) if name.encode() in content]:
            raise RuntimeError(f"{path} names {found[0]}.")


def files_in(folder: Path) -> Iterator[Path]:
    """Give every file below a folder."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
