"""Stores at an address: the same pictures in the same order as here, whatever the link does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from ranges import web
from small import images
from typed import here, refused, sevensteps

import sevensteps as ss
from sevensteps.base.addresses import complete, is_address, without_secrets
from sevensteps.data.batches import Batches
from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load
from sevensteps.data.store import link, page_cache
from sevensteps.data.store.page_cache import PageCache
from sevensteps.data.store.prepare import prepare
from sevensteps.data.store.store import StoredImages
from sevensteps.data.store.streams import of_splits
from sevensteps.errors import DataError, DownloadError, FileError, RunError, UsageError

SET = Splits(images(700, (3, 64, 64), 3), replace(images(200, (3, 64, 64), 3, seed=2), origin="test"), source="made up")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with 8 pages of training pictures, 85 pictures each."""
    target = tmp_path_factory.mktemp("store") / "x.store"
    prepare(of_splits(SET), target)
    return target


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store to train on, with 3 pages of training pictures, 1365 pictures each."""
    target = tmp_path_factory.mktemp("small") / "x.store"
    prepare(of_splits(Splits(images(3600, (3, 16, 16), 3, seed=3), source="made up")), target)
    return target


@pytest.fixture(scope="module")
def small_content(small: Path) -> dict[str, bytes]:
    """Return the file of a web server."""
    return {"x.store": small.read_bytes()}


@pytest.fixture(scope="module")
def content(path: Path) -> dict[str, bytes]:
    """Return the file of a web server."""
    return {"x.store": path.read_bytes()}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask again at once, and keep the pages of each test apart."""
    monkeypatch.setattr(link, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "own cache"))


@pytest.fixture
def memory(content: dict[str, bytes]) -> Iterator[str]:
    """Return the address of the store in the memory of this process."""
    system = fsspec.filesystem("memory")
    system.pipe_file("/sets/x.store", content["x.store"])
    yield "memory://sets/x.store"
    system.store.clear()


def pages(folder: Path) -> list[Path]:
    """Return the files in the page cache."""
    return sorted(file for file in (folder / "stores/pages").glob("*/*") if file.is_file())


def epoch(images: Any, number: int, start: int = 0) -> list[tuple[bytes, list[int]]]:
    """Return the batches of an epoch as bytes."""
    batches = Batches(images, 64, shuffle=True).epoch_batches(3, number, start)
    return [(x.numpy().tobytes(), y.tolist()) for x, y in batches]


def test_batches_are_those_of_the_file_here_in_every_epoch_and_from_every_start(path: Path, memory: str) -> None:
    here, there = load(path), load(memory)
    assert isinstance(there.train, StoredImages)
    assert there.train.fingerprint == here.train.fingerprint
    for number in range(3):
        assert epoch(there.train, number) == epoch(here.train, number)
    assert epoch(there.train, 1, start=7) == epoch(here.train, 1, start=7)
    assert epoch(there.train, 0) != epoch(there.train, 1)


def test_pixels_are_those_of_the_file_however_they_are_asked_for(path: Path, memory: str) -> None:
    here, there = load(path).train, load(memory).train
    rows = np.array([600, 3, 3, -1, 99])
    for key in (5, -1, slice(80, 90), slice(None, None, 97), rows, here.labels == 1, (slice(0, 9), 1), (7, 2)):
        assert np.array_equal(there.pixels[key], here.pixels[key])
    assert np.array_equal(np.asarray(there.pixels), here.pixels)
    assert np.array_equal(np.stack(list(there.pixels)), here.pixels)
    assert np.array_equal(np.concatenate([there.pixels, there.pixels[:2]])[: len(here)], here.pixels)
    assert np.array_equal(there[80:90].pixels[3:], here.pixels[83:90])
    assert np.array_equal(there.take(rows[:3]).pixels, here.pixels[rows[:3]])
    assert (there[9][0] == here[9][0]).all()
    with pytest.raises(IndexError):
        there.pixels[np.array([len(here)])]


FAULTS = {"busy": 0.1, "cut": 0.1, "reset": 0.1, "late": 0.1}


@pytest.mark.parametrize("seed", range(5))
def test_no_picture_is_wrong_however_the_link_fails(path: Path, content: dict[str, bytes], seed: int) -> None:
    here = load(path)
    with web(content, seed=seed, wrong=0.03, spare=2, **FAULTS) as there:
        far = load(there.address("x.store"))
        for number in range(2):
            assert epoch(far.train, number) == epoch(here.train, number)
        assert epoch(far.test, 0) == epoch(here.test, 0)
    assert sum(there.did.values()) - there.did["request"] >= 3, "nothing failed"


def test_a_page_is_fetched_once(path: Path, content: dict[str, bytes]) -> None:
    with web(content) as there:
        far = load(there.address("x.store"))
        for number in range(3):
            epoch(far.train, number)
        far = load(there.address("x.store"))
        epoch(far.train, 3)
    asked = [(first, stop) for _, first, stop in there.asked if first]
    assert len(asked) == len(set(asked)) >= 8


def run_files(folder: Path) -> dict[str, Any]:
    """Return what a run has learned and answered; its recipe names another source."""
    found: dict[str, Any] = {name: (folder / name).read_bytes() for name in ("history.jsonl", "predictions.jsonl")}
    judgement = json.loads((folder / "judgement.json").read_text("utf-8"))
    found["judgement"] = {key: judgement[key] for key in judgement if key not in ("files", "seconds", "source")}
    learn = ss.load_learner(folder / "model.safetensors")
    found["weights"] = [value.numpy().tobytes() for value in learn.model.state_dict().values()]
    return found


def test_a_run_from_an_address_is_the_run_from_the_file(
    small: Path, small_content: dict[str, bytes], tmp_path: Path
) -> None:
    how = {"recipe": "linear", "epochs": 3, "augment": "flip+shift"}
    ss.train(small, **how, out=tmp_path / "here")
    with web(small_content, spare=2, **FAULTS) as there:
        address = there.address("x.store")
        ss.train(address, **how, out=tmp_path / "there")
        assert f'source = "{address}"' in (tmp_path / "there/recipe.toml").read_text("utf-8")
    assert run_files(tmp_path / "there") == run_files(tmp_path / "here")


@pytest.mark.slow
def test_audit_judgement_and_report_are_those_of_the_file(
    small: Path, small_content: dict[str, bytes], tmp_path: Path
) -> None:
    with web(small_content, spare=2, **FAULTS) as there:
        address = there.address("x.store")
        assert ss.audit(address).result.as_json() == ss.audit(small).result.as_json()
        found = {}
        for name, source in (("here", small), ("there", address)):
            ss.train(source, recipe="relu", epochs=1, out=tmp_path / name)
            (tmp_path / name / "judgement.json").unlink()
            ss.judge(tmp_path / name)
            ss.report(tmp_path / name)
            assert ss.verify(tmp_path / name, rerun=True).passed
            found[name] = run_files(tmp_path / name)
    assert found["here"] == found["there"]


class PowerCutError(Exception):
    """What ends a run in the middle."""


def test_a_run_resumes_from_the_address(small: Path, small_content: dict[str, bytes], tmp_path: Path) -> None:
    def cut(event: Any) -> None:
        if isinstance(event, ss.Batch) and (event.epoch, event.number) == (2, 3):
            raise PowerCutError

    how: Any = {"recipe": "linear", "epochs": 3, "checkpoint_every": "1 epoch"}
    ss.train(small, **how, out=tmp_path / "here")
    with web(small_content, spare=2, **FAULTS) as there:
        with pytest.raises(PowerCutError):
            ss.train(there.address("x.store"), **how, out=tmp_path / "there", observe=cut)
        ss.resume(tmp_path / "there")
    assert run_files(tmp_path / "there") == run_files(tmp_path / "here")


def test_a_store_that_is_replaced_under_a_run_is_said_so(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/x.store"
    for names in (("red", "blue"), ("hat", "shoe")):
        first = replace(images(120, (1, 8, 8), 2), classes=names)
        (tmp_path / "x.store").unlink(missing_ok=True)
        prepare(of_splits(Splits(first, source="made up")), tmp_path / "x.store")
        if names[0] == "red":
            ss.train(address, recipe="linear", epochs=1, out=tmp_path / "run")
    with pytest.raises(RunError, match="have changed since"):
        ss.resume(tmp_path / "run", epochs=2)


def test_a_cache_that_cannot_be_written_is_named(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(FileError) as error:
        load(memory)
    assert "SEVENSTEPS_CACHE" in error.value.hint


@pytest.mark.slow
def test_the_commands_take_an_address(small_content: dict[str, bytes], tmp_path: Path) -> None:
    with web(small_content) as there:
        address = there.address("x.store")
        done = sevensteps("train", address, "--recipe", "linear", "--epochs", "1", "--out", "run", cwd=tmp_path)
        assert done.code == 0, done.err
        assert sevensteps("judge", "run", cwd=tmp_path).code == 0
        assert sevensteps("data", address, cwd=tmp_path).code == 0
        assert sevensteps("verify", address, cwd=tmp_path).code == 0
        assert sevensteps("resume", "run", "--epochs", "1", cwd=tmp_path).code == 0
        refused(sevensteps("prepare", address, cwd=tmp_path), 1, "is already a store")


def test_a_page_that_never_comes_is_one_error_with_address_page_and_what_to_do(content: dict[str, bytes]) -> None:
    with web(content, spare=2, busy=1.0) as there:
        far = load(there.address("x.store"))
        with pytest.raises(DownloadError) as error:
            epoch(far.train, 0)
    assert there.address("x.store") in error.value.message
    assert "page " in error.value.message
    assert f"in {link.TRIES} tries: the server answered 503" in error.value.message
    assert "sevensteps resume" in error.value.hint
    assert there.did["busy"] == 4 * link.TRIES  # the pages of a window, each as often as stated


def test_a_wrong_checksum_is_fetched_once_more(path: Path, content: dict[str, bytes]) -> None:
    damaged = bytearray(content["x.store"])
    damaged[-5] ^= 1
    with web({"x.store": bytes(damaged)}) as there:
        far = load(there.address("x.store"))
        with pytest.raises(DataError, match=r"page 7 of train \(bytes .*\) arrived twice with a wrong checksum"):
            epoch(far.train, 0)
        last = max(there.asked, key=lambda asked: asked[1])
        assert there.asked.count(last) == 2
        checks = {check.name: check.passed for check in ss.verify(there.address("x.store"))}
    assert not checks["pixels of train"]
    assert checks["pixels of test"]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"status": 404}, "There is no file at"),
        ({"status": 403}, "access was refused"),
        ({"status": 400}, "the server answers 400"),
        ({"ranges": False}, "does not answer requests for a range"),
    ],
)
def test_what_another_try_does_not_mend_is_asked_once(content: dict[str, bytes], plan: Any, said: str) -> None:
    with web(content, **plan) as there, pytest.raises(DataError, match=said):
        load(there.address("x.store"))
    assert there.did["request"] == 1


def test_a_server_that_is_silent_is_asked_again(
    path: Path, content: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PATIENCE", 0.02)
    monkeypatch.setattr(link, "TRIES", 2)
    with web(content, latency=0.2) as there, pytest.raises(DownloadError, match="in 2 tries: "):
        load(there.address("x.store"))


@pytest.mark.parametrize(
    ("cut", "said"), [(slice(100), "is damaged"), (slice(-9), "it is cut off"), (slice(3, None), "this is not a store")]
)
def test_a_file_that_is_not_a_whole_store_is_refused(content: dict[str, bytes], cut: slice, said: str) -> None:
    with web({"x.store": content["x.store"][cut]}) as there, pytest.raises(DataError, match=said):
        load(there.address("x.store"))


def test_damaged_tables_are_fetched_once_more(path: Path, content: dict[str, bytes], tmp_path: Path) -> None:
    with web(content) as there:
        load(there.address("x.store"))
        (head,) = [file for file in pages(tmp_path / "own cache") if file.name == "head"]
        changed = bytearray(head.read_bytes())
        changed[5000] ^= 1
        head.write_bytes(changed)
        assert (load(there.address("x.store")).train.labels == load(path).train.labels).all()
    wrong = bytearray(content["x.store"])
    wrong[5000] ^= 1
    with web({"y.store": bytes(wrong)}) as there:
        head.unlink()
        with pytest.raises(DataError, match=r"labels of .* or their checksums are damaged"):
            load(there.address("y.store"))


def test_a_page_that_is_damaged_in_the_cache_is_fetched_again(path: Path, memory: str, tmp_path: Path) -> None:
    epoch(load(memory).train, 0)
    kept = [file for file in pages(tmp_path / "own cache") if file.name.startswith("train-")]
    assert len(kept) == 8
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    kept[1].write_bytes(bytes(len(kept[1].read_bytes())))
    assert epoch(load(memory).train, 1) == epoch(load(path).train, 1)


@pytest.mark.parametrize("limit", ["0", "1.5MB", "4 MB"])
def test_the_cache_keeps_its_limit(
    path: Path, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setenv("SEVENSTEPS_PAGE_CACHE", limit)
    far = load(memory)
    for number in range(2):
        assert epoch(far.train, number) == epoch(load(path).train, number)
        assert sum(file.stat().st_size for file in pages(tmp_path / "own cache")) <= page_cache.limit_in(limit)


def test_the_pages_that_were_not_used_longest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_PAGE_CACHE", "10 KB")
    cache = PageCache("x")
    for number in range(9):
        cache.put(str(number), bytes(1000))
        os.utime(cache.folder / str(number), (number, number))
    assert cache.get("0", 1000) == bytes(1000)  # used last now
    for number in range(9, 12):
        cache.put(str(number), bytes(1000))
    left = {path.name for path in cache.folder.iterdir()}
    assert {"0", "11"} <= left
    assert not {"1", "2"} & left


def test_a_limit_that_is_not_a_number_is_refused(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_PAGE_CACHE", "much")
    with pytest.raises(UsageError, match="SEVENSTEPS_PAGE_CACHE is 'much'"):
        load(memory)


READ = """
import sys
from sevensteps.data.sources.load import load
splits = load(sys.argv[1])
import hashlib
for epoch in range(2):
    digest = hashlib.sha256()
    for pixels, labels in splits.train.blocks.batches(64, 0, (3, epoch)):
        digest.update(pixels.tobytes())
    print(digest.hexdigest())
"""


def test_several_processes_share_a_cache_that_is_too_small(path: Path, content: dict[str, bytes]) -> None:
    environment = {**os.environ, "SEVENSTEPS_PAGE_CACHE": "3 MB"}
    with web(content) as there:
        command = [sys.executable, "-c", READ]
        address = there.address("x.store")
        started = [
            subprocess.Popen([*command, address], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        said = [process.communicate(timeout=60)[0] for process in started]
    here = subprocess.run([*command, path], capture_output=True, text=True, check=True).stdout
    assert said == [here] * 3


def write_set(path: Path) -> None:
    """Write the pictures as arrays."""
    pixels, labels = np.moveaxis(SET.train.pixels, 1, -1), SET.train.labels
    np.savez(path, x_train=pixels, y_train=labels, allow_pickle=False)  # noqa: TID251


@pytest.mark.parametrize("protocol", ["memory://sets/y.store", "file://{}/y.store"])
def test_prepare_writes_the_same_bytes_to_an_address(path: Path, tmp_path: Path, protocol: str) -> None:
    address = protocol.format(tmp_path)
    write_set(tmp_path / "set.npz")
    ss.prepare(tmp_path / "set.npz", tmp_path / "here.store")
    made = ss.prepare(tmp_path / "set.npz", address)
    assert made.store == address
    system, where = fsspec.core.url_to_fs(address)
    assert system.cat_file(where) == (tmp_path / "here.store").read_bytes()
    assert not list((tmp_path / "own cache/stores/outgoing").glob("*.store"))
    assert not [name for name in system.ls(where.rpartition("/")[0], detail=False) if name.endswith(".part")]
    with pytest.raises(FileError, match="already exists"):
        ss.prepare(tmp_path / "set.npz", address)


def test_a_store_whose_copy_fails_is_kept_for_the_next_call(tmp_path: Path) -> None:
    write_set(tmp_path / "set.npz")
    address = f"file://{tmp_path}/gone/y.store"
    with pytest.raises(FileError, match="cannot be written") as error:
        ss.prepare(tmp_path / "set.npz", address)
    (kept,) = (tmp_path / "own cache/stores/outgoing").glob("*.store")
    assert str(kept) in error.value.hint
    before = kept.stat()
    (tmp_path / "gone").mkdir()
    ss.prepare(tmp_path / "set.npz", address)
    assert (tmp_path / "gone/y.store").stat().st_size == before.st_size
    assert not kept.exists()


def test_credentials_are_named_only_where_access_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, named in ((PermissionError(13, "Forbidden"), True), (OSError(28, "No space left on device"), False)):

        def fails(*arguments: Any, error: OSError = error, **named: Any) -> None:
            raise error

        there = link.Link(f"file://{tmp_path}/y.store")
        monkeypatch.setattr(there.system, "put_file", fails)
        with pytest.raises(FileError) as raised:
            there.upload(tmp_path / "x.store", 1)
        assert ("credentials" in raised.value.hint) is named


def test_a_store_in_the_memory_of_a_command_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("prepare", "pullover-dress", "memory://x.store", cwd=tmp_path, capsys=capsys)
    refused(done, 2, "memory://x.store", "ends with it", "s3://bucket/name.store")


def test_a_web_address_takes_no_store() -> None:
    with pytest.raises(UsageError, match="web addresses cannot be written to"):
        ss.prepare("pullover-dress", "https://example.org/x.store")


SIGNED = "?versionId=7&X-Amz-Signature=0f3c"


@pytest.mark.slow
def test_signatures_and_passwords_are_neither_saved_nor_printed(
    small_content: dict[str, bytes], tmp_path: Path
) -> None:
    with web(small_content, password="0f3c") as there:
        address = there.address("x.store") + SIGNED
        done = sevensteps("train", address, "--recipe", "linear", "--epochs", "1", "--out", "run", cwd=tmp_path)
        assert done.code == 0, done.err
        looked = sevensteps("data", address, cwd=tmp_path)
        assert looked.code == 0
        resumed = sevensteps("resume", "run", "--epochs", "1", cwd=tmp_path)
    assert (resumed.code, resumed.out) == (1, "")
    assert "cannot be read: access was refused" in resumed.err
    assert "0f3c" not in done.out + done.err + looked.out + looked.err + resumed.err
    assert not [file for file in (tmp_path / "run").rglob("*") if file.is_file() and b"0f3c" in file.read_bytes()]


@pytest.mark.slow
def test_all_processes_read_from_a_signed_address(small_content: dict[str, bytes], tmp_path: Path) -> None:
    with web(small_content, password="0f3c") as there:
        how = ["--recipe", "linear", "--epochs", "1", "--shards", "2", "--processes", "2", "--out", "run"]
        done = sevensteps("train", there.address("x.store") + SIGNED, *how, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "0f3c" not in done.out + done.err
    assert not [file for file in (tmp_path / "run").rglob("*") if file.is_file() and b"0f3c" in file.read_bytes()]


def test_what_is_shown_of_an_address_leads_to_the_one_that_was_typed() -> None:
    typed = "https://me:word@example.org/a.store?versionId=3&sig=x#y"
    assert without_secrets(typed) == "https://example.org/a.store?versionId=3"
    assert complete("https://example.org/a.store?versionId=3") == typed
    assert without_secrets("memory:///a/b.store") == "memory:///a/b.store"
    assert without_secrets("s3://bucket/a#1.store") == "s3://bucket/a#1.store"
    assert not any(map(is_address, ["C:\\pictures", "my-pictures", Path("s3://x")]))


@pytest.mark.parametrize(
    ("address", "said"),
    [("nothing://x/y.store", "is not an address"), ("memory://sets/none.store", "There is no file at")],
)
def test_addresses_that_lead_nowhere(address: str, said: str, tmp_path: Path) -> None:
    refused(sevensteps("train", address, cwd=tmp_path), 1 + address.startswith("nothing"), said)


def test_a_missing_package_is_named_with_the_extra_that_has_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('aiohttp', 's3fs'): sys.modules[name] = None\n"
        "from sevensteps.__main__ import main\n"
        "sys.argv = ['sevensteps', 'train', {!r}]\n"
        "main()"
    )
    for address in ("s3://bucket/x.store", "https://example.org/x.store"):
        done = subprocess.run([sys.executable, "-c", code.format(address)], capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "pip install 'sevensteps[remote]'" in done.stderr.replace("\n", " ")


def test_settings_of_picture_files_are_refused_as_for_a_store_here(memory: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a store, whose pictures are already decoded"):
        load(memory, size=8)
    with pytest.raises(UsageError, match="is a store, which cannot be corrected"):
        ss.audit(memory, suggest=tmp_path / "fix.csv")


def test_threads_may_read_at_once(path: Path, memory: str) -> None:
    here, there = load(path).train, load(memory).train
    wrong = []

    def read(first: int) -> None:
        rows = np.arange(first, len(here), 5)
        if not np.array_equal(there.pixels[rows], here.pixels[rows]):
            wrong.append(first)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    assert epoch(there, 0) == epoch(here, 0)
    for thread in threads:
        thread.join()
    assert not wrong
