"""`predict --explain` on a model of features: each printed drop is what `predict` says of the covered picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from photos import photos_in
from PIL import Image, ImageOps
from typed import here, refused

import sevensteps as ss
from sevensteps.show.terminal import consoles
from sevensteps.show.terminal_patches import print_drops

SIDE = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on features, and pictures of several kinds."""
    base = tmp_path_factory.mktemp("covered")
    photos_in(base / "photos", 9)  # other test pictures than elsewhere, since looks at them are counted
    ss.train(base / "photos", features="efficientnet-lite0", epochs=5, folds=1, out=base / "run")
    tile = Image.open(base / "photos/hopper/03.png")
    wide = ImageOps.expand(tile, (40, 7, 11, 0), (90, 160, 20))
    turned = Image.Exif()
    turned[0x0112] = 6
    wide.save(base / "turned.jpg", exif=turned, quality=95)
    wide.resize((60, 37)).convert("L").save(base / "grey.png")
    drawn = wide.convert("RGBA")
    drawn.putalpha(Image.linear_gradient("L").resize(wide.size))
    drawn.save(base / "clear.png")
    wide.resize((5, 3)).save(base / "tiny.png")
    return base


def upright(path: Path) -> Image.Image:
    """The picture as it is displayed, on white."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white.convert("RGB")


def test_each_drop_is_what_predict_says_of_the_covered_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["turned.jpg", "clear.png", "grey.png", "tiny.png"]
    done = here("predict", "run", *files, "--explain", "why", "--json", cwd=folder, capsys=capsys)
    assert done.code == 0, done.err
    for file, answer in zip(files, json.loads(done.out)["results"], strict=True):
        why, picture = answer["covered"], upright(folder / file)
        assert (folder / answer["explanation"]).is_file()
        assert why["class"] == answer["class"]
        assert tuple(why["size"]) == picture.size
        assert np.abs(np.asarray(picture).reshape(-1, 3).mean(0) - why["cover"]).max() <= 0.51
        width, height = picture.size
        assert len(why["patches"]) == min(SIDE, width) * min(SIDE, height)
        covered_once = np.zeros((height, width), int)
        some = why["patches"][::11]
        for patch in why["patches"]:
            left, top, right, bottom = patch["box"]
            covered_once[top:bottom, left:right] += 1
            assert patch["drop"] == pytest.approx(answer["probability"] - patch["probability"], abs=1e-12)
        assert (covered_once == 1).all()
        names = []
        for patch in some:
            picture = upright(folder / file)
            picture.paste(tuple(why["cover"]), tuple(patch["box"]))
            names.append(f"covered-{len(names)}.png")
            picture.save(folder / names[-1])
        asked = here("predict", "run", *names, "--json", cwd=folder, capsys=capsys)
        said = [each["probabilities"][answer["class"]] for each in json.loads(asked.out)["results"]]
        assert said == pytest.approx([patch["probability"] for patch in some], abs=1e-12)


@pytest.mark.slow
def test_the_blocks_are_printed_under_the_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("predict", "run", "photos/china/00.png", "--explain", "why", cwd=folder, capsys=capsys)
    answer, head, *rows = done.out.splitlines()
    assert answer.startswith("photos/china/00.png: ")
    assert "why: why" in answer
    assert "when a patch is covered" in head
    drops = np.array([[float(number) for number in row.split()] for row in rows])
    told = here("predict", "run", "photos/china/00.png", "--explain", "why", "--json", cwd=folder, capsys=capsys)
    (result,) = json.loads(told.out)["results"]
    wanted = [100 * patch["drop"] for patch in result["covered"]["patches"]]
    np.testing.assert_allclose(drops.ravel(), wanted, atol=0.0501)
    assert drops.shape == (SIDE, SIDE)
    assert max(map(len, rows)) <= 60


def test_a_patch_that_does_not_matter_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    console, _ = consoles()
    print_drops(console, "cat", np.full((SIDE, SIDE), 0.0004))
    assert capsys.readouterr().out == "  no single patch matters: whichever is covered, cat keeps its probability\n"
    print_drops(console, "cat", np.full((SIDE, SIDE), -0.0006))
    assert len(capsys.readouterr().out.splitlines()) == 1 + SIDE


def test_a_notebook_shows_each_picture_with_its_answer(folder: Path) -> None:
    known, missing = str(folder / "clear.png"), str(folder / "missing.png")
    shown = ss.predict(folder / "run", [known, missing, Image.open(known)])._repr_html_()
    assert shown.count("<img") == 1
    assert "missing.png does not exist." in shown
    assert "picture 3" in shown


def test_a_picture_to_follow_is_named_by_its_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("xray", "run", "--picture", "tiny.png", cwd=folder, capsys=capsys)
    refused(done, 2, "is not the number of a picture in the batch")


@pytest.mark.slow
def test_python_explains_pictures_of_any_kind(folder: Path) -> None:
    path = folder / "clear.png"
    content = path.read_bytes()
    with path.open("rb") as file, Image.open(path) as picture:
        kinds = [path, content, file, np.asarray(picture)]
        answers = ss.predict(folder / "run", kinds, explain=folder / "why")
    assert not answers.failed
    assert len({Path(answer.explanation or "").name for answer in answers}) == len(kinds)
    square = np.random.default_rng(0).integers(0, 256, (3, 224, 224), dtype=np.uint8)
    (by_channels,) = ss.predict(folder / "run", [square], explain=folder / "why")
    assert by_channels.covered is not None
    assert by_channels.covered.size == (224, 224)
    first = answers[0].covered
    assert first is not None
    assert first.strongest.drop == first.drops.max()
    assert all(answer.covered == first for answer in answers)
