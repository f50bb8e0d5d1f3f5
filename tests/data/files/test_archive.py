"""Class folders in zip and tar: the same pictures as from a folder, nothing extracted, and every damage named."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from folders import loaded, pets, png, put
from PIL import Image
from typed import sevensteps

from sevensteps.data.sources.load import load
from sevensteps.errors import DataError

KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


def packed(folder: Path, kind: str, into: Path) -> Path:
    """Archive everything in a folder, in an order of its own."""
    archive = into / f"pets.{kind}"
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            for file in files:
                made.write(file, file.relative_to(folder))
    else:
        with tarfile.open(archive, f"w:{kind[4:]}") as made:
            for file in files:
                made.add(file, f"./{file.relative_to(folder)}")
    return archive


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_read_as_the_folder_that_it_was_made_of(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "pets", *(f"{name}/{n}.png" for name in ("cat", "dog") for n in range(100)))
    put(folder, "cat/.DS_Store", "notes.txt", content=b"x")
    (tmp_path / "elsewhere").mkdir()
    archive = packed(folder, kind, tmp_path / "elsewhere")
    before = load(folder)
    splits, said = loaded(archive)
    assert splits.classes == ("cat", "dog")
    assert f"pets.{kind}: 2 class folders, 100 pictures in each class (200 train)" in said
    assert "1 .DS_Store" in said
    order = [splits.train.ids.index(name) for name in before.train.ids]
    np.testing.assert_array_equal(splits.train.pixels[order], before.train.pixels)
    np.testing.assert_array_equal(splits.train.labels[order], before.train.labels)
    if kind in ("zip", "tar"):
        assert splits.train.fingerprint == before.train.fingerprint
    assert list(archive.parent.iterdir()) == [archive]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_above_the_split_folders_is_looked_into(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "in", *(f"pets/{s}/{c}/{n}.png" for s in ("train", "test") for c in "ab" for n in range(3)))
    splits, said = loaded(packed(folder, kind, tmp_path))
    assert "2 class folders in train, test" in said
    assert splits.test is not None
    assert len(splits.test) == 6


def test_members_that_cannot_be_used_are_bad_files(tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("cat", "dog"):
            for number in range(4):
                made.writestr(f"{name}/{number}.png", png(value=number))
        made.writestr("cat/cut.png", png((50, 50), mode="RGB")[:60])
        made.writestr("../../cat/out.png", png())
        made.writestr("/cat/root.png", png())
        made.writestr(link, "0.png")
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr("dog/3.png", png())
    with pytest.raises(DataError, match="5 bad files: ") as caught:
        load(archive)
    for words in (
        "(../../cat/out.png) has a path that leads outside the archive",
        "(/cat/root.png) has a path",
        "cat/cut.png is damaged",
        "cat/link.png is a link, and links",
        "dog/3.png is in the archive twice",
    ):
        assert words in caught.value.message
    assert len(load(archive, bad_files="skip").train) == 7
    assert not (tmp_path.parent.parent / "cat").exists()


def test_links_and_devices_in_a_tar_are_bad_files(tmp_path: Path) -> None:
    archive = tmp_path / "pets.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        made.add(pets(tmp_path / "in"), ".")
        for name, kind in (
            ("cat/a.png", tarfile.SYMTYPE),
            ("cat/b.png", tarfile.FIFOTYPE),
            ("cat/c.png", tarfile.LNKTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            made.addfile(member)
    with pytest.raises(
        DataError, match=r"3 bad files: cat/a.png is a link, .*; cat/b.png is not a regular file; cat/c.png is a link"
    ):
        load(archive)
    assert len(load(archive, bad_files="skip").train) == 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.9])
def test_a_damaged_archive_is_named_and_nothing_hangs(tmp_path: Path, kind: str, keep: float) -> None:
    archive = packed(put(tmp_path / "in", *(f"{c}/{n}.png" for c in "ab" for n in range(30))), kind, tmp_path)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"pets\."):
        load(archive)


def test_a_member_with_a_wrong_checksum_is_a_bad_file(tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as made:
        for name in ("cat", "dog"):
            for number in range(3):
                made.writestr(f"{name}/{number}.png", png((9, 9), value=number + 1))
    content = archive.read_bytes()
    at = content.index(b"IDAT") + 6
    archive.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    with pytest.raises(DataError, match=r"1 bad file: cat/0.png cannot be read: Bad CRC-32"):
        load(archive)


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    archive = packed(pets(tmp_path / "in"), "zip", tmp_path)
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"dog/4.png is encrypted"):
        load(archive)


@pytest.mark.slow
def test_a_zip_is_trained_on_and_prepared_by_command(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, value in (("dark", 60), ("light", 190)):
        for number in range(30):
            content = io.BytesIO()
            Image.fromarray(random.normal(value, 20, (8, 8)).clip(0, 255).astype(np.uint8)).save(content, "PNG")
            put(tmp_path / "in", f"{name}/{number}.png", content=content.getvalue())
    packed(tmp_path / "in", "zip", tmp_path)
    done = sevensteps("train", "pets.zip", "--recipe", "linear", "--epochs", "2", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    run = json.loads(done.out)["run"]
    assert sevensteps("verify", run, "--rerun", cwd=tmp_path).code == 0
    assert sevensteps("prepare", "pets.zip", cwd=tmp_path).code == 0
    assert (tmp_path / "pets.zip.store").is_file()


class AsBytes(zipfile.ZipInfo):
    """A member whose name is written in an encoding of one's choice, and without the mark of UTF-8."""

    encoding = "utf-8"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - the name that zipfile has for it
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


def zipped(path: Path, names: list[str], encoding: str = "utf-8", system: int = 3) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            member = AsBytes(name)
            member.encoding, member.create_system = encoding, system
            archive.writestr(member, png(value=number))
    return path


@pytest.mark.parametrize("classes", [("caf\xe9", "th\xe9"), ("cafe\u0301", "the\u0301"), ("\u732b", "\u72ac")])
def test_names_in_utf_8_without_its_mark_are_read_as_the_mac_writes_them(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    splits, said = loaded(zipped(tmp_path / "d.zip", [f"{name}/{n}.png" for name in classes for n in range(3)]))
    assert set(splits.classes) == {unicodedata.normalize("NFC", name) for name in classes}
    assert "unknown encoding" not in said


def test_letters_in_an_unknown_encoding_are_said(tmp_path: Path) -> None:
    names = [f"{name}/{n}.png" for name in ("\u732b", "\u72ac") for n in range(3)]
    splits, said = loaded(zipped(tmp_path / "d.zip", names, "shift_jis"))
    assert len(splits.classes) == 2
    assert "the letters of 6 names are in an unknown encoding and may be wrong" in said


@pytest.mark.parametrize("system", [0, 3])
def test_a_backslash_beside_a_slash_is_a_byte_of_a_letter(tmp_path: Path, system: int) -> None:
    letter = "\u8868"
    assert letter.encode("shift_jis").endswith(b"\\")
    names = [f"{name}/{n}.png" for name in (f"a{letter}", "cat") for n in range(3)]
    splits = load(zipped(tmp_path / "d.zip", names, "shift_jis", system))
    assert splits.train.counts["cat"] == 3
    assert len(splits.classes) == 2


@pytest.mark.parametrize("system", [0, 3])
def test_backslashes_in_a_zip_separate_folders(tmp_path: Path, system: int) -> None:
    names = [f"train\\{name}\\{n}.png" for name in ("cat", "dog") for n in range(3)]
    splits = load(zipped(tmp_path / "d.zip", names, system=system))
    assert splits.classes == ("cat", "dog")
    assert "train/cat/0.png" in splits.train.ids


def test_a_backslash_does_not_lead_outside(tmp_path: Path) -> None:
    names = ["..\\x.png", *(f"{name}\\{n}.png" for name in ("cat", "dog") for n in range(3))]
    with pytest.raises(DataError, match=r"has a path that leads outside the archive"):
        load(zipped(tmp_path / "d.zip", names))


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_a_member_that_unpacks_to_far_more_than_its_size_is_bad_and_is_not_unpacked(tmp_path: Path, kind: str) -> None:
    folder = put(tmp_path / "pets", *(f"{name}/{n}.png" for name in ("cat", "dog") for n in range(3)))
    put(folder, "cat/bomb.png", content=bytes(20 << 20))
    archive = packed(folder, kind, tmp_path)
    with pytest.raises(DataError, match=r"cat/bomb.png unpacks from [\d,]+ to 20,971,520 bytes, as no picture does"):
        load(archive)
    tracemalloc.start()
    splits = load(archive, bad_files="skip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(splits.train), len(splits.bad_files)) == (6, 1)
    assert kind != "zip" or peak < 10 << 20  # a compressed tar is unpacked up to its last picture


def test_a_blank_picture_that_packs_well_is_not_a_bomb(tmp_path: Path) -> None:
    folder = put(tmp_path / "pets", *(f"{name}/{n}.png" for name in ("cat", "dog") for n in range(3)))
    content = io.BytesIO()
    Image.new("L", (2000, 2000), 9).save(content, "BMP")
    put(folder, "cat/blank.bmp", content=content.getvalue())
    assert len(load(packed(folder, "zip", tmp_path)).train) == 7
