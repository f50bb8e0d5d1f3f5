"""Stores: sets larger than memory in one file, the same pictures, each once in an epoch, and no unnoticed damage."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import images
from typed import Done, error_in, here, refused, sevensteps, start, three_classes, write_idx

import sevensteps as ss
from reliability import disk
from sevensteps.data.batches import Batches, DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.data.sources.load import load, load_streams
from sevensteps.data.store.blocks import Blocks
from sevensteps.data.store.prepare import prepare
from sevensteps.data.store.store import open_store, verify_store
from sevensteps.data.store.streams import of_splits
from sevensteps.errors import DataError, FileError
from sevensteps.recipes.recipe import Recipe
from sevensteps.records.events import Batch

SET = Splits(images(1000, (2, 5, 7), 3), replace(images(60, (2, 5, 7), 3, seed=2), origin="test"), source="made up")
AT_ONCE = 7000  # bytes: a hundred pictures of that set, so that there are eleven chunks and ten buckets


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of the source."""
    target = tmp_path_factory.mktemp("store") / "x.store"
    prepare(of_splits(SET), target, at_once=AT_ONCE)
    return target


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """Return a copy of the store that a test may damage."""
    return Path(shutil.copy(path, tmp_path / "copy.store"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write IDX files with 300 training pictures and 60 test pictures."""
    return three_classes(tmp_path_factory.mktemp("source") / "three")


def parts(splits: Splits) -> dict[str, Images]:
    """Return the splits that exist."""
    return {name: of_one for name in ("train", "valid", "test") if (of_one := getattr(splits, name)) is not None}


# What is in it


def test_a_store_has_the_pictures_of_its_source_and_the_same_held_out(path: Path) -> None:
    found, kept = open_store(path), SET.hold_out()
    assert (found.classes, found.source, found.train.shape) == (SET.classes, "made up", (2, 5, 7))
    for name in ("test", "valid"):
        assert parts(found)[name].fingerprint == parts(kept)[name].fingerprint
        assert parts(found)[name].ids == parts(kept)[name].ids
    assert sorted(found.train.rows) == kept.train.rows.tolist()
    again = SET.train.take(np.array(found.train.rows))
    assert found.train.fingerprint == again.fingerprint
    assert found.train.ids == again.ids
    np.testing.assert_array_equal(found.train.pixels, again.pixels)
    assert found.train.sums == again.sums


def test_its_training_pictures_are_in_a_random_order_that_the_seed_gives(tmp_path: Path) -> None:
    orders = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(of_splits(SET), tmp_path / name, seed=seed, at_once=AT_ONCE)
        orders.append(open_store(tmp_path / name).train.rows.tolist())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert orders[0] != orders[2]
    assert 0.45 < (np.diff(orders[0]) > 0).mean() < 0.55  # of neighbors either may be the later one in the source
    assert abs(np.mean(orders[0][:90]) - 500) < 120  # and a tenth of the file is from all over it


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_go_by_as_they_would_be_loaded(source: Path, tmp_path: Path, zipped: bool) -> None:
    import gzip

    for file in source.iterdir():
        content = file.read_bytes()
        (tmp_path / f"{file.name}{'.gz' * zipped}").write_bytes(gzip.compress(content) if zipped else content)
    target = tmp_path / "three.store"
    prepare(load_streams(tmp_path), target, at_once=1000, classes=("2", "0"))
    found, kept = load(target), load(tmp_path, ["2", "0"]).hold_out()
    assert found.classes == ("2", "0")
    for name, of_one in parts(kept).items():
        assert sorted(parts(found)[name].ids) == sorted(of_one.ids)
        stored = parts(found)[name]
        place = {row: number for number, row in enumerate(stored.rows.tolist())}
        taken = stored.take(np.array([place[row] for row in of_one.rows.tolist()]))
        assert taken.fingerprint == of_one.fingerprint


def test_test_pictures_are_held_out_where_there_are_none_as_training_would(tmp_path: Path) -> None:
    write_idx(tmp_path / "one", "train", np.arange(300) % 3)
    prepare(load_streams(tmp_path / "one"), tmp_path / "one.store", at_once=1000)
    stored = ss.train(tmp_path / "one.store", epochs=1)
    loaded = ss.train(tmp_path / "one", epochs=1, folds=1)
    assert stored.tables["test"].ids == loaded.tables["test"].ids
    assert stored.tables["valid"].ids == loaded.tables["valid"].ids


def test_a_slice_is_a_view_and_choosing_the_same_classes_nothing(path: Path) -> None:
    train = open_store(path).train
    assert np.shares_memory(train[5:20].pixels, train.pixels)
    assert train[5:20].ids == train.ids[5:20]
    assert train.choose(train.classes) is train
    chosen = train.choose(["class 2", "class 0"])
    assert chosen.counts == {name: train.counts[name] for name in ("class 2", "class 0")}


def test_what_is_written_to_its_arrays_stays_in_memory(copy: Path) -> None:
    before = copy.read_bytes()
    pixels, labels = open_store(copy).train.tensors
    pixels[:] = 0
    labels[:] = 1
    assert copy.read_bytes() == before


# The order


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file of 400 pictures after a page of other bytes; the two pixels of each encode its number."""
    numbers = np.arange(400)
    file = tmp_path_factory.mktemp("numbered") / "pixels"
    file.write_bytes(bytes(4096) + np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8).tobytes())
    return file


@given(
    count=st.integers(1, 400),
    size=st.integers(1, 70),
    rows=st.integers(1, 50),
    window=st.integers(1, 400),
    shuffled=st.none() | st.tuples(st.integers(-(2**70), 2**70), st.integers(0, 1000)),
    start=st.integers(0, 30),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_picture_comes_once_in_an_order_that_can_be_entered_anywhere(
    numbered: Path, count: int, size: int, rows: int, window: int, shuffled: Any, start: int
) -> None:
    import zlib

    content = numbered.read_bytes()[4096 : 4096 + 2 * count]
    sums = [zlib.crc32(content[first : first + 2 * rows]) for first in range(0, len(content), 2 * rows)]
    labels = np.arange(count, dtype=np.int64) % 7
    blocks = Blocks(numbered, 4096, (1, 1, 2), labels, rows, np.array(sums, dtype=np.uint32), window)
    batches = [(pixels.copy(), targets) for pixels, targets in blocks.batches(size, 0, shuffled)]
    assert [len(pixels) for pixels, _ in batches[:-1]] == [size] * (len(batches) - 1)
    pixels = np.concatenate([pixels for pixels, _ in batches]).reshape(count, 2).astype(int)
    numbers = pixels[:, 0] * 256 + pixels[:, 1]
    assert sorted(numbers) == list(range(count))
    assert numbers.tolist() == blocks.order(shuffled).tolist()
    assert shuffled is not None or numbers.tolist() == list(range(count))
    np.testing.assert_array_equal(np.concatenate([targets for _, targets in batches]), labels[numbers])
    tail = list(blocks.batches(size, start, shuffled))
    assert len(tail) == len(batches[start:])
    for (_, targets), (_, wanted) in zip(tail, batches[start:], strict=True):
        np.testing.assert_array_equal(targets, wanted)


def test_the_order_of_an_epoch_is_its_seed_and_number_alone(path: Path) -> None:
    one, other = (Batches(open_store(path).train, 64, shuffle=True) for _ in range(2))
    assert one.order(3, 4).tolist() == other.order(3, 4).tolist()
    assert one.order(3, 4).tolist() != one.order(3, 5).tolist()
    assert one.order(3, 4).tolist() != one.order(4, 4).tolist()
    for position, (x, y) in enumerate(one.epoch_batches(3, 4)):
        rows = one.order(3, 4)[64 * position : 64 * (position + 1)]
        np.testing.assert_array_equal(x.numpy(), one.images.pixels[rows].astype(np.float32) / 255)
        assert y.tolist() == one.images.labels[rows].tolist()


def test_leaving_an_epoch_leaves_no_thread(path: Path) -> None:
    batches = Batches(open_store(path).train, 64, shuffle=True).epoch_batches(0, 0)
    next(batches)
    assert any("sevensteps-blocks" in thread.name for thread in threading.enumerate())
    del batches
    assert not any("sevensteps-blocks" in thread.name for thread in threading.enumerate())


# Broken off


KILLED = """
import sys
from pathlib import Path
from reliability import disk
from sevensteps.data.store.prepare import prepare
from sevensteps.data.sources.load import load_streams
source, target, when = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4]
with disk.dying(target.parent, int(sys.argv[3]), when):
    prepare(load_streams(source), target, at_once=4000)
"""


def killed(source: Path, target: Path, at: int, when: str) -> int:
    """Prepare in a process that is killed at a given change of the disk, and return its exit code."""
    arguments = [sys.executable, "-c", KILLED, source, target, str(at), when]
    root = str(Path(__file__).parents[3])
    around = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], root])}
    return subprocess.run(arguments, check=False, env=around).returncode


@pytest.mark.slow
def test_prepare_goes_on_where_it_was_killed_and_comes_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole" / "x.store", tmp_path / "parts" / "x.store"
    with disk.counting(tmp_path / "whole") as seen:
        prepare(load_streams(source), whole, at_once=4000)
    assert len(seen.calls) > 100
    deaths = 0
    for at in (3, 40, 25, 90, 17, 60, 45):  # each time so many calls further on, or within the same chunk again
        for when in ("before", "after")[at % 2 :][:1]:
            deaths += killed(source, target, at, when) == -signal.SIGKILL
    assert deaths >= 5
    if not target.exists():
        told: list[str] = []
        prepare(load_streams(source), target, at_once=4000, say=told.append)
        assert "Continuing" in told[0]
    assert target.read_bytes() == whole.read_bytes()
    assert [file.name for file in target.parent.iterdir()] == ["x.store"]


def test_what_is_done_is_noted_only_when_it_is_on_the_disk(source: Path, tmp_path: Path) -> None:
    with disk.counting(tmp_path) as seen:
        prepare(load_streams(source), tmp_path / "x.store", at_once=4000)
    written = False
    notes = 0
    for call in seen.calls:
        is_part = call.paths[0].endswith(".x.store.part")
        if call.name == "write" and is_part:
            written = True
        if call.name == "fsync" and is_part:
            written = False
        if call.name == "replace":
            notes += 1
            assert not written
    assert notes > 20


def test_what_was_begun_for_something_else_is_begun_anew(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "parts" / "x.store"
    assert killed(source, target, 60, "after") == -signal.SIGKILL
    prepare(load_streams(source), target, at_once=4000, seed=5)
    prepare(load_streams(source), tmp_path / "y.store", at_once=4000, seed=5)
    assert target.read_bytes() == (tmp_path / "y.store").read_bytes()


def test_one_process_at_a_time_writes_a_store(source: Path, tmp_path: Path) -> None:
    def once_more(done: int, total: int) -> None:
        with pytest.raises(FileError, match="another process"):
            prepare(load_streams(source), tmp_path / "x.store")

    prepare(load_streams(source), tmp_path / "x.store", progress=once_more)


# Damaged


def test_every_length_but_its_own_is_noticed(path: Path, copy: Path) -> None:
    whole = path.read_bytes()
    lengths = {*range(0, 700, 7), *range(len(whole) - 20, len(whole)), *range(0, len(whole), 4099)}
    for length in sorted(lengths, reverse=True):
        os.truncate(copy, length)
        with pytest.raises(DataError) as caught:
            open_store(copy)
        assert str(copy) in caught.value.message
        assert caught.value.hint
    copy.write_bytes(whole + b"\0")
    with pytest.raises(DataError, match="too long"):
        open_store(copy)


def test_every_bit_that_flips_is_noticed_or_lies_between_the_parts(path: Path, copy: Path) -> None:
    whole = path.read_bytes()
    random, harmless = np.random.default_rng(0), 0
    places = [*range(0, 900, 13), *random.integers(0, len(whole), 300).tolist()]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << random.integers(8)
        copy.write_bytes(flipped)
        try:
            found = open_store(copy)
        except DataError:
            continue
        harmless += 1
        assert whole[place] == 0
        kept = open_store(path)
        assert {name: of_one.fingerprint for name, of_one in parts(found).items()} == {
            name: of_one.fingerprint for name, of_one in parts(kept).items()
        }
        assert all(check.passed for check in verify_store(copy))
    assert harmless < len(places) / 4  # padding to whole pages, of which so small a store has much


def test_damage_that_left_size_and_time_alone_is_noticed_when_the_block_is_read(copy: Path) -> None:
    splits = open_store(copy)
    status = os.stat(copy)
    with copy.open("r+b") as file:
        file.seek(splits.train.blocks.offset + 12345)  # type: ignore[attr-defined]
        value = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([value[0] ^ 64]))
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = open_store(copy)
    with pytest.raises(DataError, match=r"pictures 0 to 900 .* damaged"):
        list(Batches(again.train, shuffle=True))
    checks = {check.name: check for check in verify_store(copy)}
    assert not checks["pixels of train"].passed
    assert checks["pixels of test"].passed


def test_a_store_that_was_checked_here_is_not_read_through_again(copy: Path) -> None:
    told: list[str] = []
    open_store(copy, told.append)
    assert len(told) == 1
    assert "Checking" in told[0]
    open_store(copy, told.append)
    assert len(told) == 1
    os.utime(copy)
    open_store(copy, told.append)
    assert len(told) == 2


def forged(path: Path, **changes: Any) -> bytes:
    """Return the store's bytes with other facts in its header and a valid checksum."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[8:16], "little")
    facts = json.loads(whole[16 : 16 + length])
    for key, value in changes.items():
        inner = facts
        for part in key.split("__")[:-1]:
            inner = inner[part]
        inner[key.split("__")[-1]] = value
    facts.pop("sha256")
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    facts["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return whole[:8] + struct.pack("<Q", len(text)) + text.encode() + whole[16 + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"splits__train__count": -1},
        {"splits__train__count": 2**63},
        {"splits__train__count": 2**39},
        {"splits__train__count": 900.0},
        {"splits__train__count": True},
        {"splits__train__count": None},
        {"splits__train__tables": 3},
        {"splits__train": {}},
        {"splits": {}},
        {"splits": []},
        {"shape": [0, 5, 7]},
        {"shape": [2, 5]},
        {"shape": [-2, -5, 7]},
        {"shape": [2**39, 2**39, 2**39]},
        {"shape": "257"},
        {"classes": ["a", "a", "b"]},
        {"classes": [1, 2, 3]},
        {"classes": None},
        {"classes": ["class 0", "class 1"]},
        {"source": None},
        {"seed": "0"},
        {"hold_out": []},
        {"format": 2},
        {"more": 1},
    ],
    ids=str,
)
def test_a_header_that_cannot_be_is_refused(path: Path, copy: Path, changes: dict[str, Any]) -> None:
    copy.write_bytes(forged(path, **changes))
    with pytest.raises(DataError):
        open_store(copy)
    assert not all(check.passed for check in verify_store(copy)) or "classes" in changes


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b"\xff", b'{"sha256":[]}'])
def test_a_header_that_is_none_is_refused(copy: Path, text: bytes) -> None:
    copy.write_bytes(b"7STEPS\x00\x01" + struct.pack("<Q", len(text)) + text + bytes(9000))
    with pytest.raises(DataError):
        open_store(copy)


# Trained on


def test_training_can_be_left_and_gone_on_with_anywhere(path: Path) -> None:
    splits, recipe = open_store(path), Recipe.load("linear").replace(batch_size=100, epochs=3)
    whole, left = recipe.learner(splits), recipe.learner(splits)
    whole.fit(show=False)
    for batches in (4, 1, 7, 100):
        for number, event in enumerate(left.stream()):
            if isinstance(event, Batch) and number == batches:
                break
        left.close()
        assert not any("sevensteps-blocks" in thread.name for thread in threading.enumerate())
    for name, tensor in whole.model.state_dict().items():
        assert tensor.equal(left.model.state_dict()[name]), name


def test_loaders_of_a_store_show_and_validate(path: Path) -> None:
    loaders = DataLoaders.from_images(open_store(path), 50, flat=True)
    x, y = loaders.one_batch()
    assert (x.shape, y.shape) == ((50, 70), (50,))
    assert loaders.valid is not None
    assert sum(len(y) for _, y in loaders.valid) == len(open_store(path).valid or ())


@pytest.mark.slow
def test_a_run_on_a_store_that_was_killed_ends_as_if_it_had_not(source: Path, tmp_path: Path) -> None:
    prepare(load_streams(source), tmp_path / "x.store")
    flags = ("x.store", "--epochs", "30", "--batch-size", "8", "--checkpoint-every", "1 epochs")
    whole = sevensteps("train", *flags, "--out", "whole", cwd=tmp_path)
    assert whole.code == 0, whole.err
    process = start("train", *flags, "--out", "cut", cwd=tmp_path)
    while not (tmp_path / "cut" / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert sevensteps("resume", "cut", cwd=tmp_path).code == 0
    for name in ("model.safetensors", "history.jsonl", "predictions.jsonl", "judgement.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_store_is_a_source_for_every_verb(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def typed(*arguments: str) -> Done:
        return here(*arguments, cwd=tmp_path, capsys=capsys)

    made = typed("prepare", str(source), "--json")
    assert json.loads(made.out) == {
        "store": "three.store",
        "bytes": (tmp_path / "three.store").stat().st_size,
        "counts": {"train": 270, "valid": 30, "test": 60},
    }
    refused(typed("prepare", str(source)), 1, "three.store already exists")
    trained = json.loads(typed("train", "three.store", "--json").out)
    assert trained["test"]["n"] == 60
    assert typed("train", "three.store", "--seed", "3", "--out", "other").code == 0
    run = trained["run"]
    assert json.loads(typed("judge", run, "--json").out)["test"]["accuracy"] == trained["test"]["accuracy"]
    assert json.loads(typed("compare", run, "other", "--json").out)["n"] == 60
    assert typed("report", run).code == 0
    assert typed("xray", run).code == 0
    assert typed("resume", run, "--epochs", "1").code == 0
    assert json.loads(typed("verify", "three.store", "--json").out)["passed"]
    assert json.loads(typed("data", "three.store", "--json").out)["counts"]["valid"] == {"0": 10, "1": 10, "2": 10}
    refused(typed("prepare", "three.store", "--out", "again.store"), 1, "is already a store")
    refused(typed("prepare", "nowhere"), 1, "no source or path 'nowhere'")
    refused(typed("prepare", str(source), "--hold-out", "2", "--out", "b.store"), 2, "must be 0 to 0.9")
    os.truncate(tmp_path / "three.store", 5000)
    refused(typed("train", "three.store"), 1, "three.store", "cut off", "prepare")
    assert error_in(typed("data", "three.store", "--json"))["code"] == "data"
    assert typed("verify", "three.store").code == 1


# The machine's limits


def anonymous(of: str = "self") -> int:
    """Return the bytes of anonymous memory of a process."""
    lines = Path(f"/proc/{of}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon:")))


linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux says which memory is no file's")


@linux
def test_an_epoch_takes_little_memory_however_large_the_set_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 1, 1024, 1024), dtype=np.uint8)  # 64 MB
    prepare(of_splits(Splits(Images(pixels, np.arange(64) % 2, ("a", "b")))), tmp_path / "x.store")
    del pixels
    train = open_store(tmp_path / "x.store").train
    before, most = anonymous(), 0
    for _ in train.blocks.batches(2, 0, (0, 0)):  # type: ignore[attr-defined]
        most = max(most, anonymous())
    assert most - before < 16 << 20


@contextlib.contextmanager
def mounted(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of this size."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], check=False)
    if done.returncode:
        pytest.skip("this machine lets no disk be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@linux
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may mount a disk")
def test_a_full_disk_is_said_before_and_what_is_written_is_gone_on_with(tmp_path: Path) -> None:
    made = of_splits(Splits(images(3000, (1, 28, 28)), images(100, (1, 28, 28))))
    with mounted(tmp_path / "small", 1000) as small:
        with pytest.raises(FileError) as caught:
            prepare(made, small / "x.store", at_once=100_000)
        assert "needs 2.6 MB, but only 1.0 MB are free in" in caught.value.message
        assert not list(small.iterdir())
    with mounted(tmp_path / "other", 4000) as other:

        def fill(done: int, total: int) -> None:
            if done > total / 3 and not (other / "filler").exists():
                (other / "filler").write_bytes(bytes(shutil.disk_usage(other).free - 200_000))

        with pytest.raises(FileError, match="the disk is full"):
            prepare(made, other / "x.store", at_once=100_000, progress=fill)
        assert not (other / "x.store").exists()
        (other / "filler").unlink()
        told: list[str] = []
        prepare(made, other / "x.store", at_once=100_000, say=told.append)
        assert "Continuing" in told[0]
        prepare(made, tmp_path / "y.store", at_once=100_000)
        assert (other / "x.store").read_bytes() == (tmp_path / "y.store").read_bytes()


LOADED = """
import sys
from pathlib import Path
group, source = map(Path, sys.argv[1:3])
(group / "cgroup.procs").write_text("0")
import numpy as np
from sevensteps.data.sources.load import load
from sevensteps.data.store.store import StoredImages
from sevensteps.errors import DataError
splits = load(source, say=print)
assert isinstance(splits.train, StoredImages) and splits.valid is not None
try:
    splits.train.take(np.arange(len(splits.train))[::-1])
    sys.exit("all of it was copied into memory")
except DataError as error:
    print(error.message)
"""


@contextlib.contextmanager
def memory_limit(size: int) -> Iterator[Path]:
    """Create a control group with this much memory."""
    own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    first = next((place for _, controllers, place in own if "memory" in controllers.split(",")), "/")
    for root, limit in (
        (Path("/sys/fs/cgroup"), "memory.max"),
        (Path("/sys/fs/cgroup/memory") / first.strip("/"), "memory.limit_in_bytes"),
    ):
        group = root / f"sevensteps-test-{os.getpid()}"
        if not (root / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
            (group / limit).write_text(str(size))
        except OSError:
            continue
        try:
            yield group
        finally:
            time.sleep(0.1)
            group.rmdir()
        return
    pytest.skip("this machine lets no control group be made")


@pytest.mark.slow
@linux
def test_idx_files_that_do_not_fit_into_memory_are_prepared_by_themselves(tmp_path: Path) -> None:
    write_idx(tmp_path / "large", "train", np.arange(150) % 2, side=512)  # 39 MB
    with memory_limit(48 << 20) as group:
        done = subprocess.run(
            [sys.executable, "-c", LOADED, group, tmp_path / "large"],
            env={**os.environ, "SEVENSTEPS_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done
    assert "They are written once to" in done.stdout
    assert "do not fit into memory" in done.stdout
    assert len(list((tmp_path / "cache" / "stores").glob("large-*.store"))) == 1


def test_each_split_of_a_store_has_the_sums_of_its_pictures(tmp_path: Path) -> None:
    target = tmp_path / "pullover-dress.store"
    prepare(load_streams("pullover-dress"), target)
    stored, memory = load(target), load("pullover-dress").hold_out(0.1)
    for split in ("train", "valid", "test"):
        assert getattr(stored, split).sums == getattr(memory, split).sums


def test_a_share_to_hold_out_of_a_source_with_validation_pictures_is_refused(tmp_path: Path) -> None:
    prepare(load_streams("pullover-dress"), tmp_path / "x.store")
    done = sevensteps("train", "x.store", "--hold-out", "0.3", cwd=tmp_path)
    assert done.code == 2
    assert "hold_out is 0.3, and x.store has validation pictures of its own" in done.err
    assert not (tmp_path / "runs").exists()
