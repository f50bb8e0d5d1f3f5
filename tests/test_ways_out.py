"""Every way in which a model answers: the same class and refusal, and the same numbers to 0.00001."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import KINDS, png_of
from pictures import noise as noise_of
from small import images, learner, loaders

import sevensteps as ss
from reliability.ways_out import MODELS, agreements
from sevensteps.jobs.predict import load
from sevensteps.records.scores import REFUSALS
from sevensteps.trust.abstain import fit_abstention


@pytest.mark.slow  # trains; `python -m reliability.ways_out` takes 10,000 pictures
@pytest.mark.parametrize("name", MODELS)
def test_every_way_gives_the_answers_of_the_saved_run(name: str, tmp_path: Path) -> None:
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    how = {**MODELS[name], "epochs": 1}
    ss.train("pullover-dress", **how, out=tmp_path / "run", observe=lambda event: None)
    found = agreements(tmp_path / "run", splits.test.pixels)
    assert set(found) == {"learner", "ONNX", "ONNX of any size", "server", "server, ONNX", "program"}
    for way, agreement in found.items():
        assert agreement.count == 2000
        assert agreement.passed, f"{way}: {agreement.in_words}"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_every_kind_gets_the_same_answer_in_every_way(channels: int, tmp_path: Path) -> None:
    """Turned, gray, palettes, transparent, CMYK, 16 bits and odd proportions; a program may refuse a file instead."""
    shape = (channels, 13, 16)
    learn = learner("linear", loaders(shape=shape))
    learn.fit(1, lr=0.02, show=False)
    limits = fit_abstention(images(40, shape), images(40, shape, seed=1), np.linspace(0.4, 1, 40), 0.8)
    learn.abstention = dataclasses.replace(limits, confidence=0.6, distance=2.0)
    model = load(learn.export(tmp_path / "model.safetensors"))
    onnx = load(learn.export(tmp_path / "model.onnx"))
    ways: dict[str, Any] = {
        "learner": ss.load_learner(tmp_path / "model.safetensors").answer,
        "ONNX": onnx.answer,
    }
    program = imported(learn.export(tmp_path / "model.py"))
    wide = {f"PNG: {w} x {h}": png_of(noise_of(3, width=w, height=h)) for w, h in ((1, 1), (200, 3), (3, 200))}
    reasons, refused = list[str | None](), 0
    for name, content in {**{name: kind.content for name, kind in KINDS.items()}, **wide}.items():
        (path := tmp_path / "file").write_bytes(content)
        wanted = model.answer(path)
        assert wanted.probabilities is not None, f"{name}: {wanted.error}"
        reasons.append(wanted.reason)
        for way, answer in ways.items():
            given = answer(path)
            assert (given.best, given.reason) == (wanted.best, wanted.reason), f"{way}: {name}"
            assert given.probabilities == pytest.approx(wanted.probabilities, abs=1e-5), f"{way}: {name}"
            assert given.distance == pytest.approx(wanted.distance, rel=1e-5), f"{way}: {name}"
        if (said := answer_of(program, path)) is None:
            refused += 1
            continue
        assert (said["class"], said["reason"]) == (wanted.best, wanted.reason), f"program: {name}"
        assert said["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-5), f"program: {name}"
    assert {None, *REFUSALS} == set(reasons)
    assert 0 < refused < len(reasons) / 2


def answer_of(program: Any, path: Path) -> Any:
    """Return what a program says of a file; None if it refuses files of this kind."""
    try:
        return program.predict(path)
    except ValueError as error:
        if re.search("is transparent|more than 8 bits|is in CMYK", str(error)):
            return None
        raise


def imported(program: Path) -> Any:
    """Return a program that `export` wrote, as a module."""
    spec = importlib.util.spec_from_file_location("exported_model", program)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module
