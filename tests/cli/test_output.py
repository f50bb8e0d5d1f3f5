"""Where the output goes, typed: any width, a closed or full stdout, a reader who leaves, and a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typed import Done, finished, here, sevensteps, start, three_classes

from sevensteps.cli.output import settle_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source and a run."""
    folder = tmp_path_factory.mktemp("output")
    three_classes(folder / "three")
    done = sevensteps("train", "three", "--epochs", "1", "--out", "runs/a", cwd=folder)
    assert done.code == 0, done.err
    return folder


def redirected(folder: Path, typed: str) -> Done:
    """Run a line in a shell, in which `sevensteps` is the command."""
    code = f'sevensteps() {{ "{sys.executable}" -m sevensteps "$@"; }}; set -o pipefail; {typed}'
    done = subprocess.run(["bash", "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    assert "should not have" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("columns", ["0", "-80", "wide", "²", "10000000000"])
@pytest.mark.parametrize("typed", ["runs", "--help"])
def test_a_width_that_is_none_is_as_if_it_were_not_given(folder: Path, typed: str, columns: str) -> None:
    usual = sevensteps(typed, cwd=folder)
    assert usual.out
    assert sevensteps(typed, cwd=folder, COLUMNS=columns, LINES=columns) == usual


@pytest.mark.parametrize(("typed", "settled"), [("1", "20"), ("20", "20"), ("132", "132"), ("0", None), ("", None)])
def test_a_terminal_has_at_least_twenty_columns(typed: str, settled: str | None) -> None:
    environment = {"COLUMNS": typed, "HOME": "/"}
    settle_size(environment)
    assert environment.get("COLUMNS") == settled
    assert environment["HOME"] == "/"


def test_every_verb_prints_at_any_width(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for typed in ("judge a", "doctor a", "verify a", "xray a", "data three", "train --help"):
        for columns in ("0", "1", "19"):
            monkeypatch.setenv("COLUMNS", columns)
            done = here(*typed.split(), cwd=folder, capsys=capsys)
            assert done.code == 0, f"{typed}: {done.err}"
            assert done.out.strip(), typed


@pytest.mark.parametrize(
    "verb",
    ["train three --epochs 1 --force --out again", "judge a", "runs --json", "data three", "--help", "--version"],
)
def test_a_closed_stdout_is_as_good_as_none(folder: Path, verb: str) -> None:
    done = redirected(folder, f"sevensteps {verb} >&-")
    assert (done.code, done.out) == (0, "")
    assert redirected(folder, f"sevensteps {verb} >&- 2>&- <&-") == Done(0, "", "")


def test_an_error_is_said_though_stdout_is_closed(folder: Path) -> None:
    done = redirected(folder, "sevensteps judge nowhere >&-")
    assert (done.code, done.out) == (1, "")
    assert "'nowhere'" in done.err


def test_a_closed_stderr_loses_no_result(folder: Path) -> None:
    done = redirected(folder, "sevensteps train three --epochs 1 --out quiet 2>&-")
    assert done.code == 0
    assert "saved        quiet" in done.out


@pytest.mark.parametrize("verb", ["train three --epochs 1 --out full{}", "judge a", "runs --json", "--help"])
def test_a_full_disk_behind_stdout_costs_the_output_alone(folder: Path, verb: str) -> None:
    for place, more in enumerate(("", "2>&1")):
        done = redirected(folder, f"sevensteps {verb.format(place)} >/dev/full {more}")
        assert (done.code, done.out) == (1, "")
        assert "No space left on device" in done.err or more
        assert ("The work is done" in done.err) or more
    if verb.startswith("train"):
        for place in (0, 1):
            assert json.loads((folder / f"full{place}" / "judgement.json").read_text())["stopped_code"] == "epochs"


@pytest.mark.parametrize("verb", ["train three --epochs 1 --out short", "judge a", "data three", "train --help"])
def test_head_ends_nothing_but_the_output(folder: Path, verb: str) -> None:
    done = redirected(folder, f"sevensteps {verb} 2>&1 | head -n 1")
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 1
    if verb.startswith("train"):
        assert (folder / "short" / "predictions.jsonl").is_file()


def test_a_file_keeps_the_table_of_epochs(folder: Path) -> None:
    done = redirected(folder, "sevensteps train three --epochs 3 --out kept > lesson.txt")
    assert (done.code, done.out, done.err) == (0, "", "")
    lines = (folder / "lesson.txt").read_text().splitlines()
    rows = [line.split()[0] for line in lines if line[:5].strip() in ("epoch", "1", "2", "3")]
    assert rows == ["epoch", "1", "2", "3"]
    assert lines.index(next(line for line in lines if line.startswith("epoch"))) > lines.index(
        next(line for line in lines if line.startswith("7 stop"))
    )


@pytest.mark.slow
def test_json_keeps_the_table_of_epochs_apart(folder: Path) -> None:
    done = sevensteps("train", "three", "--epochs", "2", "--out", "apart", "--json", cwd=folder)
    assert json.loads(done.out)["epochs"] == 2
    assert [line.split()[0] for line in done.err.splitlines() if line[:5].strip() in ("epoch", "1", "2")] == [
        "epoch",
        "1",
        "2",
    ]


def test_python_trains_without_a_stdout(folder: Path) -> None:
    code = "import sevensteps as ss; ss.train('three', epochs=1).learn.fit(1)"
    closed = ["bash", "-c", f'"{sys.executable}" -c "{code}" >&-']
    subprocess.run(closed, cwd=folder, check=True, timeout=120, capture_output=True)


@pytest.mark.slow
def test_a_reader_who_leaves_in_the_middle_gets_a_whole_run(folder: Path) -> None:
    with start("train", "three", "--epochs", "2", "--out", "left", cwd=folder, how={"bufsize": 1}) as process:
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        assert finished(process).code == 0
    assert (folder / "left" / "predictions.jsonl").is_file()


@pytest.mark.slow
def test_plots_draws_the_weights_of_a_hidden_layer_and_says_what_it_cannot_draw(folder: Path) -> None:
    drawn = sevensteps("train", "three", "--epochs", "1", "--model", "relu", "--plots", "--out", "relu", cwd=folder)
    assert (drawn.code, drawn.err) == (0, "")
    assert (folder / "relu/weights.png").is_file()
    left_out = sevensteps("train", "three", "--epochs", "1", "--model", "cnn", "--plots", "--out", "cnn", cwd=folder)
    assert left_out.code == 0
    assert "weights.png is not drawn: a cnn has no weight for each pixel." in " ".join(left_out.err.split())
    assert not (folder / "cnn/weights.png").exists()
