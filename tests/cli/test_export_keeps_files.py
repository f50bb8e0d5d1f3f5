"""`export` loses no file of the user's: neither the model, nor what no export wrote, nor an export before it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small import images
from typed import here, refused, shown, write_idx

import sevensteps as ss
from sevensteps import DataLoaders, Learner, SevenstepsError, Splits
from sevensteps.ship.onnx.export import verify_onnx

OUTPUTS = {
    "onnx": ("m.onnx", "m.golden.safetensors"),
    "page": ("m.html",),
    "python": ("m.py", "m.weights.safetensors"),
}


def a_learner(seed: int = 0) -> Learner:
    from torch import nn

    learn = Learner(
        DataLoaders.from_images(Splits(images(60)), 30), nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), seed=seed
    )
    learn.fit(1, show=False)
    return learn


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("models")
    return [a_learner(seed).export(base / f"{seed}.safetensors") for seed in (0, 1)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("run")
    for split in ("train", "t10k"):
        write_idx(base / "small", split, [0, 1] * 40)
    ss.train(base / "small", epochs=1, out=base / "run", observe=lambda event: None)
    return base / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(("to", "name"), [("onnx", "a.golden.safetensors"), ("python", "a.weights.safetensors")])
def test_the_model_itself_is_never_written_over(
    to: str, name: str, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(models[0], tmp_path / name)
    out = {"onnx": "a.onnx", "python": "a.py"}[to]
    for more in ((), ("--force",)):
        done = here("export", name, "--to", to, "--out", out, *more, cwd=tmp_path, capsys=capsys)
        refused(done, 2, f"{name} is the model itself", "--out a-exported.")
    assert contents(tmp_path) == {name: models[0].read_bytes()}


@pytest.mark.parametrize("to", OUTPUTS)
def test_only_an_earlier_export_is_replaced(
    to: str, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, *_ = OUTPUTS[to]

    def export(model: int, *more: str) -> int:
        return here("export", str(models[model]), "--to", to, "--out", out, *more, cwd=tmp_path, capsys=capsys).code

    for name in OUTPUTS[to]:
        (tmp_path / name).write_bytes(b"mine")
        done = here("export", str(models[0]), "--to", to, "--out", out, cwd=tmp_path, capsys=capsys)
        refused(done, 1, f"{name} exists, and is not an export", "--out", "--force")
        with pytest.raises(SevenstepsError, match=r"(?s)exists, and is not an export.*Move it away"):
            ss.load_learner(models[0]).export(tmp_path / out)
        assert contents(tmp_path) == {name: b"mine"}
        (tmp_path / name).unlink()
    (tmp_path / out).write_bytes(b"mine")
    assert export(0, "--force") == 0
    first = contents(tmp_path)
    assert (set(first), b"mine" in first.values()) == ({*OUTPUTS[to]}, False)
    assert export(0) == 0
    assert contents(tmp_path) == first
    assert export(1) == 0
    assert contents(tmp_path)[out] != first[out]
    content = bytearray((tmp_path / out).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / out).write_bytes(content)
    assert export(1) == 1
    assert (tmp_path / out).read_bytes() == content


def test_the_weights_of_another_model_are_kept(models: list[Path], tmp_path: Path) -> None:
    shutil.copyfile(models[1], tmp_path / "m.weights.safetensors")
    with pytest.raises(SevenstepsError, match="is not an export"):
        ss.export(models[0], to="python", out=tmp_path / "m.py")
    assert contents(tmp_path) == {"m.weights.safetensors": models[1].read_bytes()}


def failing(call: Callable[..., None], at: int, within: Path) -> Callable[..., None]:
    """A function of `os` that finds the disk full when it is called for the nth time for a file in a folder."""
    left = at

    def wrapped(*given: object) -> None:
        nonlocal left
        target = Path(os.readlink(f"/proc/self/fd/{given[0]}")) if isinstance(given[0], int) else Path(str(given[-1]))
        if target.parent == within and target.suffix:
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        call(*given)

    return wrapped


@pytest.mark.parametrize("to", ["onnx", "python"])
@pytest.mark.parametrize(("call", "at"), [("fsync", 1), ("fsync", 2), ("replace", 1), ("replace", 2)])
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs the names of open files")
def test_an_export_that_is_cut_short_leaves_the_one_before(
    to: str, call: str, at: int, models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / OUTPUTS[to][0]
    ss.export(models[0], to=to, out=out)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(getattr(os, call), at, tmp_path))
        with pytest.raises(SevenstepsError, match="the disk is full"):
            ss.export(models[1], to=to, out=out)
    after = contents(tmp_path)
    assert set(after) == set(before)
    assert after[out.name] == before[out.name]
    if (call, at) != ("replace", 2):  # between the two renames
        assert after == before
    elif to == "onnx":
        with pytest.raises(SevenstepsError, match="does not belong to"):
            verify_onnx(out)
    ss.export(models[1], to=to, out=out)  # what was left is not in the way
    if to == "onnx":
        assert verify_onnx(out).passed
    assert contents(tmp_path)[out.name] != before[out.name]


def test_a_folder_in_the_way_is_said_before_anything_is_written(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.onnx").mkdir()
    (tmp_path / "file").touch()
    for out, words in (
        ("m.onnx", "a folder stands where the file should be"),
        ("file/m.onnx", "a file stands where the folder"),
    ):
        refused(here("export", str(models[0]), "--out", out, "--force", cwd=tmp_path, capsys=capsys), 1, words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m.onnx"]
    assert here("export", str(models[0]), "--out", "new/folder/m.onnx", cwd=tmp_path, capsys=capsys).code == 0


@pytest.mark.parametrize("name", ["json", "torch", "numpy", "PIL", "hashlib", "typing_extensions"])
def test_a_program_does_not_take_the_name_of_a_module_that_it_imports(
    name: str, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("export", str(models[0]), "--to", "python", "--out", f"{name}.py", cwd=tmp_path, capsys=capsys)
    refused(done, 2, f"instead of the module {name}", f"--out {name}_model.py")
    assert list(tmp_path.iterdir()) == []


def test_verify_names_every_export_of_an_older_model(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run.parent, tmp_path, dirs_exist_ok=True)
    for to in ("onnx", "python", "page", "card"):
        assert here("export", "run", "--to", to, cwd=tmp_path, capsys=capsys).code == 0
    assert here("export", "run", "--to", "python", "--out", "run/second.py", cwd=tmp_path, capsys=capsys).code == 0
    (tmp_path / "run/mine.py").write_text("print()\n")
    (tmp_path / "run/mine.onnx").write_bytes(b"another")
    names = {"model.onnx", "model.py", "model.html", "second.py", "card/model.onnx", "card/model.safetensors"}
    verified = ss.verify(tmp_path / "run")
    assert verified.passed
    assert names <= {check.name for check in verified}
    for mine in ("mine.py", "mine.onnx"):
        assert mine not in {check.name for check in verified}
    typed = ("train", "small", "--epochs", "1", "--seed", "1", "--out", "run", "--force")
    assert here(*typed, cwd=tmp_path, capsys=capsys).code == 0
    done = here("verify", "run", cwd=tmp_path, capsys=capsys)
    text = " ".join(shown(done).split())
    assert (done.code, text.count("belongs to another model")) == (1, len(names))
    for to in ("", " --to python", " --to page"):
        assert f"sevensteps export run{to} writes it again" in text
        assert here("export", "run", *to.split(), cwd=tmp_path, capsys=capsys).code == 0
    assert "export run --to python --out run/second.py writes it again" in text
    wrong = {check.name for check in ss.verify(tmp_path / "run") if not check.passed}
    assert wrong == {"second.py", "card/model.onnx", "card/model.safetensors"}


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs the names of open files")
def test_a_card_that_failed_is_not_in_the_way_of_the_next(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    model = tmp_path / "run/model.safetensors"
    whole = bytearray(model.read_bytes())

    def card(code: int, *words: str) -> None:
        done = here("export", "run", "--to", "card", cwd=tmp_path, capsys=capsys)
        assert done.code == code, done
        if code:
            refused(done, code, *words)
            assert not (tmp_path / "run/card").exists() or list((tmp_path / "run/card").iterdir()) == []

    damaged = bytearray(whole)
    damaged[-5] ^= 1
    model.write_bytes(damaged)
    card(1, "model.safetensors is damaged")
    model.write_bytes(whole)
    for at in (1, 4):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(os.fsync, at, tmp_path / "run/card"))
            card(1, "the disk is full")
    with monkeypatch.context() as patch:
        patch.setattr("sevensteps.ship.agreement.MOST_APART", -1.0)  # so no two answers are the same
        card(1, "give different answers")
    (tmp_path / "run/card").mkdir(exist_ok=True)
    (tmp_path / "run/card/.model.onnx.0123abcd.part").write_bytes(b"cut short")
    card(0)
    names = {path.name for path in (tmp_path / "run/card").iterdir()}
    assert names == {"README.md", "model.safetensors", "model.onnx", "model.golden.safetensors"}


def test_a_card_says_why_it_has_no_onnx_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sevensteps.ship import file as model_file

    shutil.copytree(run, tmp_path / "run")
    arrays, about = model_file.read(tmp_path / "run/model.safetensors")
    doubled = {name: array.astype(np.float64) if "weight" in name else array for name, array in arrays.items()}
    about.pop("format")
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "onnxruntime", None)
        missing = here("export", "run", "--to", "card", "--out", "missing", cwd=tmp_path, capsys=capsys)
    model_file.write(tmp_path / "run/model.safetensors", doubled, about)
    unwritable = here("export", "run", "--to", "card", "--out", "unwritable", cwd=tmp_path, capsys=capsys)
    for done, name, words in (
        (missing, "missing", "No ONNX file: to write one, install onnxruntime."),
        (unwritable, "unwritable", "No ONNX file: this model cannot be written as one."),
    ):
        assert (done.code, words in shown(done)) == (0, True), done
        assert words in (tmp_path / name / "README.md").read_text("utf-8")
        assert {path.name for path in (tmp_path / name).iterdir()} == {"README.md", "model.safetensors"}
