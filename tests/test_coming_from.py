"""What docs/coming-from.md and docs/card.md show of other libraries runs, where they are installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from coming_from import LIBRARIES, run, script_of  # noqa: E402
from environments import ENVIRONMENTS, python_made  # noqa: E402

PEERS = Path(os.environ.get("SEVENSTEPS_PEERS", ENVIRONMENTS))  # the folder of the environments


def table_of(page: str) -> list[list[str]]:
    """Return the rows of the first table of a page, the head first."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    rows = text[text.index("\n|") :].strip().split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows if not row.startswith("|---")]


def interpreter_of(library: str) -> str:
    """Return the interpreter that has a library; skip the test if there is none."""
    python = python_made(LIBRARIES[library], PEERS)
    if python is None:
        pytest.skip(f"no environment of {library}: python bench/coming_from.py {library} creates it")
    return python


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_code_in_the_table_is_what_the_script_does(library: str) -> None:
    code = script_of(library).read_text("utf-8")
    head, *rows = table_of("coming-from.md")
    shown = [snippet for row in rows for snippet in re.findall(r"`([^`]+)`", row[head.index(library)])]
    assert len(shown) >= 5
    for snippet in shown:
        assert snippet in code, snippet


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_script_of_each_library_runs_and_learns(library: str) -> None:
    said = run(library, interpreter_of(library))
    shares = [float(share) for share in re.findall(r"0\.\d+", said)]
    assert max(shares) > 0.8, said


# What is there before the first row of the card.
BEFORE = {
    "sevensteps": """
from sevensteps.all import *
dls = DataLoaders.from_images(load("pullover-dress").hold_out(0.1), batch_size=256, flat=True)
x, y = next(iter(dls.train))
model = nn.Linear(784, 1)
opt, learn = SGD(model.parameters(), 1.0), Learner(dls, model, loss_func=sigmoid_l1_loss, opt_func=SGD)
scores = model(x)
loss = sigmoid_l1_loss(scores, y)
""",
    "PyTorch": """
import torch
from torch import nn
from torch.nn import functional as F
x, y = torch.rand(64, 784), torch.rand(64, 1).round()
loader, model = [(x, y)], nn.Linear(784, 1)
opt, scores = torch.optim.SGD(model.parameters(), 1.0), model(x)
loss = F.binary_cross_entropy_with_logits(scores, y)
""",
    "fastai": """
from fastai.vision.all import *
x, y, epochs = torch.rand(64, 784), torch.rand(64, 1).round(), 1
data = DataLoader(list(zip(x, y)), bs=32)
dls, model = DataLoaders(data, data), nn.Linear(784, 1)
learn = Learner(dls, model, loss_func=nn.BCEWithLogitsLoss())
scores = learn.model(x)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("library", BEFORE)
def test_the_code_on_the_card_runs(library: str) -> None:
    python = interpreter_of("fastai" if library == "fastai" else "sevensteps")
    head, *rows = table_of("card.md")
    assert len(rows) == 7
    code = [snippet for row in rows for snippet in re.findall(r"`([^`]+)`", row[head.index(library)])]
    lines = [line.replace("…", "loss_func=nn.BCEWithLogitsLoss()") + " break" * line.endswith(":") for line in code]
    program = "\n".join([BEFORE[library], *lines])
    done = subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
