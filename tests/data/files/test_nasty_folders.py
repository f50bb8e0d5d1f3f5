"""Nasty folders have the outcome that is documented, and hostile names break nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import loaded, pets, put
from nasty import CASES, OTHERS
from typed import here, shown

from sevensteps.base.words import text_of
from sevensteps.data.files.class_folders import scan
from sevensteps.data.files.how import How
from sevensteps.data.files.load import load_files
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError
from sevensteps.show.terminal import printable

PAGE = Path(__file__).parents[3] / "docs/folders.md"
LONGEST = 20  # seconds that a small folder may take on a busy machine


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Interrupt a test that hangs, for example in a pipe."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < LONGEST


def made(tmp_path: Path, case: str) -> Path:
    folder = tmp_path / "pets"
    if CASES[case].outcome != "refused":
        pets(folder)
    CASES[case].make(folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_nasty_folder_has_the_outcome_that_is_documented(tmp_path: Path, case: str) -> None:
    _, outcome, words = CASES[case]
    folder = made(tmp_path, case)
    if outcome == "refused":
        for policy in ("stop", "skip"):
            with pytest.raises(DataError) as caught:
                load(folder, bad_files=policy)
            assert words in caught.value.message
            assert caught.value.hint
        return
    if outcome == "bad":
        with pytest.raises(DataError, match="1 bad file: ") as caught:
            load(folder)
        assert words in caught.value.message
        assert "bad_files = skip" in caught.value.hint
        splits, said = loaded(folder, bad_files="skip")
        assert len(splits.bad_files) == 1
        assert "1 bad file left out: " in said
    else:
        splits, said = loaded(folder)
        assert not splits.bad_files
    names = set(splits.train.ids) - {f"{name}/{number}.png" for name in ("cat", "dog") for number in range(5)}
    assert names == ({words} if outcome == "used" and words else set())
    if outcome == "ignored":
        assert f"ignored: {words}" in said
    assert set(splits.classes) == {"cat", "dog", *(name.split("/")[0] for name in names)}
    assert len(splits.train) == 10 + len(names)


@pytest.mark.parametrize("case", CASES)
def test_a_nasty_folder_is_answered_for_on_the_command_line(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, outcome, words = CASES[case]
    made(tmp_path, case)
    with bounded():
        done = here("data", "pets", "--json", cwd=tmp_path, capsys=capsys)
    shown(done)
    assert "Traceback" not in done.err
    if outcome == "refused":
        assert done.code == 1
        error = json.loads(done.out)["error"]
        assert error["code"] == "data"
        assert words in error["message"]
        return
    assert done.code == 0
    found = json.loads(done.out)
    assert sum(found["counts"]["train"].values()) == 10 + (outcome == "used" and words != "")
    assert [words in f"{one['picture']} {one['reason']}" for one in found["bad_files"]] == [True] * (outcome == "bad")
    twice = [["cat/0.png", "cat/a.png"]] if case == "the same picture twice" else []
    assert [group["pictures"] for group in found["duplicates"] if "cat/a.png" in group["pictures"]] == twice


@contextlib.contextmanager
def nobody_special() -> Iterator[None]:
    """Take away the privileges of this process, also if root runs the tests."""
    before = os.geteuid()
    try:
        os.seteuid(65534 if before == 0 else before)
        yield
    finally:
        os.seteuid(before)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has other permissions")
def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pets(tmp_path).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    load(".")  # imports everything that it needs
    put(tmp_path, "cat/a.png", "dog/more/a.png")
    (tmp_path / "cat/a.png").chmod(0)
    (tmp_path / "dog/more").chmod(0)
    try:
        with nobody_special():
            with pytest.raises(DataError) as caught:
                load(".")
            (_, unread), (_, unopened), _ = OTHERS.values()
            assert f"2 bad files: {unread}; {unopened}." in caught.value.message
            assert len(load(".", bad_files="skip").train) == 10
        tmp_path.chmod(0o311)
        with nobody_special(), pytest.raises(DataError, match=r"cannot be opened \(Permission denied\)"):
            load(".")
    finally:
        tmp_path.chmod(0o700)
        (tmp_path / "dog/more").chmod(0o700)


def test_a_file_that_is_gone_when_it_is_its_turn_is_named(tmp_path: Path) -> None:
    catalog = scan(pets(tmp_path))
    (tmp_path / "cat/4.png").unlink()
    said: list[str] = []
    with pytest.raises(DataError) as caught:
        load_files(catalog, (), How(), said.append)
    assert f"1 bad file: {list(OTHERS.values())[-1][1]}." in caught.value.message
    assert len(load_files(catalog, (), How(bad_files="skip"), said.append).train) == 9


def test_the_page_about_folders_has_every_case_with_its_outcome() -> None:
    assert len(CASES) + len(OTHERS) >= 60
    sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    for outcome, title in (("used", "Used"), ("ignored", "Ignored"), ("bad", "Bad files"), ("refused", "Refused")):
        (section,) = (one for one in sections if one.startswith(title))
        cases = {case: words for case, (_, of, words) in CASES.items() if of == outcome}
        cases |= {case: words for case, (of, words) in OTHERS.items() if of == outcome}
        rows = [row_of(case, words if outcome != "used" else "") for case, words in cases.items()]
        assert [line for line in section.splitlines() if line.startswith("| ")][1:] == rows


def row_of(case: str, words: str) -> str:
    """Return a row of the table."""
    said = printable(words)
    return f"| {case} | `{said}` |" if words else f"| {case} |"


def hostile_names() -> list[str]:
    """Return 200 names that a file system accepts but that must not reach a terminal or a page unchanged."""
    pieces = [
        *("\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\r", "\n", "\t", "\x7f", "\u202e", "\u200b", "\u2028", "\u2066"),
        *("<script>alert(1)<|script>", "<img src=x onerror=alert(1)>", "<|title>", "&amp;", "\"'`", "]]>", "-->"),
        *("${HOME}", "$(id)", "; rm -rf *", "--help", "%s%n", "{0}", "[red]x[|red]", "\\", "NULL", "nan", "True"),
        *("\U0001d54f", "\U0001f469\u200d\U0001f467", "\u05d0", "ü", "x" * 200, "é" * 60),
    ]
    return [f"{pieces[number % len(pieces)]}{number}" for number in range(200)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse most of these names")
def test_hostile_names_of_classes_and_files_break_neither_terminal_nor_json_nor_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = hostile_names()
    # Each name is that of a class and of four files; two of these names are not UTF-8.
    files = []
    for place, name in enumerate(names):
        for number in range(4):
            no_text = "\udcff" * (number % 2)
            files.append(f"set/{name}/{names[(place + 50 * number) % 200]}{no_text}.png")
    put(tmp_path, *files)
    done = here("train", "set", "--epochs", "1", "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    shown(done)
    assert sorted(scan(tmp_path / "set").classes) == sorted(names)
    shown(here("data", "set", cwd=tmp_path, capsys=capsys))
    found = json.loads(here("data", "set", "--json", cwd=tmp_path, capsys=capsys).out)
    assert sorted(found["classes"]) == sorted(names)
    shown(here("judge", "run", cwd=tmp_path, capsys=capsys))
    json.loads(here("judge", "run", "--json", cwd=tmp_path, capsys=capsys).out)
    rows = [json.loads(line) for line in (tmp_path / "run/predictions.jsonl").read_text("utf-8").splitlines()]
    assert {f"set/{row['id']}" for row in rows if row["split"] != "train"} <= set(map(text_of, files))
    shown(here("predict", "run", *files, cwd=tmp_path, capsys=capsys))
    done = here("predict", "run", *files, "--json", cwd=tmp_path, capsys=capsys)
    assert len(json.loads(done.out)["results"]) == len(files)
    assert json.loads(done.out)["failed"] == 0
    done = here("resume", "run", "--json", cwd=tmp_path, capsys=capsys)
    assert json.loads(done.out)["epochs"] == 1
    assert here("report", "run", cwd=tmp_path, capsys=capsys).code == 0
    page = (tmp_path / "run/report.html").read_text("utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
