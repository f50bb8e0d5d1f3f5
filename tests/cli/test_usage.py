"""What cannot be meant as typed: the words of the usage line, the sources that are there, and names instead of RUN."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import pets, put
from typed import here, refused, sevensteps, three_classes

import sevensteps as ss
from sevensteps.errors import DataError


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("predict", "predict needs RUN."),
        ("predict runs/x", "predict needs FILES."),
        ("report", "report needs RUN."),
        ("compare", "compare needs RUNS."),
        ("prepare", "prepare needs SOURCE."),
        ("verify", "verify needs THING."),
        ("data --fix", "--fix needs a value."),
        ("data pets --classes", "--classes needs a value."),
        ("resume --run", "--run needs a value."),
        ("train a b", "Unexpected argument for train: b."),
        ("data pets x y", "Unexpected arguments for data: x y."),
        ("data --sourc x", "Unknown option: --sourc. Did you mean --source?"),
        ("compare one", "sevensteps compare one ANOTHER-RUN"),
    ],
)
def test_words_are_called_as_in_the_usage_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str, said: str
) -> None:
    refused(here(*typed.split(), cwd=tmp_path, capsys=capsys), 2, said)


def test_a_path_with_a_space_and_no_quotes_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pets(tmp_path / "my own pictures")
    done = here("data", "my", "own", "pictures", "--size", "20", cwd=tmp_path, capsys=capsys)
    refused(done, 2, "my own pictures was typed as 3 words.", "sevensteps data 'my own pictures' --size 20")


def test_a_source_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pets(tmp_path / "clothes")
    put(tmp_path, "rows.csv", "arrays.npz", "clothes.zip", "words.txt", ".hidden.zip", content=b"x")

    for verb in ("data", "train", "prepare"):
        for source, meant in (
            ("clohtes", "clothes"),
            ("cloths.zip", "clothes.zip"),
            ("array", "arrays.npz"),
            ("pullover", "pullover-dress"),
            ("clothes/dgo", "clothes/dog"),
            (str(tmp_path / "clothe"), str(tmp_path / "clothes")),
            ("clohtes/dog/1", "clothes"),
        ):
            done = here(verb, source, cwd=tmp_path, capsys=capsys)
            refused(done, 1, f"no source or path {source!r}", f"Did you mean {meant!r}?")
        there = (
            "In this folder there is clothes, arrays.npz, clothes.zip, rows.csv; the sources with a name are "
            "pullover-dress, fashion-mini and"
        )
        refused(here(verb, "nosuch", cwd=tmp_path, capsys=capsys), 1, "no source or path 'nosuch'", there)
    refused(here("data", "clothes/x", cwd=tmp_path, capsys=capsys), 1, "In clothes there is clothes/cat, clothes/dog;")
    (tmp_path / "empty").mkdir()
    refused(here("data", "nosuch", cwd=tmp_path / "empty", capsys=capsys), 1, "This folder holds no source of pictures")


def test_an_empty_source_is_no_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("data", "train"):
        refused(here(verb, "", cwd=tmp_path, capsys=capsys), 2, "SOURCE is empty.", "pullover-dress")


def test_a_normalized_dataset_is_refused_in_one_sentence() -> None:
    class Centered(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 40

        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            return torch.full((1, 9, 9), row / 20 - 1), row % 2

    with pytest.raises(DataError) as refusal:
        ss.load(Centered())
    assert refusal.value.message == "The pictures of Centered: values from -1 to 0.95 are not pixels."
    assert "Do not normalize pictures: training does that." in refusal.value.hint
    sizes = [(np.zeros((side, side), dtype=np.uint8), side % 2) for side in (4, 5)]
    with pytest.raises(DataError, match=r"neither PIL pictures nor arrays of one size: all input arrays [^.]*\.\n"):
        ss.load(sizes)


def test_hints_have_the_names_that_were_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three_classes(tmp_path / "three")
    done = here("train", "three", "--fix", "no such.csv", cwd=tmp_path, capsys=capsys)
    refused(done, 1, "'no such.csv' cannot be read", "sevensteps data three --suggest")
    put(tmp_path, "wrong.csv", content=b"a,b\n")
    refused(here("data", "three", "--fix", "wrong.csv", cwd=tmp_path, capsys=capsys), 1, "sevensteps data three --sugg")
    done = here("train", "three", "--lr", "1e-6", "--epochs", "1", "--out", "my run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    assert "RUN" not in done.out
    refused(here("resume", "my run", "--epochs", "0", cwd=tmp_path, capsys=capsys), 2, "resume 'my run' --epochs 5")
    assert "RUN" not in here("doctor", "my run", cwd=tmp_path, capsys=capsys).out


@pytest.mark.slow
def test_more_threads_than_cores_are_said(tmp_path: Path) -> None:
    three_classes(tmp_path / "three")
    done = sevensteps("train", "three", "--threads", "999", "--epochs", "1", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "threads = 999: there " in done.out + done.err
    refused(
        sevensteps("train", "three", "--threads", "9999", cwd=tmp_path), 2, "threads is 9999, but must be 0 to 1024."
    )


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--learning-rate 1", ["Unknown option: --learning-rate", "--lr"]),
        ("--hidden 30", ["Unknown option: --hidden", "--width"]),
        ("--slow", ["Unknown option: --slow", "sevensteps xray RUN"]),
        ("--lr 0,1", ["--lr", "Use a decimal point: --lr 0.1"]),
        ("--lr=0,1", ["Use a decimal point: --lr 0.1"]),
        ("--stop-accuracy ,9", ["Use a decimal point: --stop-accuracy .9"]),
        ("--learning_rate=1", ["Unknown option: --learning_rate", "Did you mean --lr?"]),
        ("--learning-rates 1", ["Did you mean --lr?"]),
        ("--LR 1", ["Did you mean --lr?"]),
        ("-lr 1", ["Did you mean --lr?"]),
        ("--hidden-units 9", ["--width", "--model relu"]),
        ("--batch 9", ["Did you mean --batch-size?"]),
        ("--imgsz 64", ["Did you mean --size?"]),
        ("--output x", ["Did you mean --out?"]),
        ("--suggest fix.csv", ["--suggest is a flag of sevensteps data."]),
        ("--explain why", ["--explain is a flag of sevensteps predict."]),
        ("--classes Sneaker Bag", ["fashion-mini --classes Sneaker Bag"]),
        ("--lr 1e300", ["lr is 1e+300, but must be 0 to 1e+38."]),
        (f"--epochs {'9' * 41}", ["epochs is 9999", "but must be 1 to 1000000000."]),
        (f"--epochs {'9' * 5000}", ["is not a whole number"]),
        (f"--processes {'9' * 41}", ["processes is 9999", "a batch has at most 1024 parts."]),
    ],
)
def test_what_many_people_type_is_answered_with_what_they_mean(
    typed: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("train", *typed.split(), cwd=tmp_path, capsys=capsys)
    assert done.code in (1, 2)
    refused(done, done.code, *words)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("predict runs/a cat.jpg --coverage 0.99", ["--coverage is a flag of sevensteps train."]),
        ("judge a --coverage 0.99", ["--coverage is a flag of sevensteps train."]),
        ("data pets --epochs 3", ["--epochs is a flag of sevensteps train and sevensteps resume."]),
        ("resume a --step 3", ["sevensteps xray a shows the seven steps"]),
        ("data --bs 3", ["Unknown option: --bs"]),
        ("--install-completions", ["Did you mean '--install-completion'?"]),
        ("--install-completion tcsh", ["tcsh", "bash", "zsh", "fish"]),
    ],
)
def test_a_flag_of_another_verb_is_answered_with_that_verb(
    typed: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(here(*typed.split(), cwd=tmp_path, capsys=capsys), 2, *words)


def test_every_name_that_is_meant_is_a_flag_of_some_verb() -> None:
    from sevensteps.cli import usage
    from sevensteps.cli.app import app

    flags = {
        verb: {name for a in app[verb].assemble_argument_collection() for name in a.names} for verb in usage._VERBS
    }
    for meant in usage._MEANT.values():
        assert any(f"--{meant}" in names for names in flags.values()), meant
    verbs = {name for name in app if not name.startswith("-")}
    assert set(usage._VERBS) <= verbs


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", ".local/share/bash-completion/completions/sevensteps"),
        ("fish", ".config/fish/completions/sevensteps.fish"),
    ],
)
def test_completion_is_installed_once_asked_for(tmp_path: Path, shell: str, script: str) -> None:
    done = sevensteps("--install-completion", shell, cwd=tmp_path, HOME=str(tmp_path), XDG_DATA_HOME="", ZSH_CUSTOM="")
    assert done.code == 0, done.err
    assert str(tmp_path / script) in done.out
    assert "--learning-rate" not in (tmp_path / script).read_text()
    assert "batch-size" in (tmp_path / script).read_text()


def test_bash_completes_verbs_flags_and_choices(tmp_path: Path) -> None:
    done = sevensteps("--install-completion", "bash", cwd=tmp_path, HOME=str(tmp_path))
    assert done.code == 0, done.err
    asked = {"sevensteps tra": "train", "sevensteps train --ep": "--epochs", "sevensteps train --model r": "relu"}
    for typed, expected in asked.items():
        words = " ".join(f'"{word}"' for word in typed.split())
        line = (
            f"source {tmp_path}/.bashrc; COMP_WORDS=({words}); COMP_CWORD={len(typed.split()) - 1}; "
            '_sevensteps; echo "${COMPREPLY[@]}"'
        )
        completed = subprocess.run(["bash", "--norc", "-c", line], capture_output=True, text=True, check=True)
        assert completed.stdout.split() == [expected], typed
