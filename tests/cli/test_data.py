"""What `data --suggest` proposes, and the commands that it prints: they repeat what was typed."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from folders import digits_in, put
from PIL import Image
from typed import here, refused

import sevensteps as ss
from sevensteps.data.images import Images, Splits
from sevensteps.errors import UsageError
from sevensteps.records.audit import Suspect
from sevensteps.trust.audit.copies import audit
from sevensteps.trust.audit.suggest import suggested

HEAD = "picture,now,was,why\n"


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embedded pictures in three class folders, a third of them upside down; a copy and a bad file are planted."""
    folder = tmp_path_factory.mktemp("suggest") / "my clothes"
    train = ss.load("pullover-dress").train
    for row in range(90):
        name = "upside down" if row % 3 == 0 else train.classes[train.labels[row]]
        pixels = train.pixels[row, 0]
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[::-1].copy() if row % 3 == 0 else pixels).save(
            folder / name / f"person {row // 2}-{row}.png"
        )
    dress = min((folder / "Dress").iterdir())
    (folder / "Dress/copy.png").write_bytes(dress.read_bytes())
    put(folder / "upside down", "broken.png", content=b"no picture")
    return folder


def following(out: str) -> list[list[str]]:
    """The commands that were printed to be typed next, as a shell takes them."""
    lines = re.sub(r" \\\n +", " ", out).splitlines()  # a long command goes on in the next line
    found = (re.match(r"(next +| +)?(python -m |\S*)sevensteps (.*)", line) for line in lines)
    return [shlex.split(line[3]) for line in found if line]


def test_what_is_printed_to_be_typed_next_repeats_what_was_typed(
    clothes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--classes", "Dress", "upside down", "--size", "20", "--bad-files", "skip", "--group", r"person (\d+)"]
    done = here("data", str(clothes), *flags, "--suggest", "the fix.csv", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    data, train = following(done.out)
    assert data == ["data", str(clothes), *flags, "--fix", "the fix.csv"]
    assert train == ["train", str(clothes), *flags, "--fix", "the fix.csv"]
    again = here(*data, cwd=tmp_path, capsys=capsys)
    assert again.code == 0, again.err
    assert "pictures of 20x20" in again.out
    assert "Pullover" not in again.out

    done = here(*train, "--epochs", "1", "--recipe", "linear", "--folds", "1", cwd=tmp_path, capsys=capsys)
    *_, another = following(done.out)
    assert another[:-3] == ["train", str(clothes), *flags, "--fix", "the fix.csv", "--folds", "1"]

    # What data leaves out by itself stops train.
    plain = here("data", str(clothes), "--suggest", "plain.csv", cwd=tmp_path, capsys=capsys)
    data, train = following(plain.out)
    assert data == ["data", str(clothes), "--fix", "plain.csv"]
    assert train == ["train", str(clothes), "--bad-files", "skip", "--fix", "plain.csv"]


def test_where_nothing_is_proposed_nothing_is_written_or_to_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "pets", "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    done = here("data", "pets", "--suggest", "fix.csv", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    assert done.out.endswith("no correction is proposed, and fix.csv is not written\n")
    assert not (tmp_path / "fix.csv").exists()


def test_tiny_pictures_are_proposed_where_they_are_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = digits_in(tmp_path / "digits")
    (folder / "1/copy.png").write_bytes((folder / "1/1050.png").read_bytes())
    done = here("data", "digits", "--classes", "1", "2", "--suggest", "fix.csv", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    assert "fix.csv: 1 correction proposed" in done.out
    with (tmp_path / "fix.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["picture"], row["why"]) == ("1/copy.png", "same pixels as 1/1050.png")


def test_corrections_of_a_whole_set_go_with_some_of_its_classes(
    clothes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dresses = sorted(f"Dress/{file.name}" for file in (clothes / "Dress").iterdir())
    turned = sorted(f"upside down/{file.name}" for file in (clothes / "upside down").glob("person*"))
    file = tmp_path / "fix.csv"
    rows = [f"{name},,,\n" for name in [*turned[2:], "upside down/broken.png"]]
    file.write_text(
        HEAD + f"{turned[0]},Dress,,\n{turned[1]},Dress,upside down,\n{dresses[1]},,Dress,\n" + "".join(rows)
    )
    refused(
        here("data", str(clothes), "--fix", "fix.csv", cwd=tmp_path, capsys=capsys),
        1,
        "no training picture of class 'upside",
    )
    for verb, more in (("data", ()), ("train", ("--epochs", "1", "--recipe", "linear", "--out", "run", "--numbers"))):
        words = (verb, str(clothes), "--classes", "Dress", "Pullover", "--fix", "fix.csv", *more)
        done = here(*words, cwd=tmp_path, capsys=capsys)
        assert done.code == 0, done.err
        assert f"2 relabeled, 1 left out; {len(rows)} rows are for classes that were not chosen" in done.err + done.out
        assert "2 class folders" in done.err + done.out
    refused(
        here("data", str(clothes), "--classes", "Dress", "Pullover", "--fix", "other.csv", cwd=tmp_path, capsys=capsys),
        1,
        "'other.csv' cannot be read",
    )
    file.write_text(HEAD + "".join(f"{name},,,\n" for name in dresses))
    done = here("data", str(clothes), "--fix", "fix.csv", cwd=tmp_path, capsys=capsys)
    refused(done, 1, "leaves no training picture of class 'Dress'", "--classes Pullover 'upside down'")
    words = shlex.split("--classes Pullover 'upside down'")
    done = here("data", str(clothes), *words, "--fix", "fix.csv", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err


def test_a_file_that_is_left_out_is_not_opened(
    clothes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file among the pictures, or one in color, changes nothing once corrections leave it out."""
    color = clothes / "Dress/color.png"
    Image.fromarray(np.full((40, 50, 3), (200, 10, 10), dtype=np.uint8)).save(color)
    try:
        (tmp_path / "fix.csv").write_text(HEAD + "upside down/broken.png,,,\nDress/color.png,,,\n")
        done = here(
            *("train", str(clothes), "--fix", "fix.csv", "--epochs", "1", "--recipe", "linear", "--folds", "1"),
            cwd=tmp_path,
            capsys=capsys,
        )
    finally:
        color.unlink()
    assert done.code == 0, done.err
    assert "gray pictures, 28x28" in done.out


def test_pictures_in_two_splits_say_in_which_and_of_a_store_nothing_is_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["file,label,split\n"]
    train = ss.load("pullover-dress").train
    for row in range(80):
        for name in (f"{row}.png", f"again{row}.png")[: 1 + (row < 20)]:
            put(tmp_path / "flat", name)
            Image.fromarray(train.pixels[row, 0]).save(tmp_path / "flat" / name)
            split = "test" if "again" in name and row % 2 else "train"
            rows.append(f"{name},{train.classes[train.labels[row]]},{split}\n")
    put(tmp_path / "flat", "t.csv", content="".join(rows).encode())
    done = here("data", "flat", cwd=tmp_path, capsys=capsys)
    assert "exact duplicates in two splits: 10, the first: 1.png (train), again1.png (test)\n" in done.out
    assert here("prepare", "flat", "--out", "flat.store", "--hold-out", "0.5", cwd=tmp_path, capsys=capsys).code == 0
    refused(
        here("data", "flat.store", "--suggest", "fix.csv", cwd=tmp_path, capsys=capsys),
        2,
        "flat.store is a store",
        "sevensteps data PICTURES --suggest fix.csv",
    )
    (tmp_path / "fix.csv").write_text(HEAD)
    done = here("train", "flat.store", "--fix", "fix.csv", cwd=tmp_path, capsys=capsys)
    refused(done, 1, "is a store", "sevensteps train PICTURES --fix fix.csv")
    refused(
        here("data", "flat.store", "--size", "20", cwd=tmp_path, capsys=capsys),
        2,
        "picture files",
        "Leave size out, or write the store again",
    )


@pytest.mark.parametrize("verb", ["data", "train"])
def test_a_fix_that_changes_many_labels_asks_whether_it_was_read(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for row in range(40):
        pixels = random.integers(0, 100, (8, 8)).astype(np.uint8) + np.uint8(100 * (row % 2))
        (tmp_path / "pets" / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "pets" / "ab"[row % 2] / f"{row:02}.png")
    for name, count in (("few.csv", 8), ("many.csv", 9)):
        rows = "".join(f"{'ab'[row % 2]}/{row:02}.png,{'ba'[row % 2]},,\n" for row in range(count))
        (tmp_path / name).write_text(HEAD + rows, "utf-8")
    typed = [verb, "pets", *(["--recipe", "linear", "--epochs", "1"] if verb == "train" else [])]
    asked = here(*typed, "--fix", "many.csv", cwd=tmp_path, capsys=capsys)
    assert (asked.code, asked.out) == (2, "")
    assert "sevensteps: many.csv changes 9 of 40 labels (22%)." in asked.err
    assert "add --yes" in asked.err
    assert not (tmp_path / "runs").exists()
    assert here(*typed, "--fix", "few.csv", cwd=tmp_path, capsys=capsys).code == 0
    more = ["--out", "many"] if verb == "train" else []
    done = here(*typed, "--fix", "many.csv", "--yes", *more, cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    if verb == "train":
        again = here("train", "--recipe", "many", "--out", "again", cwd=tmp_path, capsys=capsys)
        assert again.code == 0, "a run's recipe repeats what was said then"
    in_python = ss.train if verb == "train" else ss.audit
    with contextlib.chdir(tmp_path), pytest.raises(UsageError, match="changes 9 of 40"):
        in_python("pets", fix="many.csv")


def test_what_is_most_certain_is_proposed_first() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    splits = Splits(Images(pixels, np.arange(6) % 2, ("a", "b")))
    doubts = [Suspect(f"train/{row}", "ab"[row % 2], "ba"[row % 2], score) for row, score in ((4, 0.7), (1, 0.9))]
    near = [(["train/2", "train/3"], 0.8), (["train/0", "train/5"], 0.6)]
    found = dataclasses.replace(audit(splits), suspects=doubts, near_duplicates=near)
    assert [row.picture for row in suggested(splits, found)] == ["train/1", "train/3", "train/4", "train/5"]


def test_list_names_the_sets_that_have_a_name_and_their_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("data", "--list", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    for word in ("pullover-dress: 12,000 pictures", "fashion-mini: 7,000", "fashion-mnist: 60,000", "'Ankle boot'"):
        assert word in done.out
    sources = json.loads(here("data", "--list", "--json", cwd=tmp_path, capsys=capsys).out)["sources"]
    assert {each["source"]: each["download"] for each in sources} == {
        "pullover-dress": False,
        "fashion-mini": False,
        "fashion-mnist": True,
    }
    for each in sources[:2]:
        splits = ss.load(each["source"])
        assert splits.test is not None
        assert (list(splits.classes), len(splits.train), len(splits.test)) == (
            each["classes"],
            each["train"],
            each["test"],
        )
    refused(here("data", "photos", "--list", cwd=tmp_path, capsys=capsys), 2, "--list takes no source")
