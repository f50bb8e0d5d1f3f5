"""What is printed is true where it is printed, and what it advises can be typed."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import here, three_classes

from sevensteps.cli.train import worth_trying
from sevensteps.recipes.recipe import Recipe

FEW = ("train", "--epochs", "2", "--lr", "0.0005")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that ends while it still improves, which the doctor says."""
    from sevensteps.cli.app import run

    folder = tmp_path_factory.mktemp("said")
    assert run([*FEW, "--out", str(folder / "runs/slow"), "--json"]) == 0
    return folder


@pytest.mark.parametrize("verb", ["runs", "doctor", "judge"])
def test_a_fix_in_json_names_the_run(slow: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    typed = [verb] if verb == "runs" else [verb, "slow"]
    said = json.loads(here(*typed, "--json", cwd=slow, capsys=capsys).out)
    (finding,) = (said["runs"][0] if verb == "runs" else said)["findings"]
    assert finding["fix"].startswith(f"Continue the run: sevensteps resume {said_run(said, verb)} --epochs 5. ")
    assert "RUN" not in finding["fix"]


def said_run(said: dict[str, object], verb: str) -> object:
    """What the answer calls the run."""
    runs = said["runs"] if verb == "runs" else [said]
    assert isinstance(runs, list)
    return runs[0]["run"]


def test_a_fix_that_is_printed_names_the_run(slow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(*FEW, "--numbers", "--out", "mine", cwd=tmp_path, capsys=capsys)
    assert "resume mine --epochs 5" in done.err
    assert "RUN" not in done.err + done.out
    assert "RUN" not in here("doctor", "mine", cwd=tmp_path, capsys=capsys).out
    here("report", "mine", cwd=tmp_path, capsys=capsys)
    page = html.unescape(re.sub(r"<[^>]+>", " ", (tmp_path / "mine/report.html").read_text()))
    assert "resume mine --epochs 5" in page
    assert "resume RUN" not in page
    assert json.loads(here(*FEW, "--json", cwd=tmp_path, capsys=capsys).out)["findings"][0]["fix"].count("RUN") == 0


@pytest.mark.parametrize("typed", ["verify runs/a --rerun", "report runs/a"])
def test_a_hint_names_the_run_whose_pictures_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    three_classes(tmp_path / "three")
    assert here("train", "three", "--epochs", "1", "--out", "runs/a", cwd=tmp_path, capsys=capsys).code == 0
    (tmp_path / "three").rename(tmp_path / "moved")
    done = here(*typed.split(), cwd=tmp_path, capsys=capsys)
    assert "RUN" not in done.out + done.err
    assert done.code == 0 or "sevensteps train PATH --recipe runs/a" in done.err


def page_of(run: Path) -> str:
    """The text of a run's report."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", (run / "report.html").read_text("utf-8")))
    return re.sub(r"\s+", " ", text)


def test_a_class_that_no_test_picture_shows_is_left_out_of_no_mean_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.array([0] * 600 + [1] * 400 + [2])
    random = np.random.default_rng(0)
    pictures = random.integers(0, 100, (len(labels), 8, 8)).astype(np.uint8)
    pictures[np.arange(len(labels)), labels] = 250
    np.savez(tmp_path / "rare.npz", x_train=pictures, y_train=labels, allow_pickle=False)  # noqa: TID251
    typed = ["train", "rare.npz", "--recipe", "linear", "--epochs", "2"]
    plain = here(*typed, "--out", "run", cwd=tmp_path, capsys=capsys).out
    assert re.search(r"^balanced +unknown: no test pictures of 2$", plain, re.MULTILINE)
    numbers = here(*typed, "--numbers", cwd=tmp_path, capsys=capsys).out
    assert re.search(r"^balanced .* the mean of the other classes' recalls.*: no test pictures of 2$", numbers, re.M)
    assert "--balance loss makes" not in numbers
    said = json.loads(here(*typed, "--json", cwd=tmp_path, capsys=capsys).out)
    assert said["test"]["balanced_accuracy"]["note"].startswith("without 2: no pictures in test")
    here("report", "run", cwd=tmp_path, capsys=capsys)
    page = page_of(tmp_path / "run")
    assert "There are no test pictures of 2" in page
    assert "says more" not in page


def of_groups(folder: Path, groups: int) -> Path:
    """Write ten small pictures of each of two classes in each group, which the name begins with."""
    random = np.random.default_rng(0)
    for kind, name in enumerate("ab"):
        (folder / name).mkdir(parents=True)
        for group in range(groups):
            for number in range(10):
                pixels = random.integers(0, 200, (10, 10)).astype(np.uint8)
                pixels[:, 5 * kind : 5 * kind + 5] += 55
                Image.fromarray(pixels).save(folder / name / f"p{group}_{number}.png")
    return folder


def test_the_number_of_folds_is_that_of_the_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_groups(tmp_path / "few", 3)
    typed = ["train", "few", "--group", r"p(\d)_", "--recipe", "linear", "--epochs", "1"]
    plain = here(*typed, "--out", "run", cwd=tmp_path, capsys=capsys).out
    assert "3 models are trained and tested in turn" in plain
    numbers = here(*typed, "--numbers", cwd=tmp_path, capsys=capsys)
    assert "fold 3 of 3" in numbers.err
    assert "3-fold cross-validation" in numbers.out
    assert "5" not in re.findall(r"(\d)-fold", numbers.out + numbers.err)
    said = json.loads(here(*typed, "--json", "--folds", "4", cwd=tmp_path, capsys=capsys).out)
    assert said["cross_validation"]["folds"] == 3
    asked = here(*typed, "--folds", "4", cwd=tmp_path, capsys=capsys)
    assert "3 folds, where 4 were asked for" in " ".join(asked.err.split())


def test_what_groups_leave_is_counted_as_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_groups(tmp_path / "few", 2)
    done = here("train", "few", "--group", r"p(\d)_", "--recipe", "linear", cwd=tmp_path, capsys=capsys)
    assert done.code == 1
    for words in ("While fold 1 of 2 is tested", "the 10 pictures that are left of a", "--hold-out 0"):
        assert words in done.err
    done = here("train", "few", "--group", r"p(\d)_", "--recipe", "linear", "--folds", "1", cwd=tmp_path, capsys=capsys)
    assert "all 10 pictures" not in done.err


def alike(folder: Path) -> Path:
    """Write pictures of two classes, of which some are copies of one another that differ in a few pixels."""
    random = np.random.default_rng(0)
    for kind, name in enumerate("ab"):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(40):
            pixels = random.integers(0, 150, (16, 16)).astype(np.uint8)
            pixels[:, 8 * kind : 8 * kind + 8] += 80
            Image.fromarray(pixels).save(folder / "train" / name / f"{number:02}.png")
    for number in range(4):
        pixels = np.asarray(Image.open(folder / f"train/a/{number:02}.png"))
        (folder / "valid/a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:, ::-1] if number > 1 else pixels).save(folder / f"valid/a/copy{number}.png")
    (folder / "valid/b").mkdir()
    Image.fromarray(pixels.T).save(folder / "valid/b/other.png")
    return folder


def test_corrected_labels_are_said_to_be_the_same_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alike(tmp_path / "d")
    (tmp_path / "fix.csv").write_text("picture,now,was,why\nvalid/a/copy0.png,b,,\n", "utf-8")
    typed = ["train", "d", "--recipe", "linear", "--epochs", "1", "--folds", "1"]
    for more in (["--out", "plain"], ["--fix", "fix.csv", "--out", "fixed"]):
        assert here(*typed, *more, cwd=tmp_path, capsys=capsys).code == 0
    done = here("compare", "plain", "fixed", "--split", "valid", cwd=tmp_path, capsys=capsys)
    assert done.code == 1
    assert "1 of 5 labels differ" in done.err
    assert "not the same pictures" not in done.err
    (tmp_path / "fix.csv").write_text("picture,now,was,why\ntrain/a/05.png,b,,\ntrain/a/06.png,b,,\n", "utf-8")
    for name, more in (("p", []), ("f", ["--fix", "fix.csv"])):
        typed = ["train", "d/train", "--recipe", "linear", "--epochs", "1", "--folds", "2", "--out", name]
        rows = (tmp_path / "fix.csv").read_text("utf-8").replace("train/a", "a")
        (tmp_path / "fix.csv").write_text(rows, "utf-8")
        assert here(*typed, *more, cwd=tmp_path, capsys=capsys).code == 0
    done = here("compare", "p", "f", cwd=tmp_path, capsys=capsys)
    assert done.code == 1
    assert "p and f were judged on the same 80 pictures, but 2 labels differ." in done.err
    assert "--fix" in done.err


def test_a_pair_in_two_splits_names_two_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for kind, name in enumerate("ab"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 150, (16, 16)).astype(np.uint8)
            pixels[:, 8 * kind : 8 * kind + 8] += 80
            for copy in range(2):
                Image.fromarray(pixels).save(tmp_path / "d" / name / f"{number:02}-{copy}.png")
    np.savez(  # noqa: TID251
        tmp_path / "d.npz",
        allow_pickle=False,
        x_train=np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "d").rglob("*.png"))]),
        y_train=np.repeat([0, 1], 60),
    )
    here("train", "d.npz", "--recipe", "linear", "--epochs", "1", "--out", "run", cwd=tmp_path, capsys=capsys)
    here("report", "run", cwd=tmp_path, capsys=capsys)
    page = page_of(tmp_path / "run")
    assert "in two splits" in page
    pair = re.search(r"(train/\d+(?: \(\w+\))?), (train/\d+(?: \(\w+\))?)", page)
    assert pair is not None
    assert "(valid)" in pair[0] or "(test)" in pair[0]


def test_a_line_that_a_full_audit_has_changed_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alike(tmp_path / "d")
    typed = ["train", "d", "--recipe", "linear", "--epochs", "1", "--folds", "1", "--numbers"]
    before = here(*typed, cwd=tmp_path, capsys=capsys).out
    assert "not checked yet: near-duplicates" in " ".join(before.split())
    here("data", "d", cwd=tmp_path, capsys=capsys)
    after = here(*typed, cwd=tmp_path, capsys=capsys).out
    assert "by the full audit of these pictures" in " ".join(after.split())


@pytest.mark.parametrize(
    ("recipe", "wrong", "next_one"),
    [
        (Recipe.load("relu").replace(epochs=60), "overfitting", "relu --epochs 60 --keep best --stop-patience 3"),
        (
            Recipe.load("relu").replace(epochs=60, keep="best"),
            "overfitting",
            "relu --epochs 60 --augment flip+shift --keep best --stop-patience 3",
        ),
        (Recipe.load("fashion-10").replace(epochs=2), "too_few_epochs", "--epochs 6"),
        (Recipe.load("fashion-10").replace(epochs=2), "", "--epochs 4"),
        (Recipe.load("fashion-10").replace(hold_out=0.0), "", "fashion-10 --hold-out 0.0 --epochs 24"),
        (Recipe.load("linear"), "too_few_epochs", "--recipe relu"),
    ],
)
def test_the_next_command_fits_what_the_doctor_found(recipe: Recipe, wrong: str, next_one: str) -> None:
    assert worth_trying(recipe, True, {wrong}).endswith(f"{next_one} --plots")
