"""Measure a model's web page in Chromium: do all test pictures get the answer of the run, and how fast?

    python bench/page.py [MODEL ...]

First, the pixels of all 10,000 test pictures of Fashion-MNIST (2,000 pullovers and dresses where it is not installed)
go to the page as they are: how many get the same class and the same reason to abstain, and the largest difference of
a probability and (relative) of a distance. Then, photographs are saved as every kind of file that the page takes, and
the pixels that its model sees are compared with those of `predict`: "levels" is the largest difference of 255. The
models are trained for one epoch. Needs the extra `dev`, chromium and chromium-driver.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe
from PIL import Image, ImageCms

import sevensteps as ss
from sevensteps.errors import SevenstepsError
from sevensteps.ship.predict import load_model

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))
from browser import browser
from pages import answers_of, opened, pixels_of
from photos import photos_in

MODELS: dict[str, dict[str, Any]] = {
    "linear": {"recipe": "linear"},
    "relu": {"recipe": "relu"},
    "cnn": {"recipe": "cnn"},
    "cnn, mirrored": {"recipe": "cnn", "test_time_flip": True},
    "fashion-10": {"recipe": "fashion-10"},
}


def source() -> str:
    """Return the largest source that is here."""
    try:
        ss.load("fashion-mnist")
    except SevenstepsError:
        return "pullover-dress"
    return "fashion-mnist"


def kinds() -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """Give each kind of file: its name, how the photograph is converted, and how it is saved."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    for mode in ("L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"PNG {mode}", {"mode": mode}, "PNG", {}
    yield "PNG, turned by EXIF", {"mode": "RGB"}, "PNG", {"exif": turned}
    yield "PNG with a color profile", {"mode": "RGB"}, "PNG", {"icc_profile": profile}
    for quality, subsampling in ((95, 0), (75, 2), (30, 1)):
        how = {"quality": quality, "subsampling": subsampling}
        yield f"JPEG of quality {quality}", {"mode": "RGB"}, "JPEG", how
        yield f"JPEG of quality {quality}, progressive", {"mode": "RGB"}, "JPEG", {**how, "progressive": True}
    yield "JPEG, gray", {"mode": "L"}, "JPEG", {}
    yield "JPEG, turned by EXIF", {"mode": "RGB"}, "JPEG", {"exif": turned}
    yield "JPEG with a color profile", {"mode": "RGB"}, "JPEG", {"icc_profile": profile}
    yield "JPEG, CMYK", {"mode": "CMYK"}, "JPEG", {}
    yield "WebP", {"mode": "RGB"}, "WEBP", {"quality": 80}
    yield "WebP, lossless", {"mode": "RGB"}, "WEBP", {"lossless": True}
    yield "WebP, half transparent", {"mode": "RGBA"}, "WEBP", {"lossless": True}
    yield "GIF", {"mode": "P"}, "GIF", {}
    yield "BMP", {"mode": "RGB"}, "BMP", {}
    yield "TIFF", {"mode": "RGB"}, "TIFF", {}


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Return a photograph in a mode; its opacity rises from left to right, and 16 bits use all of them."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
        return image
    return image.convert(mode)


def answers(there: Any, folder: Path, name: str) -> None:
    """Print how far the answers of a page to all test pictures are from those of its run."""
    run = ss.train(source(), epochs=1, out=folder / name.replace(", ", "-"), **MODELS[name])
    page = ss.export(run, to="page")
    model, test = load_model(run.folder), ss.load(source()).test
    assert test is not None
    start = time.perf_counter()
    console, asked = opened(there, page.file)
    began = time.perf_counter() - start
    assert console == asked == []
    shares, reasons, distances, seconds = answers_of(there, test.pixels)
    wanted = np.concatenate([model.probabilities(test.pixels[at : at + 500]) for at in range(0, len(test.pixels), 500)])
    limits = model.abstention
    assert limits is not None
    far = np.concatenate([limits.distances(picture[None], each_alone=True) for picture in test.pixels])
    same = [
        given == said for given, said in zip(reasons, limits.reasons(wanted.astype(float).max(1), far), strict=True)
    ]
    print(
        f"| {name} | {page.bytes / 1000:,.0f} | {began:.2f} | {1000 * seconds / len(wanted):.2f} | {len(wanted):,} |"
        f" {(shares.argmax(1) == wanted.argmax(1)).mean():.2%} | {np.mean(same):.2%} |"
        f" {np.abs(shares - wanted).max():.0e} | {(np.abs(distances - far) / far).max():.0e} |",
        flush=True,
    )


def files(there: Any, folder: Path) -> None:
    """Print how far the pixels of a page are from those of `predict`, by kind of file."""
    photos = photos_in(folder / "photos", 4)
    images = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*/*.png"))]
    images += [image.resize((150, 41)) for image in images] + [image.resize((37, 200)) for image in images]
    for fit in ("letterbox", "squash", "crop"):
        run = ss.train(photos, recipe="linear", epochs=1, folds=1, fit=fit, out=folder / f"run-{fit}")
        opened(there, ss.export(run, to="page").file)
        model = load_model(run.folder)
        for name, how, kind, options in kinds():
            most, differing, refused = 0, [], ""
            contents = []
            for image in images:
                content = io.BytesIO()
                converted(image, **how).save(content, kind, **options)
                contents.append(content.getvalue())
            for saved, seen in zip(contents, pixels_of(there, *contents), strict=True):
                if isinstance(seen, str):
                    refused = seen
                    continue
                apart = np.abs(seen.astype(int) - model.pixels_of(saved))
                most, differing = max(most, int(apart.max())), [*differing, float((apart > 0).mean())]
            said = f"refused: {refused}" if refused else f"{most} | {np.mean(differing):.2%}"
            print(f"| {fit} | {name} | {said} |", flush=True)


def main() -> None:
    """Print both tables."""
    print(describe())
    with tempfile.TemporaryDirectory() as base, browser(Path(base) / "profile") as there:
        print(
            "| model | kB | s to start | ms a picture | pictures | same class | same reason | probability | distance |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for name in sys.argv[1:] or MODELS:
            answers(there, Path(base), name)
        print("\n| fit | file | levels | values that differ |\n|---|---|---:|---:|")
        files(there, Path(base))


if __name__ == "__main__":
    main()
