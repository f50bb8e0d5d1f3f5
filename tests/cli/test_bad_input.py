"""What goes wrong, typed: exit code, one line for what and where, at most two for what to do next, no traceback."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typed import Done, error_in, finished, here, idx, refused, sevensteps, start, three_classes, write_idx

from sevensteps.errors import DataError

LABELS = np.arange(60) % 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands are typed: a source of pictures, a file and an empty folder are there."""
    folder = tmp_path_factory.mktemp("bad")
    three_classes(folder / "three")
    (folder / "file.txt").write_text("words")
    (folder / "notes.py").write_text("words = 1")
    (folder / "empty").mkdir()
    (folder / "p.png").write_bytes(b"")
    return folder


# What is typed, the exit code, and what the answer says.
TYPED: dict[str, tuple[str, int, list[str]]] = {
    "a verb": ("trian", 2, ['"trian"', '"train"']),
    "a flag": ("train --epocs 3", 2, ["--epocs", "--epochs"]),
    "an option": ("--verson", 2, ['"--verson"', "Did you mean '--version'?"]),
    "no class of data": ("data --classes", 2, ["--classes"]),
    "a source after the classes": ("train --classes 0 1 three", 1, ["sevensteps train three --classes 0 1"]),
    "a source of data after the classes": ("data --classes 0 three", 1, ["sevensteps data three --classes 0"]),
    "a picture": ("train p.png", 1, ["p.png is a single picture", "sevensteps predict RUN p.png"]),
    "a flag of nothing": ("xray somewhere --epochs 3", 2, ["--epochs is a flag of sevensteps train"]),
    "a flag without its value": ("train --epochs", 2, ["--epochs"]),
    "a word for a number": ("train --lr abc", 2, ["--lr", "abc"]),
    "a fraction of an epoch": ("train --epochs 1.5", 2, ["--epochs", "'1.5' is not a whole number"]),
    "no class": ("train --classes", 2, ["--classes"]),
    "a choice": ("train --model linaer", 2, ["linaer", "'linear'"]),
    "an argument too many": ("train three four", 2, ["four"]),
    "no picture to predict": ("predict somewhere", 2, ["predict needs FILES"]),
    "a source": ("train pulover-dress", 1, ["'pulover-dress'", "Did you mean 'pullover-dress'?"]),
    "a source of data": ("data fashion-mist", 1, ["'fashion-mist'", "Did you mean 'fashion-mnist'?"]),
    "a class": ("train --classes Pulover Dress", 1, ["'Pulover'", "Did you mean 'Pullover'?"]),
    "one class": ("train --classes Dress", 1, ["at least two classes"]),
    "a class twice": ("train --classes Dress Dress", 1, ["chosen twice"]),
    "a recipe": ("train --recipe linaer", 2, ["'linaer'", "Did you mean 'linear'?"]),
    "a recipe that is a picture": ("train --recipe three/t10k-images-idx3-ubyte", 2, ["cannot be read"]),
    "a run": ("xray nowhere", 1, ["'nowhere'", "sevensteps train creates one"]),
    "a folder of runs": ("runs nowhere", 1, ["nowhere", "sevensteps train creates the first run"]),
    "a run that is a file": ("xray file.txt", 1, ["file.txt is a file"]),
    "a run that is a folder of others": ("xray three", 1, ["three is not a run's folder"]),
    "a model": ("predict nowhere p.png", 1, ["'nowhere'"]),
    "a model that is words": ("predict file.txt p.png", 1, ["file.txt is not a safetensors file"]),
    "a model in an empty folder": ("predict empty p.png", 1, ["no model at empty"]),
    "a negative rate": ("train --lr -1", 2, ["lr is -1.0", "0 or more"]),
    "no rate": ("train --lr nan", 2, ["lr is nan"]),
    "no epochs": ("train --epochs 0", 2, ["epochs is 0", "1 or more"]),
    "all held out": ("train --hold-out 1", 2, ["hold_out is 1.0", "0 to 0.9"]),
    "a seed too large": ("train --seed 9223372036854775808", 2, ["0 to 9223372036854775807"]),
    "Nesterov alone": ("train --nesterov --momentum 0", 2, ["nesterov needs momentum", "Set --momentum 0.9, or"]),
    "a width of nothing": ("train --width 5", 2, ["width applies to relu, cnn and vgg", "--model relu."]),
    "a spread of nothing": ("train --model relu --init-std 0.5", 2, ["init_std applies to init = normal", "kaiming"]),
    "epochs of no schedule": (
        "train --recipe walkthrough-learner --schedule-epochs 3",
        2,
        ["Set --schedule-epochs 0, or --schedule one_cycle."],
    ),
    "cross-entropy for two": ("train --loss cross_entropy", 2, ["binary_cross_entropy_with_logits"]),
    "a loss for two": ("train three --loss sigmoid_l1_loss", 2, ["there are 3", "cross_entropy"]),
    "smoothing for two": ("train --label-smoothing 0.1", 2, ["label_smoothing applies to cross_entropy"]),
    "the best of nothing": ("train --keep best --hold-out 0", 2, ["validation pictures", "Set --hold-out 0.1."]),
    "patience with nothing": ("train --stop-patience 3 --hold-out 0", 2, ["stop_patience", "--hold-out 0.1"]),
    "a file of words": ("train file.txt", 1, ["file.txt is a text file", "CSV"]),
    "a program": ("train notes.py", 1, ["notes.py is not a file of pictures", "arrays (.npz)"]),
    "an empty folder": ("train empty", 1, ["no class folders with pictures, and nothing else", "cat/1.jpg", "a table"]),
    "a name that is too long": (f"train {'long' * 100}", 1, ["File name too long"]),
}


@pytest.mark.parametrize("what", TYPED)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_cannot_be_meant_is_said_in_words(folder: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    typed, code, words = TYPED[what]
    refused(here(*typed.split(), cwd=folder, capsys=capsys), code, *words)
    assert not (folder / "runs").exists(), "something was written"


@pytest.mark.parametrize(
    "what", ["a verb", "a flag", "a class", "a recipe", "a run", "a model", "cross-entropy for two"]
)
def test_a_process_of_its_own_says_the_same(folder: Path, what: str) -> None:
    typed, code, words = TYPED[what]
    refused(sevensteps(*typed.split(), cwd=folder), code, *words)


@pytest.mark.parametrize(
    ("typed", "code", "error"),
    [
        ("train --lr abc --json", 2, "usage"),
        ("trian --json", 2, "usage"),
        ("train nowhere --json", 1, "data"),
        ("train --json --loss cross_entropy", 2, "recipe"),
        ("predict nowhere p.png --json", 1, "run"),
        ("predict file.txt p.png --json", 1, "model"),
        ("xray nowhere --json", 1, "run"),
        ("runs nowhere --json", 1, "run"),
        ("data nowhere --json", 1, "data"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_for_a_program_an_error_is_one_object(
    folder: Path, typed: str, code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here(*typed.split(), cwd=folder, capsys=capsys)
    assert done.code == code
    said = error_in(done)
    assert said["code"] == error
    assert said["message"]
    assert said["hint"]


# These need PyTorch to be found out; the process is this one, and the rest the same.
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--optimizer AdamV", ["'AdamV'", "Did you mean 'Adam'?"]),
        ("--optimizer LBFGS", ["LBFGS cannot be used here: it needs a closure"]),
        ("--optimizer Muon --nesterov --momentum 0.9", ["Muon has no nesterov", "Set --no-nesterov."]),
        ("--optimizer Optimizer", ["Optimizer cannot be used here: it is abstract"]),
        ("--optimizer Adagrad --momentum 0.9", ["Adagrad has no momentum", "Set --momentum 0."]),
        ("--optimizer AdamW --momentum 0.9 --nesterov", ["AdamW has no nesterov", "Set --no-nesterov."]),
        ("--device cuda", ["Device cuda is not available", "Use --device auto."]),
        ("--device mps", ["Device mps is not available"]),
        ("--gradient formula --model relu", ["formula"]),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_written(
    folder: Path, typed: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    refused(here("train", *typed.split(), cwd=folder, capsys=capsys), 2, *words)
    assert not (folder / "runs").exists()


def _truncated(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])


def _cut_gzip(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte"
    file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes())[:-10])
    file.unlink()


def _damaged_gzip(folder: Path) -> None:
    file = folder / "train-labels-idx1-ubyte"
    file.with_name(file.name + ".gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(40))
    file.unlink()


def _no_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()


def _swapped(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes((folder / "train-labels-idx1-ubyte").read_bytes())


def _a_picture(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def _too_few_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:50]))


def _another_size(folder: Path) -> None:
    write_idx(folder, "t10k", LABELS, side=10)


def _no_pictures(folder: Path) -> None:
    write_idx(folder, "train", [])


def _one_class(folder: Path) -> None:
    write_idx(folder, "train", [3] * 20)


def _no_test_pictures(folder: Path) -> None:
    write_idx(folder, "t10k", [])


def _one_of_each(folder: Path) -> None:
    write_idx(folder, "train", [0, 1])


def _two_of_each(folder: Path) -> None:
    write_idx(folder, "train", [0, 1, 0, 1])


def _a_folder_for_a_file(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()
    (folder / "train-labels-idx1-ubyte").mkdir()


DAMAGE: dict[Callable[[Path], None], list[str]] = {
    _truncated: ["mine/train-images-idx3-ubyte", "too short: it has 8,639 of 8,640"],
    _cut_gzip: ["mine/train-images-idx3-ubyte.gz", "ends too early"],
    _damaged_gzip: ["mine/train-labels-idx1-ubyte.gz", "gzip"],
    _no_labels: ["no labels next to it", "train-labels-idx1-ubyte"],
    _swapped: ["1 dimension,", "not of labels"],
    _a_picture: ["not an IDX file"],
    _too_few_labels: ["60 pictures but 50 labels"],
    _another_size: ["(1, 10, 10)", "same classes and picture size"],
    _no_pictures: ["no pictures at all"],
    _one_class: ["only pictures of '3'", "two classes or more"],
    _no_test_pictures: ["the test split has no pictures"],
    _one_of_each: ["too few to hold any out"],
    _two_of_each: ["too few pictures to hold any out", "set --hold-out 0."],
    _a_folder_for_a_file: ["no labels next to it"],
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__[1:])
@pytest.mark.usefixtures("without_shape_checks")
def test_pictures_that_cannot_be_used_are_named_with_the_reason(
    tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(write_idx(tmp_path / "mine", "train", LABELS))
    refused(here("train", "mine", cwd=tmp_path, capsys=capsys), 1, *DAMAGE[damage])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'epocs = 3\nmodel = "linear"', ["mine.toml", "'epocs'", "Did you mean 'epochs'?"]),
        (b'epochs = "many"', ["mine.toml", "epochs is 'many'", "a whole number"]),
        (b"epochs = 1.5", ["epochs is 1.5", "a whole number"]),
        (b"epochs = true", ["epochs is True"]),
        (b"lr = -0.1", ["lr is -0.1", "0 or more"]),
        (b"lr = inf", ["lr is inf"]),
        (b'model = "lineer"', ["model is 'lineer'", "Did you mean 'linear'?"]),
        (b"model = 3", ["model is 3"]),
        (b'classes = "Dress"', ["classes is 'Dress'", "list of words"]),
        (b"nesterov = true", ["mine.toml", "nesterov needs momentum", "momentum = 0.9"]),
        (b"epochs = = 3", ["mine.toml is not TOML", "line 1"]),
        (b"[train]\nepochs = 3", ["unknown key 'train'"]),
        (b"\xff\xfe\x00epochs", ["mine.toml cannot be read", "UTF-8"]),
        (b"a=" + b"[" * 100_000, ["mine.toml is not TOML"]),
    ],
    ids=lambda value: value[:20].decode("ascii", "replace") if isinstance(value, bytes) else "",
)
@pytest.mark.usefixtures("without_shape_checks")
def test_a_recipe_that_cannot_be_used_is_refused(
    tmp_path: Path, content: bytes, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    refused(here("train", "--recipe", "mine.toml", cwd=tmp_path, capsys=capsys), 2, *words)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("file.txt", ["file.txt is a file", "--out"]),
        ("file.txt/run", ["a part of the path is a file", "Choose another folder"]),
        ("three", ["three already exists", "--force"]),
        ("/proc/run", ["/proc/run"]),
        ("/dev/null", ["/dev/null"]),
    ],
)
def test_an_output_folder_that_cannot_be_used_is_refused_before_training(
    folder: Path, out: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    refused(here("train", "three", "--epochs", "1", "--out", out, cwd=folder, capsys=capsys), 1, *words)
    assert sorted(folder.rglob("*")) == before
    assert (folder / "file.txt").read_text() == "words"


def test_a_loss_that_becomes_infinite_is_said_with_its_place_and_a_remedy(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["train", "--loss", "mse_loss", "--lr", "1e6", "--numbers", "--out", str(tmp_path / "run")]
    done = here(*typed, cwd=folder, capsys=capsys)
    assert done.code == 1
    found, _, line, hint = done.err.splitlines()
    assert found.startswith("! The learning rate 1e+06 is too high")
    assert line.startswith("sevensteps: The loss became inf at epoch 1, batch ")
    assert "lower rate" in hint
    assert "clip" in hint
    assert sorted(os.listdir(tmp_path / "run")) == [".lock", "history.jsonl", "judgement.json", "recipe.toml"]
    told = here("doctor", str(tmp_path / "run"), cwd=folder, capsys=capsys)
    assert told.code == 0
    assert told.out.startswith("Learning rate too high: the loss rises (since epoch 1)")
    listed = here("runs", str(tmp_path), cwd=folder, capsys=capsys)
    assert "the loss became inf" in listed.out


def _limited(size: int) -> Callable[[], None]:
    """What a process does before it begins, so that no file can become larger than this."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(("size", "left"), [(100, [".lock"]), (2500, [".lock", "recipe.toml"])])
def test_a_full_disk_is_said_in_words_and_leaves_nothing_half_written(
    folder: Path, tmp_path: Path, size: int, left: list[str]
) -> None:
    with start(
        "train", "--epochs", "1", "--out", str(tmp_path / "run"), cwd=folder, how={"preexec_fn": _limited(size)}
    ) as process:
        done = finished(process)
    assert done.code == 1
    said = [line for line in done.err.splitlines() if line.startswith("sevensteps: ")]
    assert said == [line for line in said if f"Cannot write {tmp_path / 'run'}" in line] != []
    assert sorted(os.listdir(tmp_path / "run")) == left


# Interrupted

ENDLESS = ["train", "three", "--epochs", "1000000"]


def interrupted_in_training(folder: Path, out: Path, number: int, *flags: str) -> Done:
    """What a run leaves behind that gets a signal after its third epoch."""
    with start(*ENDLESS, "--numbers", "--out", str(out), *flags, cwd=folder) as process:  # which prints every epoch
        seen, table = [], process.stderr if "--json" in flags else process.stdout
        while not (seen and seen[-1].startswith("    3 ")):  # in the table
            seen.append(table.readline())
            assert seen[-1], "".join(seen)
        began = time.monotonic()
        process.send_signal(number)
        done = finished(process)
        assert time.monotonic() - began < 5  # in a second, where nothing else runs
        return done


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_during_training_saves_what_was_learned(
    folder: Path, tmp_path: Path, number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    done = interrupted_in_training(folder, out, number)
    assert done.code == code
    message, hint = done.err.splitlines()[-2:]
    assert f"what was learned until then is saved in {out}" in message
    assert hint.strip() == f"sevensteps resume {out}"
    written = ["history.jsonl", "judgement.json", "model.safetensors", "recipe.toml", "timings.jsonl"]
    assert sorted(os.listdir(out)) == [".lock", "checkpoint.safetensors", *written]
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert len(history) >= 3
    judgement = json.loads((out / "judgement.json").read_text())
    assert (judgement["test"], judgement["epochs"]) == (None, len(history))
    assert judgement["stopped_because"].startswith("it was interrupted ")
    picture = folder / "picture.pgm"
    picture.write_bytes(b"P5 12 12 255\n" + bytes(144))
    predicted = here("predict", str(out), str(picture), cwd=folder, capsys=capsys)
    assert (predicted.code, predicted.err) == (0, "")
    listed = here("runs", str(tmp_path), cwd=folder, capsys=capsys)
    assert "it was interrupted" in listed.out


def test_an_interrupted_run_tells_a_program_so(folder: Path, tmp_path: Path) -> None:
    done = interrupted_in_training(folder, tmp_path / "run", signal.SIGINT, "--json")
    assert done.code == 130
    (line,) = done.out.splitlines()
    assert json.loads(line)["error"]["code"] == "interrupted"


@pytest.mark.parametrize(
    ("imported", "number", "as_json"),
    [
        ("cyclopts.exceptions", signal.SIGINT, False),
        ("cyclopts.exceptions", signal.SIGTERM, True),
        ("rich.console", signal.SIGINT, True),
        ("torch._C", signal.SIGINT, False),
        ("torch._C", signal.SIGTERM, False),
    ],
)
def test_an_interrupt_while_it_begins_is_said_in_words(
    folder: Path, tmp_path: Path, imported: str, number: int, as_json: bool
) -> None:
    flags = ["--out", str(tmp_path / "run"), *(["--json"] if as_json else [])]
    with start(*ENDLESS, *flags, cwd=folder, python=("-X", "importtime")) as process:
        for line in process.stderr:  # one for each module as its import ends
            if line.split()[-1] == imported:
                break
        process.send_signal(number)
        done = finished(process)
    # Where an interrupt has passed through exec() of a string, Python ends itself by SIGINT: a shell shows 130 too.
    assert done.code in (128 + number, -signal.SIGINT)
    said = [line for line in done.err.splitlines() if not line.startswith("import time:")]
    if as_json:
        assert said == []
        assert json.loads(done.out)["error"]["code"] == "interrupted"
    else:
        assert [line[:23] for line in said] == ["sevensteps: Interrupted"]
        assert done.out == ""
    assert not (tmp_path / "run").exists()


# Where the output goes


def test_a_reader_who_leaves_is_left_in_peace_and_loses_no_run(folder: Path, tmp_path: Path) -> None:
    with start("train", "--epochs", "1", "--out", str(tmp_path / "run"), cwd=folder) as process:
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        done = finished(process)
    assert done.code == 0
    assert (tmp_path / "run" / "predictions.jsonl").is_file()
    assert "BrokenPipe" not in done.err
    assert all(line[:5].strip().isdigit() or line.startswith("epoch") for line in done.err.splitlines()), done.err


@pytest.mark.slow
def test_a_reader_who_was_never_there_is_left_in_peace_too(folder: Path) -> None:
    with start("data", "--json", cwd=folder, PYTHONUNBUFFERED="") as process:  # so that it shows only at the end
        process.stdout.close()
        process.stdout = None
        done = finished(process)
    assert (done.code, done.err) == (1, "")


@pytest.mark.parametrize("typed", ["data --json", "data", "--help"])
def test_output_that_cannot_be_written_is_said(folder: Path, typed: str) -> None:
    with (
        open("/dev/full", "w") as full,
        start(*typed.split(), cwd=folder, how={"stdout": full}) as process,
    ):
        done = finished(process)
    assert done.code == 1
    assert "No space left on device" in done.err


def test_letters_that_the_output_cannot_show_are_spelled_out(folder: Path) -> None:
    (folder / "Модель").mkdir(exist_ok=True)
    write_idx(folder / "Модель", "train", LABELS)
    done = sevensteps("data", "Модель", cwd=folder, PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert "\\u041c" in done.out


def test_debug_shows_the_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="nowhere"):
        here("train", "nowhere", "--debug", cwd=folder, capsys=capsys)


def test_a_fault_of_ours_is_one_line_and_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*arguments: Any, **settings: Any) -> None:
        raise RuntimeError("two\n  lines\x1b[2J")

    monkeypatch.setattr("sevensteps.jobs.data.data", faulty)
    refused(here("data", cwd=folder, capsys=capsys), 1, "RuntimeError: two lines\\x1b[2J", "--debug")
