"""`predict --csv` and `predict --sort-into`."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import finished, here, refused, sevensteps, start

import sevensteps as ss
from sevensteps.base import files
from sevensteps.cli.printed_csv import Rows
from sevensteps.errors import TakenError
from sevensteps.jobs.sort import folder_names, sort_into
from sevensteps.ship.answer import Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("sorted")
    assert sevensteps("train", "--epochs", "1", "--out", "run", cwd=base).code == 0
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    for number in range(8):
        path = base / f"new/{number % 2}/{number // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(splits.test.pixels[number * 130, 0]).save(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)).save(base / "new/noise.png")
    (base / "new/bad.png").write_bytes(b"none")
    return base


def test_a_table_has_a_row_for_each_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("predict", "run", "new/bad.png", "new", "--csv", cwd=folder, capsys=capsys)
    assert (done.code, done.err) == (1, "")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["file"] for row in rows[:2]] == ["new/bad.png", "new/0/0.png"]
    assert (len(rows), rows[0]["class"]) == (11, "")
    assert "not a picture" in rows[0]["error"]
    answers = ss.predict(folder / "run", [folder / row["file"] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        if answer.probabilities is not None:
            assert (row["class"], row["reason"]) == (answer.best, answer.reason or "")
            shares = [float(row[f"probability of {name}"]) for name in answer.probabilities]
            assert shares == list(answer.probabilities.values())
            assert float(row["probability"]) == max(shares)
    alone = here("predict", "run", "new/bad.png", "--csv", cwd=folder, capsys=capsys)
    head, row = csv.reader(io.StringIO(alone.out))
    assert (head, len(row)) == (list(rows[0]), len(head)), "the columns of every other table"
    assert {len(row) for row in csv.reader(io.StringIO(done.out))} == {len(head)}
    refused(here("predict", "run", "new", "--csv", "--jsonl", cwd=folder, capsys=capsys), 2, "cannot be combined")


def test_pictures_are_copied_into_folders_and_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("predict", "run", "new", "--sort-into", "sorted", cwd=folder, capsys=capsys)
    assert done.code == 1
    assert "bad.png" in done.err
    copies = sorted(path for path in (folder / "sorted").rglob("*") if path.is_file())
    assert len(copies) == 9
    assert {path.parent.name for path in copies} <= {"Pullover", "Dress", "not sure", "none of these"}
    assert (folder / "sorted/none of these/noise.png").read_bytes() == (folder / "new/noise.png").read_bytes()
    assert (folder / "new/0/0.png").is_file()
    before = {path: path.read_bytes() for path in copies}
    assert set(before.values()) == {path.read_bytes() for path in (folder / "new").rglob("*.png")} - {b"none"}
    again = here("predict", "run", "new", "--sort-into", "sorted", cwd=folder, capsys=capsys)
    assert "-> sorted/none of these/noise.png" in again.out
    assert {path: path.read_bytes() for path in (folder / "sorted").rglob("*") if path.is_file()} == before
    with open(folder / "new/0/0.png", "rb") as file:  # a picture, and not a list of paths
        refused(
            finished(start("predict", "run", "-", "--sort-into", "x", cwd=folder, how={"stdin": file})),
            2,
            "cannot copy standard input",
        )
    (folder / "afile").write_text("x")
    refused(here("predict", "run", "new", "--sort-into", "afile", cwd=folder, capsys=capsys), 2, "afile is a file")
    for place in ("new", "new/sorted"):
        done = here("predict", "run", "new", "--sort-into", place, cwd=folder, capsys=capsys)
        refused(done, 2, f"--sort-into {place} would put copies among the pictures of new.", "outside")
    before = set(folder.rglob("*"))
    for pictures, place, words in (
        ("new/0", "new", "would put copies beside new/0"),
        ("new", ".", "would put copies beside new"),
        ("new/**/*.png", "new/sorted", "would put copies among the pictures of new/**/*.png"),
    ):
        refused(here("predict", "run", pictures, "--sort-into", place, cwd=folder, capsys=capsys), 2, words)
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize("typed", [("--sort-into", ""), ("--sort-into=",), ("--explain", "")])
def test_an_empty_name_is_not_the_current_folder(
    typed: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(folder.rglob("*"))
    done = here("predict", "run", "new/0/0.png", *typed, cwd=folder, capsys=capsys)
    refused(done, 2, f"Invalid value for {typed[0].rstrip('=')}: it is empty. Name a folder.")
    assert set(folder.rglob("*")) == before


def test_an_empty_file_is_not_the_current_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in ([""], ["new/0/0.png", ""]):  # as a variable of the shell that is not set
        refused(here("predict", "run", *typed, cwd=folder, capsys=capsys), 2, "The name of a file is empty.")


@pytest.mark.parametrize(
    "name", ["../../out", "/etc", "a/b", "..", ".", "", "con:", "nul\\x", "line\nbreak", "x" * 500]
)
def test_no_class_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    copy = sort_into(tmp_path / "sorted", Answer(str(tmp_path / "a.png"), {name: 1.0}))
    assert copy is not None
    assert copy.resolve().parent.parent == (tmp_path / "sorted").resolve()
    assert copy.is_file()


def test_classes_and_reasons_do_not_share_a_folder() -> None:
    names = folder_names(["Ankle boot", "not sure", "a/b", "a_b", "A_B", "CON", "図" * 200, "\ud800"])
    assert list(names.values())[:6] == ["Ankle boot", "not sure-2", "a_b", "a_b-2", "A_B-3", "CON_"]
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert max(len(name.encode()) for name in names.values()) <= 104


def test_one_file_that_cannot_be_copied_does_not_stop_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "long").mkdir()
    long = folder / f"long/{'n' * 250}.png"
    for path in (long, folder / "long/z.png"):
        path.write_bytes((folder / "new/noise.png").read_bytes())
    done = here("predict", "run", "long", "--sort-into", "copied", cwd=folder, capsys=capsys)
    assert done.code == 1
    assert f"{long.relative_to(folder)} cannot be copied. Cannot write copied/" in "".join(done.err.split("\n"))
    assert "\\n" not in done.err
    assert (folder / "copied/none of these/z.png").is_file()


def test_two_commands_that_sort_at_once_lose_no_copy(tmp_path: Path) -> None:
    sources = []
    for number in range(48):
        sources.append(tmp_path / f"{number}/a.png")
        sources[-1].parent.mkdir()
        sources[-1].write_bytes(b"%d" % number * 1000)
    with ThreadPoolExecutor(12) as threads:
        answers = [Answer(str(source), {"x": 1.0}) for source in sources]
        copies = list(threads.map(lambda answer: sort_into(tmp_path / "sorted", answer), answers))
    assert len(set(copies)) == len(sources)
    for source, copy in zip(sources, copies, strict=True):
        assert copy is not None
        assert copy.read_bytes() == source.read_bytes()
    assert {path for path in (tmp_path / "sorted").rglob("*") if path.is_file()} == set(copies)


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_while_a_new_one_is_written_stays(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "no links on this disk")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    with files.replacing(tmp_path / "a/b", is_new=True) as written:
        written.write(b"first")
    with contextlib.ExitStack() as stack:
        stack.enter_context(files.replacing(tmp_path / "c", is_new=True)).write(b"second")
        (tmp_path / "c").write_bytes(b"other")
        with pytest.raises(TakenError, match="exists already"):
            stack.close()
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {
        "b": b"first",
        "c": b"other",
    }


def test_a_table_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows()
    rows.name_classes(["red\x1b[31m", "b"])
    rows.add(Answer("a\x1b[2J.png", {"red\x1b[31m": 0.7, "b": 0.3}))
    rows.end()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "red\\x1b[31m" in out
