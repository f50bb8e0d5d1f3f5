"""Corrections: proposed from an audit, applied by `data` and `train`, and kept with the run; pictures never change."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import put
from PIL import Image
from sklearn.datasets import load_digits
from typed import Done, error_in, here, refused, sevensteps, three_classes

from sevensteps.data.corrections import corrected, read
from sevensteps.data.images import Images, Splits
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError
from sevensteps.recipes.recipe import Recipe
from sevensteps.trust.audit.copies import audit
from sevensteps.trust.audit.suggest import suggested

HEAD = "picture,now,was,why\n"
WRONG = HEAD + "train/digit 1/0.png,digit 0,digit 1,a zero\ntrain/digit 0/11.png,digit 1,,a one\n"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of zeros and ones with a test split, two wrong labels and planted copies."""
    folder = tmp_path_factory.mktemp("fix") / "digits"
    source = load_digits()
    pictures = (source.images * 255 / 16).astype(np.uint8)

    def save(row: int, label: int, split: str, name: str) -> None:
        place = folder / split / f"digit {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[row]).resize((16, 16)).save(place / name)

    for row in np.flatnonzero(source.target < 2)[:300].tolist():
        label = source.target[row]
        save(row, 1 - label if row in (0, 11) else label, "train" if row < 1000 else "test", f"{row}.png")
    save(10, 0, "train", "10 copy.png")
    save(20, 0, "train", "20 copy.jpg")
    save(21, 1, "test", "21 leak.png")
    save(30, 1, "train", "30 twin.png")
    return folder


def said(done: Done) -> Done:
    """Return the same result without the lines that describe the source."""
    kept = [
        line for line in done.err.splitlines(keepends=True) if not line.startswith(("digits: ", "No --recipe given"))
    ]
    return dataclasses.replace(done, err="".join(kept))


def digest(folder: Path) -> dict[str, str]:
    """Return the bytes of every file in a folder."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def wrong(digits: Path, text: str = WRONG) -> Path:
    """Write a corrections file next to the pictures."""
    path = digits.parent / "wrong.csv"
    path.write_text(text, "utf-8")
    return path


def test_what_an_audit_found_is_written_looked_through_and_applied(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digest(digits)
    done = here("data", "digits", "--suggest", "fix.csv", cwd=digits.parent, capsys=capsys)
    assert done.code == 0, done.err
    assert "sevensteps train digits --fix fix.csv" in done.out
    with (digits.parent / "fix.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["picture"]: row for row in csv.DictReader(file)}
    assert f"fix.csv: {len(rows)} corrections proposed" in done.out
    moved = [name for name, row in rows.items() if row["now"]]
    assert {"train/digit 1/0.png", "train/digit 0/11.png"} <= set(moved)
    assert rows["train/digit 1/0.png"]["now"] == "digit 0"
    assert rows["train/digit 1/0.png"]["why"].startswith("a rough model says digit 0 (score ")
    (one,) = rows.keys() & {"train/digit 0/10.png", "train/digit 0/10 copy.png"}
    assert "same pixels as train/digit 0/10" in rows[one]["why"]
    (one,) = rows.keys() & {"train/digit 0/20.png", "train/digit 0/20 copy.jpg"}
    assert "nearly the same as train/digit 0/20" in rows[one]["why"]
    assert "test/digit 1/21 leak.png" not in rows
    assert rows["train/digit 1/21.png"]["was"] == "digit 1"
    assert rows["train/digit 1/21.png"]["why"] == "same pixels as test/digit 1/21 leak.png, which is of another split"
    twin = rows["train/digit 1/30 twin.png"]
    assert twin["why"] == "same pixels as train/digit 0/30.png; that is of class digit 0: which of the two is right?"

    plain = json.loads(here("data", "digits", "--json", cwd=digits.parent, capsys=capsys).out)
    fixed = json.loads(here("data", "digits", "--fix", "fix.csv", "--json", cwd=digits.parent, capsys=capsys).out)
    assert plain["duplicates"]
    assert plain["leaks"]
    assert (plain["corrections"], fixed["duplicates"], fixed["leaks"]) == (None, [], [])
    assert fixed["corrections"] == {
        "relabeled": len(moved),
        "excluded": len(rows) - len(moved),
        "sha256": hashlib.sha256((digits.parent / "fix.csv").read_bytes()).hexdigest(),
    }
    (total,), (rest,) = plain["sizes"].values(), fixed["sizes"].values()
    assert total - rest == len(rows) - len(moved)

    again = here("data", "digits", "--suggest", "fix.csv", cwd=digits.parent, capsys=capsys)
    refused(again, 1, "fix.csv already exists; nothing was changed.")
    inside = here("data", "digits", "--suggest", "digits/fix.csv", cwd=digits.parent, capsys=capsys)
    refused(inside, 2, "would lie among the pictures", "--suggest digits-fix.csv")
    assert digest(digits) == before


def test_each_change_is_listed_and_train_says_that_the_test_has_changed(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong(digits, WRONG + "train/digit 0/10 copy.png,,,a copy\n")
    done = here("data", "digits", "--fix", "wrong.csv", cwd=digits.parent, capsys=capsys)
    assert done.out.startswith(
        "corrections:\n"
        "  train/digit 1/0.png: digit 1 -> digit 0\n"
        "  train/digit 0/11.png: digit 0 -> digit 1\n"
        "  train/digit 0/10 copy.png: digit 0 -> left out\n"
    )
    quick = ("train", "digits", "--recipe", "linear", "--epochs", "1", "--fix", "wrong.csv", "--out")
    done = here(*quick, str(tmp_path / "a"), cwd=digits.parent, capsys=capsys)
    assert "do not compare" not in done.out  # its own test pictures are as they were
    wrong(digits, WRONG + "test/digit 1/21 leak.png,,,a copy\n")
    done = here(*quick, str(tmp_path / "b"), cwd=digits.parent, capsys=capsys)
    said = " ".join(done.out.split())
    assert "the test uses the new labels: do not compare this accuracy with one from before" in said


@pytest.mark.slow
def test_a_run_keeps_its_corrections(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, file = digest(digits), wrong(digits)
    run, copy = tmp_path / "run", tmp_path / "run/corrections.csv"
    quick = ["--recipe", "linear", "--epochs", "2", "--numbers"]
    done = sevensteps("train", "digits", "--fix", file.name, *quick, "--out", str(run), cwd=digits.parent)
    assert done.code == 0, done.err
    assert "corrected by wrong.csv: 2 relabeled, 0 left out" in done.err + done.out
    assert "--fix wrong.csv --recipe" in done.out
    assert copy.read_bytes() == file.read_bytes()
    recipe = (run / "recipe.toml").read_text("utf-8")
    assert Recipe.load(run).fix == str(file)
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f'[recorded.corrections]\nrelabeled = 2\nexcluded = 0\nsha256 = "{sha}"' in recipe

    def typed(*words: str) -> Any:
        return said(here(*words, cwd=tmp_path, capsys=capsys))

    assert typed("verify", "run", "--rerun").code == 0
    model = (run / "model.safetensors").read_bytes()
    assert typed("train", "--recipe", "run", "--exact", "--out", "twice").code == 0
    assert (tmp_path / "twice/model.safetensors").read_bytes() == model

    wrong(digits, HEAD)  # the file that the run was trained with has changed, so the run uses its own copy
    for words in (("verify", "run", "--rerun"), ("resume", "run", "--epochs", "1"), ("xray", "run")):
        assert typed(*words).code == 0
    (run / "predictions.jsonl").unlink()
    for words in (("judge", "run"), ("report", "run")):
        assert typed(*words).code == 0
    copy.unlink()
    wrong(digits)
    checked = typed("verify", "run")
    assert checked.code == 1
    assert "corrections.csv" in checked.out
    assert typed("resume", "run", "--epochs", "1").code == 0
    assert copy.read_bytes() == file.read_bytes()
    assert typed("verify", "run", "--rerun").code == 0

    copy.write_text(HEAD)
    file.unlink()
    lost = f"The corrections of run are lost: corrections.csv in it and {file} are missing or have changed."
    for words in (("resume", "run"), ("verify", "run", "--rerun"), ("xray", "run")):
        refused(typed(*words), 1, lost, "--fix FILE")
    assert digest(digits) == before


def test_labels_rows_and_order_after_corrections(digits: Path) -> None:
    plain = load(digits).train
    ids = list(plain.ids)
    gone, moved = ids[3], ids[5]
    now = next(name for name in plain.classes if name != plain.classes[plain.labels[5]])
    file = wrong(digits, HEAD + f"{moved},{now},,\n{gone},,,\n{ids[7]},{plain.classes[plain.labels[7]]},,as it is\n")
    fixed = load(digits, fix=file)
    assert list(fixed.train.ids) == [name for name in ids if name != gone]
    wanted = plain.labels.copy()
    wanted[5] = plain.classes.index(now)
    assert np.array_equal(fixed.train.labels, np.delete(wanted, 3))
    assert np.array_equal(fixed.train.pixels, np.delete(plain.pixels, 3, axis=0))
    assert fixed.corrected is not None
    assert (fixed.corrected.relabeled, fixed.corrected.excluded) == (1, 1)
    assert load(digits).train.fingerprint == plain.fingerprint != fixed.train.fingerprint


def test_corrections_come_before_the_choice_of_classes(tmp_path: Path) -> None:
    files = put(tmp_path / "pets", *(f"{name}/{number}.png" for name in "abc" for number in range(3)))
    (tmp_path / "pets.csv").write_text(HEAD + "c/1.png,a,c,\n")
    assert load(files, ["a", "b"], fix=tmp_path / "pets.csv").train.counts == {"a": 4, "b": 3}
    folder = three_classes(tmp_path / "three")
    (tmp_path / "fix.csv").write_text(HEAD + "train/2,0,2,\ntrain/5,,,\n")
    chosen = load(folder, ["0", "1"], fix=tmp_path / "fix.csv")
    assert chosen.train.counts == {"0": 101, "1": 100}
    assert "train/2" in chosen.train.ids


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["row 1: the file is empty", "picture,now,was,why"]),
        ("picture:now:was:why\n", ["row 1: the header is 'picture:now:was:why'"]),
        ("name,label\n", ["row 1: the header is 'name,label'"]),
        (HEAD + "train/digit 1/42.pngg,,,\n", ["row 2", "'train/digit 1/42.pngg'", "mean 'train/digit 1/42.png'?"]),
        (HEAD + "?,,,\n", ["row 2", "no picture '?'", "such as 'train/digit 0/"]),
        (
            HEAD + "\ntrain/digit 1/42.png,digit1,,\n",
            ["row 3", "'digit1', which is not a class", "'digit 1'?", "leaves the picture"],
        ),
        (HEAD + "train/digit 1/42.png,,digit 0,\n", ["row 2", "is of class 'digit 1'", "says that it was 'digit 0'"]),
        (HEAD + "train/digit 1/1.png,,,\ntrain/digit 1/1.png,,,\n", ["row 3", "is already in row 2"]),
        (HEAD + "train/digit 1/1.png,,\n", ["row 2 has 3 cells", "in quotation marks"]),
        (HEAD + ",digit 1,,\n", ["row 2 names no picture"]),
        (HEAD + 'train/digit 1/1.png,"digit 1,,\n', ["is not valid CSV"]),
    ],
)
def test_errors_in_a_corrections_file_are_named(
    digits: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    file = wrong(digits, text)
    done = here("data", "digits", "--fix", file.name, cwd=digits.parent, capsys=capsys)
    refused(said(done), 1, file.name, *words)


def test_other_files_and_sources_are_refused(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def typed(*words: str) -> Any:
        return said(here(*words, cwd=digits.parent, capsys=capsys))

    latin = tmp_path / "latin.csv"
    latin.write_bytes(HEAD.encode() + b"train/caf\xe9.png,,,\n")
    refused(typed("train", "digits", "--fix", str(latin)), 1, "row 2: byte 0xe9 is not valid UTF-8")
    refused(typed("train", "digits", "--fix", "gone.csv"), 1, "'gone.csv' cannot be read")
    refused(typed("data", "digits", "--fix", "."), 1, "it is a folder")
    refused(typed("data", "digits", "--fix", str(latin), "--suggest", "new.csv"), 2, "--fix and --suggest")
    refused(typed("prepare", "digits", "--fix", str(latin)), 2, "prepare does not take --fix", "train digits --fix")
    assert error_in(typed("data", "digits", "--fix", "gone.csv", "--json"))["code"] == "data"

    ids = load(digits).train.ids
    zeros = [name for name in ids if name.startswith("train/digit 0")]
    file = wrong(digits, HEAD + "".join(f"{name},,,\n" for name in zeros))
    refused(typed("train", "digits", "--fix", file.name), 1, "leaves no training picture of class 'digit 0'")
    file = wrong(digits, HEAD + "".join(f"{name},,,\n" for name in load(digits).test.ids))  # type: ignore[union-attr]
    refused(typed("train", "digits", "--fix", file.name), 1, "leaves out every picture of the test split")

    assert typed("prepare", "digits", "--out", str(tmp_path / "digits.store")).code == 0
    wrong(digits)
    refused(typed("data", str(tmp_path / "digits.store"), "--fix", file.name), 1, "is a store", "--fix wrong.csv")


def test_spreadsheets_and_hostile_names(tmp_path: Path) -> None:
    names = ('a,b".png', "two\nlines.png", "=1+1.png", "\N{LATIN SMALL LETTER E WITH ACUTE}.png")
    pixels = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), dtype=np.uint8)
    pictures = Images(pixels, np.array([0, 0, 1, 1]), ("x", "y"), names=names)
    file = tmp_path / "fix.csv"
    with file.open("w", encoding="utf-8-sig", newline="") as opened:  # with a byte order mark and \r\n
        csv.writer(opened).writerows([HEAD.strip().split(","), [names[0], "y", "x", ""], [names[1], "x", "x", "ok"]])
    fixed = corrected(Splits(pictures), read(file))
    assert fixed.train.labels.tolist() == [1, 0, 1, 1]
    assert pictures.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match="row 2: the source has no picture"):
        corrected(Splits(pictures.take(np.array([1, 2, 3]))), read(file))


def test_of_chained_copies_one_stays() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
    train = Images(pixels[[0, 1, 0]], np.array([0, 1, 0]), ("x", "y"), "train")
    test = Images(pixels[[0, 2, 2]], np.array([0, 1, 1]), ("x", "y"), "test")
    found = audit(Splits(train, test))
    near = dataclasses.replace(found, near_duplicates=[(["train/0", "train/1"], 0.75)])
    rows = {row.picture: row.why for row in suggested(Splits(train, test), near)}
    # test/0 stays for the last three, test/1 for the first, which is the most certain.
    assert list(rows) == ["test/2", "train/0", "train/1", "train/2"]
    assert rows["train/1"].startswith("nearly the same as test/0 (score 0.75), which is of another split; that is of")
