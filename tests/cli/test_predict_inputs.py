"""What `sevensteps predict` takes: folders, standard input, names in any bytes; and whether it can refuse."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import here, refused

import sevensteps as ss

FLOWER = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def picture(label: int, number: int) -> Image.Image:
    """Noise with a bright half, which is the class."""
    pixels = np.random.default_rng(100 * label + number).integers(0, 80, (16, 16, 3), dtype=np.uint8)
    pixels[8 * label : 8 * label + 8] += 150
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 40 pictures, and a run on them, whose 16 validation pictures are too few to refuse any."""
    folder = tmp_path_factory.mktemp("inputs")
    for label, name in enumerate(("cat", "dog")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(40):
            picture(label, number).save(folder / "photos" / name / f"{number}.png")
    ss.train(folder / "photos", recipe="linear", epochs=2, out=folder / "m")
    (folder / "new" / "deep").mkdir(parents=True)
    picture(0, 50).save(folder / "new" / "b.png")
    picture(1, 50).save(folder / "new" / "a.jpg")
    picture(1, 51).save(folder / "new" / "deep" / "c.png")
    (folder / "new" / "notes.txt").write_text("not a picture")
    (folder / "new" / ".hidden.png").write_bytes(b"")
    (folder / "nothing").mkdir()
    return folder


def piped(content: bytes, *words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Type a command that reads standard input."""
    typed = [sys.executable, "-m", "sevensteps", *words]
    return subprocess.run(typed, input=content, cwd=cwd, capture_output=True, timeout=120, check=False)


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_folder_is_classified_picture_by_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("predict", "m", "new", cwd=folder, capsys=capsys)
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["new/a.jpg", "new/b.png", "new/deep/c.png"]
    both = here("predict", "m", "new/deep", "new/b.png", "--json", cwd=folder, capsys=capsys)
    results = json.loads(both.out)["results"]
    assert [result["file"] for result in results] == ["new/deep/c.png", "new/b.png"]
    assert [result["class"] for result in results] == ["dog", "cat"]


def test_a_folder_without_pictures_is_said_and_does_not_stop_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("predict", "m", "nothing", "new/b.png", cwd=folder, capsys=capsys)
    assert done.code == 1
    assert done.out.startswith("new/b.png: cat")
    assert "nothing cannot be read: the folder holds no pictures" in done.err


def test_a_folder_is_explained(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("predict", "m", "new", "--explain", str(tmp_path / "why"), cwd=folder, capsys=capsys)
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == ["a.why.png", "b.why.png", "c.why.png"]


def test_a_hyphen_is_the_picture_from_standard_input(folder: Path) -> None:
    content = (folder / "new" / "b.png").read_bytes()
    done = piped(content, "predict", "m", "-", "new/a.jpg", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["results"]
    assert (first["file"], first["class"], second["file"]) == ("-", "cat", "new/a.jpg")
    assert first["probabilities"] == next(iter(ss.predict(folder / "m", folder / "new" / "b.png"))).probabilities


@pytest.mark.parametrize(("content", "said"), [(b"", b"Standard input is empty."), (b"words", b"words does not exist")])
def test_what_comes_from_standard_input_must_be_a_picture(folder: Path, content: bytes, said: bytes) -> None:
    done = piped(content, "predict", "m", "-", cwd=folder)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"picture" in done.stderr
    assert said in done.stderr


def test_a_hyphen_means_nothing_to_other_verbs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(here("train", "-", cwd=folder, capsys=capsys), 2, "Unknown option")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_a_name_that_is_not_utf8_is_spelled_out_for_programs_and_people(folder: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(odd, "wb") as file:
        file.write(as_png(picture(0, 60)))
    missing = os.fsencode(tmp_path) + b"/\xff.png"
    typed = [os.fsencode(sys.executable), b"-m", b"sevensteps", b"predict", b"m", odd, missing]
    for flags in ([b"--json"], [b"--jsonl"], []):
        done = subprocess.run([*typed, *flags], cwd=folder, capture_output=True, timeout=120, check=False)
        said = done.stdout.decode() + done.stderr.decode()
        assert "Traceback" not in said
        if flags:
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            results = rows[0].get("results", rows)
            assert results[0]["file"] == f"{tmp_path}/caf\\xe9.png"
            assert results[1]["error"] == f"{tmp_path}/\\xff.png does not exist."
        else:
            assert f"{tmp_path}/caf\\xe9.png: cat" in said
            assert f"{tmp_path}/\\xff.png does not exist" in said
    answers = ss.predict(folder / "m", os.fsdecode(odd))
    assert answers.as_json()["results"][0]["file"] == f"{tmp_path}/caf\\xe9.png"


def test_errors_in_json_have_no_half_characters(folder: Path) -> None:
    typed = [os.fsencode(sys.executable), b"-m", b"sevensteps", b"judge", b"caf\xe9", b"--json"]
    done = subprocess.run(typed, cwd=folder, capture_output=True, timeout=120, check=False)
    message = json.loads(done.stdout)["error"]["message"]
    assert "'caf" in message
    message.encode()


def test_a_model_that_never_refuses_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (16, 16), "white").save(folder / "white.png")
    done = here("predict", "m", "white.png", cwd=folder, capsys=capsys)
    assert done.code == 0
    assert 'never says "not sure" or "none of these"' in done.err
    said = json.loads(here("predict", "m", "white.png", "--json", cwd=folder, capsys=capsys).out)
    assert said["never_says"] == ["not sure", "none of these"]
    assert "too few validation pictures" in repr(ss.predict(folder / "m", folder / "white.png"))


def test_the_card_of_a_model_that_never_refuses_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("export", str(folder / "m"), "--to", "card", "--out", "card", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    text = (tmp_path / "card/README.md").read_text("utf-8")
    for reason in ("not sure", "none of these"):
        assert f'This model never says "{reason}".' in text
    assert "1e+300" not in text
    assert "is under 0" not in text


@pytest.mark.slow
def test_training_promises_no_refusal_that_is_switched_off(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in ([], ["--numbers"]):
        words = ("train", "photos", "--recipe", "linear", "--epochs", "1", "--out", str(tmp_path / str(len(flags))))
        done = here(*words, *flags, cwd=folder, capsys=capsys)
        assert done.code == 0
        for line in " ".join(done.out.split()).replace("It never says", "\nIt never says").splitlines():
            if "none of these" in line:
                assert line.startswith("It never says")


# The same in Python


def test_predict_takes_pictures_of_every_kind(folder: Path) -> None:
    path = folder / "new" / "b.png"
    (expected,) = ss.predict(folder / "m", path)
    with Image.open(path) as image:
        pixels = np.asarray(image)
        kinds = [str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), pixels, image.copy()]
        for kind in kinds:
            (answer,) = ss.predict(folder / "m", kind)
            assert answer.probabilities == expected.probabilities
        several = ss.predict(folder / "m", [*kinds[:2], io.BytesIO(kinds[1]), pixels, folder / "new"])  # type: ignore[arg-type]
    assert [answer.file for answer in several][:4] == [str(path), "picture 2", "picture 3", "picture 4"]
    assert len(several) == 7
    assert {answer.probabilities == expected.probabilities for answer in several.results[:4]} == {True}
    with open(path, "rb") as file:
        assert ss.predict(folder / "m", file)[0].file == str(path)


def test_predict_takes_several_paths_in_any_row(folder: Path) -> None:
    paths = sorted((folder / "new").glob("*.*g"))
    for row in (paths, tuple(paths), iter(paths), np.array([str(path) for path in paths])):
        assert [answer.file for answer in ss.predict(folder / "m", row)] == [str(path) for path in paths]


def test_a_picture_that_cannot_be_read_is_one_error_among_answers(folder: Path) -> None:
    answers = ss.predict(folder / "m", [b"words", FLOWER, io.StringIO("words"), FLOWER.astype(float)])
    assert [answer.error is None for answer in answers] == [False, True, False, False]
    assert all(answer.hint for answer in answers if answer.error)
    assert [result.get("hint") for result in answers.as_json()["results"] if "error" in result] == [
        answer.hint for answer in answers if answer.error
    ]
