"""Folders of real pictures that were not made for this project, trained on with the command.

Where a folder is not to be had as one, its pictures are cut or named and nothing else. Each floor is three standard
errors or more below what was seen, and above what the simplest baseline reaches.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from folders import digits_in
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images
from typed import sevensteps

from sevensteps.data.sources.load import load

ADWAITA = Path("/usr/share/icons/Adwaita")
MATPLOTLIB = Path(matplotlib.get_data_path())


def trained(tmp_path: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Return the JSON of a training run, and the lines that it printed."""
    done = sevensteps("train", *arguments, "--numbers", "--out", "run", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    return json.loads(done.out), done.err


@pytest.mark.slow
def test_handwritten_digits(tmp_path: Path) -> None:
    digits_in(tmp_path / "digits")
    result, said = trained(tmp_path, "digits")
    assert "digits: 10 class folders, 174 to 183 pictures in each class (1,797 train)" in said
    assert result["test"]["n"] == 359
    # Seen: 98.1 %, a standard error of 0.7 points; pixel similarity reaches 84.7 %.
    assert result["test"]["accuracy"] > 0.955


def tiles_of_photos(folder: Path) -> None:
    """Three photographs from packages, cut into tiles of 32 x 32; each row of tiles is a folder."""
    hopper = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    china, flower = map(Image.fromarray, load_sample_images().images)
    for name, photo in (("china", china), ("flower", flower), ("hopper", hopper)):
        for top in range(0, photo.height - 31, 32):
            band = folder / name / f"band{top:03}"
            band.mkdir(parents=True)
            for left in range(0, photo.width - 31, 32):
                photo.crop((left, top, left + 32, top + 32)).save(band / f"{left:03}.jpg", quality=90)


@pytest.mark.slow
def test_tiles_of_photographs_with_whole_bands_of_them_held_out(tmp_path: Path) -> None:
    tiles_of_photos(tmp_path / "tiles")
    # Each photograph has the same bands, so that the photographs could be splits of the classes band000, band032, …
    classes = ("--classes", "china", "flower", "hopper")
    result, said = trained(tmp_path, "tiles", *classes, "--group", r"\w+/band\d+")
    assert "tiles: 44 groups, each kept on one side" in said
    rows = [json.loads(line) for line in (tmp_path / "run/predictions.jsonl").read_text().splitlines()]
    bands = {
        split: {row["id"].rsplit("/", 1)[0] for row in rows if row["split"] == split} for split in ("test", "valid")
    }
    assert not bands["test"] & bands["valid"]
    # Seen: 98.9 % of 184, a standard error of 0.8 points; logistic regression 64.1 %, the nearest neighbor 81.5 %.
    assert result["test"]["accuracy"] > 0.95


@pytest.mark.slow
def test_matplotlib_s_own_data_as_it_is_installed(tmp_path: Path) -> None:
    """Icons as PNG and SVG and some samples, among fonts, styles, tables and text."""
    vectors = len(list(MATPLOTLIB.rglob("*.svg")))
    done = sevensteps("train", str(MATPLOTLIB), "--numbers", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert f"mpl-data: {vectors} bad files: images/" in done.err
    result, said = trained(tmp_path, str(MATPLOTLIB), "--bad-files", "skip")
    assert f"{vectors} bad files left out: images/" in said
    assert "left out, since none of their files is a picture: fonts, plot_directive, stylelib" in said
    assert "a class has fewer than 10, but cnn needs 10 pictures of each class" in said
    # Of 24 pictures 21 are icons: nothing can be learned from so few, but each is judged by a model without it.
    assert result["cross_validation"]["n"] == 24
    assert result["baselines"]["most frequent class"]["correct"] == 21


@pytest.mark.slow
@pytest.mark.skipif(not ADWAITA.is_dir(), reason="Debian's package adwaita-icon-theme is not installed here")
def test_icons_of_adwaita_by_category(tmp_path: Path) -> None:
    result, _ = trained(tmp_path, str(ADWAITA / "24x24"), "--classes", "legacy", "status", "--folds", "1")
    # Seen: 83.8 % of 111, a standard error of 3.5 points; answering legacy for all of them reaches 57.7 %.
    assert result["test"]["accuracy"] > 0.73


@pytest.mark.skipif(not ADWAITA.is_dir(), reason="Debian's package adwaita-icon-theme is not installed here")
def test_dark_icons_are_seen(tmp_path: Path) -> None:
    """Most are dark drawings on a transparent ground; none becomes a picture of a single value."""
    images = load(ADWAITA / "24x24", bad_files="skip").train
    hidden = 0
    for name, pixels in zip(images.ids, images.pixels, strict=True):
        with Image.open(ADWAITA / "24x24" / name) as opened:
            icon = opened.convert("RGBA")
        on_black = Image.alpha_composite(Image.new("RGBA", icon.size, "black"), icon)
        hidden += np.asarray(on_black)[:, :, :3].max() <= 32
        assert np.ptp(pixels) > 32 or np.ptp(np.asarray(icon)[:, :, 3]) == 0, name
    assert hidden > len(images) / 2
