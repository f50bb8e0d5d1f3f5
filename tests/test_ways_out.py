"""Every way in which a model answers: the same class and refusal, and the same numbers to 0.00001."""

from __future__ import annotations

from pathlib import Path

import pytest

import sevensteps as ss
from reliability.ways_out import MODELS, agreements


@pytest.mark.slow  # trains; `python -m reliability.ways_out` takes 10,000 pictures
@pytest.mark.parametrize("name", MODELS)
def test_every_way_gives_the_answers_of_the_saved_run(name: str, tmp_path: Path) -> None:
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    how = {**MODELS[name], "epochs": 1}
    ss.train("pullover-dress", **how, out=tmp_path / "run", observe=lambda event: None)
    found = agreements(tmp_path / "run", splits.test.pixels)
    assert set(found) == {"learner", "ONNX", "ONNX of any size", "program"}
    for way, agreement in found.items():
        assert agreement.count == 2000
        assert agreement.passed, f"{way}: {agreement.in_words}"
