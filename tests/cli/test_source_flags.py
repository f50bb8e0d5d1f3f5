"""Each flag about the source, typed with each kind of source: it acts, or it is refused; it is never ignored."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import png, put
from typed import Done, error_in, here

import sevensteps as ss
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError, RecipeError, SevenstepsError, UsageError

TONES = ("dark", "light")
N = 24


def tone(i: int) -> bytes:
    return png((10, 8), 40 + 120 * (i % 2) + i)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small set as every kind of source; each picture belongs to one of six people."""
    at = tmp_path_factory.mktemp("sources")
    for i in range(N):
        name = f"{TONES[i % 2]}/p{i % 6}_{i}.png"
        split = ("train", "valid", "test", "train")[i // 2 % 4]
        put(at, f"folder/{name}", f"split/{split}/{name}", f"flat/img/p{i % 6}_{i}.png", content=tone(i))
    with zipfile.ZipFile(at / "zipped.zip", "w") as archive:
        for file in sorted((at / "folder").rglob("*.png")):
            archive.write(file, file.relative_to(at / "folder"))
    head = "file,other_file,label,tone,person,when,split"
    rows = [
        f"img/p{i % 6}_{i}.png,img/p{(i + 1) % N % 6}_{(i + 1) % N}.png,{TONES[i % 2]},{'ab'[i % 2]},p{i % 6},"
        f"{('train', 'train', 'test')[i // 2 % 3]},{('train', 'valid')[i // 12]}"
        for i in range(N)
    ]
    put(at, "flat/t.csv", content="\n".join([head, *rows]).encode())
    columns = {
        "image": [tone(i) for i in range(N)],
        "other_file": [tone(i + 1) for i in range(N)],
        "label": [TONES[i % 2] for i in range(N)],
        "tone": ["ab"[i % 2] for i in range(N)],
        "person": [f"p{i % 6}" for i in range(N)],
        "when": [("train", "train", "test")[i // 2 % 3] for i in range(N)],
        "split": [("train", "valid")[i // 12] for i in range(N)],
    }
    pq.write_table(pa.table(columns), at / "inside.parquet")
    pixels = np.stack([np.full((8, 10), 40 + 120 * (i % 2) + i, np.uint8) for i in range(N)])
    labels = np.arange(N) % 2
    np.savez(at / "arrays.npz", x_train=pixels, y_train=labels, allow_pickle=False)  # noqa: TID251
    (at / "idx").mkdir()
    for split in ("train", "t10k"):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels.astype(np.uint8))):
            content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            (at / f"idx/{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    ss.prepare(at / "folder", at / "kept.store")
    return at


FILES = {"folder", "split", "flat", "flat/t.csv", "inside.parquet", "zipped.zip"}
TABLES = {"flat", "flat/t.csv", "inside.parquet"}
EVERY = [*sorted(FILES), "arrays.npz", "idx", "pullover-dress", "kept.store"]

# Each flag with the sources for which it acts; for all others it must be refused.
FLAGS = {
    "--size": ("6", FILES),
    "--fit": ("crop", FILES),
    "--bad-files": ("skip", FILES),
    "--group": (r"p\d", FILES),
    "--file-column": ("other_file", TABLES),
    "--label-column": ("tone", TABLES),
    "--split-column": ("when", TABLES),
    "--classes": ("", set(EVERY)),
}


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_acts_or_is_refused(sources: Path, source: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    value, acts = FLAGS[flag]
    value = "person" if (flag, source) == ("--group", "inside.parquet") else value  # its paths have none
    if source == "pullover-dress" and source in acts:
        assert load(classes=["Dress", "Pullover"]).classes == ("Dress", "Pullover")  # an audit of 12,000 takes long
        return
    plain = data(sources, source, capsys=capsys) if source in acts else Done(0, "", "")
    typed = [flag, value] if value else [flag, *reversed(json.loads(plain.out)["classes"])]
    done = data(sources, source, *typed, capsys=capsys)
    if source not in acts:
        assert done.code != 0
        assert error_in(done)["message"].startswith(f"{flag[2:].replace('-', '_')} "), done.out
        return
    assert done.code == 0, done.err
    if flag == "--bad-files":  # nothing is bad here: what it does is tested with bad files
        return
    before, after = (json.loads(each.out) for each in (plain, done))
    same = (before == after) and plain.err == done.err
    if flag == "--fit":  # the pictures are read as they are; with a size they differ
        assert "cropped to" in data(sources, source, "--size", "6", *typed, capsys=capsys).err
    elif flag == "--file-column":
        key = {"file_column": "other_file"}
        at = sources / source
        assert load(at, **key).train.pixels.tolist() != load(at).train.pixels.tolist()  # type: ignore[arg-type]
    else:
        assert not same, done.out


def data(sources: Path, source: str, *flags: str, capsys: pytest.CaptureFixture[str]) -> Done:
    return here("data", source, "--json", *flags, cwd=sources, capsys=capsys)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("source", EVERY)
def test_fresh_and_fix_act_or_are_refused(sources: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = data(sources, source, "--fresh", capsys=capsys)
    assert (done.code == 0) == (source in FILES), done.err
    assert source in FILES or "fresh is for picture files" in done.out
    assert source != "kept.store" or "is a store, whose pictures are already decoded" in done.out
    splits = load(source if source == "pullover-dress" else sources / source)
    fix = sources / "fix.csv"
    fix.write_text(f"picture,now,was,why\n{splits.train.ids[0]},,,\n")
    if source == "pullover-dress":
        assert len(load(source, fix=fix).train) == len(splits.train) - 1
        return
    done = data(sources, source, "--fix", "fix.csv", capsys=capsys)
    if source == "kept.store":
        assert "is a store, which cannot be corrected" in error_in(done)["message"]
    else:
        assert json.loads(done.out)["corrections"]["excluded"] == 1, done.err


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("source", ["split", "kept.store"])
def test_hold_out_is_refused_where_there_are_validation_pictures(
    sources: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("train", source, "--hold-out", "0.3", "--recipe", "linear", cwd=sources, capsys=capsys)
    assert done.code == 2
    assert "has validation pictures of its own" in done.err
    if source == "split":
        done = here("prepare", source, "--out", "x.store", "--hold-out", "0.3", cwd=sources, capsys=capsys)
        assert "has validation pictures of its own" in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--validate-on test --hold-out 0.3", "with validate_on = test nothing is held out"),
        ("--validate-on test --hold-out 0.1", "with validate_on = test nothing is held out"),
        ("--recipe walkthrough-by-hand --hold-out 0.3", "with validate_on = test nothing is held out"),
        ("--seeds 2 --plots", "--plots is for one run"),
        ("--seeds 2 --exact", "--exact is for one run"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(
    tmp_path: Path, flags: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("train", *flags.split(), cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_the_same_in_python_and_in_a_recipe_s_file(tmp_path: Path) -> None:
    for hold_out in (0.3, 0.1):
        with pytest.raises(RecipeError, match="nothing is held out"):
            ss.train(validate_on="test", hold_out=hold_out, recipe="linear")
    put(tmp_path, "mine.toml", content=b'validate_on = "test"\nhold_out = 0.3\n')
    with pytest.raises(RecipeError, match="nothing is held out"):
        ss.Recipe.load(tmp_path / "mine.toml")
    saved = ss.Recipe.from_toml('validate_on = "test"\nhold_out = 0.3\n[recorded]\npython = "3.11"\n')
    assert saved.hold_out == 0.3  # a run that was saved so opens


class Pets:
    """A dataset of arrays."""

    classes = ("cat", "dog")

    def __len__(self) -> int:
        return 6

    def __getitem__(self, place: int) -> tuple[np.ndarray, int]:
        if place > 5:
            raise IndexError(place)
        return np.full((8, 8), 40 * place, np.uint8), place % 2


@pytest.mark.parametrize("key", ["size", "fit", "group", "file_column", "label_column", "split_column"])
def test_settings_that_a_dataset_does_not_have_are_refused(key: str) -> None:
    value = {"size": 6, "fit": "crop"}.get(key, "x")
    with pytest.raises(UsageError, match=f"{key} is for"):
        load(Pets(), **{key: value})


@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_not_a_source_is_refused_in_words() -> None:
    class Broken(Pets):
        def __getitem__(self, place: int) -> tuple[np.ndarray, int]:
            raise KeyError("image")

    class Endless(Pets):
        def __len__(self) -> int:
            raise NotImplementedError

    for source, words in [
        ({"train": Pets()}, "is a dict with 'train'"),
        (Broken(), "Item 0 of Broken cannot be read: KeyError: 'image'"),
        (Endless(), "Endless cannot tell how many items it has: NotImplementedError"),
        (7, "The source is 7"),
    ]:
        with pytest.raises(SevenstepsError, match=words):
            load(source)
    for verb in (ss.train, ss.prepare):
        with pytest.raises(UsageError, match="the name or path of"):
            verb(Pets())  # type: ignore[operator]


def test_a_part_of_a_dataset_has_its_classes() -> None:
    import torch
    from torch.utils.data import ConcatDataset, Subset, TensorDataset

    part = Subset(Subset(Pets(), range(5)), range(4))  # type: ignore[arg-type,var-annotated]
    assert load(part).classes == ("cat", "dog")
    assert load(ConcatDataset([part, Pets()])).classes == ("cat", "dog")  # type: ignore[list-item]
    floats = TensorDataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert load(floats).classes == ("0", "1")
    with pytest.raises(DataError, match="can have only one class"):
        load(TensorDataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.eye(4)))


@pytest.mark.usefixtures("without_shape_checks")
def test_classes_are_any_sequence_of_names() -> None:
    for names in (["Dress", "Pullover"], np.array(["Dress", "Pullover"])):
        assert load(classes=names).classes == ("Dress", "Pullover")
        assert ss.Recipe.load("linear").replace(classes=list(names)).classes == ("Dress", "Pullover")
    for wrong in ("Dress", {"Dress": 1}, {"Dress"}, 5, [0.5]):
        with pytest.raises(UsageError, match="must be a list of names"):
            load(classes=wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="There is no class 'Sneaker' here") as caught:
        load(classes=["Sneaker", "Bag"])
    assert caught.value.hint == (
        'fashion-mini has them: give "fashion-mini" as the source. "fashion-mnist" has more of them.'
    )


def test_a_path_is_a_path_and_a_name_that_is_both_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, *(f"pullover-dress/{name}/{i}.png" for name in TONES for i in range(20)))
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert load("pullover-dress", say=said.append).classes == ("Pullover", "Dress")
    assert said == [
        "pullover-dress is the built-in source; for the pullover-dress in this folder, type ./pullover-dress"
    ]
    for path in (Path("pullover-dress"), Path("./pullover-dress"), "./pullover-dress", tmp_path / "pullover-dress"):
        assert load(path).classes == TONES
    run = ss.train(Path("pullover-dress"), epochs=1, recipe="linear", folds=1, out="run")
    assert run.recipe.source == str(tmp_path / "pullover-dress")
    done = here("train", "--recipe", "linear", "--epochs", "1", cwd=tmp_path, capsys=capsys)
    assert "pullover-dress is the built-in source" in done.err
    done = here("train", "./pullover-dress", "--epochs", "1", "--recipe", "linear", cwd=tmp_path, capsys=capsys)
    assert "train ./pullover-dress --recipe" in done.out  # what it proposes next means the same pictures
    monkeypatch.chdir("/")
    assert load(Path("pullover-dress")).classes == ("Pullover", "Dress")
