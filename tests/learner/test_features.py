"""Features: one row for each picture, computed once, found again by content, and never taken for another picture's."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from photos import photos_in
from PIL import Image

import sevensteps as ss
from sevensteps.data.decode import read_picture
from sevensteps.data.files.how import How
from sevensteps.data.images import Splits
from sevensteps.errors import DataError, ModelError
from sevensteps.learner import features as learner_features
from sevensteps.learner.features import with_features
from sevensteps.learner.kept_features import place
from sevensteps.ship.backbone.extract import extractor
from sevensteps.ship.backbone.weights import load_backbone

NAME = "efficientnet-lite0"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    load_backbone()
    weights = place().parent.parent / "backbones"
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/backbones").symlink_to(weights)
    return photos_in(tmp_path / "photos", 4)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how many pictures go through the network, which still does its work."""
    counted: list[int] = []

    def counting(*of: object) -> object:
        extract = extractor(*of)  # type: ignore[arg-type]

        def one(pixels: np.ndarray) -> np.ndarray:
            counted.append(1)
            return extract(pixels)

        return one

    monkeypatch.setattr(learner_features, "extractor", counting)
    return counted


def featured(folder: Path, said: list[str] | None = None, **how: object) -> Splits:
    settings = How(**how)  # type: ignore[arg-type]
    splits = ss.load(str(folder), **how)  # type: ignore[arg-type]
    return with_features(splits, str(folder), settings, NAME, [].append if said is None else said.append)


def test_each_row_is_that_of_its_picture_whatever_is_chosen_or_held_out(photos: Path) -> None:
    splits = featured(photos)
    extract, backbone = extractor(load_backbone()), load_backbone()
    assert splits.train.input_shape == (1280, 1, 1)
    for images in (splits.train, splits.choose(["hopper", "china"]).hold_out(0.25).valid):
        assert images is not None
        for row, name in enumerate(images.ids):
            wanted = extract(read_picture(photos / name, backbone.shape, "letterbox"))
            assert (images.inputs[row].ravel() == wanted).all()
    x, _ = splits.train[0]
    assert tuple(x.shape) == (1280, 1, 1)
    assert splits.train.shape == (3, 64, 64)  # what is shown stays a picture


def test_a_picture_is_computed_once_and_only_new_or_changed_ones_later(photos: Path, computed: list[int]) -> None:
    first = featured(photos)
    assert len(computed) == 12
    again = featured(photos)
    assert len(computed) == 12
    assert (first.train.inputs == again.train.inputs).all()
    (photos / "more").mkdir()
    for number in range(2):
        Image.effect_noise((80, 80), 50 + 40 * number).convert("RGB").save(photos / f"more/{number}.png")
    (photos / "copies").mkdir()  # another set with the same files
    (photos / "copies/a.png").write_bytes((photos / "china/00.png").read_bytes())
    featured(photos)
    assert len(computed) == 14
    changed = bytearray((photos / "china/00.png").read_bytes())
    Image.open(photos / "china/00.png").save(photos / "china/00.png", compress_level=1)
    assert (photos / "china/00.png").read_bytes() != bytes(changed)
    featured(photos)
    assert len(computed) == 15


def test_another_way_to_fit_and_other_weights_never_reuse_a_row(
    photos: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    featured(photos)
    featured(photos, fit="crop")
    assert len(computed) == 24
    monkeypatch.setattr(
        learner_features, "load_network", lambda *_, **how: dataclasses.replace(load_backbone(), sha256="0" * 64)
    )
    featured(photos)
    assert len(computed) == 36


def test_an_interrupted_pass_goes_on_where_it_was(
    photos: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_features, "AT_ONCE", 5)
    with pytest.MonkeyPatch.context() as patch:
        find, calls = learner_features.KeptFeatures.find, []

        def stopping(*arguments: object) -> object:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return find(*arguments)  # type: ignore[arg-type]

        patch.setattr(learner_features.KeptFeatures, "find", stopping)
        with pytest.raises(KeyboardInterrupt):
            featured(photos)
    assert len(computed) == 10
    featured(photos)
    assert len(computed) == 12


@pytest.mark.parametrize("damage", ["noise", "version", "cut", "row"])
def test_a_damaged_cache_is_made_again(photos: Path, computed: list[int], damage: str) -> None:
    wanted = featured(photos).train.inputs
    content = place().read_bytes()
    if damage == "noise":
        place().write_bytes(b"no database at all" * 100)
    elif damage == "cut":
        place().write_bytes(content[: len(content) // 2])
    else:
        database = sqlite3.connect(place())
        with database:
            if damage == "version":
                database.execute("PRAGMA user_version = 99")
            else:
                key, row = database.execute("SELECT key, row FROM features").fetchone()
                flipped = bytes([row[0] ^ 1]) + row[1:]
                database.execute("UPDATE features SET row = ? WHERE key = ?", (flipped, key))
        database.close()
    said: list[str] = []
    assert (featured(photos, said).train.inputs == wanted).all()
    if damage == "row":
        assert len(computed) == 13
    else:
        assert [line for line in said if "again" in line]
    before = len(computed)
    featured(photos)
    assert len(computed) == before


def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop(photos: Path, computed: list[int]) -> None:
    place().parent.mkdir()
    place().mkdir()  # a folder stands in its place, which not even root can write to
    said: list[str] = []
    assert len(featured(photos, said).train) == 12
    assert len([line for line in said if "cannot be kept" in line]) == 1
    assert len(computed) == 12


def test_arrays_are_enlarged_and_a_store_is_refused(tmp_path: Path, photos: Path) -> None:
    pixels = ss.load(str(photos)).train.pixels
    np.savez(tmp_path / "a.npz", allow_pickle=False, x=pixels, y=np.arange(12) % 2)  # noqa: TID251
    splits = with_features(ss.load(str(tmp_path / "a.npz")), str(tmp_path / "a.npz"), How(), NAME)
    assert splits.train.inputs.shape == (12, 1280, 1, 1)
    ss.prepare(str(photos), tmp_path / "a.store")
    with pytest.raises(DataError, match=r"is a store"):
        with_features(ss.load(str(tmp_path / "a.store")), str(tmp_path / "a.store"), How(), NAME)


def test_a_missing_runtime_is_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"onnxruntime must be installed.\npip install 'sevensteps\[photos\]'"):
        featured(photos)
