"""Files: each is replaced completely or not at all, and a failure says what to do."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sevensteps.base import files
from sevensteps.errors import DataError, DownloadError, FileError


def names_in(folder: Path) -> list[str]:
    """Return the contents of a folder, with hidden files."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("content", "written"), [("grün\n", "grün\n".encode()), (b"\0\xff\r\n", b"\0\xff\r\n")])
def test_a_file_holds_what_was_written(tmp_path: Path, content: str | bytes, written: bytes) -> None:
    path = tmp_path / "new" / "folders" / "file.txt"
    files.write(path, content)
    assert path.read_bytes() == written
    assert names_in(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError, DataError])
@pytest.mark.parametrize("before", [None, b"old"])
def test_an_error_inside_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], before: bytes | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)

    def write_half() -> None:
        with files.replacing(path) as file:
            file.write(b"half of the n")
            file.flush()
            raise error("stop")

    with pytest.raises(FileError if error is OSError else error):
        write_half()
    assert names_in(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


def test_the_old_content_is_there_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old")
    with files.replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_an_error_of_ours_inside_keeps_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not reachable"), files.replacing(tmp_path / "file"):
        raise DownloadError("The server is not reachable.")


def test_an_array_is_written_like_anything_else(tmp_path: Path) -> None:
    array = np.arange(300_000)
    with files.replacing(tmp_path / "a.npy") as file:
        np.save(file, array, allow_pickle=False)  # noqa: TID251
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)  # noqa: TID251


def test_readers_see_the_old_or_the_new_and_nothing_between(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = {letter * 100_000 for letter in (b"a", b"b")}
    files.write(path, b"a" * 100_000)
    done = threading.Event()

    def write_again_and_again() -> None:
        for letter in (b"b", b"a") * 20:
            files.write(path, letter * 100_000)
        done.set()

    writer = threading.Thread(target=write_again_and_again)
    writer.start()
    while not done.is_set():
        assert path.read_bytes() in contents
    writer.join()
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write(tmp_path / "file", "x")
        assert os.umask(mask) == mask  # looking at it did not change it
    finally:
        os.umask(before)
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    for action in (lambda path: files.write(path, "x"), files.make_folder):
        for path in (tmp_path / "file" / "below", tmp_path / "file" / "below" / "that"):
            with pytest.raises(FileError, match="Cannot write") as caught:
                action(path)
            assert str(path) in caught.value.message
            assert caught.value.hint
    with pytest.raises(FileError, match="a file stands where the folder should be"):
        files.make_folder(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert names_in(tmp_path) == ["file"]


def test_a_folders_name_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="Cannot write"):
        files.write(tmp_path / "folder", "x")
    assert names_in(tmp_path) == ["folder"]


def test_a_name_that_is_too_long_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Cannot write"):
        files.write(tmp_path / ("x" * 300), "x")
    assert names_in(tmp_path) == []


FULL = """
import pathlib, signal, sys
from sevensteps.base import files
from sevensteps.errors import FileError
try:
    import resource
except ImportError:  # Windows has no such limit; the disk is told to be full
    def write(path, content):
        with files.replacing(path) as file:
            file.write(content[:4096])
            raise OSError(28, "No space left on device")
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    write = files.write
try:
    write(pathlib.Path(sys.argv[1]), bytes(1_000_000))
except FileError as error:
    print(error)
"""


def test_running_out_of_room_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    message, hint = done.stdout.splitlines()
    assert message.startswith(f"Cannot write {path}: ")
    assert hint
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "the disk reported an error"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_what_the_system_reports_is_said_in_words(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(FileError, match=words) as caught, files.said_in_words(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)


def test_removing_needs_no_file_and_refuses_a_folder(tmp_path: Path) -> None:
    files.remove(tmp_path / "nothing")
    files.write(tmp_path / "file", "x")
    files.remove(tmp_path / "file")
    assert names_in(tmp_path) == []
    with pytest.raises(FileError):
        files.remove(tmp_path)


def test_making_a_folder_twice_is_fine_and_leaves_it_empty(tmp_path: Path) -> None:
    for _ in range(2):
        files.make_folder(tmp_path / "a" / "b")
    assert names_in(tmp_path / "a" / "b") == []
