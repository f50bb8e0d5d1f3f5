"""fashion-mnist: found on this machine or downloaded from a real server, verified, decoded once, never incomplete."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sevensteps.data.images import Splits
from sevensteps.data.sources import fashion, fashion_facts
from sevensteps.data.sources.load import load
from sevensteps.errors import DownloadError, FileError


def packed(array: np.ndarray) -> bytes:
    """Return the array as the bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


_RANDOM = np.random.default_rng(0)
LABELS = np.arange(2_000) % 10
# Noise, which cannot be compressed, so the download is long enough to report its progress.
PIXELS = _RANDOM.integers(0, 256, (2_000, 28, 28), dtype=np.uint8)
CONTENT = {
    "train-images-idx3-ubyte": packed(PIXELS),
    "train-labels-idx1-ubyte": packed(LABELS),
    "t10k-images-idx3-ubyte": packed(PIXELS[:20]),
    "t10k-labels-idx1-ubyte": packed(LABELS[:20]),
}
ARCHIVES = {name: gzip.compress(content, 1) for name, content in CONTENT.items()}


class Server:
    """An HTTP server on this machine; `answer` decides how to answer a request, by its number."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answer: Callable[[int, str], str] = lambda number, name: "right"
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1].removesuffix(".gz")
                server.requests.append(name)
                how = server.answer(len(server.requests), name)
                if how == "missing":
                    self.send_error(404)
                    return
                body = {"wrong": gzip.compress(packed(LABELS[::-1])), "no gzip": b"<html>Hello</html>"}.get(
                    how, ARCHIVES.get(name, b"")
                )
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if how == "broken off" else body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}/data"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop answering; the port is free afterwards."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cache on a machine without a copy, and a Fashion-MNIST of 2,000 and 20 synthetic pictures."""
    for name, content in CONTENT.items():
        monkeypatch.setitem(fashion_facts.SHA256, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(fashion, "SYSTEM", tmp_path / "system")
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "cache" / "fashion-mnist"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The mirror to download from."""
    server = Server()
    monkeypatch.setenv("SEVENSTEPS_MIRROR", server.address + "/")
    yield server
    server.close()


def is_right(splits: Splits) -> bool:
    """Return whether these are the synthetic pictures."""
    assert splits.test is not None
    return (
        splits.classes == fashion_facts.CLASSES
        and np.array_equal(splits.train.pixels, PIXELS[:, None])
        and np.array_equal(splits.train.labels, LABELS)
        and np.array_equal(splits.test.pixels, PIXELS[:20, None])
        and np.array_equal(splits.test.labels, LABELS[:20])
    )


def files_in(folder: Path) -> set[str]:
    """Return the names of all files in a folder, at any depth."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


ARRAYS = {f"{name}.npy" for name in CONTENT}


def put(folder: Path, level: int = 9) -> None:
    """Write the four archives, compressed again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENT.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, level))


def test_a_download_gives_the_pictures_and_fills_the_cache(cache: Path, server: Server, capfd: object) -> None:
    said: list[str] = []
    assert is_right(load("fashion-mnist", say=said.append))
    assert server.requests == list(CONTENT)
    assert files_in(cache) == ARRAYS | {f"{name}.gz" for name in CONTENT}
    for name, archive in ARCHIVES.items():
        assert f"Downloading {server.address}/{name}.gz" in said
        assert (cache / f"{name}.gz").read_bytes() == archive
    tenths = [line for line in said if "%" in line]
    size = len(ARCHIVES["train-images-idx3-ubyte"]) / 1e6
    assert tenths == [f"  {tenth:3d} % of {size:.1f} MB" for tenth in range(10, 101, 10)]
    assert len(said) == 4 + 10


def test_nothing_is_printed_by_a_download(cache: Path, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.answer = lambda number, name: "broken off" if number == 1 else "right"
    load("fashion-mnist")
    assert capfd.readouterr() == ("", "")


def test_a_second_load_neither_downloads_nor_decodes(cache: Path, server: Server) -> None:
    load("fashion-mnist")
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    server.close()
    for name in CONTENT:
        (cache / f"{name}.gz").unlink()
    said: list[str] = []
    splits = load("fashion-mnist", say=said.append)
    assert is_right(splits)
    assert said == []
    assert len(server.requests) == 4
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")} == {
        path: time for path, time in written.items() if path.suffix == ".npy"
    }


def test_what_is_done_to_the_pictures_never_reaches_the_cache(cache: Path) -> None:
    put(fashion.SYSTEM)
    load("fashion-mnist").train.pixels[:] = 0
    assert is_right(load("fashion-mnist"))


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_content_is_checked_and_not_the_archive(cache: Path, level: int) -> None:
    put(fashion.SYSTEM, level)
    assert is_right(load("fashion-mnist"))
    assert files_in(cache) == ARRAYS  # the system's archives are not copied


def test_plain_files_are_taken_too(cache: Path) -> None:
    cache.mkdir(parents=True)
    for name, content in CONTENT.items():
        (cache / name).write_bytes(content)
    assert is_right(load("fashion-mnist"))


def test_the_cache_comes_before_the_system_and_that_before_the_network(cache: Path, server: Server) -> None:
    put(fashion.SYSTEM)
    (fashion.SYSTEM / "t10k-labels-idx1-ubyte.gz").unlink()
    cache.mkdir(parents=True)
    (cache / "train-labels-idx1-ubyte.gz").write_bytes(ARCHIVES["train-labels-idx1-ubyte"])
    (fashion.SYSTEM / "train-labels-idx1-ubyte.gz").write_bytes(b"not looked at")
    said: list[str] = []
    assert is_right(load("fashion-mnist", say=said.append))
    assert server.requests == ["t10k-labels-idx1-ubyte"]
    assert len(said) == 1


def test_a_wrong_copy_is_reported_and_skipped(cache: Path, server: Server) -> None:
    put(fashion.SYSTEM)
    (fashion.SYSTEM / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed(LABELS[::-1])))
    cache.mkdir(parents=True)
    (cache / "train-labels-idx1-ubyte.gz").write_bytes(ARCHIVES["train-labels-idx1-ubyte"][:-9])
    said: list[str] = []
    assert is_right(load("fashion-mnist", say=said.append))
    assert sum("Looking elsewhere" in line for line in said) == 2
    assert (cache / "train-labels-idx1-ubyte.gz").read_bytes() == ARCHIVES["train-labels-idx1-ubyte"]


@pytest.mark.parametrize("how", ["broken off", "wrong", "no gzip", "missing"])
def test_a_download_that_fails_once_is_tried_again(cache: Path, server: Server, how: str) -> None:
    server.answer = lambda number, name: how if number == 1 else "right"
    said: list[str] = []
    assert is_right(load("fashion-mnist", say=said.append))
    assert server.requests == ["train-images-idx3-ubyte", *CONTENT]
    assert any("attempt 2 of 3" in line for line in said)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("broken off", "the connection broke off"),
        ("wrong", "the downloaded bytes are wrong"),
        ("no gzip", "the downloaded bytes are wrong"),
        ("missing", "the server answered 404"),
    ],
)
def test_a_download_that_keeps_failing_says_why_and_leaves_nothing_partial(
    cache: Path, server: Server, how: str, reason: str
) -> None:
    server.answer = lambda number, name: how if name == "train-labels-idx1-ubyte" else "right"
    with pytest.raises(DownloadError) as caught:
        load("fashion-mnist")
    assert reason in caught.value.message
    assert f"{server.address}/train-labels-idx1-ubyte.gz" in caught.value.message
    assert "SEVENSTEPS_MIRROR" in caught.value.hint
    assert str(cache) in caught.value.hint
    assert "pullover-dress" in caught.value.hint
    assert server.requests.count("train-labels-idx1-ubyte") == 3
    assert files_in(cache) == {"train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.npy"}

    server.requests.clear()
    server.answer = lambda number, name: "right"
    assert is_right(load("fashion-mnist"))
    assert "train-images-idx3-ubyte" not in server.requests  # complete files are kept


def test_without_a_network_the_error_says_what_to_do(cache: Path, server: Server) -> None:
    server.close()
    with pytest.raises(DownloadError, match="no connection") as caught:
        load("fashion-mnist")
    assert "SEVENSTEPS_MIRROR" in caught.value.hint
    assert files_in(cache) == set()


@pytest.mark.parametrize("mirror", ["nonsense", "ftp://localhost/x", "http://[", "http://localhost:99999"])
def test_an_invalid_mirror_address_is_a_download_error(
    cache: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENSTEPS_MIRROR", mirror)
    monkeypatch.setattr(fashion, "ATTEMPTS", 1)
    with pytest.raises(DownloadError):
        load("fashion-mnist")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:64],
        lambda content: content[:-1],
        lambda content: b"PK" + content[2:],
        lambda content: content.replace(b"{", b"(", 1),
        lambda content: content.replace(b"|u1", b"|O0", 1).replace(b"<i8", b"|O0", 1),
        lambda content: content.replace(b"(20", b"(21", 1),
        lambda content: b"x" * len(content),
    ],
)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_damaged_decoded_cache_is_rebuilt(cache: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    put(fashion.SYSTEM)
    load("fashion-mnist")
    path = cache / "decoded" / f"{name}.npy"
    whole = path.read_bytes()
    path.unlink()  # not changed in place, where the first load may still have it mapped
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    said: list[str] = []
    assert is_right(load("fashion-mnist", say=said.append))
    assert "damaged" in said[0]
    assert path.read_bytes() == whole


def test_a_decoded_file_that_is_gone_is_made_again(cache: Path) -> None:
    put(fashion.SYSTEM)
    load("fashion-mnist")
    (cache / "decoded" / "t10k-labels-idx1-ubyte.npy").unlink()
    assert is_right(load("fashion-mnist"))


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fashion.SYSTEM)
    (tmp_path / "a-file").write_bytes(b"")
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "a-file" / "below"))
    with pytest.raises(FileError) as caught:
        load("fashion-mnist")
    assert "SEVENSTEPS_CACHE" in caught.value.hint


def test_chosen_classes_of_the_whole_set_are_labeled_in_their_order(cache: Path) -> None:
    put(fashion.SYSTEM)
    splits = load("fashion-mnist", classes=["Dress", "Pullover"])
    assert splits.train.counts == {"Dress": 200, "Pullover": 200}
    np.testing.assert_array_equal(splits.train.pixels[:, 0], PIXELS[np.isin(LABELS, [2, 3])])
    np.testing.assert_array_equal(splits.train.labels, (LABELS[np.isin(LABELS, [2, 3])] == 2).astype(int))
