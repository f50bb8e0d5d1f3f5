"""Large JPEG files at a lower resolution (`--fit letterbox-fast`): nearly the same pixels, and recorded everywhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

import sevensteps as ss
from sevensteps.data.decode import Fit, Shape, decode, decode_and_look

RANDOM = np.random.default_rng(0)


def photograph(width: int, height: int, label: int = 0) -> Image.Image:
    """Something with large and small shapes, like a photograph, bright above or below."""
    noise = [RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (5, 40, 300)]
    layers = [
        np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC), float) for part in noise
    ]
    light = np.linspace(-60, 60, height)[:, None, None] * (1 if label else -1)
    pixels = 0.6 * layers[0] + 0.25 * layers[1] + 0.15 * layers[2] + light
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def as_file(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


FAST: dict[Fit, Fit] = {"letterbox": "letterbox-fast", "squash": "squash-fast", "crop": "crop-fast"}


@pytest.mark.parametrize("fit", FAST)
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 28), (3, 30, 50)])
@pytest.mark.parametrize("size", [(1600, 1200), (1201, 799), (403, 1000)])
def test_its_pixels_are_nearly_those_of_the_whole_picture(fit: Fit, shape: Shape, size: tuple[int, int]) -> None:
    image = photograph(*size)
    for content in (as_file(image), as_file(image, progressive=True), as_file(image.convert("L"))):
        whole, fast = (decode(content, shape, fit=of).astype(int) for of in (fit, FAST[fit]))
        difference = np.abs(whole - fast)
        assert difference.mean() < 0.6
        assert difference.max() <= 12
        assert ((whole == 0).all((0, 2)) == (fast == 0).all((0, 2))).all()  # padded alike


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_before(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = as_file(photograph(1000, 601), exif=exif.tobytes())
    whole, fast = (decode(content, (3, 64, 64), fit=fit).astype(int) for fit in ("letterbox", "letterbox-fast"))
    assert np.abs(whole - fast).mean() < 0.8
    seen, pixels = decode_and_look(content, (3, 64, 64), fit="letterbox-fast")
    assert seen[:2] == ((601, 1000) if orientation > 4 else (1000, 601))
    np.testing.assert_array_equal(pixels, fast)


@pytest.mark.parametrize("fit", FAST)
def test_other_pictures_are_the_same(fit: Fit) -> None:
    for content in (as_file(photograph(100, 90)), as_file(photograph(900, 700), "PNG"), as_file(photograph(64, 64))):
        np.testing.assert_array_equal(
            decode(content, (3, 64, 64), fit=fit), decode(content, (3, 64, 64), fit=FAST[fit])
        )


@pytest.mark.slow
def test_runs_models_stores_and_caches_know_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sevensteps.data.files.load.WORTH_KEEPING", 0.0)
    for label, name in enumerate(("night", "day")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            photograph(600, 500, label).save(tmp_path / "photos" / name / f"{number}.jpg")
    whole, again = ss.load(tmp_path / "photos"), ss.load(tmp_path / "photos")
    fast, later = (ss.load(tmp_path / "photos", fit="letterbox-fast") for _ in range(2))
    np.testing.assert_array_equal(whole.train.pixels, again.train.pixels)
    np.testing.assert_array_equal(fast.train.pixels, later.train.pixels)
    assert (fast.train.pixels != whole.train.pixels).any()

    ss.train(tmp_path / "photos", recipe="linear", epochs=1, fit="letterbox-fast", size=32, out=tmp_path / "run")
    assert 'fit = "letterbox-fast"' in (tmp_path / "run" / "recipe.toml").read_text("utf-8")
    with safe_open(tmp_path / "run" / "model.safetensors", "np") as file:
        assert json.loads(file.metadata()["sevensteps"])["fit"] == "letterbox-fast"
    picture = tmp_path / "photos" / "day" / "0.jpg"
    pixels = decode(picture.read_bytes(), (3, 32, 32), fit="letterbox-fast")
    (from_file,), (from_pixels,) = ss.predict(tmp_path / "run", picture), ss.predict(tmp_path / "run", pixels)
    assert from_file.probabilities == from_pixels.probabilities
    learn = ss.load_learner(tmp_path / "run" / "model.safetensors")
    assert learn.predict(picture)[2].tolist() == learn.predict(pixels)[2].tolist()

    command = ["prepare", "photos", "--fit", "letterbox-fast", "--out", "photos.store"]
    subprocess.run(
        [sys.executable, "-m", "sevensteps", *command], cwd=tmp_path, check=True, timeout=120, capture_output=True
    )
    store = ss.load(tmp_path / "photos.store")
    stored = {name: pixels.tobytes() for name, pixels in zip(store.train.ids, store.train.pixels, strict=True)}
    assert stored == {
        name: pixels.tobytes() for name, pixels in zip(fast.train.ids, fast.train.pixels, strict=True) if name in stored
    }
