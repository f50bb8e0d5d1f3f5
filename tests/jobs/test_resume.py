"""A run that was cut off goes on to the very end that it would have had, byte for byte, and verify says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typed import Done, here, refused, start, three_classes, write_idx

import sevensteps as ss
from sevensteps.base import files
from sevensteps.errors import FileError, ModelError, RecipeError, RunError, TrainingError
from sevensteps.jobs.verify import verify
from sevensteps.records.events import Batch, Epoch, Note
from sevensteps.runs import checkpoint
from sevensteps.runs.checkpoint import CHECKPOINT, DAMAGED, HISTORY, JUDGEMENT, MODEL, PREDICTIONS, PREVIOUS, RECIPE

SETTINGS: dict[str, dict[str, Any]] = {
    "linear by formula": {"batch_size": 32},
    "momentum, best kept": {"recipe": "relu", "batch_size": 32, "keep": "best", "lr": 0.5, "width": 8},
    "AdamW, CNN, augmented": {"recipe": "cnn", "optimizer": "AdamW", "batch_size": 64, "width": 2, "threads": 1},
    "Muon, CNN, augmented": {
        "recipe": "cnn",
        "optimizer": "Muon",
        "batch_size": 64,
        "width": 2,
        "threads": 1,
        "augment": "photos+rotate+cutout+mixup",
    },
}
EPOCHS = 3
SHARED = (CHECKPOINT, HISTORY, MODEL, JUDGEMENT, PREDICTIONS, RECIPE)


class Enough(Exception):  # noqa: N818  not an error
    """What an observer raises to leave a run."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_classes(tmp_path_factory.mktemp("resume") / "three")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents(folder: Path, names: tuple[str, ...] = SHARED) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def leaving_after(batches: int) -> Callable[[Any], None]:
    """An observer that is gone after so many batches."""
    seen: list[Batch] = []

    def observe(event: Any) -> None:
        if isinstance(event, Batch):
            seen.append(event)
            if len(seen) > batches:
                raise Enough

    return observe


def cut_off(three: Path, out: Path, after: int, **settings: Any) -> Path:
    """A run that was saved after so many batches, and then left as a kill leaves it."""
    with pytest.raises(Enough):
        ss.train(three, out=out, observe=leaving_after(after), checkpoint_every="1 batch", **settings)
    return out


def lines_of(run: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, list[str]]:
    """What a job gives, and the notes it made."""
    notes: list[str] = []
    done = run(*arguments, observe=lambda e: notes.append(e.line) if isinstance(e, Note) else None, **named)
    return done, notes


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("after", [1, 4, 5, 13])
def test_a_run_that_was_cut_off_ends_as_an_uninterrupted_one(three: Path, name: str, after: int) -> None:
    settings = {**SETTINGS[name], "epochs": EPOCHS}
    whole = ss.train(three, out="whole", checkpoint_every="1 batch", **settings)
    after = min(after, whole.learn.state.batch - 1)
    folder = cut_off(three, Path("cut"), after, **settings)
    assert checkpoint.read(folder / CHECKPOINT).facts["batch"] == after
    run = ss.resume(folder)
    assert contents(folder) == contents(Path("whole"))
    assert (run.test, run.valid, run.kept_epoch) == (whole.test, whole.valid, whole.kept_epoch)
    assert [epoch.number for epoch in run.learn.state.history] == [1, 2, 3]


def test_when_it_is_saved_changes_no_number(three: Path) -> None:
    for place, every in enumerate(["auto", "1 epoch", "7 batches", "1 second"]):
        ss.train(three, out=f"{place}", epochs=EPOCHS, checkpoint_every=every)
    names = (HISTORY, MODEL, PREDICTIONS)
    assert all(contents(Path(f"{place}"), names) == contents(Path("0"), names) for place in (1, 2, 3))
    assert not Path("0", PREVIOUS).exists(), "a short run is saved once"
    assert Path("1", PREVIOUS).exists()


def test_a_finished_run_is_made_whole_again(three: Path) -> None:
    ss.train(three, out="run", epochs=2)
    whole = contents(Path("run"))
    for name in SHARED:
        if name != CHECKPOINT:
            Path("run", name).write_bytes(b"damaged")
    Path("run/.model.safetensors.0a1b2c3d.part").write_bytes(b"half")
    run, notes = lines_of(ss.resume, "run")
    assert contents(Path("run")) == whole
    assert not list(Path("run").glob(".*.part"))
    assert run.stopped_because == "2 epochs were asked for and done"
    assert [note.split()[0] for note in notes] == [
        f"run/{name}" for name in (RECIPE, HISTORY, MODEL, JUDGEMENT, PREDICTIONS)
    ]


def test_a_run_that_saved_nothing_begins_at_the_start(three: Path) -> None:
    ss.train(three, out="whole", epochs=2)
    with pytest.raises(Enough):
        ss.train(three, out="cut", epochs=2, observe=leaving_after(3))
    assert not Path("cut", CHECKPOINT).exists()
    _, notes = lines_of(ss.resume, "cut")
    assert notes == ["Nothing was saved in cut yet: training begins at the start."]
    assert contents(Path("cut")) == contents(Path("whole"))


def test_a_damaged_save_falls_back_to_the_one_before_and_is_put_aside(three: Path) -> None:
    ss.train(three, out="whole", epochs=EPOCHS, checkpoint_every="1 batch")
    folder = cut_off(three, Path("cut"), 4, epochs=EPOCHS)
    damaged = (folder / CHECKPOINT).read_bytes()[:-1]
    (folder / CHECKPOINT).write_bytes(damaged)
    before = checkpoint.read(folder / PREVIOUS).facts["batch"]
    _, notes = lines_of(ss.resume, folder)
    assert "cut/checkpoint.safetensors" in notes[0]
    assert notes[1] == f"! Continuing from the previous save, after batch {before}."
    assert contents(folder) == contents(Path("whole"))
    assert (folder / DAMAGED).read_bytes() == damaged


def test_where_no_save_is_whole_nothing_is_touched(three: Path) -> None:
    folder = cut_off(three, Path("cut"), 4, epochs=EPOCHS)
    for name in (CHECKPOINT, PREVIOUS):
        (folder / name).write_bytes(b"damaged")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RunError, match="cut has no intact checkpoint") as caught:
        ss.resume(folder)
    assert "train --recipe" in caught.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_second_process_is_refused(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ss.train(three, out="run", epochs=1)
    code = (
        "import pathlib, time; from sevensteps.base import files\n"
        "with files.locked(pathlib.Path('run')):\n    print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        began = time.monotonic()
        for typed in (["resume", "run"], ["train", str(three), "--out", "run", "--force"]):
            refused(here(*typed, cwd=Path(), capsys=capsys), 1, "run is in use")
        assert time.monotonic() - began < 10
        other.kill()
    assert ss.resume("run").epochs == 1, "a process that was killed leaves no lock"


@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "batch_size": 64}])
def test_more_epochs_under_a_constant_rate_are_exact(three: Path, settings: dict[str, Any]) -> None:
    settings = {**settings, "schedule": "constant"}
    ss.train(three, out="long", epochs=5, **settings)
    ss.train(three, out="short", epochs=3, **settings)
    _, notes = lines_of(ss.resume, "short", epochs=2)
    assert notes == []
    assert contents(Path("short")) == contents(Path("long"))


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_more_epochs_after_a_schedule_are_a_new_cycle(three: Path, schedule: str) -> None:
    settings = {"schedule": schedule, "lr": 0.002, "batch_size": 32}
    first = ss.train(three, out="run", epochs=2, **settings)
    run, notes = lines_of(ss.resume, "run", epochs=4)
    assert notes == [
        f"The {schedule} schedule has ended after epoch 2: a new cycle starts there, up to the rate 0.002 again."
    ]
    before, *added = [epoch.valid_loss for epoch in run.learn.state.history[1:]]
    at_once = ss.train(three, out="once", epochs=6, **settings).learn.state.history[-1].valid_loss
    assert before - added[-1] > 0.5 * (before - at_once) > 0, "the epochs that were added lower the loss"
    assert max(epoch.lr for epoch in run.learn.state.history[2:]) > 0.0015
    assert list(run.learn.state.history[:2]) == list(first.learn.state.history)
    ss.train(recipe="run", out="again")
    assert contents(Path("again")) == contents(Path("run")), "the longer recipe is the whole run's"
    assert all(check.passed for check in verify("run", rerun=True))
    third = ss.resume("run", epochs=2)
    assert (third.recipe.schedule_restarts, third.recipe.schedule_epochs, third.epochs) == ("2,6", 0, 8)
    ss.train(recipe="run", out="third")
    assert contents(Path("third")) == contents(Path("run"))


def test_a_new_cycle_waits_for_the_end_of_the_one_under_way(three: Path) -> None:
    ss.train(three, out="run", epochs=4, lr=0.01, stop_accuracy=0.01)
    run, notes = lines_of(ss.resume, "run", epochs=2)
    assert (run.epochs, run.recipe.schedule_epochs, run.recipe.schedule_restarts) == (3, 4, "")
    assert "schedule" not in "".join(notes), "the cycle of four epochs is still under way"
    run, notes = lines_of(ss.resume, "run", epochs=3)
    assert "ends after epoch 4: a new cycle starts there" in notes[0]
    rates = [epoch.lr for epoch in run.learn.state.history]
    assert len(rates) == 6
    assert rates[3] < rates[2]
    assert max(rates[4:]) > 0.005
    ss.train(recipe="run", out="again")
    assert contents(Path("again")) == contents(Path("run"))


def test_a_longer_copy_of_a_run_with_cycles_learns_to_its_end(three: Path) -> None:
    ss.train(three, out="run", epochs=2)
    ss.resume("run", epochs=2)
    longer = ss.train(recipe="run", out="longer", epochs=8)
    assert max(epoch.lr for epoch in longer.learn.state.history[4:]) > 0.02


def test_a_schedule_that_was_to_keep_its_last_rate_keeps_it_and_says_what_to_type(three: Path) -> None:
    ss.train(three, out="run", epochs=3, schedule_epochs=2)
    run, notes = lines_of(ss.resume, "run", epochs=1)
    assert run.learn.state.history[-1].lr < 1e-5
    assert notes == [
        "The one_cycle schedule has ended after epoch 2: later epochs keep its last learning rate, too low to learn "
        "much. To learn more: sevensteps train --recipe run --epochs 4 --schedule-epochs 0"
    ]


def test_more_epochs_of_a_run_that_is_not_done_are_more_than_it_was_to_have(three: Path) -> None:
    folder = cut_off(three, Path("cut"), 3, epochs=2, schedule="constant")
    assert ss.resume(folder, epochs=1).epochs == 3
    folder = cut_off(three, Path("second"), 3, epochs=2)
    with pytest.raises(Enough):
        ss.resume(folder, epochs=1, observe=leaving_after(0))
    assert ss.resume(folder).epochs == 3, "what was asked for is kept when that is cut off, too"


def test_more_epochs_of_a_run_that_a_rule_has_stopped(three: Path) -> None:
    run = ss.train(three, out="run", epochs=50, stop_patience=2, schedule="constant", lr=0.3)
    assert run.epochs < 50
    more, notes = lines_of(ss.resume, "run", epochs=2)
    assert more.epochs == run.epochs + 2
    assert len(notes) == 1
    assert "stop_patience no longer applies" in notes[0]
    with pytest.raises(RecipeError, match="epochs is 0"):
        ss.resume("run", epochs=0)


def test_seconds_go_on_counting(three: Path) -> None:
    folder = cut_off(three, Path("cut"), 4, epochs=10**6, stop_seconds=3600.0)
    last = json.loads((folder / "timings.jsonl").read_text().splitlines()[-1])
    assert last["batch"] == 4
    (folder / "timings.jsonl").write_text(json.dumps({**last, "seconds": 3599.9}) + "\n")
    began = time.monotonic()
    run = ss.resume(folder)
    assert time.monotonic() - began < 20
    assert run.stopped_because == "the 3600 seconds it was given are over"
    assert all(check.passed for check in verify(folder, rerun=True)), "it ends at the batch at which it ended"


def test_other_pictures_are_refused(three: Path, tmp_path: Path) -> None:
    source = three_classes(tmp_path / "mine")
    folder = cut_off(source, Path("cut"), 3, epochs=2)
    write_idx(source, "train", [0, 1, 2] * 90)
    with pytest.raises(RunError, match="have changed"):
        ss.resume(folder)
    _, notes = lines_of(ss.train, recipe=folder, out="anew")
    assert notes == ["The numbers may differ from those of the original run: the pictures have changed."]


def with_recorded(folder: Path, before: str, after: str) -> None:
    """Make a run that says that it was made with something else."""
    found = checkpoint.read(folder / CHECKPOINT)
    assert before in found.recipe
    checkpoint.save(
        folder,
        checkpoint.Checkpoint(
            found.arrays, found.facts, found.recipe.replace(before, after), found.about, found.findings
        ),
    )


def test_what_is_another_here_is_said_and_refused_where_exactness_is_asked_for(three: Path) -> None:
    folder = cut_off(three, Path("cut"), 3, epochs=2)
    version = torch.__version__
    with_recorded(folder, f'torch = "{version}"', 'torch = "1.0"')
    said = f"torch was 1.0 and is {version}"
    with pytest.raises(RunError, match="may differ") as caught:
        ss.resume(folder, exact=True)
    assert said in caught.value.message
    _, notes = lines_of(ss.resume, folder)
    assert any(said in note for note in notes)
    recipe = Path("run.toml")
    recipe.write_text((folder / RECIPE).read_text().replace(f'torch = "{version}"', 'torch = "1.0"'))
    with pytest.raises(RunError, match="may differ"):
        ss.train(recipe=recipe, out="anew", exact=True)
    assert not Path("anew").exists()
    _, notes = lines_of(ss.train, recipe=recipe, out="anew")
    assert notes == [f"The numbers may differ from those of the original run: {said}."]


def test_threads_are_as_they_were(three: Path) -> None:
    threads = torch.get_num_threads() + 1
    folder = cut_off(three, Path("cut"), 3, epochs=2, threads=threads)
    used = set()
    ss.resume(folder, observe=lambda event: used.add((type(event), torch.get_num_threads())))
    assert (Batch, threads) in used
    assert (Batch, threads - 1) not in used


def test_findings_of_before_are_kept(three: Path) -> None:
    settings = {"recipe": "walkthrough-by-hand", "source": "pullover-dress", "seed": 29, "epochs": 4}
    whole = ss.train(out="whole", **settings)
    assert [finding.code for finding in whole.findings] == ["saturated"]
    per_epoch = whole.learn.batches_per_epoch or 0
    cut_off_after = 3 * per_epoch + 1
    with pytest.raises(Enough):
        ss.train(out="cut", observe=leaving_after(cut_off_after), checkpoint_every="1 epoch", **settings)
    run = ss.resume("cut")
    assert run.findings == whole.findings
    assert contents(Path("cut"), (HISTORY, MODEL, JUDGEMENT)) == contents(Path("whole"), (HISTORY, MODEL, JUDGEMENT))


def test_what_a_run_holds_beside_its_model_is_held_against_the_optimizer(three: Path) -> None:
    folder = cut_off(three, Path("cut"), 3, epochs=2)
    found = checkpoint.read(folder / CHECKPOINT)
    name = next(name for name in found.arrays if name.startswith("optimizer."))
    for arrays, facts in (
        ({**found.arrays, name: found.arrays[name][:1, :3]}, found.facts),
        ({**found.arrays, "optimizer.7.momentum_buffer": found.arrays[name]}, found.facts),
        (found.arrays, {**found.facts, "position": -1}),
        (found.arrays, {**found.facts, "batch": "3"}),
        (found.arrays, {**found.facts, "lr": "high"}),
        (found.arrays, {**found.facts, "optimizer": {**found.facts["optimizer"], "groups": []}}),
        (found.arrays, {**found.facts, "optimizer": {**found.facts["optimizer"], "name": "Adam"}}),
        ({n: a for n, a in found.arrays.items() if n != "loss_sum"}, found.facts),
    ):
        checkpoint.save(folder, checkpoint.Checkpoint(arrays, facts, found.recipe, found.about, found.findings))
        (folder / PREVIOUS).unlink()
        with pytest.raises((TrainingError, RunError, ModelError)):
            ss.resume(folder)


# Interrupted


def test_signals_that_come_within_a_batch_wait_for_its_end(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sevensteps.steps.step import SGD

    settings = {"recipe": "relu", "epochs": 3, "batch_size": 32}
    ss.train(three, out="whole", **settings)
    steps, real = [], SGD.step

    def twice(optimizer: Any, closure: Any = None) -> Any:
        done = real(optimizer, closure)
        steps.append(optimizer)
        if len(steps) == 12:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(SGD, "step", twice)
        run = ss.train(three, out="cut", **settings)
    assert run.interrupted == signal.SIGINT
    assert run.learn.state.batch == 10  # a look at the first batch, twice, takes a step on a copy
    ss.resume("cut")
    assert contents(Path("cut")) == contents(Path("whole"))


@pytest.mark.slow
def test_a_signal_in_an_epoch_saves_and_resume_ends_the_same(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = [
        "train",
        str(three),
        "--recipe",
        "cnn",
        "--width",
        "2",
        "--threads",
        "1",
        "--batch-size",
        "16",
        "--epochs",
        "6",
    ]
    assert here(*typed, "--out", "whole", cwd=Path(), capsys=capsys).code == 0
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        out = Path(f"cut-{code}")
        with start(*typed, "--out", str(out), cwd=Path.cwd()) as process:
            for line in process.stdout:
                if line.startswith("    2 "):  # in the table
                    break
            began = time.monotonic()
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        if process.returncode == 0:  # it was done before the signal came
            continue
        assert process.returncode == code
        assert time.monotonic() - began < 10  # within two where nothing else runs
        assert said.splitlines()[-1].strip() == f"sevensteps resume {out}"
        done = here("resume", str(out), cwd=Path(), capsys=capsys)
        assert done.code == 0
        assert contents(out) == contents(Path("whole"))


def test_an_interrupt_while_validating_counts_no_epoch_and_loses_nothing() -> None:
    from small import assert_same, everything, learner, loaders

    def interrupting(predictions: torch.Tensor, targets: torch.Tensor) -> float:
        if len(learn.state.history) == 1 and not asked:
            asked.append(True)
            signal.raise_signal(signal.SIGINT)
        return 0.5

    asked: list[bool] = [True]
    learn = learner("linear", loaders(), metrics=interrupting)
    learn.fit(3, show=False)
    whole = everything(learn)
    asked.clear()
    learn = learner("linear", loaders(), metrics=interrupting)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(3, show=False)
    assert (learn.state.epoch, learn.state.position) == (1, 5)
    learn.state.stopped = None  # the fit that was interrupted goes on, and no new one begins
    list(learn.stream())
    assert_same(everything(learn), whole)


@pytest.mark.parametrize("looks", [0, 1], ids=["calibrating", "judging"])
def test_an_interrupt_after_training_keeps_the_run_and_resume_does_what_is_left(
    three: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    whole = ss.train(three, out="whole", epochs=2)
    done = []

    def leave(event: Any) -> None:
        if isinstance(event, Epoch) and event.number == 2:
            done.append(event)

    from sevensteps.trust.predictions import predict_split

    left = [predict_split] * looks

    def interrupted_then(*arguments: Any) -> Any:
        if left:
            return left.pop()(*arguments)
        raise KeyboardInterrupt(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("sevensteps.runs.judged.predict_split", interrupted_then)
        run = ss.train(three, out="cut", epochs=2, observe=leave)
    assert (run.interrupted, run.test, len(done)) == (signal.SIGTERM, None, 1)
    assert ss.resume("cut").test == whole.test
    assert contents(Path("cut")) == contents(Path("whole"))


# Verified


def test_a_whole_run_passes_and_each_damage_is_named(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ss.train(three, out="run", epochs=2, checkpoint_every="1 epoch")
    assert all(check.passed for check in verify("run", rerun=True))
    whole = {path: path.read_bytes() for path in Path("run").iterdir()}
    for name in (CHECKPOINT, PREVIOUS, HISTORY, MODEL, RECIPE, JUDGEMENT, PREDICTIONS):
        path = Path("run", name)
        for content in (b"", whole[path][:-2], whole[path] + b" ", None):
            if content is None:
                if name == PREVIOUS:
                    continue  # a run that was saved once has none
                path.unlink()
            else:
                path.write_bytes(content)
            wrong = [check.name for check in verify("run") if not check.passed]
            assert wrong, (name, content)
            assert wrong[0] == (JUDGEMENT if name == PREDICTIONS else name)
            path.write_bytes(whole[path])
    done = here("verify", "run", "--json", cwd=Path(), capsys=capsys)
    assert (done.code, json.loads(done.out)["passed"]) == (0, True)
    Path("run", MODEL).write_bytes(b"x")
    done = here("verify", "run", cwd=Path(), capsys=capsys)
    assert done.code == 1
    assert any(line.startswith("model.safetensors") and "WRONG" in line for line in done.out.splitlines())
    assert here("verify", "run/model.safetensors", "--json", cwd=Path(), capsys=capsys).code == 1
    assert here("verify", "run/checkpoint.safetensors", cwd=Path(), capsys=capsys).code == 0


def test_a_second_run_that_gives_something_else_is_seen(three: Path) -> None:
    ss.train(three, out="run", epochs=2)
    with_recorded(Path("run"), "seed = 0", "seed = 1")
    checkpoint.rebuild(Path("run"), checkpoint.read(Path("run", CHECKPOINT)))
    wrong = [check.name for check in verify("run", rerun=True) if not check.passed]
    assert wrong[-2:] == ["history.jsonl of a second run", "model.safetensors of a second run"]


def test_a_rerun_that_is_broken_off_says_nothing_of_the_run(three: Path) -> None:
    ss.train(three, out="run", epochs=3)

    def interrupt(event: Any) -> None:
        if isinstance(event, Batch):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        verify("run", rerun=True, observe=interrupt)


def test_a_run_that_was_saved_before_its_first_batch_is_verified(three: Path) -> None:
    with pytest.raises(Enough):
        ss.train(three, out="run", epochs=3, observe=leaving_after(0))
    with pytest.raises(Enough):
        ss.resume("run", epochs=1, observe=leaving_after(0))
    assert checkpoint.read(Path("run", CHECKPOINT)).facts["batch"] == 0
    assert all(check.passed for check in verify("run", rerun=True))


@pytest.mark.parametrize("name", [RECIPE, HISTORY, MODEL, JUDGEMENT, PREDICTIONS])
def test_a_pipe_or_a_folder_in_a_files_place_hangs_nothing(three: Path, name: str) -> None:
    ss.train(three, out="run", epochs=1)
    whole = contents(Path("run"))
    path = Path("run", name)
    path.unlink()
    os.mkfifo(path)
    assert not all(check.passed for check in verify("run"))
    ss.resume("run")
    assert contents(Path("run")) == whole
    path.unlink()
    path.mkdir()
    assert not all(check.passed for check in verify("run"))
    with pytest.raises(FileError, match="a folder is in its place") as caught:
        ss.resume("run")
    assert str(path) in caught.value.message
    assert "Move that folder away" in caught.value.hint


def test_a_save_that_cannot_be_read_here_is_not_taken_for_damaged(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sevensteps.ship import file as model_file

    folder = cut_off(three, Path("cut"), 4, epochs=EPOCHS)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(model_file, "FORMAT", 0)
        with pytest.raises(RunError, match="newer version") as caught:
            ss.resume(folder)
    assert "Update" in caught.value.hint

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("sevensteps.base.files.regular", refuse)
        with pytest.raises(RunError, match="Permission denied"):
            ss.resume(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_was_extended_and_cut_off_is_not_listed_as_done(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ss.train(three, out="runs/long", epochs=2)
    with pytest.raises(Enough):
        ss.resume("long", epochs=2, observe=leaving_after(1))
    assert "epochs = 4" in Path("runs/long", RECIPE).read_text()
    for name in (RECIPE, HISTORY):
        Path("runs/long", name).unlink()
    (row,) = here("runs", cwd=Path(), capsys=capsys).out.splitlines()[1:]
    assert row.split()[:2] == ["long", "linear"]
    assert "2" in row.split()  # epochs, after what differs from the recipe
    assert "still training, or interrupted: " in row
    assert row.endswith("sevensteps resume long")


def test_a_damaged_save_before_is_put_aside_where_it_does_no_harm(three: Path) -> None:
    ss.train(three, out="run", epochs=2, checkpoint_every="1 epoch")
    Path("run", PREVIOUS).write_bytes(b"damaged")
    assert [check.name for check in verify("run") if not check.passed] == [PREVIOUS]
    _, notes = lines_of(ss.resume, "run")
    assert "renamed to" in notes[0]
    assert all(check.passed for check in verify("run"))


def test_a_run_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    for verb in ("resume", "verify"):
        refused(here(verb, "empty", cwd=Path(), capsys=capsys), 1, "not a run's folder")
        refused(here(verb, "nowhere", cwd=Path(), capsys=capsys), 1, "nowhere")
    assert not Path("empty", ".lock").exists()


def test_a_folder_that_cannot_be_written_is_said(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ss.train(three, out="run", epochs=1)

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(FileError, match="permission denied"), files.locked(Path("run")):
        pass


def test_done_is_said_for_a_program(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed: Done = here("train", str(three), "--epochs", "1", "--out", "run", "--json", cwd=Path(), capsys=capsys)
    again = here("resume", "run", "--json", cwd=Path(), capsys=capsys)
    first, second = json.loads(typed.out), json.loads(again.out)
    assert {**first, "seconds": None} == {**second, "seconds": None}
