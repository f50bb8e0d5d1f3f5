"""The public names have complete types: a program that uses them all passes strict mypy and basedpyright."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import sevensteps as ss

ROOT = Path(__file__).parents[1]
PROGRAM = """
from pathlib import Path
from typing import Any, assert_type

import torch
from torch import nn

import sevensteps as ss


def pictures() -> None:
    splits = ss.load("pullover-dress", ["Pullover", "Dress"])
    assert_type(splits, ss.Splits)
    assert_type(splits.train, ss.Images)
    assert_type(splits.valid, ss.Images | None)
    assert_type(splits.hold_out(0.1, seed=0), ss.Splits)
    dls = ss.DataLoaders.from_images(splits, batch_size=256, flat=True)
    assert_type(dls, ss.DataLoaders)
    assert_type(len(ss.Batches(splits.train, 64)), int)
    ss.plot_function(torch.sigmoid, min=-4, max=4)


def learning(dls: ss.DataLoaders) -> None:
    learn = ss.Learner(dls, nn.Linear(784, 1), loss_func=ss.sigmoid_l1_loss, opt_func=ss.SGD, metrics=ss.accuracy)
    learn.fit(15, lr=1.0)
    stop = ss.after(epochs=15) | ss.when_flat("valid_loss", patience=3) | ss.when_reached("accuracy", 0.99)
    for event in learn.stream(stop=stop | ss.when_not_finite()):
        assert_type(event, ss.Batch | ss.Epoch)
        if isinstance(event, ss.Epoch):
            assert_type(event.metrics["accuracy"], float)
    assert_type(learn.xray(), ss.XRay)
    assert_type(learn.lr_find(), ss.LRFind)
    assert_type(ss.load_learner(Path("model.safetensors")), ss.Predictor)


def verbs(folder: Path) -> None:
    run = ss.train("pullover-dress", recipe="linear", seed=0, save=True)
    assert_type(run, ss.Run)
    score = run.score
    assert_type(score, ss.Score | None)
    if score is not None:
        assert_type(score.interval, ss.Interval)
    assert_type(run.learn, ss.Learner)
    assert_type(ss.resume(folder, epochs=5), ss.Run)
    assert_type(ss.judge(run, "valid").score, ss.Score)
    assert_type(ss.compare(run, "first").comparisons[0].verdict, str)
    assert_type(ss.report(run).path, Path)
    assert_type(ss.doctor(run).findings[0], ss.Finding)
    assert_type(ss.audit("photos", fix="fix.csv").splits, ss.Splits)
    assert_type(ss.prepare("photos", folder / "photos.store").store, str)
    assert_type(ss.predict(run, "picture.png").failed, int)
    assert_type(ss.verify(folder, rerun=True).passed, bool)
    assert_type(ss.xray(run, picture=1).xray, ss.XRay)
    for record in (run, ss.judge(run), ss.compare(run, run), ss.report(run), ss.doctor(run), ss.audit("photos")):
        assert_type(record.as_json(), dict[str, Any])
    assert_type(ss.export(run).file, Path)
    ss.serve(run, port=0)
    assert_type(ss.open_studio(run.folder, port=0).url, str)
    ss.open_studio(run.learn).close()
    for other in (ss.predict(run, []), ss.verify(run), ss.xray(run), ss.prepare("photos"), ss.export(run)):
        assert_type(other.as_json(), dict[str, Any])


def other_programs(splits: ss.Splits) -> None:
    classifier = ss.SevenStepsClassifier("linear", epochs=3, seed=0).fit(splits.train.pixels[:, 0], splits.train.labels)
    assert_type(classifier, ss.SevenStepsClassifier)
    assert_type(classifier.predictor_.export("model.safetensors"), Path)


def recipes(splits: ss.Splits) -> None:
    recipe = ss.Recipe.load("linear").replace(epochs=3)
    assert_type(recipe, ss.Recipe)
    assert_type(recipe.epochs, int)
    assert_type(recipe.learner(splits), ss.Learner)
    assert_type(ss.Recipe.from_toml("epochs = 3"), ss.Recipe)


def parts(predictions: torch.Tensor, targets: torch.Tensor) -> None:
    for loss in (ss.binary_cross_entropy_with_logits, ss.cross_entropy, ss.mse_loss, ss.sigmoid_l1_loss):
        assert_type(loss(predictions, targets), torch.Tensor)
    optimizers = [ss.SGD(nn.Linear(2, 1).parameters(), lr=0.1), ss.Muon(nn.Linear(2, 1).parameters(), lr=0.1)]
    for optimizer in optimizers:
        optimizer.step()
    assert_type(ss.cosine(0, 10), float)
    assert_type(ss.one_cycle()(0, 10), float)


def mistakes() -> str:
    try:
        ss.train("nowhere")
    except ss.SevenstepsError as error:
        return f"{error.code}: {error.message} {error.hint}"
    return ss.__version__
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.lstrip(), "utf-8")
    return path


def test_the_program_uses_every_public_name() -> None:
    assert [name for name in ss.__all__ if f"ss.{name}" not in PROGRAM] == []


def test_the_package_says_that_it_has_types() -> None:
    assert (Path(ss.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_strict_mypy_accepts_it(program: Path) -> None:
    pytest.importorskip("mypy")
    flags = ["--strict", "--config-file", str(ROOT / "pyproject.toml"), "--follow-imports", "silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *flags, program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_strict_basedpyright_accepts_it(program: Path) -> None:
    pytest.importorskip("basedpyright")
    settings = {
        "include": [program.name],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT)],
        "reportMissingTypeStubs": "none",
    }
    (program.parent / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "-p", program.parent, "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
