"""Archives of class folders, zip and tar, are read member by member; nothing is ever extracted to the disk.

Members of a zip and of a plain tar are read in any order. A compressed tar can only be read from its beginning, so its
pictures keep the order of the archive, and each pass over them unpacks it once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ...base.words import counted, text_of
from ...errors import DataError
from ..file_bytes import LARGEST_FILE
from .catalog import Catalog, Content, File
from .class_folders import arranged
from .how import How
from .listing import Entry

_ARCHIVE = re.compile(r"\.(zip|tar|tar\.(gz|bz2|xz)|tgz|tbz2?|txz)\Z", re.IGNORECASE)


# What the readers of the standard library raise for an archive that is damaged or that they do not support.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


_UTF_8, _DOS = 0x800, 0  # the flag for names in UTF-8, and the system that writes backslashes (APPNOTE 4.4)


# A member may unpack to 16 MiB, or to 100 times its size if that is more. Blank pictures shrink to a thousandth.
LARGEST_SURE, LARGEST_RATIO = 16 << 20, 100


_TWICE = "is in the archive twice"


def is_archive(path: str) -> bool:
    """Return whether a file has the suffix of a supported archive.

    Args:
        path: A path or a name.
    """
    return _ARCHIVE.search(path) is not None


def scan_archive(path: Path, how: How, chosen: Sequence[str] = ()) -> Catalog:
    """Return the catalog of an archive of class folders.

    Args:
        path: The archive.
        how: How to read picture files; only `group` matters here.
        chosen: The classes that were asked for; they settle which folders are classes.

    Raises:
        DataError: The archive is damaged, holds no class folders, or is ambiguous.
    """
    notes: list[str] = []
    with _damage_named(path):
        if path.name.lower().endswith(".zip"):
            names, members = _members_of_zip(path)
            notes = _note_on_letters(members.values())
            contents: Callable[[Iterable[File]], Iterator[Content]] = partial(_from_zip, path, members)
        elif path.name.lower().endswith(".tar"):
            names, places = _members_of_tar(path)
            contents = partial(_from_plain_tar, path, places)
        else:
            names, _ = _members_of_tar(path)
            contents = partial(_from_packed_tar, path)
    catalog = arranged(path, _as_entries(names), contents, how, chosen)
    if contents.func is _from_packed_tar:  # type: ignore[attr-defined]
        order = {name: number for number, (name, _) in enumerate(names)}
        splits = {split: sorted(files, key=lambda file: order[file.path]) for split, files in catalog.splits.items()}
        catalog = dataclasses.replace(catalog, splits=splits)
    return dataclasses.replace(catalog, holder_of=lambda inside: str(path), notes=[*catalog.notes, *notes])


@contextlib.contextmanager
def _damage_named(path: Path, name: str = "") -> Iterator[None]:
    """Turn whatever a reader raises for a damaged archive into a `DataError`.

    Raises:
        DataError: The error, with the name of the archive or of its member `name`.
    """
    try:
        yield
    except _DAMAGE as error:
        what = f"{name} cannot be read" if name else f"{path} cannot be read as an archive"
        raise DataError(f"{what}: {error!s:.200}.", hint="Copy or download the archive again.") from error


def _as_entries(names: Sequence[tuple[str, str]]) -> Callable[[str], Sequence[Entry]]:
    """Return a function that lists each folder, from the path of each member and what it is."""
    inside: dict[str, dict[str, str]] = {"": {}}
    for path, is_a in names:
        parts = path.split("/")
        if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
            inside[""][f"({path})"] = "has a path that leads outside the archive"
            continue
        for depth in range(len(parts)):
            above, name = "/".join(parts[:depth]), parts[depth]
            folder = inside.setdefault(above, {})
            what = is_a if depth == len(parts) - 1 else "folder"
            folder[name] = _TWICE if folder.get(name, "folder") != "folder" else what
    return lambda place: [Entry(name, is_a) for name, is_a in inside.get(place, {}).items()]


# Zip


def _members_of_zip(path: Path) -> tuple[list[tuple[str, str]], dict[str, zipfile.ZipInfo]]:
    """Return the name of each member with what it is, and the members by name."""
    names, members = [], {}
    with zipfile.ZipFile(path) as archive:
        written = [_name_in_zip(member) for member in archive.infolist()]
        # Some programs of Windows write its separator, against the standard. Beside a slash, it is a byte of a letter.
        has_slashes = any("/" in name for name in written)
        for member, name in zip(archive.infolist(), written, strict=True):
            is_of_windows = "/" not in name and (not has_slashes or member.create_system == _DOS)
            name = (name.replace("\\", "/") if is_of_windows else name).rstrip("/")
            names.append((name, _kind_in_zip(member)))
            members[name] = member
    return names, members


def _name_in_zip(member: zipfile.ZipInfo) -> str:
    """Return the path of a member, read as UTF-8 where its bytes are, since macOS writes UTF-8 without the mark."""
    if member.flag_bits & _UTF_8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _note_on_letters(members: Iterable[zipfile.ZipInfo]) -> list[str]:
    """Return a line if names are in an encoding that the zip does not tell."""
    unknown = [
        member.filename
        for member in members
        if not member.flag_bits & _UTF_8 and not (name := _name_in_zip(member)).isascii() and name == member.filename
    ]
    if not unknown:
        return []
    return [
        f"the letters of {counted(len(unknown), 'name')} are in an unknown encoding and may be wrong, such as "
        f"{unknown[0]}; zip the folder again with a program that writes UTF-8"
    ]


def _kind_in_zip(member: zipfile.ZipInfo) -> str:
    """Return what a member is, or why it cannot be used."""
    if member.is_dir() or (member.filename.endswith("\\") and not member.file_size):
        return "folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link, and links in an archive are not followed"
    if member.flag_bits & 1:
        return "is encrypted"
    return _unless_too_large(member.file_size, member.compress_size)


def _from_zip(path: Path, members: dict[str, zipfile.ZipInfo], files: Iterable[File]) -> Iterator[Content]:
    """Give a function for each file that reads it from a zip."""
    with _damage_named(path):
        archive = zipfile.ZipFile(path)  # the functions read it later; it is closed with the last of them

    def read(name: str) -> bytes:
        with _damage_named(path, text_of(f"{path}/{name}")), archive.open(members[name]) as file:
            return file.read(LARGEST_FILE)

    return (partial(read, file.path) for file in files)


# Tar


def _members_of_tar(path: Path) -> tuple[list[tuple[str, str]], dict[str, tuple[int, int]]]:
    """Return the name of each member with what it is, and start and length of its bytes in an uncompressed tar."""
    names, places = [], {}
    packed = path.stat().st_size
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            name = _tar_name(member)
            names.append((name, _kind_in_tar(member, packed)))
            places[name] = (member.offset_data, member.size)
    return [(name, kind) for name, kind in names if name != "."], places


def _tar_name(member: tarfile.TarInfo) -> str:
    """Return the path of a member without a leading "./"."""
    return member.name.removeprefix("./") or "."


def _kind_in_tar(member: tarfile.TarInfo, packed: int) -> str:
    """Return what a member is, or why it cannot be used; `packed` has the bytes of the whole archive."""
    if member.isdir():
        return "folder"
    if member.issym() or member.islnk():
        return "is a link, and links in an archive are not followed"
    if not member.isreg() or member.sparse is not None:
        return "is not a regular file"
    return _unless_too_large(member.size, packed)


def _from_plain_tar(path: Path, places: dict[str, tuple[int, int]], files: Iterable[File]) -> Iterator[Content]:
    """Give a function for each file that reads it from an uncompressed tar."""

    def read(name: str) -> bytes:
        start, size = places[name]
        with _damage_named(path, text_of(f"{path}/{name}")), path.open("rb") as archive:
            archive.seek(start)
            return archive.read(size)

    for file in files:
        yield partial(read, file.path)


def _from_packed_tar(path: Path, files: Iterable[File]) -> Iterator[Content]:
    """Give a function for each file that returns its bytes, unpacking a compressed tar once, in its own order."""
    wanted = iter(files)
    if (file := next(wanted, None)) is None:
        return
    with _damage_named(path), tarfile.open(path, "r|*") as archive:
        for member in archive:
            if _tar_name(member) != file.path or not member.isreg():
                continue
            packed = archive.extractfile(member)
            assert packed is not None
            content = packed.read()
            yield partial(bytes, content)
            if (file := next(wanted, None)) is None:
                return
    raise DataError(f"{path} changed while it was being read.", hint="Try again when nothing writes to it.")


def _unless_too_large(size: int, packed: int) -> str:
    """Return that a member is a file, or that it is too large, also for the bytes that it is packed in."""
    if size > max(LARGEST_SURE, LARGEST_RATIO * packed):
        return f"unpacks from {packed:,} to {size:,} bytes, as no picture does"
    return "file" if size <= LARGEST_FILE else f"has {size:,} bytes, more than the limit of {LARGEST_FILE:,}"
