"""Pictures of more than 8 bits: one range of values for a whole source, kept by everything that is made from it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import png as pypng
import pytest
import tifffile
from folders import loaded, png, put
from PIL import Image
from typed import here, refused

from sevensteps import Recipe
from sevensteps.data.decode import decode, read_picture
from sevensteps.data.files import decoded_cache
from sevensteps.data.files import load as picture_files
from sevensteps.data.images import Images, Splits
from sevensteps.data.range_ends import BY_TYPE
from sevensteps.data.sources.load import load
from sevensteps.data.value_range import Range, natural
from sevensteps.errors import DataError, ModelError, UsageError
from sevensteps.ship import file as model_file
from sevensteps.ship.facts import Facts
from sevensteps.ship.predict import load_model

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def tiff(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(values).save(content, "TIFF")
    return content.getvalue()


def scan(folder: Path, values: np.ndarray, count: int = 6) -> Path:
    """Write two classes of pictures with these values: "up", and "down" turned by 180 degrees."""
    for number in range(count):
        shifted = np.roll(values, number, axis=1)
        put(folder, f"up/{number}.tif", content=tiff(shifted))
        put(folder, f"down/{number}.tif", content=tiff(shifted[::-1, ::-1].copy()))
    return folder


CAMERAS: dict[str, tuple[np.ndarray, float, float]] = {
    "12 bits in 16": ((RAMP * 4095).astype(np.uint16), 0, 4095),
    "a microscope": ((RAMP * 1000).astype(np.uint16), 0, 1023),
    "8 bits in 16": ((RAMP * 255).astype(np.uint16), 0, 255),
    "8 bits in 32": ((RAMP * 255).astype(np.int32), 0, 255),
    "all 16 bits": ((RAMP * 65000).astype(np.uint16), 0, 65535),
    "a narrow band": ((RAMP * 300 + 20000).astype(np.uint16), 20000, 20300),
    "floats to 1": ((RAMP * 0.98).astype(np.float32), 0, 1),
    "small floats": ((RAMP * 0.01).astype(np.float32), 0, float(np.float32(0.01))),
    "floats around 0": ((RAMP * 2 - 1).astype(np.float32), -1, 1),
    "a CT": ((RAMP * 2000 - 1000).astype(np.int32), -1000, 1000),
}


@pytest.mark.parametrize(("values", "low", "high"), CAMERAS.values(), ids=CAMERAS)
def test_a_set_fills_all_of_8_bits_whatever_its_depth(
    tmp_path: Path, values: np.ndarray, low: float, high: float
) -> None:
    splits, said = loaded(scan(tmp_path / "set", values))
    assert splits.train.range is not None
    assert (splits.train.range.low, splits.train.range.high) == (low, high)
    assert len(np.unique(splits.train.pixels)) >= min(len(np.unique(values)), 256) * 0.9
    expected = np.clip((values.astype(np.float64) - low) / (high - low) * 255, 0, 255)
    first = splits.train.pixels[list(splits.train.ids).index("up/0.tif"), 0]
    assert np.abs(first - expected).max() <= 0.5
    assert "become black to white" in said


def test_one_range_for_all_splits_and_not_one_for_each_picture(tmp_path: Path) -> None:
    scan(tmp_path / "set/train", (RAMP * 200).astype(np.uint16))
    scan(tmp_path / "set/test", (RAMP * 800).astype(np.uint16))
    splits, said = loaded(tmp_path / "set")
    assert splits.test is not None
    assert (splits.train.pixels.max(), splits.test.pixels.max()) == (50, 199)
    assert said.count("values from 0 to 1,023 become black to white") == 1


def test_classes_that_are_left_out_do_not_change_the_range(tmp_path: Path) -> None:
    folder = scan(tmp_path / "set", (RAMP * 900).astype(np.uint16))
    put(folder, "bright/1.tif", content=tiff((RAMP * 4000).astype(np.uint16)))
    chosen = load(folder, ["up", "down"])
    assert chosen.train.range == load(folder).train.range == Range(0.0, 4095.0, ("integers",))


def test_a_range_that_is_given_is_used_and_what_it_clips_is_said(tmp_path: Path) -> None:
    folder = scan(tmp_path / "set", (RAMP * 2000 - 1000).astype(np.int32))
    splits, said = loaded(folder, range=(0, 500))
    assert load(folder, range=(0.0, 500)).train.fingerprint == splits.train.fingerprint
    assert splits.train.range == Range(0.0, 500.0, ("integers",))
    assert "values from 0 to 500 become black to white" in said
    assert "values go from -1,000 to 1,000, and those beyond are clipped" in said


@pytest.mark.parametrize("wrong", [(5, 1), (5,), [1, 1], ("0", "1"), (0, math.nan), (True, 2), None, 5], ids=str)
@pytest.mark.usefixtures("without_shape_checks")
def test_a_range_that_is_none_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(UsageError, match="must be two numbers, the lower one first"):
        load(tmp_path, range=wrong)


def test_pictures_of_8_bits_have_no_range_and_keep_every_byte(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / "set", f"{number % 2}/{number}.png", content=png(value=3 + number))
    splits, said = loaded(tmp_path / "set")
    assert splits.train.range is None
    assert sorted(np.unique(splits.train.pixels)) == [3, 4, 5, 6]
    assert "black to white" not in said


def test_deep_pictures_among_others_are_scaled_alone(tmp_path: Path) -> None:
    folder = scan(tmp_path / "set", (RAMP * 4095).astype(np.uint16))
    put(folder, "up/8.png", content=png((64, 64), value=100))
    splits = load(folder)
    assert splits.train.pixels[list(splits.train.ids).index("up/8.png")].max() == 100
    assert splits.train.pixels.max() == 255


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_masks_of_0_and_1_are_spread(tmp_path: Path, kind: str) -> None:
    for number in range(4):
        mask = (RAMP[:8, :8] > RAMP[number, number]).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(mask).save(content, kind)
        put(tmp_path / "set", f"{number % 2}/{number}.{kind.lower()}", content=content.getvalue())
    splits, said = loaded(tmp_path / "set")
    assert sorted(np.unique(splits.train.pixels)) == [0, 255]
    assert "values from 0 to 1 become black to white" in said


def test_nan_is_black_and_does_not_count(tmp_path: Path) -> None:
    values = (RAMP + 2).astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    splits = load(scan(tmp_path / "set", values))
    assert splits.train.range is not None
    assert splits.train.range.high == 3
    assert splits.train.pixels[list(splits.train.ids).index("up/0.tif"), 0, 0, 0] == 0


@pytest.mark.parametrize("channels", [3, 4], ids=["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "interlaced PNG", "TIFF", "compressed TIFF", "Motorola TIFF"])
def test_color_of_16_bits_keeps_what_12_bits_hold(tmp_path: Path, kind: str, channels: int) -> None:
    """Pillow reads the upper 8 bits of color alone: of 12 bits in 16, that is 16 levels."""
    random = np.random.default_rng(0)
    expected = {}
    for name in ("a/1", "a/2", "b/1", "b/2"):
        values = random.integers(0, 4096, (20, 16, channels)).astype(np.uint16)
        values[:, :, 3:] = 65535
        expected[name] = values[:, :, :3].astype(float) * 255 / 4095
        content = io.BytesIO()
        if kind.endswith("PNG"):
            writer = pypng.Writer(16, 20, greyscale=False, alpha=channels == 4, bitdepth=16, interlace=kind != "PNG")
            writer.write(content, values.reshape(20, -1).tolist())
        else:
            tifffile.imwrite(
                content,
                values,
                photometric="rgb",
                compression="zlib" if kind[0] == "c" else None,
                byteorder=">" if kind[0] == "M" else "<",
                extrasamples=["unassalpha"] if channels == 4 else None,
            )
        put(tmp_path / "set", f"{name}.{kind[-4:].strip().lower()}", content=content.getvalue())
    splits = load(tmp_path / "set")
    assert splits.train.range == Range(0.0, 4095.0, ("integers",))
    for name, pixels in zip(splits.train.ids, splits.train.pixels, strict=True):
        assert np.abs(pixels.transpose(1, 2, 0) - expected[name.split(".")[0]]).max() <= 0.5


# The cache


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep everything that is decoded in a cache of its own."""
    monkeypatch.setattr(picture_files, "WORTH_KEEPING", 0)
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("kept")
def test_the_cache_keeps_the_range_and_a_brighter_picture_changes_all(tmp_path: Path) -> None:
    folder = scan(tmp_path / "set", (RAMP * 900).astype(np.uint16))
    first = load(folder)
    again, said = loaded(folder)
    assert again.train.range == first.train.range
    assert again.train.fingerprint == first.train.fingerprint
    assert "kept in the cache" not in said
    put(folder, "up/9.tif", content=tiff((RAMP * 4000).astype(np.uint16)))
    brighter = load(folder)
    assert brighter.train.pixels.max() > 200
    assert brighter.train.fingerprint == load(folder, fresh=True).train.fingerprint
    (folder / "up/9.tif").unlink()
    assert load(folder).train.fingerprint == first.train.fingerprint


@pytest.mark.usefixtures("kept")
def test_another_range_is_not_answered_from_the_cache(tmp_path: Path) -> None:
    folder = scan(tmp_path / "set", (RAMP * 900).astype(np.uint16))
    found, given, by_type = load(folder), load(folder, range=(0, 4095)), load(folder, range=BY_TYPE)
    assert [splits.train.pixels.max() for splits in (found, given, by_type)] == [224, 56, 4]
    assert load(folder).train.fingerprint == found.train.fingerprint


@pytest.mark.usefixtures("kept")
def test_a_cache_from_before_there_were_ranges_is_used_for_8_bits_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(path: Path, content: bytes) -> None:
        head, _, body = content.partition(b"\n")
        facts = {key: value for key, value in json.loads(head).items() if key not in ("asked", "values")}
        write(path, json.dumps(facts).encode() + b"\n" + body)

    write = decoded_cache.files.write
    monkeypatch.setattr(decoded_cache.files, "write", as_before)
    deep = scan(tmp_path / "deep", (RAMP * 900).astype(np.uint16))
    flat = put(tmp_path / "flat", *(f"{name}/{n}.png" for name in "ab" for n in range(3)))
    load(deep, range=BY_TYPE)
    load(flat)
    monkeypatch.setattr(decoded_cache.files, "write", write)
    assert load(deep).train.pixels.max() == 224
    assert "kept in the cache" not in loaded(flat)[1]


# What is made from pictures


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A source of two classes that differ by 60 of 65,535."""
    random = np.random.default_rng(0)
    for number in range(24):
        for name, level in (("dark", 0), ("light", 60)):
            values = (random.integers(0, 40, (16, 16)) + level).astype(np.uint16)
            put(tmp_path / "scans", f"{name}/{number}.tif", content=tiff(values))
    return tmp_path / "scans"


def test_a_run_says_the_range_and_predict_uses_it(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cwd = scans.parent
    done = here(
        "train", "scans", "--recipe", "linear", "--epochs", "9", "--folds", "1", "--out", "run", cwd=cwd, capsys=capsys
    )
    assert done.code == 0
    assert "values from 0 to 127 become black to white" not in done.err + done.out
    assert "values from 0 to 99 become black to white" in " ".join((done.err + done.out).split())
    model = load_model(cwd / "run")
    assert model.range == Range(0.0, 99.0, ("integers",))
    done = here("predict", "run", "scans/dark/1.tif", "scans/light/1.tif", cwd=cwd, capsys=capsys)
    assert "dark/1.tif: dark (" in done.out
    assert "light/1.tif: light (" in done.out
    assert Recipe.load(cwd / "run").range == ()


def test_the_flag_reaches_the_model(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cwd = scans.parent
    typed = ("train", "scans", "--range", "-50", "200", "--recipe", "linear", "--epochs", "1", "--out", "run")
    assert here(*typed, cwd=cwd, capsys=capsys).code == 0
    assert load_model(cwd / "run").range == Range(-50.0, 200.0, ("integers",))
    assert Recipe.load(cwd / "run").range == (-50, 200)
    assert here("verify", "run", "--rerun", cwd=cwd, capsys=capsys).code == 0


@pytest.mark.parametrize("verb", ["train", "data", "prepare"])
def test_the_flag_is_refused_where_it_has_no_effect(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here(verb, "pullover-dress", "--range", "0", "4095", cwd=tmp_path, capsys=capsys)
    refused(done, 2, "range is for")


def test_a_store_keeps_the_range(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("prepare", "scans", "--out", "scans.store", cwd=scans.parent, capsys=capsys).code == 0
    stored = load(scans.parent / "scans.store").train
    assert stored.range == stored.take(np.array([2, 0])).range == Range(0.0, 99.0, ("integers",))
    assert stored.pixels.max() == 255


def test_a_learner_answers_deep_files_on_the_scale_of_training(scans: Path) -> None:
    splits = load(scans)
    learn = Recipe.load("linear").replace(epochs=9).learner(splits)
    learn.fit()
    assert learn.predict(scans / "dark/3.tif")[0] == "dark"
    assert learn.predict(scans / "light/3.tif")[0] == "light"


def test_predict_scales_other_depths_by_their_type(tmp_path: Path) -> None:
    deep = put(tmp_path, "deep.tif", content=tiff((RAMP * 99).astype(np.uint16)))
    put(tmp_path, "flat.png", content=png(value=90))
    used = Range(0.0, 99.0, ("integers",))
    assert read_picture(deep / "deep.tif", (1, 64, 64), range=used).max() == 255
    assert read_picture(deep / "flat.png", (1, 6, 6), range=used).max() == 90
    floats = tiff((RAMP / 2).astype(np.float32))
    assert decode(floats, (1, 64, 64), range=used).max() == decode(floats, (1, 64, 64)).max() == 128


@pytest.mark.parametrize(
    "wrong", [[0, 1], {"low": 0}, {"low": 5, "high": 1, "depths": []}, {"low": 0, "high": 1, "depths": ["x"]}, "0"]
)
def test_a_model_file_with_another_range_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelError, match="its range cannot be"):
        Facts.from_json({"range": wrong}, "model.safetensors")


def test_a_run_from_before_there_were_ranges_keeps_its_pixels(scans: Path) -> None:
    text = Recipe(source=str(scans)).to_toml({"data": {}})
    before = Recipe.from_toml("\n".join(line for line in text.splitlines() if not line.startswith("range")))
    assert before.range == BY_TYPE
    splits = load(scans, range=before.range)
    assert splits.train.range is None
    assert splits.train.pixels.max() == 0  # as it was: 99 of 65,535
    assert Recipe.from_toml(text).range == ()


# Arrays and datasets

NUMBERS = np.random.default_rng(0).integers(0, 256, (40, 12, 12))
LABELS = np.arange(40) % 2
Kinds = dict[str, Any]


def arrays(folder: Path, **named: Any) -> Path:
    np.savez(folder / "a.npz", **named)  # noqa: TID251 - what users have
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("pixels", "largest"),
    [
        ((NUMBERS * 16).astype(np.uint16), 254),
        ((NUMBERS > 100).astype(np.int64), 255),
        ((NUMBERS > 100).astype(np.uint8), 255),
        (NUMBERS > 100, 255),
        ((NUMBERS // 16).astype(np.int32), 255),
        (NUMBERS / 255 * 0.01, 255),
        (NUMBERS.astype(np.int64) * 8 - 1000, 255),
        (NUMBERS.astype(np.float64) + 0.25, 255),
    ],
)
def test_arrays_fill_8_bits_and_say_so(tmp_path: Path, pixels: np.ndarray, largest: int) -> None:
    splits, said = loaded(arrays(tmp_path, x=pixels, y=LABELS))
    assert (splits.train.pixels.min(), splits.train.pixels.max()) == (0, largest)
    assert "become black to white" in said
    assert splits.train.range is not None


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32])
def test_arrays_of_bytes_stay_as_they_are(tmp_path: Path, kind: Any) -> None:
    splits, said = loaded(arrays(tmp_path, x=NUMBERS.astype(kind), y=LABELS))
    assert (splits.train.pixels[:, 0] == NUMBERS).all()
    assert (splits.train.range, said) == (None, "")


def test_the_splits_of_arrays_get_one_scale(tmp_path: Path) -> None:
    train, test = (NUMBERS * 200).astype(np.uint16), (NUMBERS * 100).astype(np.uint16)
    splits = load(arrays(tmp_path, x_train=train, y_train=LABELS, x_test=test, y_test=LABELS))
    assert splits.test is not None
    ratio = (splits.train.pixels.mean() / train.mean()) / (splits.test.pixels.mean() / test.mean())
    assert ratio == pytest.approx(1, abs=0.01)


def test_a_split_that_is_black_on_the_scale_of_the_others_is_said(tmp_path: Path) -> None:
    train, test = (NUMBERS * 200).astype(np.uint16), NUMBERS.astype(np.uint16)
    _, said = loaded(arrays(tmp_path, x_train=train, y_train=LABELS, x_test=test, y_test=LABELS))
    assert "test has values only up to 255: nearly black on this scale" in said


def test_splits_in_other_units_are_refused(tmp_path: Path) -> None:
    path = arrays(tmp_path, x_train=NUMBERS / 255, y_train=LABELS, x_test=NUMBERS, y_test=LABELS)
    with pytest.raises(DataError, match="test has values up to 255 and train only up to 1, in numbers of another type"):
        load(path)


def test_normalized_arrays_are_refused_unless_a_range_is_given(tmp_path: Path) -> None:
    path = arrays(tmp_path, x=NUMBERS / 127.5 - 1, y=LABELS)
    with pytest.raises(DataError, match="from -1 to 1 are not pixels") as error:
        load(path)
    assert "range = " in str(error.value)
    assert load(path, range=(-1, 1)).train.pixels.max() == 255


class Scans:
    """A dataset of deep PIL pictures."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, number: int) -> tuple[Image.Image, int]:
        return Image.fromarray((RAMP * 4000 - number).clip(0).astype(np.uint16)), number % 2


def test_a_dataset_of_deep_pictures(tmp_path: Path) -> None:
    splits, said = loaded(Scans())  # type: ignore[arg-type]
    assert splits.train.range == Range(0.0, 4095.0, ("integers",))
    assert splits.train.pixels.max() == 249
    assert "Scans: values from 0 to 4,095 become black to white" in said


@pytest.mark.parametrize("make", [Images.take, Images.split], ids=["take", "split"])
def test_parts_of_a_set_keep_its_range(scans: Path, make: Callable[..., Any]) -> None:
    splits: Splits = load(scans)
    part = make(splits.train, np.array([1, 5])) if make is Images.take else make(splits.train, 0.5)[1]
    assert part.range == splits.train.range


def test_the_range_of_more_than_half_of_some_bits_is_that_of_the_bits() -> None:
    assert natural(10.0, 4000.0, ("integers",)) == Range(0.0, 4095.0, ("integers",))
    assert natural(10.0, 2000.0, ("integers",)) == Range(10.0, 2000.0, ("integers",))
    assert natural(0.1, 0.9, ("floats",)) == Range(0.0, 1.0, ("floats",))


def test_the_range_in_a_model_file_survives_the_way_there_and_back(tmp_path: Path) -> None:
    used = Range(-1000.0, 2000.0, ("integers", "floats"))
    path = tmp_path / "m.safetensors"
    model_file.write(path, {}, Facts(range=used).as_json())
    assert Facts.from_json(model_file.read(path)[1], path).range == used
