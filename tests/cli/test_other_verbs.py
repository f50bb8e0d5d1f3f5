"""`sevensteps` and its verbs `runs`, `xray` and `data`, typed."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typed import here, refused, sevensteps, three_classes, write_idx

import sevensteps as ss
from sevensteps.recipes.recipe_file import shipped_recipes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve runs, of which the third never got to its end and the fourth is damaged, and what is no run."""
    folder = tmp_path_factory.mktemp("other")
    source = three_classes(folder / "three")
    runs = folder / "runs"
    ss.train(source, epochs=2, out=runs / "three-linear-1")
    for number in range(2, 13):
        shutil.copytree(runs / "three-linear-1", runs / f"three-linear-{number}")
    for path in (runs / "three-linear-3").iterdir():
        if path.name != "recipe.toml":
            path.unlink()
    (runs / "three-linear-4" / "recipe.toml").write_text("epocs = 3")
    (runs / "notes").mkdir()
    (runs / "notes.txt").write_text("words")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_version_is_the_packages(folder: Path) -> None:
    for flags in (["--version"], ["--version", "--json"], ["runs", "--version"]):
        done = sevensteps(*flags, cwd=folder)
        assert (done.code, done.out.strip(), done.err) == (0, ss.__version__, "")


@pytest.mark.parametrize("typed", ["", "--help", "-h"])
def test_help_lists_the_verbs(folder: Path, typed: str) -> None:
    done = sevensteps(*typed.split(), cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    for verb in ("train", "resume", "runs", "xray", "report", "data", "prepare", "predict", "verify"):
        assert re.search(rf"│ {verb} ", done.out)


@pytest.mark.parametrize("verb", ["train", "resume", "runs", "xray", "report", "data", "prepare", "predict", "verify"])
def test_each_verb_has_its_help(folder: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(verb, "--help", cwd=folder, capsys=capsys)
    assert (done.code, done.err) == (0, "")
    assert f"sevensteps {verb}" in done.out
    assert "--json" in done.out


def test_the_help_of_train_has_every_setting_and_every_recipe(folder: Path) -> None:
    out = sevensteps("train", "--help", cwd=folder, COLUMNS="120").out
    settings = set(tomllib.loads(ss.Recipe().to_toml())) - {"name", "source"}
    assert settings <= {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", out)}
    for name in shipped_recipes():
        assert name in out


def test_runs_are_listed_with_their_results_in_order(folder: Path) -> None:
    done = sevensteps("runs", cwd=folder)
    assert done.code == 0
    title, *rows = done.out.splitlines()
    assert re.split(r"  +", title) == [
        "run",
        "recipe",
        "changed",
        "epochs",
        "accuracy",
        "95 % interval",
        "n",
        "stopped because",
    ]
    assert [row.split()[0] for row in rows] == [f"three-linear-{number}" for number in (1, 2, 3, *range(5, 13))]
    judged = json.loads((folder / "runs/three-linear-1/judgement.json").read_text())
    assert f"{judged['test']['accuracy']:.2%}" in rows[0]
    assert rows[0].endswith("all 2 epochs are done")
    assert rows[2].endswith("still training, or interrupted: sevensteps resume three-linear-3")
    (damaged,) = done.err.splitlines()
    assert damaged.startswith("! runs/three-linear-4: ")
    assert "'epocs'" in damaged


def test_runs_for_a_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("runs", "--json", cwd=folder, capsys=capsys)
    found = json.loads(done.out)
    assert set(found) == {"runs", "damaged"}
    assert len(found["runs"]) == 11
    assert len(found["damaged"]) == 1
    first = found["runs"][0]
    assert {"run", "recipe", "source", "test", "valid", "epochs", "stopped_because"} <= set(first)
    assert first["run"] == "runs/three-linear-1"
    assert found["runs"][2]["epochs"] == 0


def test_runs_without_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    assert here("runs", cwd=tmp_path, capsys=capsys).code == 0
    assert json.loads(here("runs", "--json", cwd=tmp_path, capsys=capsys).out) == {"runs": [], "damaged": []}


def test_xray_shows_the_seven_steps_and_leaves_the_run_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(folder)
    now = sevensteps("xray", "three-linear-1", cwd=folder)
    start = here("xray", "three-linear-1", "--start", cwd=folder, capsys=capsys)
    for done, when in ((now, "after epoch 2"), (start, "as it began")):
        assert (done.code, done.err) == (0, "")
        title, *steps = done.out.splitlines()
        assert title == f"runs/three-linear-1, {when}"
        assert [step[0] for step in steps if step[0] != " "] == list("1234567")  # below each, what it works on
    assert "batch 1 of 2 of epoch 1" in start.out
    assert "batch 1 of 2 of epoch 3" in now.out
    assert "stopped after the 2 epochs you asked for" in now.out
    assert now.out.splitlines()[1] != start.out.splitlines()[1]
    assert content(folder) == before


def test_xray_begins_where_training_began(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = here("train", "three", "--epochs", "2", "--numbers", "--out", "elsewhere", cwd=folder, capsys=capsys)
    steps = [line for line in trained.out.splitlines() if line[:1].isdigit()]
    seen = here("xray", "elsewhere", "--start", "--json", cwd=folder, capsys=capsys)
    found = json.loads(seen.out)
    assert found["run"] == "elsewhere"
    assert [f"{step['number']} {step['name']:<11}{step['line']}" for step in found["steps"]] == steps


def test_xray_is_of_the_parameters_that_training_would_go_on_with(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ss.train(folder / "three", epochs=50, stop_patience=2, lr=0.5, out=tmp_path / "run")
    assert run.kept_epoch == run.epochs - 2
    done = here("xray", str(tmp_path / "run"), cwd=folder, capsys=capsys)
    assert done.out.splitlines()[0].endswith(f"after epoch {run.epochs}")
    assert f"of epoch {run.epochs + 1}" in done.out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("three-linear-13", ["'three-linear-13'", "Did you mean 'three-linear-"]),
        ("runs/three-lineal-2", ["Did you mean 'three-linear-2'?"]),
        ("three-linear-3", ["Nothing was saved", "three-linear-3", "resume"]),
        ("runs/three-linear-1/model.safetensors", ["is a file", "runs/three-linear-1"]),
        ("notes", ["runs/notes is not a run's folder"]),
    ],
)
def test_xray_says_which_run_it_cannot_show(
    folder: Path, typed: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused(here("xray", typed, cwd=folder, capsys=capsys), 1, *words)


def test_xray_of_a_damaged_recipe_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        here("xray", "three-linear-4", cwd=folder, capsys=capsys),
        2,
        "three-linear-4",
        "'epocs'",
        "Did you mean 'epochs'?",
    )


def test_xray_says_when_the_pictures_are_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = three_classes(tmp_path / "source")
    ss.train(source, epochs=1, out=tmp_path / "run")
    write_idx(source, "train", [0, 1, 2] * 20, side=9)
    (source / "t10k-images-idx3-ubyte").unlink()
    refused(here("xray", "run", cwd=tmp_path, capsys=capsys), 1, "The pictures of ", "source", "have changed")


def test_data_counts_and_finds_copies(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = three_classes(tmp_path / "source")
    train = source / "train-images-idx3-ubyte"
    picture = 16 + 144 * 7
    pixels = bytearray(train.read_bytes())
    pixels[16 : 16 + 144] = pixels[picture : picture + 144]
    train.write_bytes(pixels)
    test = source / "t10k-images-idx3-ubyte"
    leaked = bytearray(test.read_bytes())
    leaked[16 + 144 * 2 : 16 + 144 * 3] = pixels[16 + 144 * 20 : 16 + 144 * 21]
    test.write_bytes(leaked)
    found = json.loads(here("data", "source", "--json", cwd=tmp_path, capsys=capsys).out)
    assert {"classes", "counts", "sizes", "bad_files", "duplicates", "leaks", "suspects"} <= set(found)
    assert found["classes"] == ["0", "1", "2"]
    assert found["counts"] == {"train": {"0": 100, "1": 100, "2": 100}, "test": {"0": 20, "1": 20, "2": 20}}
    assert found["sizes"] == {"12x12x1": 360}
    assert found["duplicates"] == [{"pictures": ["train/0", "train/7"], "score": 1.0}]
    assert found["leaks"] == [{"pictures": ["train/20", "test/2"], "score": 1.0}]
    shown = here("data", "source", cwd=tmp_path, capsys=capsys)
    assert shown.code == 0
    assert "all      300    60" in shown.out
    assert "exact duplicates within a split: 1, the first: train/0, train/7" in shown.out
    assert "exact duplicates in two splits: 1, the first: train/20, test/2" in shown.out


def test_data_shows_the_embedded_pictures_or_the_classes_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Pullover   6,000  1,000" in here("data", cwd=folder, capsys=capsys).out
    chosen = json.loads(here("data", "three", "--classes", "2", "0", "--json", cwd=folder, capsys=capsys).out)
    assert chosen["classes"] == ["2", "0"]
    assert chosen["counts"]["train"] == {"2": 100, "0": 100}


def test_the_help_of_train_is_in_groups_with_what_is_used_most_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = here("train", "--help", cwd=folder, capsys=capsys).out
    titles = ["Used most", "Pictures", "Model", "Training", "Stopping", "Judging", "Output"]
    places = [out.index(f"─ {title} ─") for title in titles]
    assert places == sorted(places)
    most = re.findall(r"│ --([a-z-]+)", out[places[0] : places[1]])
    assert set(most) == {
        "recipe", "out", "plots", "seeds", "classes", "augment", "model", "lr", "epochs", "batch-size",
    }  # fmt: skip
    assert out.index("Examples:") > places[-1]
    assert "[default: False]" not in out


def test_runs_of_one_recipe_are_told_apart_by_what_they_differ_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_classes(tmp_path / "three")
    for more in ([], ["--keep", "last"], ["--keep", "best", "--lr", "0.125"]):
        done = here("train", "three", "--epochs", "1", "--recipe", "linear", *more, cwd=tmp_path, capsys=capsys)
        assert done.code == 0, done.err
    first, second, third = here("runs", cwd=tmp_path, capsys=capsys).out.splitlines()[1:]
    assert "keep last" in second
    assert "lr 0.125, keep best" in third
    assert "keep" in first
    assert "size" not in first + second + third


def test_a_folder_without_runs_is_said_to_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    assert "no runs in runs" in here("runs", cwd=tmp_path, capsys=capsys).out
    assert json.loads(here("runs", "--json", cwd=tmp_path, capsys=capsys).out) == {"runs": [], "damaged": []}


def test_folds_beside_test_pictures_say_what_is_tested_on_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = three_classes(tmp_path / "three")
    write_idx(source, "t10k", np.arange(30) % 3)
    typed = ["train", "three", "--folds", "3", "--epochs", "1"]
    plain = here(*typed[:2], *typed[4:], "--out", "plain", cwd=tmp_path, capsys=capsys).out
    shown = " ".join(here(*typed, cwd=tmp_path, capsys=capsys).out.split())
    assert "the saved model is tested on the test pictures" in shown
    assert "of 30 test pictures" in shown
    count = len(ss.load(str(source)).train)
    assert f"data {count:,} " in shown, (shown, plain)
