"""What was saved before the inside of the package was rearranged opens, verifies, predicts and goes on as it did then.

`tools/make_saved_fixtures.py` has saved runs, model files, a store and a cache with commit 4e1d92b, and written down
what that version said of them (`saved/4e1d92b/said.json`) and what computed it (`made.json`). Where the build and the
CPU are those, every number is the same to the last bit; elsewhere numbers agree to a millionth. How a sentence reads
may change; that there is one may not. Only what users type or import is used here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

SAVED = next(found for above in Path(__file__).parents if (found := above / "saved" / "4e1d92b").is_dir())
SAID = json.loads((SAVED / "said.json").read_text("utf-8"))
MADE = json.loads((SAVED / "made.json").read_text("utf-8"))
HERE = Path("/proc/self/cwd")
RERUN = ["verify", "runs/linear", "--rerun"]
PICTURES = ("few/Dress/0.png", "few/Pullover/0.png", "noise.png")
READ = [asked for asked in SAID["read"] if asked["typed"] != RERUN]

CLOSE = 1e-6  # of what is saved, where another build or CPU computes it
PROSE = {"advice", "effect_of_looking", "error", "fix", "line", "message", "note", "reason", "stopped"}
PROSE |= {"chosen", "stopped_because", "verdict"}
ANSWERS = ("not sure", "none of these")  # words that programs look for
OF_EACH_TIME = {"seconds", "sha256"}  # the second is of a whole file, with its prose
VERSIONS = {"sevensteps", "torch", "numpy", "python", "machine", "cpu_capability"}  # as a run records them

# Commands typed one after the other in one process, which imports PyTorch once: each is `python -m sevensteps ...`.
TYPE_ALL = """
import contextlib, io, json, runpy, sys, traceback
for words in json.load(sys.stdin):
    sys.argv, out = ["sevensteps", *words, "--json"], io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module("sevensteps", run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        code = traceback.format_exc()
    print(json.dumps([code, out.getvalue()]), flush=True)
"""

# The runs name their pictures by Linux's name for the folder that a program runs in, and no machine's own path.
pytestmark = pytest.mark.skipif(not HERE.is_dir(), reason="the saved runs have their pictures under /proc/self/cwd")

Cached = tuple[dict[Path, bytes], list[tuple[Any, Any]]]  # what the cache held, and the answers
Typed = tuple[Path, list[tuple[Any, Any]]]  # the folder, and the exit code and the answer of each command


# What is asked


def type_all(commands: list[list[str]], cwd: Path) -> list[tuple[Any, Any]]:
    """Type commands in a folder with a cache and a ledger of its own; give the exit code and the answer of each."""
    environment = {**os.environ, "SEVENSTEPS_CACHE": str(cwd / "cache"), "SEVENSTEPS_STATE": str(cwd / "state")}
    done = subprocess.run(
        [sys.executable, "-c", TYPE_ALL],
        input=json.dumps(commands),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [(code, json.loads(out) if out else None) for code, out in found]


def copy_of_saved(folder: Path) -> Path:
    """Copy all that was saved, so that nothing in the repository can be written to."""
    return Path(shutil.copytree(SAVED, folder / "saved"))


def is_same_build() -> bool:
    """Say whether what computes here is what has computed then."""
    import scipy
    import torch

    here = {
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pillow": PIL.__version__,
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "processor": processor(),
    }
    same_python = MADE["python"].split(".")[:2] == platform.python_version().split(".")[:2]  # sums differ between these
    return same_python and here == {name: MADE[name] for name in here}


def processor() -> str:
    """Give the maker, family and model of the CPU: libraries choose their loops by these, too."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    said = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    return " ".join(said.get(name, "") for name in ("vendor_id", "cpu family", "model"))


# How answers are compared


def differences(before: Any, now: Any, within: float, key: str = "", where: str = "") -> list[str]:
    """List what was said before and is another now, or gone; what is said besides now is none of it."""
    if key in OF_EACH_TIME or (key in PROSE and before not in ANSWERS):
        same = type(now) is type(before) and bool(now) == bool(before)
        return [] if same else [f"{where}: {before!r:.80} became {now!r:.80}"]
    if isinstance(before, dict) and isinstance(now, dict):
        lost = [f"{where}.{name} is gone" for name in before if name not in now]
        kept = [name for name in before if name in now]
        return lost + [
            found for name in kept for found in differences(before[name], now[name], within, name, f"{where}.{name}")
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            found
            for place, (old, new) in enumerate(zip(before, now, strict=True))
            for found in differences(old, new, within, key, f"{where}[{place}]")
        ]
    same = type(before) is type(now) and before == now
    if isinstance(before, float) and isinstance(now, float):
        same = abs(before - now) <= within * max(1.0, abs(before))
    return [] if same else [f"{where}: {before!r:.80} became {now!r:.80}"]


def same_arrays(before: dict[str, np.ndarray], now: dict[str, np.ndarray], within: float) -> bool:
    """Say whether tensors have the same names, kinds and numbers."""
    return before.keys() == now.keys() and all(
        of.dtype == now[name].dtype
        and (np.allclose(of, now[name], rtol=within, atol=within) if within else of.tobytes() == now[name].tobytes())
        for name, of in before.items()
    )


def facts_of(file: Path) -> Any:
    """Give what a safetensors file of ours says beside its tensors; the recipe within it as a table."""
    with safe_open(file, "np") as opened:
        facts = json.loads(opened.metadata()["sevensteps"])
    return {**facts, "recipe": settings_of(facts["recipe"])} if "recipe" in facts else facts


def settings_of(recipe: str) -> dict[str, Any]:
    """Give a run's recipe as a table, without the versions that it was made with."""
    table = tomllib.loads(recipe)
    table["recorded"] = {name: value for name, value in table["recorded"].items() if name not in VERSIONS}
    return table


def lines_of(file: Path) -> list[Any]:
    """Give the lines of JSON of a file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


# Read


@pytest.fixture(scope="module")
def within() -> float:
    """How far numbers may be apart: not at all where the build and the CPU are those of then."""
    return 0.0 if is_same_build() else CLOSE


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """A copy in which everything was asked that changes nothing, and the answers."""
    folder = copy_of_saved(tmp_path_factory.mktemp("read"))
    return folder, type_all([asked["typed"] for asked in [*READ, {"typed": RERUN}]], folder)


@pytest.mark.parametrize("place", range(len(READ)), ids=[" ".join(asked["typed"]) for asked in READ])
def test_what_is_said_of_it_is_what_was_said(opened: Typed, within: float, place: int) -> None:
    code, said = opened[1][place]
    # Ten times as far: a single gradient, which `xray` shows, is less sure than what training makes of many.
    assert (code, differences(READ[place]["said"], said, 10 * within)) == (READ[place]["code"], [])


def test_a_run_trained_again_gives_the_same_bytes(opened: Typed, within: float) -> None:
    code, said = opened[1][-1]
    again = [check for check in said["checks"] if check["name"].endswith("of a second run")]
    others = [check for check in said["checks"] if check not in again]
    assert len(again) == 2
    assert all(check["passed"] for check in others)
    assert len(others) >= 5
    if not within:
        assert code == 0
        assert all(check["passed"] for check in again)


def test_reading_it_rewrites_nothing(opened: Typed) -> None:
    folder, _ = opened
    before, now = ({path.relative_to(of): path for path in of.rglob("*") if path.is_file()} for of in (SAVED, folder))
    # The ledger counts a model that is judged for the first time, and the cache notes which store is whole.
    expected = {path for path in now if path.name == ".lock" or path.parts[:2] == ("cache", "stores")}
    assert now.keys() - expected == before.keys()
    changed = [path for path in before if before[path].read_bytes() != now[path].read_bytes()]
    assert [str(path) for path in changed if path.parts[0] != "state"] == []


# Gone on with


@pytest.fixture(scope="module")
def gone_on(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """A copy in which runs were gone on with, and the answers."""
    folder = copy_of_saved(tmp_path_factory.mktemp("resumed"))
    return folder, type_all([asked["typed"] for asked in SAID["resumed"]], folder)


RESUMED = pytest.mark.parametrize("name", ["cut", "linear"])


@RESUMED
def test_a_run_that_is_gone_on_with_says_what_it_said(gone_on: Typed, within: float, name: str) -> None:
    (place,) = [place for place, asked in enumerate(SAID["resumed"]) if asked["typed"][1] == f"runs/{name}"]
    code, said = gone_on[1][place]
    assert (code, differences(SAID["resumed"][place]["said"], said, within)) == (0, [])


@RESUMED
def test_a_run_that_is_gone_on_with_ends_the_same(gone_on: Typed, within: float, name: str) -> None:
    before, now = SAVED / "resumed" / name, gone_on[0] / "runs" / name
    if not within:
        for file in ("model.safetensors", "history.jsonl", "predictions.jsonl"):
            assert (before / file).read_bytes() == (now / file).read_bytes(), file
    for file in ("model.safetensors", "checkpoint.safetensors"):
        assert same_arrays(load_file(before / file), load_file(now / file), within), file
        assert differences(facts_of(before / file), facts_of(now / file), within) == [], file
    for file in ("history.jsonl", "predictions.jsonl"):
        assert differences(lines_of(before / file), lines_of(now / file), within) == [], file
    recipes = [settings_of((of / "recipe.toml").read_text("utf-8")) for of in (before, now)]
    assert differences(recipes[0], recipes[1], within) == []
    judged = [json.loads((of / "judgement.json").read_text("utf-8")) for of in (before, now)]
    for judgement in judged if within else ():
        del judgement["files"]  # digests of files that are the same to a millionth
    assert differences(judged[0], judged[1], within) == []


# Imported


@pytest.mark.parametrize("model", ["exported.safetensors", "resumed/cut"])
def test_a_learner_loads_and_predicts_the_same(model: str) -> None:
    import sevensteps as ss

    (asked,) = [of for of in SAID["read"] if of["typed"][:2] == ["predict", model]]
    learn = ss.load_learner(SAVED / model)
    answers = [answer for answer in asked["said"]["results"] if "error" not in answer]
    assert len(answers) == 3
    for answer in answers:
        name, label, shares = learn.predict(SAVED / answer["file"])
        assert (name, learn.classes[label]) == (answer["class"], answer["class"])
        assert shares.tolist() == pytest.approx([*answer["probabilities"].values()], abs=CLOSE)


def test_a_learner_that_was_saved_whole_goes_on(within: float) -> None:
    import sevensteps as ss

    learn = ss.Recipe.load("relu").replace(width=4, batch_size=16).learner(ss.load(SAVED / "pictures.zip"))
    learn.load(SAVED / "learner.safetensors")
    learn.fit(1, show=False)
    shares = [learn.predict(SAVED / file)[2].tolist() for file in PICTURES]
    assert differences(SAID["learner"], {"values": learn.recorder.values, "probabilities": shares}, within) == []


def test_a_store_holds_the_very_pictures() -> None:
    import sevensteps as ss

    def named(*of_splits: Any) -> dict[str, tuple[str, bytes]]:
        return {
            name: (images.classes[label], pixels.tobytes())
            for images in of_splits
            for name, label, pixels in zip(images.ids, images.labels.tolist(), images.pixels, strict=True)
        }

    source, store = ss.load(SAVED / "pictures.zip"), ss.load(SAVED / "pictures.store")
    assert (len(store.train), len(store.valid), len(store.test)) == (108, 12, 48)
    assert named(store.train, store.valid) == named(source.train)
    assert named(store.test) == named(source.test)


# Cached


@pytest.fixture(scope="module")
def from_cache(tmp_path_factory: pytest.TempPathFactory) -> Cached:
    """What the cache held, marked so that it is seen in the answers where they come from there; and the answers."""
    folder = copy_of_saved(tmp_path_factory.mktemp("cached"))
    for file in (folder / "cache" / "audits").iterdir():
        audit = json.loads(file.read_bytes())
        if audit["told_apart"]:
            file.write_text(json.dumps({**audit, "told_apart": {**audit["told_apart"], "area": 0.123}}))
    for file in (folder / "cache" / "baselines").iterdir():
        answers = json.loads(file.read_bytes())
        wrong = [1 - label for label in answers["pixel similarity"]]
        file.write_text(json.dumps({**answers, "pixel similarity": wrong}))
    put_decoded_in_place(folder)
    held = {path: path.read_bytes() for path in (folder / "cache").rglob("*") if path.is_file()}
    source = str(HERE / "pictures.zip")
    train = ["train", source, "--recipe", "linear", "--epochs", "1", "--out", "runs/new"]
    return held, type_all([["data", "pictures.zip"], train, SAID["decoded"]["typed"]], folder)


def put_decoded_in_place(folder: Path) -> None:
    """Make a source of what the cache holds decoded: files of these names, which are no pictures any more.

    What is kept is found by the place of its source, and holds for files of the same size and times; neither can be
    those of another machine, so these are put in, as 4e1d92b wrote them.
    """
    (index,) = (folder / "cache" / "decoded").glob("*.index")
    head, _, body = index.read_bytes().partition(b"\n")
    facts = json.loads(head)
    numbers = np.frombuffer(body, np.int64, 6 * facts["count"]).reshape(2, -1, 3).copy()
    for place, name in enumerate(body[numbers.nbytes :].decode().split("\0")):
        file = folder / "wide" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no picture")
        status = file.stat()
        numbers[0, place] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    body = numbers.tobytes() + body[numbers.nbytes :]
    key = repr((os.path.realpath(folder / "wide"), 8, "letterbox", facts["version"], PIL.__version__))
    stem = index.with_name(hashlib.sha256(os.fsencode(key)).hexdigest()[:24])
    index.with_suffix(".pixels").rename(stem.with_suffix(".pixels"))
    index.unlink()
    stem.with_suffix(".index").write_bytes(json.dumps({**facts, "checksum": zlib.crc32(body)}).encode() + b"\n" + body)


def test_an_audit_in_the_cache_is_used(from_cache: Cached) -> None:
    code, said = from_cache[1][0]
    assert (code, said["train_against_test"]["auc"]) == (0, 0.123)


def test_baselines_in_the_cache_are_used_and_the_ledger_goes_on(from_cache: Cached) -> None:
    code, said = from_cache[1][1]
    (asked,) = [of for of in SAID["read"] if of["typed"] == ["judge", "runs/linear"]]
    right = {name: score["correct"] for name, score in asked["said"]["baselines"].items()}
    right["pixel similarity"] = 48 - right["pixel similarity"]
    assert (code, {name: score["correct"] for name, score in said["baselines"].items()}) == (0, right)
    (looks,) = json.loads((SAVED / "state" / "looks.json").read_bytes()).values()
    assert said["test_looks"] == len(looks) + 1 == 3


def test_decoded_pictures_in_the_cache_are_used(from_cache: Cached, within: float) -> None:
    code, said = from_cache[1][2]
    assert (code, differences(SAID["decoded"]["said"], said, within)) == (0, [])
    assert said["bad_files"] == []


def test_what_the_cache_holds_is_not_written_again(from_cache: Cached) -> None:
    held, _ = from_cache
    (cache,) = {path.parents[1] for path in held}
    now = [path for kind in ("audits", "baselines", "decoded") for path in (cache / kind).iterdir() if path.is_file()]
    assert {path for path in now if path.name != ".lock"} == held.keys()
    assert [path.name for path, content in held.items() if path.read_bytes() != content] == []
