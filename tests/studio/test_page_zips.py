"""Zips on the Studio's page: taken like folders; what is hostile in them is left out, and each refusal says why."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from browser import violations
from clothes import png_of
from in_studio import Page
from on_page import complaints, drop, says, until

from sevensteps.data.images import Splits


def zipped(path: Path, members: dict[str, bytes], **how: Any) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", **{"compression": zipfile.ZIP_DEFLATED, **how}) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def marked(path: Path, name: str, at: int, form: str, value: int) -> None:
    """Change a number in the entry that the list of files has of a member."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    struct.pack_into(form, content, entry + at, value)
    path.write_bytes(content)


def left_out(there: Any) -> dict[str, str]:
    """Return the files that the page has left out, with the reasons."""
    rows = there.execute_script(
        "return [...document.querySelectorAll('.refused li')].map(li => [li.firstChild.textContent, li.textContent])"
    )
    return {name: said.removeprefix(name).strip() for name, said in rows}


def refusal(there: Any) -> str:
    """Wait until the page says why it refuses, close that, and return it."""
    shown = (
        "const bar = document.querySelector('#problem'); return !bar.hidden && bar.querySelector('span').textContent"
    )
    said = str(until(there, shown))
    there.execute_script("document.querySelector('#problem button').click()")
    until(there, "return document.querySelector('#problem').hidden")
    return said


@pytest.mark.slow  # a browser
def test_a_zip_is_taken_like_a_folder_and_what_is_hostile_in_it_is_left_out(
    there: Any, studio: Any, splits: Splits, tmp_path: Path
) -> None:
    page = Page(studio.url)
    good = {f"Pullover/{n}.png": png_of(splits, n) for n in range(6)}
    good |= {f"日本/more/{n}.png": png_of(splits, 6000 + n) for n in range(5)}
    good |= {"__MACOSX/Pullover/._1.png": b"x", "Pullover/.DS_Store": b"x", "Pullover/notes.txt": b"notes"}
    clothes = zipped(tmp_path / "clothes.zip", good)
    clothes.write_bytes(b"something before it" + clothes.read_bytes())  # as in a program that unpacks itself
    there.get(studio.url)
    says(there, "Bring pictures")
    drop(there, clothes)
    counted = page.wait(lambda state: sum((state["gathering"] or {"counts": {}})["counts"].values()) == 11)
    assert counted["gathering"]["counts"] == {"Pullover": 6, "more": 5}  # the folder that each picture lies in
    says(there, "1 file left out")
    assert left_out(there) == {"clothes/Pullover/notes.txt": "it is not a picture"}
    assert violations(there) == []

    # A zip of pictures alone is a class of its name, here stored and not packed.
    drop(there, zipped(tmp_path / "Left hand.zip", {"1.png": png_of(splits, 7)}, compression=zipfile.ZIP_STORED))
    page.wait(lambda state: state["gathering"]["counts"].get("Left hand") == 1)

    names = ("../../up.png", "/etc/away.png", "a/link.png", "a/locked.png", "a/bomb.png", "a/longer.png", "a/wrong.png")
    hostile = zipped(
        tmp_path / "hostile.zip", {name: png_of(splits, 9) for name in names} | {"a/bomb.png": bytes(30 << 20)}
    )
    marked(hostile, "a/link.png", 38, "<I", 0o120777 << 16)
    marked(hostile, "a/locked.png", 8, "<H", 1)
    marked(hostile, "a/longer.png", 24, "<I", 100)  # it promises fewer bytes than it has
    marked(hostile, "a/wrong.png", 16, "<I", 1)  # its checksum
    drop(there, hostile)
    until(there, "return document.querySelectorAll('.refused li').length === 8")
    found = left_out(there)
    assert "leads outside" in found["hostile/../../up.png"]
    assert "leads outside" in found["hostile//etc/away.png"]
    assert "links in a zip" in found["hostile/a/link.png"]
    assert "encrypted" in found["hostile/a/locked.png"]
    assert "unpacks from" in found["hostile/a/bomb.png"]
    assert "is damaged" in found["hostile/a/longer.png"]
    assert "is damaged" in found["hostile/a/wrong.png"]
    assert sum(page.state["gathering"]["counts"].values()) == 12

    (tmp_path / "no.zip").write_bytes(b"not a zip at all")
    (tmp_path / "cut.zip").write_bytes(clothes.read_bytes()[:3000])
    many = {f"a/{n}.png": b"" for n in range(10_001)}
    for path, wanted in (
        (tmp_path / "no.zip", "no.zip cannot be read as a zip"),
        (tmp_path / "cut.zip", "cut.zip cannot be read as a zip"),
        (zipped(tmp_path / "none.zip", {}), "none.zip holds no files"),
        (zipped(tmp_path / "many.zip", many), "many.zip holds 10,001 pictures, and this page takes 10,000."),
    ):
        drop(there, path)
        assert wanted in refusal(there)
    assert sum(page.state["gathering"]["counts"].values()) == 12
    assert complaints(there) == []
