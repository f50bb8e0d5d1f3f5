"""Folds: pictures are divided fairly, groups stay together, and small sets are tested, saved, resumed and compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedKFold
from typed import Done, here

from sevensteps.base.seeds import FOLDS, seed_of
from sevensteps.data.folds import folds_of, whole
from sevensteps.data.images import Images, Splits
from sevensteps.jobs.resume import resume
from sevensteps.jobs.train import train as train_job
from sevensteps.recipes.recipe import Recipe
from sevensteps.records.events import Note
from sevensteps.runs.cross_validation import cross_validate, out_of_fold_answers, parts_of
from sevensteps.runs.pictures import open_source
from sevensteps.trust.baselines import most_frequent, pixel_similarity


@pytest.fixture(scope="module")
def few(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder with 50 pullovers and 40 dresses."""
    folder = tmp_path_factory.mktemp("few") / "clothes"
    for label, (name, count) in enumerate({"pullover": 50, "dress": 40}.items()):
        (folder / name).mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(splits.train.labels == label)[:count].tolist()):
            Image.fromarray(splits.train.pixels[row, 0]).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a saved run on them."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    train_job(few, "linear", out=folder, epochs=3)
    return folder


def said(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Return what a command prints if it succeeds."""
    done = here(*arguments, cwd=folder, capsys=capsys)
    assert done.code == 0, done
    return done


# Dealing


@given(st.lists(st.integers(0, 3), min_size=5, max_size=80), st.integers(2, 5), st.integers(0, 2**40))
def test_each_class_is_dealt_as_scikit_learn_deals_it(labels: list[int], folds: int, seed: int) -> None:
    array = np.array(labels, dtype=np.int64)
    found = folds_of(array, 4, folds, seed)
    assert found.tolist() == folds_of(array, 4, folds, seed).tolist()
    present = np.unique(array)
    for label in present:
        of_class = np.bincount(found[array == label], minlength=folds)
        assert of_class.max() - of_class.min() <= 1
    if np.bincount(array)[present].min() >= folds:
        theirs = list(StratifiedKFold(folds).split(array, array))
        for label in present:
            wanted = sorted(int((array[out] == label).sum()) for _, out in theirs)
            assert sorted(np.bincount(found[array == label], minlength=folds).tolist()) == wanted


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 8)), min_size=4, max_size=80),
    st.integers(2, 5),
    st.integers(0, 2**40),
)
def test_a_group_is_in_one_fold(pictures: list[tuple[int, int]], folds: int, seed: int) -> None:
    labels, groups = (np.array(of, dtype=np.int64) for of in zip(*pictures, strict=True))
    found = folds_of(labels, 3, folds, seed, groups)
    for group in set(groups.tolist()) - {-1}:
        assert len(set(found[groups == group].tolist())) == 1
    assert ((found >= 0) & (found < folds)).all()


def test_groups_hardly_move_the_shares_of_the_folds() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), random.integers(1, 12, 200))
    labels = random.integers(0, 3, len(groups))
    found = folds_of(labels, 3, 5, 0, groups)
    for label in range(3):
        shares = np.bincount(found[labels == label], minlength=5) / (labels == label).sum()
        assert np.abs(shares - 0.2).max() < 0.02


def test_another_seed_deals_otherwise() -> None:
    labels = np.repeat([0, 1], 40)
    assert folds_of(labels, 2, 5, 0).tolist() != folds_of(labels, 2, 5, 1).tolist()


def test_what_was_held_out_comes_back_to_its_place(splits: Splits) -> None:
    train = splits.train[:200]
    again = whole(Splits(train).hold_out(0.3, seed=4))
    assert again.fingerprint == train.fingerprint
    assert list(again.ids) == list(train.ids)
    own = dataclasses.replace(splits.train[200:220], origin="valid")
    assert whole(Splits(train, valid=own)) is train


# Small sets


def test_a_small_set_is_judged_by_folds_and_learned_from_whole(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = said(tmp_path, capsys, "train", str(few), "--recipe", "linear", "--epochs", "3", "--numbers", "--out", "run")
    assert (
        "so 5 models are trained and tested in turn (cross-validation), and the saved model learns from all pictures"
        in done.err
    )
    folds = [line for line in done.err.splitlines() if line.startswith("fold ")]
    assert [line[:11] for line in folds] == [f"fold {number} of 5" for number in range(1, 6)]
    (line,) = (line for line in done.out.splitlines() if line.startswith("accuracy"))
    assert "of 90 out-of-fold pictures (95 % interval" in line
    assert line.endswith("5-fold cross-validation")
    assert "out-of-fold: each picture answered by a model that has not seen it" in done.out
    assert "most frequent class: 55.56% of 90 out-of-fold pictures" in done.out
    assert "the best baseline" in done.out
    assert "pretrained backbone" in done.out
    assert (done.out + done.err).count("train_loss") == 1  # one table, and not one for each fold
    assert "81 to train on, 9 held out for validation" in done.out

    found = json.loads((tmp_path / "run" / "judgement.json").read_text())
    crossed = found["cross_validation"]
    assert found["test"] is None
    assert (crossed["n"], crossed["folds"], crossed["split"]) == (90, 5, "out-of-fold")
    assert crossed["low"] < crossed["accuracy"] < crossed["high"]
    assert crossed["correct"] == sum(int(line.split(": ")[1].split(" of")[0]) for line in folds)
    assert found["coverage"]["n"] == found["calibration"]["n"] == found["against_best_baseline"]["n"] == 90
    rows = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    out = [row for row in rows if row["split"] == "out-of-fold"]
    assert {row["split"] for row in rows} == {"out-of-fold", "valid"}
    assert len({row["id"] for row in out}) == 90
    assert all(row["id"].startswith(row["label"]) for row in out)
    right = [["dress", "pullover"][int(np.argmax(row["probabilities"]))] == row["label"] for row in out]
    assert sum(right) == crossed["correct"]


def test_no_picture_is_answered_by_a_model_that_has_seen_it() -> None:
    """Labels are random: a model knows those of its training pictures, and is at chance for all others."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (120, 1, 28, 28), dtype=np.uint8)
    images = Images(pixels, np.arange(120, dtype=np.int64) % 2, ("a", "b"))
    recipe = Recipe.load("linear").replace(folds=5, epochs=30, schedule="constant", coverage=1.0)
    table, coverage = cross_validate(recipe.held_out(Splits(images)), recipe, 30, lambda event: None)
    assert coverage is None
    assert list(table.ids) == list(images.ids)
    assert 0.3 < table.score.accuracy < 0.7
    learn = recipe.learner(Splits(images))
    learn.fit(show=False)
    assert learn.validate(0)[1] > 0.9


def test_baselines_are_of_the_same_folds(run: Path) -> None:
    recipe = Recipe.load(run)
    splits = recipe.held_out(open_source(recipe, lambda event: None))
    answers = out_of_fold_answers(splits, recipe)
    place = {name: row for row, name in enumerate(whole(splits).ids)}
    parts = parts_of(splits, recipe)
    assert sorted(name for _, out in parts for name in out.ids) == sorted(place)
    for part, out in parts:
        assert part.valid is not None
        assert not set(out.ids) & {*part.train.ids, *part.valid.ids}
        rows = [place[name] for name in out.ids]
        assert answers["pixel similarity"][rows].tolist() == pixel_similarity(part.train, out).tolist()
        assert answers["most frequent class"][rows].tolist() == most_frequent(part.train, out).tolist()


def test_folds_may_be_asked_for_and_turned_off(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ("--recipe", "linear", "--epochs", "2")
    off = json.loads(said(tmp_path, capsys, "train", str(few), "--folds", "1", *how, "--json").out)
    assert off["cross_validation"] is None
    assert off["test"]["n"] == 18
    three = json.loads(said(tmp_path, capsys, "train", str(few), "--folds", "3", *how, "--json").out)
    assert (three["cross_validation"]["folds"], three["cross_validation"]["n"]) == (3, 90)
    small = tmp_path / "small"
    for name in ("cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/2.png", "dog/3.png"):
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 9).save(small / name)
    done = here("train", str(small), "--folds", "5", *how, cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out) == (2, "")
    assert "no class has more than 3 training pictures" in done.err
    done = here("train", "--folds", "5", "--validate-on", "test", cwd=tmp_path, capsys=capsys)
    assert done.code == 2
    assert "Set --validate-on valid, or --folds 1" in done.err


def test_a_source_with_test_pictures_has_both_where_folds_are_asked_for(
    splits: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "both"
    for split, rows in (("train", range(60)), ("test", range(60, 80))):
        for row in rows:
            path = source / split / splits.classes[splits.train.labels[row]] / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(splits.train.pixels[row, 0]).save(path)
    how = ("train", str(source), "--recipe", "linear", "--epochs", "2", "--json")
    found = json.loads(said(tmp_path, capsys, *how, "--folds", "2").out)
    assert found["test"]["n"] == 20
    assert found["cross_validation"]["n"] == 60
    assert found["baselines"]["most frequent class"]["n"] == 20
    assert json.loads(said(tmp_path, capsys, *how).out)["cross_validation"] is None


# What is done with such a run


def test_it_repeats_and_is_judged_listed_and_reported_by_its_folds(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run.parent
    said(folder, capsys, "verify", "one", "--rerun")
    crossed = json.loads((run / "judgement.json").read_text())["cross_validation"]
    listed = said(folder, capsys, "runs", ".").out
    assert f"{crossed['accuracy']:.2%}" in listed
    assert "90, 5 folds" in listed
    judged = json.loads(said(folder, capsys, "judge", "one", "--json").out)
    assert judged["test"] is None
    assert judged["cross_validation"] == crossed
    assert judged["scores"]["split"] == "out-of-fold"
    printed = said(folder, capsys, "judge", "one").out
    assert "one: 90 out-of-fold pictures" in printed
    assert "out-of-fold: each picture answered by a model that has not seen it" in printed
    refused = here("judge", "one", "--split", "test", cwd=folder, capsys=capsys)
    assert (refused.code, refused.out) == (1, "")
    assert "has no test pictures" in refused.err
    said(folder, capsys, "report", "one")
    page = (run / "report.html").read_text("utf-8")
    assert f"{crossed['accuracy']:.2%} of 90 out-of-fold pictures are classified correctly" in page
    assert "models like it, out-of-fold" in page
    assert "Out-of-fold: each picture answered by a model that has not seen it." in page


def test_a_judgement_that_is_lost_is_made_again_with_its_folds(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (run / name).read_bytes() for name in ("judgement.json", "predictions.jsonl")}
    for name in before:
        (run / name).unlink()
    done = said(run.parent, capsys, "judge", "one")
    assert "fold 5 of 5" in done.err
    assert {name: (run / name).read_bytes() for name in before} == before


def test_a_run_that_is_interrupted_among_its_folds_is_gone_on_with_to_the_same_end(
    few: Path, run: Path, tmp_path: Path
) -> None:
    def interrupting(event: Any) -> None:
        if isinstance(event, Note) and event.line.startswith("fold 2"):
            raise KeyboardInterrupt

    stopped = train_job(few, "linear", out=tmp_path / "run", epochs=3, observe=interrupting)
    assert stopped.interrupted
    assert stopped.cross_validation is None
    done = resume(tmp_path / "run")
    assert done.cross_validation is not None
    for name in ("model.safetensors", "predictions.jsonl", "judgement.json"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name


def test_two_such_runs_are_compared_picture_by_picture(
    few: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_job(few, "linear", out=tmp_path / "other", epochs=1, seed=1)
    found = json.loads(said(tmp_path, capsys, "compare", str(run), "other", "--json").out)
    assert (found["n"], found["split"]) == (90, "out-of-fold")
    train_job(few, "linear", out=tmp_path / "off", epochs=1, folds=1)
    refused = here("compare", str(run), "off", cwd=tmp_path, capsys=capsys)
    assert (refused.code, refused.out) == (1, "")
    assert "has no predictions of test pictures" in refused.err
    assert "both with --folds 1" in refused.err


def test_seeds_are_held_against_each_other_on_all_pictures(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ("--recipe", "linear", "--epochs", "1", "--seeds", "2", "--json")
    spread = json.loads(said(tmp_path, capsys, "train", str(few), *how).out)["spread"]
    assert (spread["split"], spread["n"], spread["seeds"]) == ("out-of-fold", 90, 2)
    assert spread["over_pictures"] is not None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 5)), min_size=1, max_size=60),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_each_picture_goes_to_the_fold_that_has_the_fewest_of_its_classes(
    pictures: list[tuple[int, int]], folds: int, seed: int
) -> None:
    labels, groups = (np.array([picture[side] for picture in pictures], dtype=np.int64) for side in (0, 1))
    numbers = np.where(groups < 0, 100 + np.arange(len(labels)), groups)
    together = sorted((np.flatnonzero(numbers == number) for number in np.unique(numbers)), key=lambda rows: rows[0])
    counts = np.maximum(np.bincount(labels, minlength=4), 1)
    wanted = np.zeros(len(labels), dtype=np.int64)
    held, sizes = np.zeros((4, folds), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    order = np.random.default_rng(seed_of(seed, FOLDS)).permutation(len(together)).tolist()
    for item in sorted(order, key=lambda item: -len(together[item])):
        adds = np.bincount(labels[together[item]], minlength=4)
        fold = int(np.lexsort((sizes, np.round((adds / counts) @ held, 9)))[0])
        wanted[together[item]] = fold
        held[:, fold] += adds
        sizes[fold] += len(together[item])
    assert folds_of(labels, 4, folds, seed, groups).tolist() == wanted.tolist()
