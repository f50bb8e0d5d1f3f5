"""A folder of class folders as a source: what is read, what is refused, and what is left out, each by name."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import sys
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import digits_in, loaded, pets, png, put
from PIL import Image
from typed import error_in, here, refused, shown

from sevensteps.data.decode import decode
from sevensteps.data.files import load as file_loading
from sevensteps.data.files.how import How
from sevensteps.data.files.summary import Told
from sevensteps.data.sources.load import load, load_streams
from sevensteps.errors import DataError, SevenstepsError, UsageError
from sevensteps.recipes.choose import choose
from sevensteps.ship import file as model_file

RANDOM = np.random.default_rng(0)


# Layout and classes


def test_class_folders_are_a_source_and_ids_are_paths(tmp_path: Path) -> None:
    splits, said = loaded(pets(tmp_path / "pets"))
    assert splits.classes == ("cat", "dog")
    assert splits.train.counts == {"cat": 5, "dog": 5}
    assert splits.test is None
    assert splits.valid is None
    assert list(splits.train.ids)[:2] == ["cat/0.png", "cat/1.png"]
    assert splits.train.ids[-1] == "dog/4.png"
    assert splits.train.shape == (1, 6, 6)
    assert [int(picture[0, 0, 0]) for picture in splits.train.pixels] == list(range(10))
    assert said == (
        "pets: 2 class folders, 5 pictures in each class (10 train)\npets: pictures of 6x6, used as they are, in gray"
    )


def test_ids_stay_with_their_pictures(tmp_path: Path) -> None:
    splits, _ = loaded(pets(tmp_path))
    images = splits.choose(["dog", "cat"]).train
    held = splits.hold_out(0.4, seed=3)
    assert held.valid is not None
    for some in (images, held.train, held.valid, images.take(np.array([7, 2])), images[3:8]):
        for name, picture, label in zip(some.ids, some.pixels, some.labels, strict=True):
            class_, number = name.removesuffix(".png").split("/")
            assert picture[0, 0, 0] == int(number) + 5 * (class_ == "dog")
            assert some.classes[label] == class_
    assert splits.train.fit == images.fit == held.valid.fit == "letterbox"


@pytest.mark.parametrize(
    ("train", "test", "valid"),
    [
        ("train", "test", "valid"),
        ("Training", "TESTING", "Val"),
        ("TRAIN", "Test", "validation"),
        ("train", "test", None),
    ],
)
def test_split_folders_are_known_by_their_names(tmp_path: Path, train: str, test: str, valid: str | None) -> None:
    for split in filter(None, (train, test, valid)):
        pets(tmp_path / split)
    splits, said = loaded(tmp_path)
    assert splits.test is not None
    assert splits.test.ids[0] == f"{test}/cat/0.png"
    assert (splits.valid is not None) == (valid is not None)
    assert f"in {train}, {test}" in said


def test_a_class_may_be_named_train_next_to_other_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "Test/1.png", "car/1.png")
    assert loaded(tmp_path)[0].classes == ("Test", "car", "train")


def test_what_lies_in_folders_within_a_class_is_of_that_class(tmp_path: Path) -> None:
    put(tmp_path, "cat/ann/1.png", "cat/bob/deep/er/1.png", "dog/1.png")
    splits, _ = loaded(tmp_path)
    assert list(splits.train.ids) == ["cat/ann/1.png", "cat/bob/deep/er/1.png", "dog/1.png"]


def test_classes_are_in_the_order_of_numbers_and_the_union_over_splits(tmp_path: Path) -> None:
    put(tmp_path, "train/class 10/1.png", "train/class 2/1.png", "train/b/1.png", "valid/class 2/1.png")
    splits, said = loaded(tmp_path)
    assert splits.classes == ("b", "class 2", "class 10")
    assert splits.valid is not None
    assert splits.valid.counts == {"b": 0, "class 2": 1, "class 10": 0}
    assert "no validation pictures of b, class 10" in said


def test_a_single_folder_around_the_classes_is_opened(tmp_path: Path) -> None:
    put(tmp_path, "pets/train/cat/1.png", "pets/train/dog/1.png", "pets/test/cat/2.png", "README.txt")
    splits, said = loaded(tmp_path)
    assert splits.classes == ("cat", "dog")
    assert splits.train.ids == ["pets/train/cat/1.png", "pets/train/dog/1.png"]
    assert splits.test is not None
    assert splits.test.ids == ["pets/test/cat/2.png"]
    assert "2 class folders in train, test" in said
    assert "ignored: 1 file that is not a picture (README.txt)" in said


@pytest.mark.parametrize("pattern", [r"person(\d+)", "person[0-9]+", r"(p)erson(\d+)"])
def test_a_group_found_in_the_paths_stays_on_one_side(tmp_path: Path, pattern: str) -> None:
    files = [f"{name}/person{person}-{n}.png" for name in ("cat", "dog") for person in range(10) for n in range(3)]
    put(tmp_path, *files, "cat/nobody.png")
    splits, said = loaded(tmp_path, group=pattern)
    assert "10 groups, each kept on one side of a split; 1 picture has no group" in said
    for seed in range(5):
        sides = [
            {re.findall(r"person\d+", name)[0] for name in part.ids if "person" in name}
            for part in splits.train.split(0.2, seed)
        ]
        assert not sides[0] & sides[1]
        assert len(sides[1]) == 2


def test_a_group_in_two_splits_of_the_source_is_reported(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(f"{split}/{name}/a{n}.png" for split in ("train", "test") for name in ("cat", "dog") for n in (1, 2)),
    )
    assert "2 groups of the source are in both train and test, for example a1" in loaded(tmp_path, group=r"a\d")[1]


@pytest.mark.parametrize(
    ("pattern", "words"), [("(", "not a valid regular expression"), ("x9", "matches no picture's path")]
)
def test_an_invalid_group_is_refused(tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(SevenstepsError, match=words):
        load(pets(tmp_path), group=pattern)


def test_some_classes_are_chosen_and_only_their_files_are_looked_at(tmp_path: Path) -> None:
    put(pets(tmp_path), "bird/1.png", "bird/2.png")
    put(tmp_path, "dog/bad.png", content=b"none")
    splits, said = loaded(tmp_path, classes=["cat", "bird"])
    assert splits.classes == ("cat", "bird")
    assert splits.train.counts == {"cat": 5, "bird": 2}
    assert "bad" not in said
    with pytest.raises(DataError, match="no class 'cow'"):
        load(tmp_path, ["cat", "cow"])


# What is left out


def test_a_class_is_named_by_the_composed_form_of_its_folder_s_name(tmp_path: Path) -> None:
    put(tmp_path, f"{unicodedata.normalize('NFD', 'été')}/1.png", "hiver/1.png")
    assert loaded(tmp_path)[0].classes == ("hiver", unicodedata.normalize("NFC", "été"))


def test_a_class_without_a_picture_is_left_out_and_reported(tmp_path: Path) -> None:
    put(pets(tmp_path), "bird/1.png", content=png((50, 50), mode="RGB")[:60])
    put(tmp_path, "cow/notes.txt", content=b"none")
    splits, said = loaded(tmp_path, bad_files="skip")
    assert splits.classes == load_streams(tmp_path, how=How(bad_files="skip")).classes == ("cat", "dog")
    assert "left out, since none of their files is a picture: bird, cow" in said
    with pytest.raises(DataError, match="no class 'bird'"):
        load(tmp_path, ["cat", "bird"], bad_files="skip")


def test_progress_is_reported_less_and_less_often() -> None:
    said: list[str] = []
    told = Told(said.append, 1000)
    for seconds in (0.5, 1.0, 0.4, 1.0, 5.0):
        told._began -= seconds
        told.more()
    assert [line.split(";")[0].strip() for line in said] == [f"{n} of 1,000 files decoded" for n in (2, 5)]


def test_of_many_bad_files_the_first_ten_are_listed(tmp_path: Path) -> None:
    put(pets(tmp_path), *(f"cat/bad{number:02}.png" for number in range(13)), content=b"none")
    with pytest.raises(DataError, match=r"13 bad files: cat/bad00\.png .*cat/bad09\.png [^;]*; and 3 more") as caught:
        load(tmp_path)
    assert "bad10" not in caught.value.message


# Size, fit and channels


def test_pictures_of_one_small_size_keep_it_and_others_are_made_64(tmp_path: Path) -> None:
    put(tmp_path / "own", "a/1.png", "b/1.png", content=png((20, 64)))
    assert loaded(tmp_path / "own")[0].train.shape == (1, 64, 20)
    put(tmp_path / "large", "a/1.png", "b/1.png", content=png((20, 65)))
    assert loaded(tmp_path / "large")[0].train.shape == (1, 64, 64)
    put(tmp_path / "own", "b/2.png", content=png((21, 64)))
    splits, said = loaded(tmp_path / "own")
    assert splits.train.shape == (1, 64, 64)
    assert "pictures of 20x64 to 21x64, padded to 64x64" in said
    assert loaded(tmp_path / "own", size=16)[0].train.shape == (1, 16, 16)


def test_one_picture_in_color_makes_all_of_them_color(tmp_path: Path) -> None:
    put(pets(tmp_path), "cat/color.png", content=png((6, 6), mode="RGB"))
    splits, said = loaded(tmp_path)
    assert splits.train.shape == (3, 6, 6)
    assert "10 gray and 1 in color" in said


@pytest.mark.parametrize("fit", ["letterbox", "squash", "crop"])
def test_a_picture_is_decoded_as_predict_would(tmp_path: Path, fit: Any) -> None:
    color = RANDOM.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "turned.jpg": (Image.fromarray(color), "JPEG", {"exif": exif}),
        "cmyk.jpg": (Image.fromarray(color).convert("CMYK"), "JPEG", {}),
        "deep.png": (Image.fromarray(color[..., 0].astype(np.uint16) * 257), "PNG", {}),
        "clear.png": (Image.fromarray(color).convert("RGBA"), "PNG", {}),
        "palette.gif": (Image.fromarray(color).convert("P"), "GIF", {}),
        "web.webp": (Image.fromarray(color), "WEBP", {}),
    }
    for name, (image, kind, how) in kinds.items():
        content = io.BytesIO()
        image.save(content, kind, **how)
        put(tmp_path, f"a/{name}", f"b/{name}", content=content.getvalue())
    splits, _ = loaded(tmp_path, size=24, fit=fit)
    assert splits.train.fit == fit
    for name, pixels in zip(splits.train.ids, splits.train.pixels, strict=True):
        np.testing.assert_array_equal(pixels, decode((tmp_path / name).read_bytes(), (3, 24, 24), fit=fit))


@pytest.mark.parametrize("how", [{"size": -1}, {"size": 1025}, {"size": True}, {"fit": "stretch"}])
@pytest.mark.usefixtures("without_shape_checks")
def test_invalid_sizes_and_fits_are_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"size|fit"):
        load(pets(tmp_path), **how)


@pytest.mark.parametrize("how", [{"size": 32}, {"fit": "crop"}, {"bad_files": "skip"}])
def test_what_is_for_folders_is_refused_elsewhere(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is for picture files, but pullover-dress holds none"):
        load("pullover-dress", **how)


def test_what_does_not_fit_into_memory_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_loading.memory, "available", lambda: 700)
    with pytest.raises(DataError, match=r"360 bytes as 6x6 gray pictures, but only half of the 700 bytes") as caught:
        load(pets(tmp_path))
    assert f"sevensteps prepare {tmp_path}" in caught.value.hint


def test_the_pictures_come_as_streams_as_they_come_at_once(tmp_path: Path) -> None:
    pets(tmp_path / "train")
    put(pets(tmp_path / "test"), "dog/bad.png", content=b"none")
    splits, _ = loaded(tmp_path, bad_files="skip", fit="squash", size=5)
    streams = load_streams(tmp_path, how=How(bad_files="skip", fit="squash", size=5))
    assert splits.test is not None
    for name, images in (("train", splits.train), ("test", splits.test)):
        stream = streams.splits[name]
        np.testing.assert_array_equal(np.concatenate(list(stream.chunks(3, 0))), images.pixels)
        np.testing.assert_array_equal(np.concatenate(list(stream.chunks(4, 2))), images.pixels[2:])
        np.testing.assert_array_equal(stream.labels, images.labels)
    assert (streams.classes, streams.shape, streams.fit) == (splits.classes, splits.train.shape, "squash")
    with pytest.raises(DataError, match=r"1 bad file: test/dog/bad\.png"):
        load_streams(tmp_path)
    put(tmp_path, "train/cat/3.png", content=b"none")
    with pytest.raises(DataError, match=r"train/cat/3\.png .*, although it was intact before"):
        list(streams.splits["train"].chunks(3, 0))
    assert load_streams(tmp_path, how=How(bad_files="skip")).files != streams.files


# The recipe that is chosen


def test_what_is_said_of_mirror_images_is_what_the_classes_allow(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path, f"cat/{number}.png", f"dog/{number}.png", f"turn_left/{number}.png", content=png((16, 16)))
    for classes, words in (
        (("cat", "dog"), "and mirrored copies; if left and right matter, add --augment shift"),
        ((), "not on mirrored ones, because turn_left names a side"),
    ):
        chosen = choose(tmp_path, {"classes": classes})
        assert (chosen.recipe, words in chosen.why) == ("cnn", True), chosen
        augment = chosen.with_given({}).settled(load(tmp_path, classes or None)).augment
        assert ("flip" in augment) == ("and mirrored copies" in chosen.why)


# Commands


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that holds the folder `digits`."""
    return digits_in(tmp_path_factory.mktemp("digits") / "digits").parent


@pytest.fixture(scope="module")
def trained(digits: Path) -> Path:
    """Return a run on `digits`."""
    from sevensteps.cli.app import run

    before = Path.cwd()
    os.chdir(digits)
    try:
        assert run(["train", "digits", "--recipe", "linear", "--out", "run", "--json"]) == 0
    finally:
        os.chdir(before)
    return digits


def test_digits_train_and_predict_names_the_same_files_the_same_way(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (trained / "run/predictions.jsonl").read_text().splitlines()]
    tested = [row for row in rows if row["split"] == "test"]
    assert len(tested) == 359
    assert all((trained / "digits" / row["id"]).is_file() for row in rows)
    assert all(row["id"].split("/")[0] == row["label"] for row in rows)
    files = [f"digits/{row['id']}" for row in tested[:100]]
    done = here("predict", "run", *files, "--json", cwd=trained, capsys=capsys)
    for row, answer in zip(tested, json.loads(done.out)["results"], strict=False):
        assert answer["file"] == f"digits/{row['id']}"
        np.testing.assert_allclose(list(answer["probabilities"].values()), row["probabilities"], atol=1e-5)
    right = [max(r["probabilities"]) == r["probabilities"][int(r["label"])] for r in tested]
    assert np.mean(right) > 0.85


def test_the_run_keeps_how_its_pictures_were_treated(trained: Path) -> None:
    from sevensteps.learner.load import load_learner
    from sevensteps.recipes.recipe import Recipe

    recipe = Recipe.load(trained / "run")
    assert (recipe.size, recipe.fit, recipe.bad_files, recipe.model) == (8, "letterbox", "skip-few", "linear")
    _, about = model_file.read(trained / "run/model.safetensors")
    assert (about["fit"], about["shape"]) == ("letterbox", [1, 8, 8])
    learn = load_learner(trained / "run")
    assert learn.picture_fit == "letterbox"
    wide = Image.fromarray(np.full((8, 80), 200, dtype=np.uint8))
    framed = np.zeros((1, 8, 8), dtype=np.uint8)
    framed[0, 3] = 200
    assert learn.predict(wide)[2].tolist() == learn.predict(framed)[2].tolist()


def test_a_model_of_before_squashes_as_it_did(tmp_path: Path, trained: Path) -> None:
    from sevensteps.ship.predict import load_model

    arrays, about = model_file.read(trained / "run/model.safetensors")
    del about["fit"]
    model_file.write(tmp_path / "old.safetensors", arrays, about)
    assert load_model(tmp_path / "old.safetensors").fit == "squash"
    model_file.write(tmp_path / "odd.safetensors", arrays, {**about, "fit": "stretch"})
    with pytest.raises(Exception, match="its fit cannot be 'stretch'"):
        load_model(tmp_path / "odd.safetensors")


@pytest.mark.slow
def test_a_run_on_a_folder_resumes_verifies_and_is_judged_again(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("verify", "run", "--rerun", cwd=trained, capsys=capsys)
    assert done.code == 0, done
    done = here("resume", "run", "--epochs", "1", "--json", cwd=trained, capsys=capsys)
    assert json.loads(done.out)["epochs"] == 9
    (trained / "run/predictions.jsonl").unlink()
    assert here("judge", "run", "--json", cwd=trained, capsys=capsys).code == 0
    done = here("report", "run", cwd=trained, capsys=capsys)
    assert done.code == 0
    assert re.search(r"\d/\d+\.png", (trained / "run/report.html").read_text("utf-8"))


def test_bad_files_stop_training_and_are_left_out_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, *(f"pets/{name}/{number}.png" for name in ("cat", "dog") for number in range(9)))
    put(tmp_path, "pets/dog/a\x1b[2Jb.png", content=b"none")
    done = here("train", "pets", cwd=tmp_path, capsys=capsys)
    shown(done)
    assert (done.code, done.out) == (1, "")
    assert "pets: 1 bad file: dog/a\\x1b[2Jb.png is not a picture" in done.err
    assert done.err.endswith("or continue without it: --bad-files skip\n")
    done = here("train", "pets", "--bad-files", "skip", "--epochs", "1", "--numbers", cwd=tmp_path, capsys=capsys)
    assert done.code == 0
    assert "1 bad file left out: dog/a\\x1b[2Jb.png" in shown(done)
    assert "few pictures a class has 8 to train on: below 200 the interval is wide" in done.out
    assert "a class has fewer than 10, but cnn needs 10" in done.err
    assert (
        "A fifth of 18 pictures is too few to test with, so 5 models are trained and tested in turn (cross-validation)"
        in done.err
    )
    text = (tmp_path / "runs/pets-linear-1/recipe.toml").read_text("utf-8")
    assert 'bad_files = "skip"' in text
    assert "[recorded]" in text.split("bad_files = 1\n")[0]
    found = json.loads(here("data", "pets", "--json", cwd=tmp_path, capsys=capsys).out)
    assert found["bad_files"] == [{"picture": "dog/a\x1b[2Jb.png", "reason": "is not a picture in a known format"}]


def test_few_bad_files_among_many_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, *(f"pets/{name}/{number}.png" for name in ("cat", "dog") for number in range(99)))
    put(tmp_path, "pets/dog/a.png", "pets/cat/my b.png", content=b"none")
    done = here("train", "pets", "--epochs", "1", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done
    assert "2 files left out, named in recipe.toml" in shown(done)
    recorded = tomllib.loads((tmp_path / "runs/pets-linear-1/recipe.toml").read_text("utf-8"))["recorded"]
    unread = "is not a picture in a known format"
    assert (recorded["bad_files"], recorded["left_out"]) == (2, [f"cat/my b.png: {unread}", f"dog/a.png: {unread}"])
    refused(here("train", "pets", "--bad-files", "stop", cwd=tmp_path, capsys=capsys), 1, "2 bad files", "skip")
    put(tmp_path, "pets/dog/c.png", content=b"none")  # three of 201 are more than one in a hundred
    refused(here("train", "pets", cwd=tmp_path, capsys=capsys), 1, "3 bad files", "--bad-files skip")
    assert len(load(tmp_path / "pets", bad_files="skip").bad_files) == 3


def test_invalid_settings_are_refused_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pets(tmp_path / "pets")
    refused(here("train", "pets", "--size", "2000", cwd=tmp_path, capsys=capsys), 2, "size is 2000")
    refused(here("train", "pets", "--fit", "box", cwd=tmp_path, capsys=capsys), 2, "fit")
    refused(here("prepare", "pets", "--size", "2000", cwd=tmp_path, capsys=capsys), 2, "size is 2000")
    assert error_in(here("train", "nothing here", "--json", cwd=tmp_path, capsys=capsys))["code"] == "data"
    (tmp_path / "empty").mkdir()
    refused(here("train", "empty", cwd=tmp_path, capsys=capsys), 1, "no class folders", "cat/1.jpg")


def test_a_prepared_folder_trains_and_its_model_keeps_the_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, *(f"pets/{name}/{number}.png" for name in ("cat", "dog") for number in range(9)))
    put(tmp_path, "pets/dog/bad.png", content=b"none")
    done = here("prepare", "pets", cwd=tmp_path, capsys=capsys)
    assert done.code == 1
    assert "dog/bad.png is not a picture" in done.err
    assert done.err.endswith("or continue without it: --bad-files skip\n")
    assert not (tmp_path / "pets.store").exists()
    done = here("prepare", "pets", "--bad-files", "skip", "--fit", "crop", "--size", "9", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done
    assert here("verify", "pets.store", cwd=tmp_path, capsys=capsys).code == 0
    assert here("train", "pets.store", "--epochs", "1", "--out", "run", cwd=tmp_path, capsys=capsys).code == 0
    _, about = model_file.read(tmp_path / "run/model.safetensors")
    assert (about["fit"], about["shape"]) == ("crop", [1, 9, 9])
    in_memory, _ = loaded(tmp_path / "pets", bad_files="skip", fit="crop", size=9)
    stored = load(tmp_path / "pets.store")
    whole = np.concatenate([images.pixels for images in (stored.train, stored.test, stored.valid) if images])
    assert sorted(map(bytes, whole)) == sorted(map(bytes, in_memory.train.pixels))
    for images in (stored.train, stored.train.take(np.array([3, 1])), stored.train.choose(["dog", "cat"])):
        assert images.fit == "crop"


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse most of these names")
def test_file_names_that_are_not_text_survive_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, *(f"pets/{name}/{number}.png" for name in ("cat", "dog") for number in range(9)))
    for name in (b"pets/cat/\xff\xfe.png", b"pets/dog/\n\x1b[0m.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(png())
    done = here("train", "pets", "--epochs", "1", "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    shown(done)
    assert here("report", "run", cwd=tmp_path, capsys=capsys).code == 0
    splits, _ = loaded(tmp_path / "pets")
    (tmp_path / "pets").rename(tmp_path / "p\udcffts")
    refused(
        here("train", "p\udcffts", cwd=tmp_path, capsys=capsys), 2, r"source is 'p\udcffts', which is not valid UTF-8"
    )
    assert {"cat/\\xff\\xfe.png", "dog/\n\x1b[0m.png"} < set(splits.train.ids)
    assert dataclasses.replace(splits.train).ids == splits.train.ids
