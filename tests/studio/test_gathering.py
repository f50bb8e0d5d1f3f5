"""Pictures that are given on the page become a source like any other."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from in_studio import Page
from PIL import Image

import sevensteps as ss


def picture(seed: int, side: int = 24, kind: str = "PNG") -> bytes:
    """Return the file of a picture: dark on top for even seeds, else dark at the bottom."""
    pixels = np.random.default_rng(seed).integers(0, 90, (side, side), dtype=np.uint8)
    pixels[: side // 2] += np.uint8(120 * (seed % 2))
    pixels[side // 2 :] += np.uint8(120 * (1 - seed % 2))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def give(page: Page, of: str, content: bytes, name: str = "a.png") -> int:
    """Send one picture."""
    return page.send("POST", f"/gather?class={quote(of)}&name={quote(name)}", content).status


def test_given_pictures_are_counted_opened_and_trained_on(empty_page: Page, tmp_path: Path) -> None:
    for seed in range(40):
        assert give(empty_page, ("bottom, dark", "top")[seed % 2], picture(seed)) == 200
    assert empty_page.state["gathering"]["counts"] == {"bottom, dark": 20, "top": 20}
    empty_page.do("ungather", **{"class": "top", "number": 20})
    empty_page.do("use-gathered")
    state = empty_page.rest()
    assert state["data"]["own"]
    assert set(state["data"]["classes"]) == {"bottom, dark", "top"}
    assert sum(sum(split.values()) for split in state["data"]["counts"].values()) >= 39
    empty_page.do("batch")
    assert empty_page.place["batch"] == 1
    splits = ss.load(tmp_path / "studio-pictures-1/my-pictures-1.csv")
    assert len(splits.train) == 39


def test_what_is_not_a_picture_is_refused_and_listed(empty_page: Page, tmp_path: Path) -> None:
    for name, content in (
        ("notes.txt", b"hello"),
        ("empty.png", b""),
        ("cut.png", picture(1)[:200]),
        ("<img src=x>.png", b"\x89PNG"),
    ):
        assert give(empty_page, "a", content, name) == 200
    told = empty_page.state["gathering"]
    assert (told["counts"], len(told["refused"])) == ({}, 4)
    assert told["refused"][3]["name"] == "<img src=x>.png"
    assert list(tmp_path.glob("studio-pictures-*")) == []


def test_no_name_of_a_client_becomes_a_path(empty_page: Page, tmp_path: Path) -> None:
    for of in ("../../up", "/etc", "C:\\Windows", "con", "a/b", "..", "train"):
        assert give(empty_page, of, picture(1), "../../../evil.png") == 200
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(written) == [f"studio-pictures-1/{number:06d}.png" for number in range(1, 8)]
    for of in ("", " ", "a\0b", "x" * 81, "a\u202eb"):
        assert give(empty_page, of, picture(1)) == 400


def test_a_name_that_a_table_would_not_take_is_refused_when_it_is_given(empty_page: Page) -> None:
    give(empty_page, "Cafe\u0301", picture(1))
    give(empty_page, "Caf\u00e9", picture(2))  # the same name, as another system writes it
    assert empty_page.state["gathering"]["counts"] == {"Caf\u00e9": 2}
    for of, said in (
        ("nan", "a label is missing"),
        ("null", "a label is missing"),
        ("caf\u00e9", "in upper and lower case"),
        ("tea|Caf\u00e9", "several labels"),
    ):
        reply = empty_page.send("POST", f"/gather?class={quote(of)}&name=a.png", picture(3))
        assert reply.status == 400
        assert said in reply.json["error"]["message"]
        assert reply.json["error"]["hint"]
    assert list(empty_page.state["gathering"]["counts"]) == ["Caf\u00e9"]


def test_too_many_pixels_are_refused_before_they_are_decoded(empty_page: Page) -> None:
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "PNG")
    assert give(empty_page, "a", file.getvalue()) == 200
    assert "pixels" in empty_page.state["gathering"]["refused"][0]["reason"]


def test_one_class_is_not_enough_and_loses_nothing(empty_page: Page) -> None:
    give(empty_page, "a", picture(1))
    assert "two classes" in empty_page.refused("use-gathered")["message"]
    assert empty_page.state["gathering"]["counts"] == {"a": 1}
    give(empty_page, "b", picture(2))
    assert "too few" in empty_page.refused("use-gathered")["message"]  # without the table's name, which nobody gave
    empty_page.do("ungather")
    assert empty_page.state["gathering"] is None


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_every_format_is_taken(empty_page: Page, kind: str) -> None:
    give(empty_page, "a", picture(1, kind=kind))
    give(empty_page, "b", picture(2, kind=kind))
    assert empty_page.state["gathering"]["counts"] == {"a": 1, "b": 1}
