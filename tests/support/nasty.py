"""Nasty folders, and how each is handled: `CASES`, which docs/folders.md shows."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from folders import png, put
from PIL import Image

Make = Callable[[Path], None]
Outcome = Literal["used", "ignored", "bad", "refused"]


class Case(NamedTuple):
    """A file or folder added to two good classes, or alone if it is refused; and the message about it.

    If the file is used, `words` is the id of its picture.
    """

    make: Make
    outcome: Outcome
    words: str


def written(name: str, content: bytes) -> Make:
    return lambda folder: put(folder, name, content=content) and None


def cut(name: str, kind: str) -> Make:
    content = picture((50, 50), kind)
    return written(name, content[: len(content) // 2])


def picture(size: tuple[int, int], kind: str) -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(content, kind)
    return content.getvalue()


def files(*names: str, content: bytes = b"") -> Make:
    """Return a function that writes only these files: pictures, unless content is given."""

    def make(folder: Path) -> None:
        put(folder, *names, content=content)
        if len(set(names)) > sum(len(there) for _, _, there in os.walk(folder)):
            pytest.skip("the file system here takes two of these names for one")

    return make


def linked(name: str, target: str) -> Make:
    return lambda folder: (folder / name).symlink_to(target)


def outside(folder: Path) -> None:
    elsewhere = put(folder.parent / "elsewhere", "secret.png")
    (folder / "cat/away").symlink_to(elsewhere)


def picture_outside(folder: Path) -> None:
    elsewhere = put(folder.parent / "elsewhere", "seen.png")
    (folder / "cat/seen.png").symlink_to(elsewhere / "seen.png")


def linked_classes(folder: Path) -> None:
    elsewhere = put(folder.parent / "elsewhere", "cat/1.png", "dog/1.png")
    folder.mkdir()
    for name in ("cat", "dog"):
        (folder / name).symlink_to(elsewhere / name)


def bytes_name(name: bytes) -> Make:
    def make(folder: Path) -> None:
        try:
            with open(os.path.join(os.fsencode(folder), b"cat", name), "wb") as file:
                file.write(png())
        except OSError:
            pytest.skip("the file system here has no such names")

    return make


def a_socket(folder: Path) -> None:
    with contextlib.chdir(folder / "cat"), socket.socket(socket.AF_UNIX) as made:  # a socket's path may have 108 bytes
        made.bind("a.png")


def beyond_the_longest_path(folder: Path) -> None:
    """Nest folders until the path to the last one is too long."""
    inner = os.open(folder / "cat", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=inner)
        outer, inner = inner, os.open("d" * 200, os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(inner)


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, png())
    return content.getvalue()


HEADER = b"IHDR" + (200_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
BOMB = png()[:12] + HEADER + zlib.crc32(HEADER).to_bytes(4, "big") + png()[33:]
DEEP = "/".join("d" * 60)
NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))

CASES: dict[str, Case] = {
    "a blank": Case(written("cat/a.png", b" "), "bad", "cat/a.png is not a picture in a known format"),
    "an empty file": Case(lambda folder: (folder / "cat/a.png").touch(), "bad", "cat/a.png is empty"),
    "HTML named .jpg": Case(written("cat/a.jpg", b"<!DOCTYPE html>"), "bad", "cat/a.jpg is not a picture"),
    "SVG": Case(written("cat/a.svg", b"<svg/>"), "bad", "cat/a.svg is not a picture in a known format"),
    "an unsupported format": Case(written("cat/a.HEIC", b"\0\0\0 ftypheic"), "bad", "cat/a.HEIC is not a picture"),
    "a truncated PNG": Case(cut("cat/a.png", "PNG"), "bad", "cat/a.png is damaged"),
    "a truncated JPEG": Case(cut("cat/a.jpg", "JPEG"), "bad", "cat/a.jpg is damaged"),
    "too many pixels": Case(written("cat/a.png", BOMB), "bad", "cat/a.png has more than 100,000,000 pixels"),
    "a link to itself": Case(linked("cat/a.png", "a.png"), "bad", "cat/a.png is a broken link"),
    "a broken link": Case(linked("cat/a.png", "gone"), "bad", "cat/a.png is a broken link"),
    "a pipe": Case(lambda folder: os.mkfifo(folder / "cat/a.png"), "bad", "cat/a.png is a pipe"),
    "a socket": Case(a_socket, "bad", "cat/a.png is a pipe, a socket or a device"),
    "a link to a device": Case(linked("cat/a.png", "/dev/zero"), "bad", "cat/a.png is a pipe, a socket or a device"),
    "folders too deep for a path": Case(beyond_the_longest_path, "bad", "(File name too long)"),
    "a folder named .png": Case(lambda folder: (folder / "cat/a.png").mkdir(), "used", ""),
    "a class named .jpg": Case(written("bird.jpg/1.png", png()), "used", "bird.jpg/1.png"),
    "a PNG named .jpg": Case(written("cat/a.jpg", png()), "used", "cat/a.jpg"),
    "a picture without a suffix": Case(written("cat/a", png()), "used", "cat/a"),
    "a picture named .txt": Case(written("cat/a.txt", png()), "used", "cat/a.txt"),
    "extra bytes after a picture": Case(written("cat/a.png", png() + b"more"), "used", "cat/a.png"),
    "a picture of 1 pixel": Case(written("cat/a.png", png((1, 1))), "used", "cat/a.png"),
    "a picture of 1 x 5,000": Case(written("cat/a.png", png((1, 5000))), "used", "cat/a.png"),
    "the same picture twice": Case(written("cat/a.png", png(value=0)), "used", "cat/a.png"),
    "a color picture among gray ones": Case(written("cat/a.png", png(mode="RGB")), "used", "cat/a.png"),
    "a folder in a class": Case(written("cat/indoors/a.png", png()), "used", "cat/indoors/a.png"),
    "60 nested folders": Case(written("cat/" + "d/" * 60 + "a.png", png()), "used", "cat/" + "d/" * 60 + "a.png"),
    "a link to a picture outside": Case(picture_outside, "used", "cat/seen.png"),
    "a line break in a name": Case(bytes_name(b"a\nb.png"), "used", "cat/a\nb.png"),
    "an escape in a name": Case(bytes_name(b"\x1b[2J.png"), "used", "cat/\x1b[2J.png"),
    "a name that is not UTF-8": Case(bytes_name(b"caf\xe9.png"), "used", "cat/caf\\xe9.png"),
    "a name that looks like an option": Case(bytes_name(b"--help"), "used", "cat/--help"),
    "a name of spaces": Case(bytes_name(b"   "), "used", "cat/   "),
    "a long name": Case(bytes_name(b"a" * 250 + b".png"), "used", f"cat/{'a' * 250}.png"),
    "a link to a folder outside": Case(outside, "ignored", "1 link to a folder (cat/away)"),
    "a loop of folders": Case(linked("cat/up", ".."), "ignored", "1 link to a folder (cat/up)"),
    "notes": Case(
        written("cat/notes.txt", b"BMW is no bitmap"), "ignored", "1 file that is not a picture (cat/notes.txt)"
    ),
    "an archive in a class": Case(
        written("cat/more.zip", archive("a.png")), "ignored", "1 file that is not a picture (cat/more.zip)"
    ),
    "a table next to the classes": Case(
        written("labels.csv", b"a,b"), "ignored", "1 file that is not a picture (labels.csv)"
    ),
    "a picture next to the classes": Case(
        written("a.png", png()), "ignored", "1 picture outside the class folders (a.png)"
    ),
    ".DS_Store": Case(written("cat/.DS_Store", b"x"), "ignored", "1 .DS_Store"),
    "Thumbs.db": Case(written("cat/Thumbs.db", b"x"), "ignored", "1 Thumbs.db"),
    "notebook checkpoints": Case(written("cat/.ipynb_checkpoints/a.png", png()), "ignored", "1 .ipynb_checkpoints"),
    "notebook checkpoints next to the classes": Case(
        written(".ipynb_checkpoints/a.png", png()), "ignored", "1 .ipynb_checkpoints"
    ),
    "the folder that macOS adds to zip files": Case(written("__MACOSX/cat/a.png", png()), "ignored", "1 __MACOSX"),
    "the files that macOS adds to folders": Case(
        written("cat/._a.png", b"x"), "ignored", "1 hidden file (cat/._a.png)"
    ),
    "a hidden folder": Case(written(".git/a.png", png()), "ignored", "1 hidden file (.git)"),
    "an empty class": Case(lambda folder: (folder / "bird").mkdir(), "ignored", "1 empty folder (bird)"),
    "a class of notes": Case(
        written("bird/notes.txt", b"none"), "ignored", "1 file that is not a picture (bird/notes.txt)"
    ),
    "classes that differ in case": Case(
        files("Cat/1.png", "cat/1.png", "dog/1.png"), "refused", "'Cat' and 'cat' differ only in upper and lower case"
    ),
    "classes that differ in case between splits": Case(
        files("train/cat/1.png", "train/dog/1.png", "test/CAT/1.png"),
        "refused",
        "'train/cat' and 'test/CAT' differ only in upper and lower case",
    ),
    "classes that differ in their Unicode form": Case(
        files(f"{NFC}/1.png", f"{NFD}/1.png"), "refused", r"'e\u0301' and '\xe9' differ only in their Unicode form"
    ),
    "classes that differ in spaces": Case(
        files("cat/1.png", "cat /1.png", "dog/1.png"), "refused", "'cat' and 'cat ' differ only in spaces"
    ),
    "a split next to a class": Case(
        files("cat/1.png", "train/a/1.png"),
        "refused",
        "train looks like a split, but cat next to it looks like a class",
    ),
    "the same split twice": Case(
        files("train/a/1.png", "Training/b/1.png"), "refused", "Training and train are the same split"
    ),
    "no training split": Case(files("test/a/1.png", "test/b/1.png"), "refused", "there is test, but no folder train"),
    "a class with test pictures only": Case(
        files("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"),
        "refused",
        "no training pictures of c, although other splits have some",
    ),
    "splits without classes": Case(
        files("train/1.png", "test/1.png"), "refused", "but 2 pictures outside the class folders"
    ),
    "pictures without classes": Case(files("1.png", "2.png"), "refused", "but 2 pictures outside the class folders"),
    "links to classes": Case(linked_classes, "refused", "but 2 links to folders"),
    "a single class": Case(files("cat/1.png", "cat/2.png"), "refused", "the training split has only pictures of 'cat'"),
    "notes only": Case(
        files("cat/notes.txt", "dog/notes.txt", content=b"notes"),
        "refused",
        "the training split has no pictures at all",
    ),
    "nothing": Case(Path.mkdir, "refused", "holds no class folders with pictures, and nothing else"),
}
# Cases that are harder to create; separate tests cover them.
OTHERS: dict[str, tuple[Outcome, str]] = {
    "a file without read permission": ("bad", "cat/a.png cannot be read (Permission denied)"),
    "a folder without permission": ("bad", "dog/more is a folder that cannot be opened (Permission denied)"),
    "a file that disappears before it is read": ("bad", "cat/4.png does not exist"),
}
