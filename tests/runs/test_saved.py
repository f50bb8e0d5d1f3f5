"""A run's folder: numbered, saved, listed, and read back whatever has happened to it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from sevensteps.errors import FileError, RecipeError, RunError
from sevensteps.recipes.recipe import Recipe
from sevensteps.records.events import Epoch
from sevensteps.runs import checkpoint as runs
from sevensteps.runs.folder import find_run, new_folder, save_history, save_judgement, save_recipe, save_timings
from sevensteps.runs.kept_files import with_timings
from sevensteps.runs.saved import Saved, list_runs
from sevensteps.trust.intervals import score

HISTORY = [
    Epoch(number=1, train_loss=0.5, valid_loss=0.4, metrics={"accuracy": 0.9}, lr=0.1, seconds=1.25),
    Epoch(number=2, train_loss=1 / 3, valid_loss=None, metrics={}, lr=1e-9, seconds=0.5),
    Epoch(number=3, train_loss=math.inf, valid_loss=-math.inf, metrics={"accuracy": 0.1}, lr=0.1),
]
JUDGEMENT = {"test": score("test", 9, 10).as_json(), "valid": None, "kept_epoch": 2, "stopped_because": "enough"}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def saved(folder: Path) -> Path:
    """A run's folder with all but a model."""
    save_recipe(folder, Recipe(name="mine", epochs=3), {"torch": "2"})
    save_history(folder, HISTORY)
    save_judgement(folder, JUDGEMENT)
    return folder


def made(recipe: Recipe, out: Path | None = None, *, force: bool = False) -> Path:
    """A new run's folder, let go again."""
    with new_folder(recipe, out, force=force) as folder:
        return folder


def test_a_run_is_read_as_it_was_saved() -> None:
    run = Saved.open(saved(Path("here")))
    assert run.recipe == Recipe(name="mine", epochs=3)
    assert list(run.history) == HISTORY
    assert {**run.judgement, **JUDGEMENT} == run.judgement
    assert run.folder == Path("here")
    assert run.stopped_because == "enough"


def test_numbers_that_are_not_finite_are_saved_as_json_that_anyone_reads() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    rows = Path(saved(Path("here")), "history.jsonl").read_text().splitlines()
    assert [json.loads(row, parse_constant=refuse)["number"] for row in rows] == [1, 2, 3]
    save_history(
        Path("here"), [Epoch(number=1, train_loss=math.nan, valid_loss=math.nan, metrics={"accuracy": 0.5}, lr=0.1)]
    )
    (epoch,) = Saved.open(Path("here")).history
    assert math.isnan(epoch.train_loss)
    assert epoch.valid_loss is not None
    assert math.isnan(epoch.valid_loss)


def test_seconds_are_kept_apart_from_what_repeats() -> None:
    folder = saved(Path("here"))
    save_timings(folder, HISTORY, 645, 1.75)
    assert "seconds" not in (folder / "history.jsonl").read_text()
    read, total = with_timings(folder, Saved.open(folder).history)
    assert [epoch.seconds for epoch in read] == [1.25, 0.5, 0.0]
    assert (read, total) == (HISTORY, 1.75)


@pytest.mark.parametrize("content", [b"", b"{", b'{"number": "x", "seconds": 1}', b"\xff", b"[]\n", None])
def test_seconds_that_cannot_be_read_stop_nothing(content: bytes | None) -> None:
    folder = saved(Path("here"))
    if content is not None:
        (folder / "timings.jsonl").write_bytes(content)
    assert with_timings(folder, HISTORY[:2]) == (HISTORY[:2], 0.0)


def test_a_run_without_a_judgement_is_as_far_as_its_history() -> None:
    folder = saved(Path("here"))
    (folder / "judgement.json").unlink()
    assert len(Saved.open(folder).history) == 3
    assert Saved.open(folder).stopped_because is None
    (folder / "history.jsonl").unlink()
    assert list(Saved.open(folder).history) == []


def test_a_folder_belongs_to_one_process_at_a_time() -> None:
    with new_folder(Recipe(), Path("here")) as folder, pytest.raises(RunError, match="in use"):
        made(Recipe(), folder)
    assert made(Recipe(), folder) == folder


def test_what_writing_left_behind_is_nobodys_and_goes() -> None:
    Path("here").mkdir()
    Path("here/.recipe.toml.0a1b2c3d.part").write_text("half")
    assert sorted(path.name for path in made(Recipe(), Path("here")).iterdir()) == [".lock"]


def test_new_runs_are_numbered_after_the_last() -> None:
    recipe = Recipe(name="mine", source="some/where/Pictures & more!")
    names = [str(made(recipe)) for _ in range(3)]
    assert names == [f"runs/Pictures-more-mine-{number}" for number in (1, 2, 3)]
    Path("runs/Pictures-more-mine-10").mkdir()
    Path("runs/Pictures-more-mine-x").mkdir()
    shutil.rmtree("runs/Pictures-more-mine-1")
    assert made(recipe).name == "Pictures-more-mine-11"
    assert made(Recipe(name="other")).name == "pullover-dress-other-1"
    assert made(Recipe(name="mine", source="some/my-pictures-1.csv")).name == "my-pictures-1-mine-1"
    assert made(Recipe(name="mine", source="photos.2024.tar.gz")).name == "photos.2024-mine-1"


@pytest.mark.parametrize("name", ["..", "///", "\x00\n", "Модель", "con\x1b[2J", "a" * 500])
def test_any_name_makes_a_folder_inside_runs(name: str) -> None:
    folder = made(Recipe(name=name, source=name))
    assert folder.is_dir()
    assert folder.resolve().parent == Path("runs").resolve()
    assert folder.name.isascii()
    assert folder.name.isprintable()


def test_a_folder_is_used_that_is_empty_or_not_there() -> None:
    Path("empty").mkdir()
    assert made(Recipe(), Path("empty")) == Path("empty")
    assert made(Recipe(), Path("a/b/c")).is_dir()


def test_a_folder_that_is_full_makes_way_only_by_force() -> None:
    folder = saved(Path("here"))
    (folder / "notes.txt").write_text("mine")
    (folder / "mine.png").write_text("mine")
    (folder / "curves.png").write_text("the run's")
    with pytest.raises(RunError, match="not empty") as caught:
        made(Recipe(), folder)
    assert "--force" in caught.value.hint
    assert (folder / "recipe.toml").is_file()
    made(Recipe(), folder, force=True)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "mine.png", "notes.txt"]


def test_a_file_in_the_way_is_never_replaced() -> None:
    Path("file").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        made(Recipe(), Path("file"), force=True)
    with pytest.raises(FileError, match="is a file"):
        made(Recipe(), Path("file/run"), force=True)
    Path("runs").write_text("mine")
    with pytest.raises(FileError, match="runs"):
        made(Recipe())
    assert Path("file").read_text() == Path("runs").read_text() == "mine"


def test_a_run_is_found_by_its_path_or_its_name() -> None:
    folder = saved(Path("runs/linear-1"))
    assert find_run(folder) == find_run(Path("linear-1")) == folder
    assert find_run(folder.resolve()) == folder.resolve()
    with pytest.raises(RunError) as caught:
        find_run(Path("lineal-1"))
    assert caught.value.hint == "Did you mean 'linear-1'?"
    with pytest.raises(RunError, match="is a file"):
        find_run(folder / "recipe.toml")


def test_runs_are_listed_by_number_and_a_damaged_one_stops_nothing() -> None:
    for number in (2, 10, 1):
        saved(Path(f"runs/mine-{number}"))
    Path("runs/no-run").mkdir()
    Path("runs/mine-2/history.jsonl").write_text("{")
    found = list_runs()
    assert [run.folder.name if isinstance(run, Saved) else run.message[:11] for run in found] == [
        "mine-1",
        "runs/mine-2",
        "mine-10",
    ]
    with pytest.raises(RunError, match="nowhere"):
        list_runs(Path("nowhere"))


@pytest.mark.parametrize("name", ["history.jsonl", "judgement.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"3",
        b'"words"',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"number": 1}',
        b'{"test": 3}',
        b'{"test": {"accuracy": 0.5}}',
        b'{"valid": {"accuracy": "high", "low": 0, "high": 1, "n": 1, "correct": 1}}',
        b'{"number": 1, "train_loss": "low", "valid_loss": null, "metrics": {}, "lr": 0.1}',
        b'{"number": 1, "train_loss": 1, "valid_loss": null, "metrics": [1], "lr": 0.1}',
        b'{"findings": {"fix": []}}',
        b'{"findings": [{"code": "a", "epoch": 1, "recovered_at": null, "message": "a", "fix": ["a"]}]}',
    ],
)
def test_damage_is_said_with_the_file(name: str, content: bytes) -> None:
    folder = saved(Path("here"))
    (folder / name).write_bytes(content)
    if name == "judgement.json" and content.startswith(b'{"number"'):
        assert Saved.open(folder).judgement["number"] == 1  # another table, in which no score is damaged
        return
    with pytest.raises(RunError, match=name) as caught:
        Saved.open(folder).as_json()
    assert caught.value.hint


def test_a_folder_that_is_no_run_is_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(RunError, match="not a run's folder"):
        Saved.open(Path("empty"))
    (Path("empty") / runs.RECIPE).write_text("epochs = 0")
    with pytest.raises(RecipeError, match="epochs is 0"):
        Saved.open(Path("empty")).as_json()
