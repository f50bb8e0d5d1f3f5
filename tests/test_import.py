"""What is imported when: seconds that nobody waits for who does not train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import finished, start, three_classes

import sevensteps as ss

HEAVY = {"torch", "scipy", "matplotlib", "numpy", "PIL"}


def imported(*typed: str, cwd: Path) -> set[str]:
    """The packages that a command imports, as Python itself tells."""
    with start(*typed, cwd=cwd, python=("-X", "importtime")) as process:
        done = finished(process)
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("import time:")]
    return {line.split("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("typed", ["--help", "train --help", "predict --help"])
def test_help_imports_nothing_heavy(tmp_path: Path, typed: str) -> None:
    assert not imported(*typed.split(), cwd=tmp_path) & HEAVY


def test_the_version_imports_next_to_nothing(tmp_path: Path) -> None:
    assert not imported("--version", cwd=tmp_path) & (HEAVY | {"cyclopts", "rich", "tomllib"})


def test_the_package_imports_nothing_heavy() -> None:
    code = "import sys, sevensteps; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sevensteps" in done.stdout.split()
    assert not set(done.stdout.split()) & (HEAVY | {"cyclopts", "rich"})


@pytest.mark.parametrize("model", ["linear", "relu", pytest.param("cnn", marks=pytest.mark.slow)])
def test_predicting_with_linear_layers_imports_no_torch(tmp_path: Path, model: str) -> None:
    ss.train(three_classes(tmp_path / "three"), model=model, epochs=1, out=tmp_path / "run")
    Image.fromarray(np.zeros((12, 12), dtype=np.uint8)).save(tmp_path / "picture.png")
    found = imported("predict", "run", "picture.png", cwd=tmp_path)
    assert "numpy" in found
    assert ("torch" in found) == (model == "cnn")
    assert not found & {"scipy", "matplotlib"}
    explained = imported("predict", "run", "picture.png", "--explain", "why", cwd=tmp_path)
    assert {"torch", "matplotlib"} & explained == ({"torch", "matplotlib"} if model == "cnn" else {"matplotlib"})


@pytest.mark.parametrize("typed", ["data three", "runs runs"])
def test_looking_at_data_or_runs_imports_no_torch(tmp_path: Path, typed: str) -> None:
    three_classes(tmp_path / "three")
    (tmp_path / "runs").mkdir()
    assert not imported(*typed.split(), cwd=tmp_path) & {"torch", "scipy", "matplotlib"}


def test_training_with_our_optimizer_imports_no_compiler(tmp_path: Path) -> None:
    three_classes(tmp_path / "three")
    code = (
        "import sys; from sevensteps.cli.app import run; run(['train', 'three', '--epochs', '2', '--out', 'run']); "
        "run(['resume', 'run', '--epochs', '1']); print('torch._dynamo' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "False"  # it would take two thirds of a second


def test_training_imports_no_figures_unless_asked(tmp_path: Path) -> None:
    three_classes(tmp_path / "three")
    found = imported("train", "three", "--epochs", "1", cwd=tmp_path)
    assert "torch" in found
    assert "matplotlib" not in found


def test_every_public_name_is_there() -> None:
    for name in ss.__all__:
        assert getattr(ss, name).__name__ == name
    assert set(ss.__all__) <= set(dir(ss))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Lerner'"):
        ss.Lerner  # noqa: B018


def test_the_notebooks_names_are_an_explicit_list() -> None:
    names: dict[str, object] = {}
    exec("from sevensteps.all import *", names)  # noqa: S102 -- as a notebook writes it
    from sevensteps import all as everything

    assert set(everything.__all__) == set(names) - {"__builtins__"}
    promised = {"torch", "nn", "F", "np", "plt", "Path", "tensor", "DataLoader", "DataLoaders", "Learner", "SGD"}
    assert promised | {"load", "plot_function", "first", "L"} <= set(names)
    # The names of what is written by hand stay the reader's own.
    assert not {"linear", "sigmoid", "initialize_params", "train_epoch", "batch_accuracy", "relu"} & set(names)
    for name in set(ss.__all__) & set(everything.__all__):
        assert names[name] is getattr(ss, name)
