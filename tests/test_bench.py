"""The speed bench compares like with like, and divides what it says it divides."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

import sevensteps as ss

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(autouse=True)
def _scripts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (BENCH, BENCH / "peers"):
        monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize(("name", "classes"), [("cnn", 2), ("fashion-10", 10)])
def test_the_loops_of_others_train_the_network_that_the_recipe_trains(name: str, classes: int) -> None:
    from torch_network import network

    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (20, 1, 28, 28), generator=random).to(torch.uint8).numpy()
    labels = (torch.arange(20) % classes).numpy()
    images = ss.Images(pixels, labels, tuple(f"class {label}" for label in range(classes)))
    recipe = ss.Recipe.load(name)
    ours = recipe.replace(source="pullover-dress", normalize=False, test_time_flip=False).initialized_model(
        ss.Splits(images)
    )
    theirs = network(recipe.width, 1 if classes == 2 else classes)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.from_numpy(pixels) / 255
    torch.testing.assert_close(theirs(x), ours(x), rtol=1e-4, atol=1e-4)
    assert (recipe.schedule, recipe.settled(ss.Splits(images)).augment) == ("one_cycle", "flip")


def test_ratios_are_taken_round_by_round() -> None:
    from turns import Case, Row, Side, as_markdown, as_record

    ours, theirs = Side("ours", "a"), Side("theirs", "b")
    base = Row("ours", ours, "", "", 1, records=[{"epoch": 1.0}, {"epoch": 10.0}, {"epoch": 2.0}])
    again = dataclasses.replace(base, title="ours, a second time", against=base)
    other = Row("theirs", theirs, "", "", 1, [{"epoch": 3.0}, {"epoch": 20.0}, {"epoch": 2.0}], against=base)
    case = Case("Epochs.", "", {"epoch": "{:.1f}"}, ["epoch"], [ours, theirs])
    record = as_record(case, [again, base, other])
    assert [row["ratios"].get("epoch", {}).get("median") for row in record["rows"]] == [1, None, 2]
    assert "| theirs | 1 | 3.0 | 2.00 (1.00–3.00) |" in as_markdown("epochs", case, record)


def test_rows_are_run_in_turns_and_one_that_fails_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import turns

    run = []

    def clocked(python: str, script: str, *rest: object) -> list[dict[str, float]]:
        if script == "broken":
            raise ChildProcessError("there is no such thing")
        run.append(script)
        return [{"epoch": 1.0}]

    monkeypatch.setattr(turns, "clocked", clocked)
    sides = [turns.Side(script, script, threads=1) for script in ("ours", "broken", "theirs")]
    case = turns.Case("", "", {"epoch": "{:.1f}"}, ["epoch"], sides)
    rows = turns.ready(case, 0, tmp_path, lambda name: name)
    assert [row.title for row in rows] == ["ours, a second time", "ours", "theirs"]
    assert "skipping broken: there is no such thing" in capsys.readouterr().err
    run.clear()
    turns.take_turns(rows, 2)
    assert run == ["ours", "ours", "theirs", "ours", "theirs", "ours"]
    assert sys.executable == rows[1].python


def test_settings_are_changed_in_the_recipe_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")  # which the import leaves set
    from accuracy import changed

    recipe = changed(ss.Recipe.load("fashion-10"), ["width=28", 'classes=["Coat", "Shirt"]', "lr=0.5"])
    assert (recipe.model, recipe.width, recipe.classes, recipe.lr) == ("cnn", 28, ("Coat", "Shirt"), 0.5)


def test_a_curve_says_when_the_tutorial_is_as_good_and_goes_on_with_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    import curve

    monkeypatch.setattr(curve, "POINTS", [(2, "linear", ()), (1, "cnn", ("epochs=2",))])
    ours = [{"accuracy": share, "seconds": 2.0, "parameters": 1000} for share in (0.8, 0.9)]
    theirs = [{"lr": 0.001, "accuracies": [0.7, share], "seconds": [5.0, 10.0]} for share in (0.8, 0.92)]
    kept = {"linear": ours, "cnn epochs=2": ours[1:], "tutorial, held out": theirs[:1], "tutorial": theirs}
    points, tutorial = curve.points_as_markdown(kept), curve.tutorial_as_markdown(kept)
    assert "| `linear` | 1,000 | 2 | 85.00% ± 7.07 | 2.0 |" in points
    assert "| 85.00% | 2.0 | 10.0 (epoch 2) | 5.0 |" in tutorial
    assert "| 90.00% | 2.0 | not in 2 epochs, 10 s | over 5.0 |" in tutorial

    trained: list[int] = []
    monkeypatch.setattr(curve, "trained", lambda recipe, seeds: trained.extend(seeds) or iter(()))
    curve.measure_points({"linear": ours[:1]}, lambda: None)
    assert trained == [1, 0]


def test_one_table_has_a_row_for_each_goal_also_of_benches_that_fail_or_take_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import all as every

    writes = "import json, sys; json.dump({'a': 1.5}, open(sys.argv[-1], 'w'))"
    scripts = {
        "good.py": writes,
        "fails.py": "raise SystemExit('no such thing')",
        "slow.py": "import time; time.sleep(9)",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(every, "HERE", tmp_path)
    goals = (
        every.Goal("a", lambda found: found["a"], 1.0),
        every.Goal("a again", lambda found: found["a"], 1.0, at_least=True),
        every.Goal("b", lambda found: found["b"], 1.0),
    )
    assert every.rows_of(every.Bench(("good.py", "--x"), goals), 9) == [
        ("a", "1.50", "at most 1", "missed", "`bench/good.py --x`"),
        ("a again", "1.50", "at least 1", "", "`bench/good.py --x`"),
        ("b", "not measured: its peer is missing", "at most 1", "", "`bench/good.py --x`"),
    ]
    assert every.rows_of(every.Bench(("fails.py",), goals[:1]), 9)[0][1] == "failed: no such thing"
    assert every.rows_of(every.Bench(("slow.py",), goals[:1]), 0.2)[0][1] == "not measured: no time was left"


def test_every_goal_is_one_of_a_case_that_there_is() -> None:
    import all as every
    import speed

    for bench in every.BENCHES.values():
        assert (BENCH / bench.command[0]).is_file()
        if "--case" in bench.command:
            assert bench.command[bench.command.index("--case") + 1] in speed.cases("linear")
    titles = [side.title for side in speed.cases("linear")["linear"].sides]
    assert every.AVERAGED in titles
