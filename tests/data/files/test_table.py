"""Tables that name files and classes: how they are read is reported, and every unusable row is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import loaded, png, put
from typed import error_in, sevensteps

from sevensteps.data.sources.load import load
from sevensteps.errors import DataError

NAMES = [f"{n}.png" for n in range(8)]
CLASSES = ["cat", "dog"] * 4
HUB = {b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}})}


def table(*rows: str) -> bytes:
    return "\n".join(rows).encode()


def flat(folder: Path, name: str = "labels.csv", content: bytes = b"", where: str = "") -> Path:
    """Make a folder with eight pictures and a table."""
    put(folder, *(f"{where}{file}" for file in NAMES))
    return put(folder, name, content=content or csv_of("file", "label"))


def test_a_file_in_two_splits_is_refused(tmp_path: Path) -> None:
    flat(tmp_path, content=table("file,label,split", "0.png,cat,train", "1.png,dog,train", "0.png,cat,test"))
    with pytest.raises(DataError, match=r"row 4: 0\.png is in test here and in train in .*row 2"):
        load(tmp_path / "labels.csv")
    put(tmp_path, "labels.csv", content=table("file,label,split", *["0.png,cat,train", "1.png,dog,train"] * 2))
    assert len(load(tmp_path / "labels.csv").train) == 2


def test_a_table_of_pixels_is_refused_with_what_to_do(tmp_path: Path) -> None:
    heads = ",".join(["label", *(f"pixel{number}" for number in range(784))])
    put(tmp_path, "digits.csv", content=table(heads, *[",".join(["1"] * 785)] * 3))
    with pytest.raises(DataError, match="pixel10, and 773 more") as refused:
        load(tmp_path / "digits.csv")
    assert "numpy.savez" in refused.value.hint


def csv_of(*heads: str, split: str = ",") -> bytes:
    return table(split.join(heads), *(f"{name}{split}{label}" for name, label in zip(NAMES, CLASSES, strict=True)))


def jsonl() -> bytes:
    rows = zip(NAMES, CLASSES, strict=True)
    return table(*(json.dumps({"file_name": name, "label": label}) for name, label in rows))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", csv_of("file", "label")),
        ("labels.csv", b"\xef\xbb\xbf" + csv_of("file_name", "class")),
        ("labels.csv", csv_of("Image", "Breed", split=";")),
        ("labels.csv", csv_of("what", "ever")),
        ("labels.csv", csv_of("file", "label").replace(b"\n", b"\r\n")),
        ("labels.csv", csv_of("file", "label").split(b"\n", 1)[1]),
        ("labels.csv", csv_of("id", "breed").replace(b".png", b"")),
        ("labels.tsv", csv_of("path", "target", split="\t")),
        ("metadata.jsonl", jsonl()),
    ],
    ids=["csv", "byte order mark", "semicolons", "other names", "line ends", "no names", "no suffixes", "tsv", "jsonl"],
)
@pytest.mark.parametrize("where", ["", "images/"])
def test_a_table_next_to_pictures_gives_their_classes(tmp_path: Path, name: str, content: bytes, where: str) -> None:
    folder = flat(tmp_path / "pets", name, content, where)
    for source in (folder, folder / name):
        splits, said = loaded(source)
        assert splits.classes == ("cat", "dog")
        assert list(splits.train.ids) == [f"{where}{file}" for file in NAMES]
        assert [splits.classes[label] for label in splits.train.labels] == CLASSES
        assert [int(picture[0, 0, 0]) for picture in splits.train.pixels] == list(range(8))
        assert f"2 classes, from {name}: " in said


def test_what_a_table_does_not_name_is_counted(tmp_path: Path) -> None:
    put(flat(tmp_path), "more.png", "README.txt")
    said = loaded(tmp_path)[1]
    assert "ignored: 1 picture that is not in the table (more.png)" in said
    assert "1 file that is not a picture (README.txt)" in said


def test_a_column_gives_the_splits(tmp_path: Path) -> None:
    rows = [
        f"{name},{label},{'test' if n > 5 else 'train'}"
        for n, (name, label) in enumerate(zip(NAMES, CLASSES, strict=True))
    ]
    splits, said = loaded(flat(tmp_path, content=table("file,label,split", *rows)))
    assert splits.test is not None
    assert list(splits.test.ids) == NAMES[6:]
    assert "split the split, 4 pictures in each class (6 train, 2 test)" in said


def test_there_is_a_table_for_each_split_as_contests_have_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path, *(f"{split}/{name}" for name in NAMES))
        put(tmp_path, f"{split}.csv", content=csv_of("id", "label"))
    splits, _ = loaded(tmp_path)
    assert splits.test is not None
    assert splits.test.ids[0] == "test/0.png"
    (tmp_path / "test.csv").write_bytes(table("id,width", *(f"{name},9" for name in NAMES)))
    splits, said = loaded(tmp_path)
    assert splits.test is None
    assert "test.csv has no classes and is not used" in said


def test_there_is_a_table_in_each_split_s_folder_as_the_hub_has_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / split, *NAMES)
        put(tmp_path / split, "metadata.csv", content=csv_of("file_name", "label"))
    splits, _ = loaded(tmp_path)
    assert splits.test is not None
    assert splits.train.ids[1] == "train/1.png"
    assert splits.test.ids[1] == "test/1.png"


def test_class_folders_take_precedence_over_a_table_next_to_them(tmp_path: Path) -> None:
    put(flat(tmp_path), "cat/a.png", "dog/b.png")
    assert list(loaded(tmp_path)[0].train.ids) == ["cat/a.png", "dog/b.png"]


def test_a_group_is_a_column_or_found_in_the_paths(tmp_path: Path) -> None:
    rows = [f"{name},{label},p{n // 2}" for n, (name, label) in enumerate(zip(NAMES, CLASSES, strict=True))]
    flat(tmp_path, content=table("file,label,patient", *rows))
    by_column, said = loaded(tmp_path, group="patient")
    assert "4 groups" in said
    train, valid = by_column.train.split(0.25, 0)
    assert {row // 2 for row in train.rows}.isdisjoint({row // 2 for row in valid.rows})
    assert "8 groups" in loaded(tmp_path, group=r"^(\d)")[1]


def test_a_repeated_row_is_reported_and_refused_with_another_class(tmp_path: Path) -> None:
    assert "1 row repeats a file" in loaded(flat(tmp_path, content=csv_of("f", "label") + b"\n0.png,cat"))[1]
    flat(tmp_path, content=csv_of("f", "label") + b"\n0.png,dog")
    with pytest.raises(DataError, match=r"labels.csv row 10: 0.png is 'dog' here and 'cat' in .*labels.csv row 2"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (csv_of("f", "label") + b"\ngone.png,cat", "1 bad file: gone.png does not exist"),
        (csv_of("f", "label") + b"\nhttp://x/a.png,cat", "1 bad file: http://x/a.png does not exist"),
        (csv_of("f", "label") + b"\nnotes.txt,cat", "1 bad file: notes.txt is not a picture"),
        (csv_of("f", "label") + b"\n9.png,", r"1 bad file: 9.png has no class \(.*row 10\)"),
        (csv_of("f", "label") + b"\n,cat", "has no file"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_bad_file(tmp_path: Path, content: bytes, words: str) -> None:
    put(flat(tmp_path, content=content), "notes.txt", content=b"none")
    with pytest.raises(DataError, match=words):
        load(tmp_path)
    assert len(load(tmp_path, bad_files="skip").train) == 8


@pytest.mark.parametrize(
    ("name", "content", "how", "words"),
    [
        ("a.csv", b"file,label\n0.png,cat,x", {}, "a.csv row 2 has 3 cells, but the first row has 2"),
        ("a.csv", b'file,label\n"0.png,cat', {}, "a.csv is not a valid table: unexpected end"),
        ("a.csv", b"file,file\n0.png,cat", {}, "two columns named 'file'"),
        ("a.csv", b"file,label\n\xff.png,cat", {}, "it is not in UTF-8"),
        ("a.csv", b"file,label", {}, "no row names a file"),
        ("a.csv", b"", {}, "no column is recognized"),
        ("a.csv", b"file,one,two\n0.png,cat,x", {}, "as the one with the classes; it has file, one, two"),
        ("a.csv", b"one,two\nx,y", {}, "as the one with the files; it has one, two"),
        (
            "a.csv",
            csv_of("file", "label"),
            {"label_column": "lable"},
            "has no column 'lable' .*; it has file, label",
        ),
        ("a.csv", csv_of("file", "label"), {"group": "("}, "not a valid regular expression"),
        ("a.csv", b"file,label,split\n0.png,cat,train\n1.png,dog,later", {}, "row 3: split is 'later'"),
        ("a.jsonl", b'{"file": "0.png"\n', {}, "a.jsonl row 1 is not valid JSON"),
        ("a.jsonl", b"[1]\n", {}, "row 1 is not a JSON object"),
        ("a.parquet", b"PAR1 no", {}, "cannot be read as Parquet"),
    ],
)
def test_a_malformed_table_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes, how: dict[str, Any], words: str
) -> None:
    flat(tmp_path, name, content or b"\n")
    with pytest.raises(Exception, match=words) as caught:
        load(tmp_path / name, **how)
    assert caught.value.hint  # type: ignore[attr-defined]


def test_columns_are_named_where_they_cannot_be_told(tmp_path: Path) -> None:
    rows = [f"{name},{label},{n}" for n, (name, label) in enumerate(zip(NAMES, CLASSES, strict=True))]
    flat(tmp_path, content=table("a,b,c", *rows))
    with pytest.raises(DataError, match="no column is recognized as the one with the classes"):
        load(tmp_path)
    assert loaded(tmp_path, label_column="b")[0].classes == ("cat", "dog")


def test_a_pandas_table_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *NAMES)
    frame = pd.DataFrame({"path": [tmp_path / name for name in NAMES], "label": CLASSES})
    assert loaded(frame)[0].classes == ("cat", "dog")
    monkeypatch.chdir(tmp_path)
    splits = load(pd.DataFrame({"file": NAMES, "label": [1.0, 2.0] * 4}))
    assert splits.classes == ("1", "2")
    assert list(splits.train.ids) == NAMES


# Parquet


def hub(path: Path, names: list[Any], **more: Any) -> Path:
    """Write a Parquet file in the layout of the Hugging Face hub."""
    images = [{"bytes": png(value=n), "path": f"{n}.png"} for n in range(len(names))]
    made = pa.table({"image": images, "label": names, **more}).replace_schema_metadata(HUB)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path, row_group_size=3)
    return path


def test_parquet_with_pictures_is_a_source_with_the_hub_s_names(tmp_path: Path) -> None:
    hub(tmp_path / "data/train-00000-of-00002.parquet", [0, 1] * 40)
    hub(tmp_path / "data/train-00001-of-00002.parquet", [1, 0] * 5)
    hub(tmp_path / "data/test-00000-of-00001.parquet", [1, 0, -1])
    splits, _ = loaded(tmp_path, bad_files="skip")
    assert splits.classes == ("cat", "dog")
    assert [len(splits.train), len(splits.test or [])] == [90, 2]
    assert splits.train.ids[81] == "data/train-00001-of-00002.parquet/1"
    assert [int(picture[0, 0, 0]) for picture in splits.train.pixels] == [*range(80), *range(10)]
    assert splits.bad_files == (("data/test-00000-of-00001.parquet/2", "has no class"),)
    one, _ = loaded(tmp_path / "data/train-00001-of-00002.parquet")
    assert list(one.train.labels) == [1, 0] * 5


def test_pictures_may_be_plain_bytes_and_classes_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [png(value=n) for n in range(8)], "label": CLASSES}), tmp_path / "a.parquet")
    assert loaded(tmp_path / "a.parquet")[0].train.counts == {"cat": 4, "dog": 4}
    pq.write_table(pa.table({"img": [png()] * 3 + [None], "label": CLASSES[:4]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"1 bad file: b.parquet/3 does not hold the bytes"):
        load(tmp_path / "b.parquet")


def test_parquet_that_names_files_is_a_table(tmp_path: Path) -> None:
    flat(tmp_path)
    pq.write_table(pa.table({"file": NAMES, "label": CLASSES}), tmp_path / "a.parquet")
    assert list(load(tmp_path / "a.parquet").train.ids) == NAMES


def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", content=b"x")
    hidden = "import sys; sys.modules['pyarrow'] = None; from sevensteps.__main__ import main; main()"
    command = [sys.executable, "-c", hidden, "train", "a.parquet"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "pip install 'sevensteps[parquet]'" in ran.stderr


def test_a_table_is_trained_on_by_command_and_the_run_is_exact(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names, labels = [], []
    for number in range(60):
        value = (60, 190)[number % 2]
        put(tmp_path / "p", f"{number}.png", content=png((8, 8), int(random.normal(value, 15))))
        names.append(f"{number}.png")
        labels.append(("dark", "light")[number % 2])
    rows = [f"{name},{label},{n // 3}" for n, (name, label) in enumerate(zip(names, labels, strict=True))]
    put(tmp_path / "p", "labels.csv", content=table("file,tone,person", *rows))
    wrong = sevensteps("train", "p", "--label-column", "tome", "--json", cwd=tmp_path)
    message = error_in(wrong)["message"]
    assert message.endswith("has no column 'tome' (label_column); it has file, tone, person.")
    flags = ["--label-column", "tone", "--group", "person", "--recipe", "linear", "--epochs", "2", "--numbers"]
    done = sevensteps("train", "p", *flags, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "20 groups, each kept on one side" in done.err
    run = json.loads(done.out)["run"]
    assert sevensteps("verify", run, "--rerun", cwd=tmp_path).code == 0
    assert 'group = "person"' in (tmp_path / run / "recipe.toml").read_text()


def test_the_hint_proposes_a_column_whose_values_repeat(tmp_path: Path) -> None:
    rows = [f"patient {number},{name},{kind},x" for number, (name, kind) in enumerate(zip(NAMES, CLASSES, strict=True))]
    flat(tmp_path, "t.csv", table("patient,image_id,dx,how", *rows))
    with pytest.raises(DataError, match="the one with the classes") as refused:
        load(tmp_path / "t.csv")
    assert refused.value.settings == {"label_column": "dx"}
