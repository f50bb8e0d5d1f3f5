"""The lines that describe a source: how much it holds, and where missing files were searched for."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from folders import put
from typed import Done, here, refused


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Type `data` in the test's folder."""

    def run(*words: str) -> Done:
        return here("data", *words, cwd=tmp_path, capsys=capsys)

    return run


def table(folder: Path, rows: int, header: str = "file_name,label,person", **there: int) -> Path:
    """Make a folder with pictures and a table that names as many of them, or more."""
    put(folder, *(f"{number}.png" for number in range(there.get("pictures", rows))))
    lines = [header, *(f"{number}.png,{'cat' if number % 2 else 'dog'},p{number // 2}" for number in range(rows))]
    put(folder, "table.csv", content="\n".join(lines).encode())
    return folder


def test_a_single_thing_is_reported_in_the_singular(tmp_path: Path, typed) -> None:  # type: ignore[no-untyped-def]
    put(tmp_path / "pets", "cat/a1.png", "dog/b.png")
    done = typed("pets", "--group", r"\d+")
    assert "pets: 2 class folders, 1 picture in each class (2 train)\n" in done.err
    assert "pets: 1 group, kept on one side of a split; 1 picture has no group\n" in done.err
    assert "near-duplicates within a split: 0 groups\n" in done.out
    content = "file,label\na.png,x\na.png,x\nb.png,y\nc.png,y\n"
    put(tmp_path / "flat", "a.png", "b.png", "c.png")
    put(tmp_path / "flat", "t.csv", content=content.encode())
    done = typed("flat")
    assert (
        "flat: 2 classes, from t.csv: file names the files, label gives the class, 1 to 2 pictures in each class"
        in done.err
    )
    assert "flat: 1 row repeats a file with the same class\n" in done.err
    put(tmp_path / "one", "cat/1.png", "cat/2.png")
    done = typed("one")
    assert "one: 1 class folder, 2 pictures in each class (2 train)\n" in done.err
    put(tmp_path / "short", "t.csv", content=b"file,label\na.png\n")
    refused(typed("short"), 1, "t.csv row 2 has 1 cell, but the first row has 2")


def test_an_unknown_group_lists_the_columns(tmp_path: Path, typed) -> None:  # type: ignore[no-untyped-def]
    table(tmp_path / "flat", 6)
    columns = "is neither a column (file_name, label, person) nor matches a picture's path; the first path is 0.png"
    for name in ("flat", "flat/table.csv"):
        refused(typed(name, "--group", "nocolumn"), 1, columns, "Known: file_name, label, person.")
        refused(typed(name, "--group", "persn"), 1, columns, "Did you mean 'person'?")
        assert "3 groups, each kept on one side" in typed(name, "--group", "person").err
    put(tmp_path / "pets", "cat/1.png", "dog/1.png")
    refused(typed("pets", "--group", "x"), 1, "matches no picture's path; the first path is cat/1.png")


def test_the_places_searched_for_missing_files_are_reported(tmp_path: Path, typed) -> None:  # type: ignore[no-untyped-def]
    some = table(tmp_path / "some", 20, pictures=13)
    missing = "7 of the 20 files in the column file_name of table.csv are missing (13.png, 14.png, 15.png, 16.png"
    done = typed("some")
    assert done.code == 0
    assert missing in done.err
    assert f"looked for in {some} and the folders below it" in done.err
    done = typed("some", "--bad-files", "stop")
    assert done.code == 1
    assert missing in done.err
    assert "--bad-files skip" in done.err
    with (some / "table.csv").open("a") as file:
        file.write("\n0.png,,p0\n,cat,p0\nfar.png,cat,p0\n")
    done = typed("some")
    assert "8 of the 21 files in the column file_name of table.csv are missing" in done.err
    assert "10 bad files left out: 0.png has no class" in done.err
    none = table(tmp_path / "none", 20, pictures=0)
    for name in ("none", "none/table.csv"):
        refused(
            typed(name),
            1,
            "none of the 20 files in the column file_name of table.csv exists (0.png, 1.png, 2.png, 3.png, 4.png",
            f"looked for in {none} and the folders below it",
            "Write absolute paths, or paths relative to the folder of the table.",
            "--file-column NAME",
        )
    refused(typed("none", "--file-column", "persn"), 1, "it has file_name, label, person", "Did you mean 'person'?")


def test_a_source_without_classes_lists_what_it_holds(tmp_path: Path, typed) -> None:  # type: ignore[no-untyped-def]
    put(tmp_path / "loose", "1.png", "2.png", "3.png")
    put(tmp_path / "loose", "readme.txt", content=b"words")
    said = (
        "no class folders with pictures, but 3 pictures outside the class folders (1.png), 1 file that is not a picture"
    )
    refused(typed("loose"), 1, said, "cat/1.jpg", "add a table")
    (tmp_path / "empty").mkdir()
    refused(typed("empty"), 1, "holds no class folders with pictures, and nothing else", "cat/1.jpg", "add a table")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.write(tmp_path / "loose/1.png", "1.png")
    put(tmp_path, "loose.zip", content=content.getvalue())
    done = typed("loose.zip")
    refused(done, 1, "loose.zip holds no class folders with pictures, but 1 picture outside the class folders (1.png)")
    assert "a table" not in done.err
