"""Tables as spreadsheets save them, in tables of files and in corrections alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from folders import loaded, png, put
from typed import error_in, here, sevensteps

from sevensteps.data.corrections import read
from sevensteps.data.files.cells import lines_in, rows_in, text_in
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError

ROWS = [f"p{i}.png,{('cat', 'dog')[i % 2]}" for i in range(8)]
PLAIN = "\n".join(["file,label", *ROWS])


def pictures(folder: Path) -> Path:
    for i in range(8):
        put(folder, f"p{i}.png", content=png(value=20 * i))
    return folder


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.replace(",", "|").encode(),
        ("sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n")).encode(),
        ("sep=,\n" + PLAIN).encode(),
        PLAIN.replace("\n", "\n,\n").encode(),
        PLAIN.replace("\n", "\n\n \n").encode(),
        ("\n,\n" + PLAIN + "\n,\n,\n").encode(),
        PLAIN.replace("\n", ",,\n").encode() + b",,",
        PLAIN.replace("\n", "\r").encode(),
    ],
)
def test_a_table_is_read_as_a_spreadsheet_saves_it(tmp_path: Path, content: bytes) -> None:
    put(pictures(tmp_path), "t.csv", content=content)
    splits = load(tmp_path / "t.csv")
    assert list(splits.train.ids) == [f"p{i}.png" for i in range(8)]
    assert splits.classes == ("cat", "dog")


def test_a_row_has_the_number_that_an_editor_shows(tmp_path: Path) -> None:
    put(pictures(tmp_path), "t.csv", content=("sep=,\n\n" + PLAIN.replace("\n", "\n\n") + "\n\np0.png,dog").encode())
    with pytest.raises(DataError, match=r"t\.csv row 21: p0\.png is 'dog' here and 'cat' in .*t\.csv row 5"):
        load(tmp_path / "t.csv")


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_corrections_are_read_as_a_spreadsheet_saves_them(tmp_path: Path, between: str, encoding: str) -> None:
    text = f"picture,now,was,why\np0.png,dog,cat,a look{',' * 4}\n,,,\np1.png,,,".replace(",", between)
    (tmp_path / "fix.csv").write_bytes(("sep=;\n" * (between == ";") + text).encode(encoding))
    rows = [tuple(row) for _, row in read(tmp_path / "fix.csv").rows]
    assert rows == [("p0.png", "dog", "cat", "a look"), ("p1.png", "", "", "")]


def test_corrections_of_decomposed_names_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "d/cat")
    put(pictures(tmp_path / "d/dog"), "e\u0301.png")
    (tmp_path / "fix.csv").write_bytes("picture;now;was;why\n\ndog/\u00e9.png;cat;dog;\n".encode("utf-16"))
    done = here("data", "d", "--fix", "fix.csv", "--json", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.out
    assert json.loads(done.out)["corrections"]["relabeled"] == 1


def test_json_lines_end_where_a_line_ends(tmp_path: Path) -> None:
    rows = [{"file": f"p{i}.png", "label": "ab"[i % 2], "note": "one\u2028two\u0085three"} for i in range(8)]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    put(pictures(tmp_path), "t.jsonl", content=text.encode())
    assert len(load(tmp_path / "t.jsonl", label_column="label").train) == 8
    assert [number for number, _ in lines_in("a\n\nb\u2028c\n")] == [1, 3]


def test_the_parts() -> None:
    assert text_in("é,1".encode("utf-16-le")) == "é,1"
    assert list(rows_in('"a;b",c\n1,2\n')) == [(1, ["a;b", "c"]), (2, ["1", "2"])]
    assert list(rows_in("a,b\tc", tabs=True)) == [(1, ["a,b", "c"])]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.json", "JSON lines"),
        ("a.txt", "table in CSV"),
        ("a.7z", "zip or tar"),
        ("a.rar", "zip or tar"),
        ("a.xlsx", "CSV"),
        ("a.ods", "CSV"),
        ("labels.csv.gz", "Unpack it"),
        ("a.h5", "numpy.savez"),
        ("a.feather", "Parquet"),
        ("a.mp4", "frames as pictures"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_to_do(
    tmp_path: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, name, content=b"[]")
    for verb in ("train", "data"):
        error = error_in(here(verb, name, "--json", cwd=tmp_path, capsys=capsys))
        assert words in error["hint"]
        assert error["code"] == "data"


def test_paths_of_windows_are_read(tmp_path: Path) -> None:
    pictures(tmp_path / "d/img")
    put(tmp_path / "d", "t.csv", content="\n".join(["file,label", *(f"img\\{row}" for row in ROWS)]).encode())
    assert len(loaded(tmp_path / "d")[0].train) == 8
    done = sevensteps("data", "d/t.csv", "--json", cwd=tmp_path)
    assert json.loads(done.out)["counts"]["train"] == {"cat": 4, "dog": 4}
