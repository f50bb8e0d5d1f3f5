"""Looks at test pictures are counted once for each model, by any number of processes, and never fail a run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sevensteps.trust.ledger import look, looks_at, luck_of_the_best


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEVENSTEPS_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "looks.json"


def test_a_look_is_a_model_that_is_read_for_the_first_time() -> None:
    assert [look("a", [model])[0] for model in ("one", "two", "one", "three", "two")] == [1, 2, 2, 3, 3]
    assert look("b", ["one"]) == (1, None)
    assert looks_at("a") == [["one"], ["two"], ["three"]]
    assert looks_at("nothing") == []


def test_models_that_are_judged_together_are_one_look() -> None:
    assert look("a", ["one", "two", "three"]) == (1, None)
    assert look("a", ["two"]) == (1, None)
    assert look("a", ["three", "four"]) == (2, None)


def test_processes_at_the_same_time_are_all_counted(tmp_path: Path) -> None:
    code = "import sys; from sevensteps.trust.ledger import look; print(look('a', [sys.argv[1]])[1])"
    running = [
        subprocess.Popen([sys.executable, "-c", code, f"model {number}"], stdout=subprocess.PIPE, text=True)
        for number in range(6)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["None"] * 6
    assert sorted(name for (name,) in looks_at("a")) == [f"model {number}" for number in range(6)]


def test_a_ledger_that_cannot_be_written_is_said_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEVENSTEPS_STATE", str(tmp_path / "file"))
    number, problem = look("a", ["one"])
    assert number == 1
    assert problem is not None
    assert "could not be counted" in problem


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', '{"a": [["one", 2]]}', "[" * 9999])
def test_a_damaged_ledger_is_put_aside(content: str, own_ledger: Path) -> None:
    own_ledger.parent.mkdir()
    own_ledger.write_text(content)
    assert look("a", ["one"]) == (1, None)
    assert (own_ledger.parent / "looks.damaged.json").read_text() == content
    assert json.loads(own_ledger.read_text()) == {"a": [["one"]]}


def test_the_luck_of_the_best_bounds_what_chance_gives() -> None:
    assert luck_of_the_best(1, 0.9, 1000) == 0.0
    assert luck_of_the_best(50, 1.0, 1000) == 0.0
    chance = np.random.default_rng(0)
    for looks in (2, 10, 50):
        best = chance.binomial(2000, 0.96, (4000, looks)).max(1).mean() / 2000 - 0.96
        bound = luck_of_the_best(looks, 0.96, 2000)
        assert best < bound < 2.2 * best
        assert math.isfinite(bound)
