"""A model as a web page, in a real browser without a network: the pixels and answers of the model, and nothing sent."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import browser, violations
from pages import answer_of, answers_of, dropped, given, opened, pixels_of
from photos import photos_in
from pictures import KINDS, chunk, noise, png_of, with_chunks
from PIL import Image, ImageCms
from torch import nn
from typed import here, refused

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.decode import decode
from sevensteps.data.images import Images, Splits
from sevensteps.data.on_white import decode_on_white
from sevensteps.data.value_range import Depth, Range
from sevensteps.errors import DataError, ModelError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.ship.page.export import LAYERS
from sevensteps.ship.predict import load_model
from sevensteps.steps.predict import MODELS, MaxAndMeanPool, Normalize, Residual, RootOfShare, mirrored
from sevensteps.trust.abstain import fit_abstention

SHAPE = (1, 20, 18)  # not a multiple of 16, so that the distance averages uneven squares
MOST_APART = 1e-5


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def pictures(shape: tuple[int, int, int], classes: int, names: Any = None, count: int = 60) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    return Images(pixels, np.arange(count) % classes, tuple(names or (f"class {number}" for number in range(classes))))


def learner(model: nn.Module, classes: int = 3, loss: Any = None, shape: Any = SHAPE, names: Any = None) -> Learner:
    """Return a model, trained for two batches so that nothing is as it was initialized, with limits of both kinds."""
    images = pictures(shape, classes, names)
    learn = Learner(DataLoaders.from_images(Splits(images, valid=images), 30), model, loss)
    learn.fit(1, lr=0.01, show=False)
    learn.temperature = 1.7
    learn.abstention = fit_abstention(images, images, np.linspace(0.4, 1, len(images)), 0.8)
    return learn


def every_layer() -> nn.Module:
    torch.manual_seed(0)
    shared = nn.Linear(10, 10)
    return nn.Sequential(
        Normalize([0.4], [0.2]),
        nn.ZeroPad2d((0, 1, 2, 3)),
        nn.Conv2d(1, 6, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
        nn.BatchNorm2d(6),
        nn.MaxPool2d(3, 2, 1),
        nn.SiLU(),
        Residual(nn.Conv2d(6, 6, 3, padding="same", dilation=2, groups=6), nn.ReLU6(), nn.Conv2d(6, 6, 1)),
        nn.AvgPool2d(3, 2, 1),
        nn.Sequential(nn.GELU(), nn.Conv2d(6, 5, 1, padding="valid"), nn.Tanh()),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.AdaptiveMaxPool2d((2, 1)),
        MaxAndMeanPool(),
        nn.Dropout(0.3),
        shared,
        nn.LeakyReLU(0.2),
        nn.BatchNorm1d(10),
        shared,
        nn.Softmax(1),
        RootOfShare(),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(10, 3),
        nn.LogSoftmax(1),
    )


MODEL: dict[str, tuple[Callable[[], nn.Module], int, Any]] = {
    "linear": (lambda: MODELS["linear"](SHAPE, 2), 2, None),
    "by L1": (lambda: MODELS["linear"](SHAPE, 2, Normalize([0.3], [0.4])), 2, ss.sigmoid_l1_loss),
    "by MSE": (lambda: MODELS["relu"](SHAPE, 2, None, 5), 2, ss.mse_loss),
    "three by MSE": (lambda: MODELS["linear"](SHAPE, 3), 3, ss.mse_loss),
    "relu": (lambda: MODELS["relu"](SHAPE, 3, None, 5), 3, None),
    "mirrored": (lambda: mirrored(MODELS["cnn"](SHAPE, 3, Normalize([0.3], [0.4]), 4)), 3, None),
    "two columns": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 2)), 2, ss.cross_entropy),
    "every layer": (every_layer, 3, None),
}


def the_same(there: Any, folder: Path, learn: Learner, pixels: np.ndarray) -> None:
    """Compare the answers of a learner's page with those of its file."""
    page = learn.export(folder / "model.html")
    model = load_model(learn.export(folder / "model.safetensors"))
    assert opened(there, page) == ([], [])
    assert there.execute_script("return document.body.dataset.state") == "ready"
    shares, reasons, distances, _ = answers_of(there, pixels)
    wanted = np.concatenate([model.probabilities(picture[None]) for picture in pixels])
    np.testing.assert_allclose(shares, wanted, atol=MOST_APART)
    assert model.abstention is not None
    far = model.abstention.distances(pixels, each_alone=True)
    np.testing.assert_allclose(distances, far, rtol=1e-9)
    assert reasons == model.abstention.reasons(wanted.astype(np.float64).max(1), far)


@pytest.mark.parametrize("name", MODEL)
def test_a_page_answers_as_the_model(name: str, there: Any, tmp_path: Path) -> None:
    make, classes, loss = MODEL[name]
    the_same(there, tmp_path, learner(make(), classes, loss), pictures(SHAPE, classes).pixels[:20])


def test_color_and_rows_of_pixels(there: Any, tmp_path: Path) -> None:
    shape = (3, 17, 33)
    learn = learner(MODELS["cnn"](shape, 4, Normalize([0.3] * 3, [0.2, 0.3, 0.4]), 6), 4, None, shape)
    the_same(there, tmp_path, learn, pictures(shape, 4).pixels[:9])
    flat = DataLoaders.from_images(Splits(pictures(SHAPE, 2)), 30, flat=True)
    model = nn.Sequential(nn.Linear(360, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    learn = Learner(flat, model)
    learn.fit(1, lr=0.01, show=False)
    assert opened(there, learn.export(tmp_path / "flat.html")) == ([], [])
    assert there.execute_script("return document.body.dataset.state") == "ready"
    assert answers_of(there, pictures(SHAPE, 2).pixels[:1])[1] == [None]


def test_every_layer_of_the_page_is_tested_above() -> None:
    text = json.dumps([str(type(layer).__name__) for layer in every_layer().modules()])
    assert set(LAYERS) - {"WithMirror", "MeanWithMirror", "Again"} <= set(json.loads(text))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of models that take pictures of the same sizes, in gray and in color, with each way to fit."""
    folder, made = tmp_path_factory.mktemp("pages"), dict[str, Path]()
    for fit in ("squash", "letterbox", "crop"):
        for channels in (1, 3):
            images = pictures((channels, 13, 16), 2)
            images = Images(images.pixels, images.labels, images.classes, fit=fit)
            learn = Learner(DataLoaders.from_images(Splits(images), 30), MODELS["linear"]((channels, 13, 16), 2))
            made[f"{fit} {channels}"] = learn.export(folder / f"{fit}-{channels}.html")
    return made


# Kinds that browsers cannot decode, or decode to other values; the sentence says so.
REFUSED = ("BMP: 16 bits", "BMP: 32 bits", "PNM", "TIFF", "JPEG: CMYK", "JPEG: YCCK", "WebP: color with alpha")


def test_every_kind_of_file_has_the_pixels_of_predict_or_is_refused(there: Any, pages: dict[str, Path]) -> None:
    for channels in (1, 3):
        opened(there, pages[f"squash {channels}"])
        every = pixels_of(there, *(kind.content for kind in KINDS.values()))
        for (name, kind), seen in zip(KINDS.items(), every, strict=True):
            if name.startswith(REFUSED):
                assert isinstance(seen, str), name
                assert seen.endswith("Save it as PNG."), name
                continue
            assert not isinstance(seen, str), (name, seen)
            wanted = decode(kind.content, (channels, 13, 16))
            # Browsers decode JPEG, WebP, GIF and BMP; Chromium has the libraries of Pillow.
            most = 0 if name.startswith("PNG") else 2
            assert np.abs(seen.astype(int) - wanted).max() <= most, name


def odd_pngs() -> dict[str, bytes]:
    """Return PNG files with transparent values that their samples cannot have, and with chunks out of place."""
    odd = dict[str, bytes]()
    for bits in (1, 2, 4, 8, 16):
        for planes in (1, 3) if bits >= 8 else (1,):
            values = noise(planes, bits)
            marked = np.atleast_1d(values[2, 3]).astype(int)
            for more in (0, 1, 2, 256, 512, 65_000):
                body = np.minimum(marked + more, 65_535).astype(">u2").tobytes()
                odd[f"{planes} x {bits}, {more}"] = with_chunks(png_of(values, bitdepth=bits), chunk(b"tRNS", body))
    few = noise(1, 2)
    palette = png_of(few, bitdepth=2, palette=[(9, 8, 7), (200, 30, 4), (0, 99, 0), (80, 80, 255)])
    end = len(palette) - 12
    for name, body in (("IHDR", palette[16:29]), ("PLTE", bytes(12)), ("tRNS", bytes(4))):
        odd[f"{name} behind the pixels"] = palette[:end] + chunk(name.encode(), body) + palette[end:]
    return odd


def test_odd_png_files_have_the_pixels_of_predict(there: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    opened(there, pages["squash 3"])
    odd = odd_pngs()
    every = pixels_of(there, *odd.values())
    text = pages["squash 3"].read_text("utf-8")
    (white_page := tmp_path / "white.html").write_text(re.sub('("onWhite": ?)false', r"\1true", text), "utf-8")
    assert white_page.read_text("utf-8") != text
    opened(there, white_page)
    on_white = pixels_of(there, *odd.values())
    for (name, content), seen, white in zip(odd.items(), every, on_white, strict=True):
        if name.startswith("IHDR"):
            assert "two headers" in str(seen), name
            continue
        np.testing.assert_array_equal(seen, decode(content, (3, 13, 16)), name)
        np.testing.assert_array_equal(white, decode_on_white(content, (3, 13, 16)), name)
    plain = png_of(noise(3))
    for bad in (chunk(b"tRNS", b"\0\1"), chunk(b"tEXt", b"Comment\0x")[:-1] + b"\0", plain[8:33]):
        (seen,) = pixels_of(there, with_chunks(plain, bad))
        assert "is damaged" in str(seen)
        if bad != plain[8:33]:
            with pytest.raises(DataError):
                decode(with_chunks(plain, bad), (3, 13, 16))


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **how)
    return content.getvalue()


@pytest.mark.parametrize("fit", ["squash", "letterbox", "crop"])
def test_pictures_are_fitted_to_every_pixel_of_pillow(fit: str, there: Any, pages: dict[str, Path]) -> None:
    random = np.random.default_rng(3)
    sizes = [(1, 1), (13, 16), (130, 160), (300, 7), (7, 300), (26, 16), (13, 33), (90, 18)]
    sizes += [(int(one), int(other)) for one, other in random.integers(1, 120, (30, 2))]
    for channels in (1, 3):
        opened(there, pages[f"{fit} {channels}"])
        contents = []
        for number, (height, width) in enumerate(sizes):
            pixels = random.integers(0, 256, (height, width, 3))
            pixels = 255 * (pixels > 127) if number % 3 == 0 else pixels  # black and white have the most ties
            contents.append(saved(Image.fromarray(pixels.astype(np.uint8)), "PNG"))
        for content, seen in zip(contents, pixels_of(there, *contents), strict=True):
            wanted = decode(content, (channels, 13, 16), fit=fit)  # type: ignore[arg-type]
            np.testing.assert_array_equal(seen, wanted)


def test_colors_are_not_managed_and_damaged_files_are_refused(there: Any, pages: dict[str, Path]) -> None:
    opened(there, pages["squash 3"])
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for kind in ("PNG", "JPEG", "WEBP"):
        content = saved(image, kind, icc_profile=profile)
        (seen,) = pixels_of(there, content)
        assert not isinstance(seen, str)
        assert np.abs(seen.astype(int) - decode(content, (3, 13, 16))).max() <= 2 * (kind != "PNG")
    png, jpeg = saved(image, "PNG"), saved(image, "JPEG")
    broken = bytearray(png)
    broken[len(png) // 2] ^= 1
    for content in (
        b"",
        b"GIF",
        b"none",
        png[:900],
        bytes(broken),
        png[:40],
        jpeg[:-900],
        jpeg[:20],
        b"GIF89a" + bytes(30),
    ):
        (seen,) = pixels_of(there, content)
        assert isinstance(seen, str), content[:20]
        assert "undefined" not in seen
        with pytest.raises(DataError):
            decode(content, (3, 13, 16))
    large = bytearray(png)
    large[16:24] = (20_000).to_bytes(4) * 2
    (seen,) = pixels_of(there, bytes(large))
    assert "checksum" in str(seen)


def test_values_of_black_and_white(there: Any, tmp_path: Path) -> None:
    images = pictures((3, 7, 11), 2)
    cases: list[tuple[Depth, float]] = [("integers", 1023.0), ("bytes", 100.0)]
    for depths, high in cases:
        images = Images(images.pixels, images.labels, images.classes, range=Range(3.0, high, (depths,)))
        learn = Learner(DataLoaders.from_images(Splits(images), 30), MODELS["linear"]((3, 7, 11), 2))
        opened(there, learn.export(tmp_path / f"{depths}.html"))
        names = [name for name in KINDS if name.startswith("PNG")]
        for name, seen in zip(names, pixels_of(there, *(KINDS[name].content for name in names)), strict=True):
            wanted = decode(KINDS[name].content, (3, 7, 11), range=images.range)
            np.testing.assert_array_equal(seen, wanted, name)


def test_a_page_that_computes_something_else_gives_no_answers(there: Any, tmp_path: Path) -> None:
    page = learner(MODELS["relu"](SHAPE, 2, None, 5), 2).export(tmp_path / "model.html")
    text = page.read_text("utf-8")
    changed = re.sub(r'("temperature": )1\.7', r"\g<1>1.8", text)
    assert changed != text
    (tmp_path / "changed.html").write_text(changed, "utf-8")
    opened(there, tmp_path / "changed.html")
    assert there.execute_script("return document.body.dataset.state") == "wrong"
    assert "does not answer as the model does" in there.find_element("id", "status").text
    assert not there.find_element("id", "choose").is_enabled()
    (tmp_path / "evil.html").write_text(text.replace("start();", "start();alert(1);"), "utf-8")
    console, _ = opened_without_script(there, tmp_path / "evil.html")
    assert any("Content Security Policy" in line for line in console)


def opened_without_script(there: Any, page: Path) -> tuple[list[str], list[str]]:
    """Open a page whose script does not run."""
    from browser import show

    console, asked = show(there, page)
    assert there.execute_script("return document.body.dataset.state") == "checking"
    return console, asked


def test_names_are_text(there: Any, tmp_path: Path) -> None:
    names = ("</script><script>alert(1)</script>", "\u202eevil <b>")
    page = learner(MODELS["linear"](SHAPE, 2), 2, names=names).export(tmp_path / "model.html")
    assert opened(there, page) == ([], [])
    assert answer_of(there, saved(Image.new("L", (9, 9)), "PNG"))["class"] in names
    (tmp_path / "x.png").write_bytes(saved(Image.fromarray(pictures(SHAPE, 2).pixels[0, 0]), "PNG"))
    given(there, tmp_path / "x.png")
    bars = there.find_element("id", "bars").text
    assert names[0] in bars
    assert "\\u202eevil <b>" in bars


def test_a_class_may_be_named_like_a_part_of_the_page(tmp_path: Path) -> None:
    images = Images(np.zeros((20, 1, 8, 8), np.uint8), np.arange(20) % 2, ("{{model}}", "{{script}}"))
    learn = Learner(DataLoaders.from_images(Splits(images), 10), MODELS["linear"]((1, 8, 8), 2))
    page = learn.export(tmp_path / "page.html").read_text()
    assert page.count('"use strict"') == 1
    assert "<title>{{model}} or {{script}}" in page


def test_a_page_is_not_loaded_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("export", "run", "--to", "page", "--out", "said.html", cwd=run, capsys=capsys).code == 0
    refused(here("verify", "said.html", cwd=run, capsys=capsys), 2, "checks itself", "Open it in a browser")
    refused(here("predict", "said.html", "plain.png", cwd=run, capsys=capsys), 1, "answers in a browser")
    done = here("export", "run", "--to", "page", "--any-size", cwd=run, capsys=capsys)
    refused(done, 2, "is for --to onnx")


def test_what_cannot_be_a_page_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    learn = learner(MODELS["linear"](SHAPE, 2), 2)
    with pytest.raises(UsageError, match=r"\.safetensors, \.onnx, .*\.html"):
        learn.export(tmp_path / "model.pth")
    double = nn.Sequential(nn.Flatten(), nn.Linear(360, 3).double())
    learn = Learner(DataLoaders.from_images(Splits(pictures(SHAPE, 3)), 30), double)
    with pytest.raises(ModelError, match="float32"):
        learn.export(tmp_path / "model.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    ss.train(epochs=1, out=folder / "run")
    test = ss.load("pullover-dress").test
    assert test is not None
    Image.fromarray(test.pixels[0, 0]).resize((140, 200)).save(folder / "plain.png")
    Image.fromarray(255 - test.pixels[0, 0]).save(folder / "inverted.png")
    Image.effect_noise((60, 60), 120).save(folder / "noise.png")
    Image.new("CMYK", (30, 30)).save(folder / "cmyk.jpg")
    return folder


def test_a_person_sees_the_answer(there: Any, run: Path) -> None:
    exported = ss.export(run / "run", to="page")
    assert exported.file == run / "run/model.html"
    assert exported.as_json().keys() == {"file", "bytes"}
    answers = {answer.file.split("/")[-1]: answer for answer in ss.predict(run / "run", run)}
    for width, theme in (("desktop", "light"), ("phone", "dark")):
        assert opened(there, exported.file, width, theme) == ([], [])
        assert violations(there) == []
        state, texts = given(there, run / "plain.png")
        assert (state, texts["said"], texts["size"]) == (
            "answered",
            answers["plain.png"].best,
            "What the model sees: 28 × 28 pixels",
        )
        for canvas in ("given", "seen"):  # a white picture has an edge on a white ground
            assert there.find_element("id", canvas).value_of_css_property("border-top-width") == "1px"
        assert violations(there) == []
        state, texts = given(there, run / "noise.png")
        assert (state, texts["said"]) == ("answered", "None of these")
        assert answers["noise.png"].reason == "none of these"
        assert violations(there) == []
        for way in ("drop", "paste"):
            assert dropped(there, run / "plain.png", way) == "answered"
            assert there.find_element("id", "said").text == answers["plain.png"].best
        state, texts = given(there, run / "inverted.png")
        assert answers["inverted.png"].hint in texts["why"]
        state, texts = given(there, run / "cmyk.jpg")
        assert (state, "CMYK" in texts["status"]) == ("wrong", True)
        assert violations(there) == []
        assert there.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert re.match("16 made-up pictures answered", texts["check"])


def test_all_test_pictures_get_the_answer_of_the_run(there: Any, run: Path) -> None:
    page = ss.export(run / "run", to="page", out=run / "all.html").file
    model, test = load_model(run / "run"), ss.load("pullover-dress").test
    assert test is not None
    assert model.abstention is not None
    opened(there, page)
    shares, reasons, distances, _ = answers_of(there, test.pixels)
    wanted, far = model.probabilities(test.pixels), model.abstention.distances(test.pixels, each_alone=True)
    np.testing.assert_allclose(shares, wanted, atol=1e-6)
    assert reasons == model.abstention.reasons(wanted.max(1), far)
    np.testing.assert_allclose(distances, far, rtol=1e-9)


@pytest.mark.slow
def test_a_model_of_features_has_its_network_inside(there: Any, tmp_path: Path) -> None:
    photos = photos_in(tmp_path / "photos")
    run = ss.train(photos, features="efficientnet-lite0", epochs=3, folds=1, out=tmp_path / "run")
    exported = ss.export(run, to="page")
    assert exported.bytes < 25_000_000
    assert opened(there, exported.file) == ([], [])
    assert re.match("4 made-up pictures answered", there.find_element("id", "check").get_attribute("textContent"))
    model, apart = load_model(run.folder), []
    clear = Image.open(photos / "hopper/00.png").convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    for content in [path.read_bytes() for path in sorted(photos.glob("*/*.png"))[::4]] + [saved(clear, "PNG")]:
        answer, wanted = answer_of(there, content), model.answer(content)
        assert wanted.probabilities is not None
        assert (answer["class"], answer["reason"]) == (wanted.best, wanted.reason)
        apart.append(np.abs(np.array(answer["probabilities"]) - list(wanted.probabilities.values())).max())
    # A feature between two of 256 steps may be rounded up by one program and down by the other.
    assert np.median(apart) < MOST_APART
    assert max(apart) < 1e-3
    tuned = ss.train(photos, features="efficientnet-lite0", unfreeze=1, epochs=1, folds=1, out=tmp_path / "tuned")
    with pytest.raises(ModelError, match="last stages were trained"):
        ss.export(tuned, to="page")
