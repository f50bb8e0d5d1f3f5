"""The cache of decoded pictures: the next start gives the same set, decodes what has changed, and ignores damage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import loaded, png, put

from sevensteps.base.user_folders import cache_folder
from sevensteps.data import decode
from sevensteps.data.files import decoded_cache as decoded
from sevensteps.data.files import load as picture_files
from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError

FILES = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(50)]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Count how often a file is opened as a picture, with everything that is decoded kept in the cache."""
    monkeypatch.setattr(picture_files, "WORTH_KEEPING", 0)
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    counted = [0]
    real = decode.plain_png  # which is asked first, whatever the file is

    def counting(content: bytes) -> Any:
        counted[0] += 1
        return real(content)

    monkeypatch.setattr(decode, "plain_png", counting)
    return counted


def how_many(count: list[int], folder: Path, **how: Any) -> tuple[int, Splits, str]:
    count[0] = 0
    splits, said = loaded(folder, **how)
    return count[0], splits, said


def test_the_second_start_opens_no_picture_and_gives_the_same_set(tmp_path: Path, count: list[int]) -> None:
    folder = put(tmp_path / "pets", *FILES)
    _, before, said = how_many(count, folder)
    assert "3.6 KB of decoded pictures kept in the cache for the next start" in said
    opened, after, said = how_many(count, folder)
    assert opened == 0
    assert "kept" not in said
    assert after.train.fingerprint == before.train.fingerprint
    assert list(after.train.ids) == list(before.train.ids)


def test_only_what_has_changed_is_decoded_again(tmp_path: Path, count: list[int]) -> None:
    folder = put(tmp_path / "pets", *FILES)
    load(folder)
    put(folder, "cat/3.png", "dog/new.png", content=png(value=200))
    (folder / "cat/7.png").unlink()
    (folder / "cat/8.png").rename(folder / "dog/8b.png")
    opened, after, _ = how_many(count, folder)
    assert opened == 2 * 3  # once for its header, once to decode it
    shutil.rmtree(cache_folder())
    fresh = load(folder)
    assert after.train.fingerprint == fresh.train.fingerprint
    assert how_many(count, folder)[0] == 0


def test_a_change_that_keeps_size_and_time_is_noticed_or_found_on_request(tmp_path: Path, count: list[int]) -> None:
    folder = put(tmp_path / "pets", *FILES)
    load(folder)
    path = folder / "cat/3.png"
    before = path.stat()
    content = png(value=250)
    path.write_bytes(content + b"\0" * (before.st_size - len(content)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    opened, after, _ = how_many(count, folder)
    assert opened == 2  # the time of the last status change differs
    assert int(after.train.pixels[after.train.ids.index("cat/3.png")].max()) == 250
    assert how_many(count, folder, fresh=True)[0] >= len(FILES)


def test_another_size_is_cached_in_addition_to_the_first(tmp_path: Path, count: list[int]) -> None:
    folder = put(tmp_path / "pets", *FILES)
    assert load(folder).train.shape == (1, 6, 6)
    assert load(folder, size=9).train.shape == (1, 9, 9)
    for how, side in (({}, 6), ({"size": 9}, 9)):
        opened, splits, _ = how_many(count, folder, **how)
        assert (opened, splits.train.shape) == (0, (1, side, side))


def test_a_first_picture_in_color_changes_what_all_are_made(tmp_path: Path, count: list[int]) -> None:
    folder = put(tmp_path / "pets", *FILES)
    load(folder)
    put(folder, "cat/color.png", content=png(mode="RGB"))
    assert load(folder).train.shape == (3, 6, 6)


def test_bad_files_are_bad_each_time(tmp_path: Path, count: list[int]) -> None:
    folder = put(put(tmp_path / "pets", *FILES), "cat/bad.png", content=png((50, 50), mode="RGB")[:60])
    for _ in range(2):
        with pytest.raises(DataError, match="1 bad file"):
            load(folder, bad_files="stop")
    load(folder, bad_files="skip")
    opened, splits, said = how_many(count, folder, bad_files="skip")
    assert opened <= 3
    assert "1 bad file left out" in said
    assert len(splits.train) == 100


@pytest.mark.parametrize("place", [0, 40, 300, -1])
@pytest.mark.parametrize("suffix", [".index", ".pixels"])
def test_damage_costs_time_and_nothing_else(tmp_path: Path, count: list[int], suffix: str, place: int) -> None:
    folder = put(tmp_path / "pets", *FILES)
    before = load(folder)
    (kept,) = (cache_folder() / "decoded").glob(f"*{suffix}")
    content = bytearray(kept.read_bytes())
    content[place] ^= 0x55
    kept.write_bytes(content)
    opened, after, _ = how_many(count, folder)
    assert opened >= len(FILES)
    assert after.train.fingerprint == before.train.fingerprint
    assert how_many(count, folder)[0] == 0
    kept.write_bytes(b"")
    assert load(folder).train.fingerprint == before.train.fingerprint


def test_what_was_used_longest_ago_makes_room(
    tmp_path: Path, count: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "MOST", 9000)
    folders = [put(tmp_path / name, *FILES) for name in "abc"]
    for folder in folders:
        load(folder)
    assert len(list((cache_folder() / "decoded").glob("*.pixels"))) == 2
    assert how_many(count, folders[2])[0] == 0
    assert how_many(count, folders[0])[0] > 0


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, count: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "file", content=b"in the way")
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "file"))
    folder = put(tmp_path / "pets", *FILES)
    _, splits, said = how_many(count, folder)
    assert "kept" not in said
    np.testing.assert_array_equal(load(folder).train.pixels, splits.train.pixels)


def test_what_is_unchanged_is_not_read_but_mapped(tmp_path: Path, count: list[int]) -> None:
    folder = put(tmp_path / "pets", *FILES)
    before = load(folder)
    after = load(folder)
    (kept,) = (cache_folder() / "decoded").glob("*.pixels")
    mapped: Any = after.train.pixels
    while mapped is not None and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    assert mapped is not None
    assert Path(str(mapped.filename)).samefile(kept)
    content = kept.read_bytes()
    after.train.pixels[:] = 7  # is this process's alone
    assert kept.read_bytes() == content
    assert load(folder).train.fingerprint == before.train.fingerprint


@pytest.mark.parametrize("change", ["added", "removed", "in place", "renamed", "class renamed", "two at once"])
def test_each_kind_of_change_gives_what_a_fresh_start_would(tmp_path: Path, count: list[int], change: str) -> None:
    folder = put(tmp_path / "pets", *FILES)
    load(folder)
    decoded_again = {"added": 1, "removed": 0, "in place": 1, "renamed": 1, "class renamed": 50, "two at once": 2}
    if change in ("added", "two at once"):
        put(folder, "cat/25b.png", content=png(value=201))
    if change in ("removed", "two at once"):
        (folder / "dog/0.png").unlink()
    if change in ("in place", "two at once"):
        size = (folder / "cat/31.png").stat().st_size
        content = png(value=250)
        (folder / "cat/31.png").write_bytes(content + b"\0" * (size - len(content)))
        assert (folder / "cat/31.png").stat().st_size == size
    if change == "renamed":
        (folder / "cat/12.png").rename(folder / "cat/zz.png")
    if change == "class renamed":
        (folder / "cat").rename(folder / "lion")
    opened, after, _ = how_many(count, folder)
    assert opened <= 2 * decoded_again[change]
    fresh = load(folder, fresh=True)
    assert after.classes == fresh.classes
    assert list(after.train.ids) == list(fresh.train.ids)
    assert after.train.fingerprint == fresh.train.fingerprint
    assert how_many(count, folder)[0] == 0
