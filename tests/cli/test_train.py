"""`sevensteps train`, typed: real files, exit codes, stdout and stderr."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import Done, here, sevensteps, start, three_classes, write_idx

from sevensteps.cli.app import run

WRITTEN = [
    ".lock",
    "checkpoint.safetensors",
    "history.jsonl",
    "judgement.json",
    "model.safetensors",
    "predictions.jsonl",
    "recipe.toml",
    "timings.jsonl",
]
FIGURES = ["confusion.png", "curves.png", "mistakes.png", "results.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def first(folder: Path) -> Done:
    """`sevensteps train`, without anything, on a machine that has not trained before."""
    fresh = {f"SEVENSTEPS_{place}": str(folder / "fresh" / place) for place in ("CACHE", "STATE")}
    return sevensteps("train", cwd=folder, **fresh)


@pytest.fixture(scope="module")
def repeated(folder: Path, first: Done) -> Done:
    """The same run from its recipe."""
    recipe = "runs/pullover-dress-linear-1/recipe.toml"
    return sevensteps("train", "--recipe", recipe, "--out", "again", "--json", cwd=folder)


@pytest.fixture(scope="module")
def three(folder: Path) -> Path:
    return three_classes(folder / "three")


@pytest.fixture(scope="module")
def convolutional(folder: Path, three: Path) -> Done:
    """A network on pictures from IDX files, with everything that is random."""
    chosen = [
        "--model",
        "cnn",
        "--width",
        "4",
        "--augment",
        "flip+shift",
        "--epochs",
        "2",
        "--threads",
        "1",
        "--numbers",
    ]
    return sevensteps("train", "three", *chosen, "--out", "cnn", "--plots", cwd=folder)


@pytest.fixture
def place(folder: Path, three: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are typed that need no process of their own."""
    monkeypatch.chdir(folder)
    return folder


def test_the_first_job_needs_no_arguments(folder: Path, first: Done) -> None:
    assert first.code == 0
    lines = [line for line in first.out.splitlines() if not re.match(r"epoch  | +\d+  ", line)]  # without the table
    assert [line[:13].strip() for line in lines if line[1:2] == " "] == [
        "1 initialize",
        "2 predict",
        "3 loss",
        "4 gradient",
        "5 step",
        "6 repeat",
        "7 stop",
    ]
    assert re.search(
        r"^9\d\.\d % of 2,000 test pictures right \(95 % interval 9\d\.\d to 9\d\.\d\)", first.out, re.MULTILINE
    )
    assert "as good as matching the most similar picture (97.0 %)" in " ".join(lines)
    assert "10,800 gray pictures, 28x28: Pullover or Dress" in first.out
    assert len(lines) <= 14
    assert sorted(os.listdir(folder / "runs/pullover-dress-linear-1")) == WRITTEN


def test_what_is_typed_next_works(folder: Path, first: Done, capsys: pytest.CaptureFixture[str]) -> None:
    (report,) = re.findall(r"sevensteps (report .*)", first.out)
    assert here(*report.split(), "--out", "report.html", cwd=folder, capsys=capsys).code == 0


def test_off_a_terminal_there_is_a_line_an_epoch_and_no_escape_code(first: Done) -> None:
    assert "\x1b" not in first.out + first.err
    header, *rows = first.out[first.out.index("epoch  train_loss") :].splitlines()[:9]
    assert header.split() == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    assert [line.split()[0] for line in rows] == [str(number) for number in range(1, 9)]
    assert first.err == ""


def test_json_is_one_object_with_the_promised_keys(repeated: Done) -> None:
    assert repeated.code == 0
    (line,) = repeated.out.splitlines()
    result = json.loads(line)
    assert {
        "run",
        "test",
        "valid",
        "baselines",
        "epochs",
        "seconds",
        "stopped_because",
        "gradient",
        "model",
        "findings",
    } <= set(result)
    scores = [result["test"], result["valid"], *result["baselines"].values()]
    for score in scores:
        assert set(score) - {"note", "balanced_accuracy"} == {"accuracy", "low", "high", "n", "correct", "split"}
        assert 0 <= score["low"] <= score["accuracy"] == score["correct"] / score["n"] <= score["high"] <= 1
    assert [score["n"] for score in scores] == [2000, 1200] + 4 * [2000]
    named = ["most frequent class", "pixel similarity", "nearest neighbor", "logistic regression"]
    assert list(result["baselines"]) == named
    assert set(result["seconds"]) == {"import", "data", "train", "judge"}
    assert result["model"] == {"name": "linear", "parameters": 785}
    assert result["gradient"] == "formula"
    assert (result["run"], result["epochs"], result["findings"]) == ("again", 8, [])
    assert result["stopped_because"] == "8 epochs were asked for and done"


def test_a_run_is_repeated_bit_for_bit_by_its_recipe(folder: Path, repeated: Done) -> None:
    for name in set(WRITTEN) - {"timings.jsonl"}:
        one, two = (folder / run / name for run in ("runs/pullover-dress-linear-1", "again"))
        assert one.read_bytes() == two.read_bytes(), name


def test_a_network_with_augmentation_is_repeated_bit_for_bit(folder: Path, convolutional: Done) -> None:
    assert convolutional.code == 0, convolutional.err
    assert sevensteps("train", "--recipe", "cnn/recipe.toml", "--out", "cnn-2", cwd=folder).code == 0
    for name in set(WRITTEN) - {"timings.jsonl"}:
        assert (folder / "cnn" / name).read_bytes() == (folder / "cnn-2" / name).read_bytes(), name


def test_a_source_of_three_classes_gets_three_scores_and_cross_entropy(folder: Path, convolutional: Done) -> None:
    assert "three: 12x12 gray pictures of 0, 1, 2" in convolutional.out
    assert "scores" in convolutional.out
    assert tomllib.loads((folder / "cnn/recipe.toml").read_text())["loss"] == "cross_entropy"


def test_a_test_split_that_was_taken_from_training_is_said_to_be_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_idx(place / "without-test", "train", np.arange(300) % 3)
    assert run(["train", "without-test", "--epochs", "1", "--folds", "1", "--out", "taken", "--numbers"]) == 0
    out = capsys.readouterr().out
    sizes = "216 to train on, 60 to test on (taken from the training pictures), 24 held out for validation"
    assert sizes in out
    assert "train pictures" not in out
    assert out.count("of 60 test pictures (95 % interval") == 5  # four baselines and the result
    rows = [json.loads(line) for line in (place / "taken/predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 84
    assert all(row["id"].startswith("train/") for row in rows), "a picture no longer has the source's name"


def test_plots_are_pictures_in_the_runs_folder(folder: Path, convolutional: Done) -> None:
    assert sorted(path.name for path in (folder / "cnn").glob("*.png")) == FIGURES
    for name in FIGURES:
        with Image.open(folder / "cnn" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10, f"{name} is empty"


def test_what_to_type_next_stays_with_the_pictures(convolutional: Done) -> None:
    assert "sevensteps train three --recipe " in convolutional.out


def result_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What a command in this process prints with --json, after exit code 0."""
    code = run([*arguments, "--json"])
    said = capsys.readouterr()
    assert code == 0, said
    result: dict[str, object] = json.loads(said.out)
    return result


def recipe_of(result: dict[str, object]) -> dict[str, object]:
    """The recipe that a run wrote down."""
    return tomllib.loads((Path(str(result["run"])) / "recipe.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("flags", "written"),
    [
        (["--model", "relu", "--width", "7"], {"model": "relu", "width": 7, "name": "relu"}),
        (["--recipe", "relu", "--width", "0"], {"width": 30, "gradient": "autograd"}),
        (["--gradient", "auto"], {"width": 0, "gradient": "formula"}),
        (["--loss", "mse_loss", "--lr", "0.01"], {"loss": "mse_loss", "lr": 0.01}),
        (
            ["--optimizer", "AdamW", "--lr", "0.001", "--weight-decay", "0.1"],
            {"optimizer": "AdamW", "lr": 0.001, "weight_decay": 0.1},
        ),
        (["--init", "zeros"], {"init": "zeros"}),
        (["--init", "normal", "--init-std", "0.01"], {"init": "normal", "init_std": 0.01}),
        (["--clip", "1"], {"clip": 1}),
        (["--accumulate", "4", "--batch-size", "8"], {"accumulate": 4, "batch_size": 8}),
        (["--recipe", "cnn", "--width", "2", "--shards", "2"], {"shards": 2, "threads": 0}),
        (["--shards", "2"], {"shards": 2, "gradient": "formula"}),
        (["--label-smoothing", "0.1"], {"label_smoothing": 0.1}),
        (["--nesterov", "--momentum", "0.8"], {"nesterov": True, "momentum": 0.8}),
        (["--no-normalize", "--schedule", "cosine"], {"normalize": False, "schedule": "cosine"}),
        (["--optimizer", "Adam", "--momentum", "0", "--lr", "0.001"], {"optimizer": "Adam", "momentum": 0}),
        (["--gradient", "autograd", "--batch-size", "7"], {"gradient": "autograd", "batch_size": 7}),
        (["--classes", "2", "0", "--seed", "5"], {"classes": ["2", "0"], "seed": 5}),
        (["--hold-out", "0.5", "--augment", "flip"], {"hold_out": 0.5, "augment": "flip"}),
        (["--hold-out", "0"], {"hold_out": 0}),
        (["--validate-on", "test"], {"validate_on": "test"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_flag_works_and_is_written_down(
    place: Path, flags: list[str], written: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of("train", "three", "--epochs", "2", *flags, capsys=capsys)
    assert result["epochs"] == 2
    assert result["test"]
    assert written.items() <= recipe_of(result).items()


def test_patience_keeps_the_best_epoch_and_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        ["train", "three", "--stop-patience", "2", "--epochs", "50", "--lr", "0.5", "--out", "patient", "--numbers"]
    )
    out = capsys.readouterr().out
    assert code == 0
    losses = [json.loads(line)["valid_loss"] for line in Path("patient/history.jsonl").read_text().splitlines()]
    best = 1 + int(np.argmin(losses))
    assert len(losses) == best + 2 < 50
    assert "stopped      valid_loss has not improved for 2 epochs" in out
    assert f"the parameters kept are those of epoch {best}" in out
    judgement = json.loads(Path("patient/judgement.json").read_text())
    assert (judgement["kept_epoch"], judgement["epochs"]) == (best, best + 2)
    assert tomllib.loads(Path("patient/recipe.toml").read_text())["keep"] == "best"


def test_accuracy_that_is_reached_ends_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of("train", "three", "--stop-accuracy", "0.4", "--epochs", "50", capsys=capsys)
    assert str(result["stopped_because"]).startswith("accuracy has reached 0.4: it is ")
    assert int(str(result["epochs"])) < 50


def test_seconds_that_are_over_end_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of("train", "three", "--stop-seconds", "0.2", "--epochs", "1000000", capsys=capsys)
    assert result["stopped_because"] == "the 0.2 seconds it was given are over"


def test_a_run_that_is_over_within_its_first_epoch_is_judged_and_drawn(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of("train", "three", "--stop-seconds", "0.000001", "--plots", capsys=capsys)
    assert result["epochs"] == 0
    assert result["test"]
    assert (Path(str(result["run"])) / "confusion.png").is_file()


def test_a_stuck_start_is_said_with_its_reason_and_remedy(folder: Path) -> None:
    stuck = ["--recipe", "walkthrough-by-hand", "--seed", "0", "--epochs", "3", "--out", "stuck", "--numbers"]
    done = sevensteps("train", *stuck, cwd=folder)
    assert done.code == 0
    assert "! After epoch 2 the model is no better than always answering" in done.err
    assert "the flat end of the sigmoid" in done.err
    assert "sevensteps train --recipe linear" in done.err
    assert "warning      After epoch 2 the model is no better than always answering" in done.out
    assert "This recipe checks the test pictures after every epoch" in done.out
    judgement = json.loads((folder / "stuck/judgement.json").read_text())
    (finding,) = judgement["findings"]
    assert set(finding) == {"code", "epoch", "recovered_at", "message", "fix", "evidence"}
    assert (finding["code"], finding["epoch"], finding["recovered_at"]) == ("saturated", 2, None)
    assert judgement["validated_on_test"] is True


def test_a_folder_that_is_there_is_not_overwritten_without_force(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = place / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    assert run(["train", "three", "--epochs", "1", "--out", "mine"]) == 1
    assert "--force" in capsys.readouterr().err
    assert os.listdir(mine) == ["notes.txt"]
    assert run(["train", "three", "--epochs", "1", "--out", "mine", "--force", "--plots"]) == 0
    assert sorted(os.listdir(mine)) == sorted([*WRITTEN, *FIGURES, "weights.png", "notes.txt"])
    before = (mine / "model.safetensors").read_bytes()
    assert run(["train", "three", "--out", "mine", "--force", "--optimizer", "Adan"]) == 2
    assert (mine / "model.safetensors").read_bytes() == before, "settings that cannot be used took a run away"
    assert run(["train", "three", "--epochs", "2", "--out", "mine", "--force"]) == 0
    assert sorted(os.listdir(mine)) == sorted([*WRITTEN, "notes.txt"]), "figures of the run before are left"
    assert (mine / "notes.txt").read_text() == "keep me"


def test_runs_are_numbered_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [result_of("train", "three", "--recipe", "relu", "--epochs", "1", capsys=capsys)["run"] for _ in range(2)]
    first = int(str(names[0]).rpartition("-")[2])
    assert names == [f"runs/three-relu-{first}", f"runs/three-relu-{first + 1}"]


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the end to read from, and the end for a command."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def seen_in_a_terminal(cwd: Path, *typed: str, **environment: str) -> str:
    """All that `sevensteps train` writes to a terminal."""
    shown = b""
    with terminal() as (ours, theirs):
        how = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        command = typed or ("train", "three", "--epochs", "60", "--batch-size", "16")
        with start(
            *command, cwd=cwd, how=how, **{"TERM": "xterm-256color", "COLUMNS": "100", **environment}
        ) as process:
            os.close(theirs)
            with contextlib.suppress(OSError):  # the other end is closed
                while block := os.read(ours, 65536):
                    shown += block
            assert process.wait(timeout=60) == 0
    return shown.decode()


@pytest.fixture(scope="module")
def shown(folder: Path, three: Path) -> str:
    """The same as a pipe never gets it."""
    return seen_in_a_terminal(folder)


def test_in_a_terminal_there_is_a_bar_above_which_the_table_grows(shown: str) -> None:
    assert "━" in shown
    assert re.search(r"epoch \d+/60", shown)
    assert re.search(r" left", shown)
    assert "\x1b[?25h" in shown, "the cursor is still hidden"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    rows = re.findall(r"\r +(\d+)(?: +\d\.\d{4}){3} +\d+\.\d\d s\r\n", plain)
    assert rows == ["1", "10", "20", "30", "40", "50", "60"]


def test_no_color_means_no_color(folder: Path, shown: str) -> None:
    colored = r"\x1b\[[0-9;]*\b(3[0-7]|38|9[0-7])[0-9;]*m"
    assert re.search(colored, shown)
    assert not re.search(colored, seen_in_a_terminal(folder, NO_COLOR="1"))


def lines_left(shown: str) -> list[str]:
    """The lines that stand in a terminal when all is done: a line that was erased, as a bar is, is gone."""
    lines, row, column = [""], 0, 0
    for code, letter, text in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", shown, re.DOTALL):
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif text:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + 1 :]
            column += 1
        elif letter == "A":
            row -= int(code or 1)
        elif letter == "K":
            lines[row] = "" if code == "2" else lines[row][:column]
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("job", ["pictures", "first"])
def test_nothing_wraps_at_60_columns_in_a_terminal_or_a_pipe(tmp_path: Path, job: str) -> None:
    for number in range(40):
        for name, side in (("cats", 3), ("dogs", 9)):
            path = tmp_path / f"animals/{name}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 99, (16, 16))
            pixels[:side, :side] = 255
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    typed = ["train", *(["animals", "--epochs", "30", "--model", "linear"] if job == "pictures" else [])]
    # A cache of its own: what other tests trained on these pictures must not add a line.
    fresh = {"COLUMNS": "60", "SEVENSTEPS_CACHE": str(tmp_path / "cache"), "SEVENSTEPS_STATE": str(tmp_path / "state")}
    piped = sevensteps(*typed, cwd=tmp_path, **fresh)
    left = lines_left(seen_in_a_terminal(tmp_path, *typed, **fresh))
    assert piped.code == 0
    for line in [*piped.out.splitlines(), *piped.err.splitlines(), *left]:
        assert len(line) <= 60, line
    is_row = re.compile(r"epoch  |( +[0-9.]+){3,} s$")
    most = {"pictures": 20, "first": 14}[job]
    beside = [line for line in (piped.out + piped.err).splitlines() if not is_row.match(line)]
    assert len(beside) <= most, beside
    assert [line for line in left if line and not is_row.match(line)] == [
        line.replace("linear-1", "linear-2") for line in beside
    ]
