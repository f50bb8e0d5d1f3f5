"""by_hand: the first file that a newcomer reads runs, is short, stands alone, and is right."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sevensteps import by_hand
from sevensteps.data.images import Splits

FILE = Path(by_hand.__file__)


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What by_hand loads."""
    return by_hand.load_pictures()


def test_it_prints_the_seven_steps_in_order_and_learns() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sevensteps.by_hand"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    steps = re.findall(r"^(\d) (\w+)", done.stdout, re.MULTILINE)
    names = ["initialize", "predict", "loss", "gradient", "step", *["repeat"] * 30, "stop"]
    assert [name for _, name in steps] == names
    assert [int(number) for number, _ in steps] == [1, 2, 3, 4, 5, *[6] * 30, 7]
    assert "the sigmoid is flat" in done.stdout  # why the first epochs stand at 50 %
    assert not re.search(r"\d\.\d{7}", done.stdout)  # about three digits, not seventeen
    accuracy = float(done.stdout.split()[-1])
    assert accuracy > 0.93  # pixel similarity, the bar to beat, gets 0.9175


def test_it_is_under_120_lines_and_imports_nothing_of_the_package() -> None:
    text = FILE.read_text("utf-8")
    assert len(text.splitlines()) < 120
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        assert not (isinstance(node, ast.ImportFrom) and node.level), "a relative import"
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        assert not any(name.split(".")[0] == "sevensteps" for name in names)


def test_its_functions_have_the_names_of_the_walk_through() -> None:
    for name in (
        "initialize_params",
        "linear",
        "sigmoid",
        "sigmoid_l1_loss",
        "calculate_gradient",
        "train_epoch",
        "batch_accuracy",
        "validate_epoch",
        "train_model",
    ):
        function = getattr(by_hand, name)
        assert callable(function)
        assert function.__doc__


def test_its_pictures_are_those_of_the_package(pictures: tuple[Tensor, Tensor, Tensor, Tensor], splits: Splits) -> None:
    train_x, train_y, valid_x, valid_y = pictures
    assert splits.test is not None
    for x, y, images in ((train_x, train_y, splits.train), (valid_x, valid_y, splits.test)):
        np.testing.assert_array_equal((x * 255).round().numpy().reshape(images.pixels.shape), images.pixels)
        assert y[:, 0].tolist() == images.labels.tolist()
        assert x.max() <= 1


def test_parameters_are_drawn_with_the_standard_deviation_asked_for() -> None:
    torch.manual_seed(0)
    drawn = by_hand.initialize_params((784, 10), std=0.5)
    assert drawn.shape == (784, 10)
    assert drawn.requires_grad
    assert drawn.is_leaf
    assert drawn.std().item() == pytest.approx(0.5, rel=0.05)
    assert by_hand.initialize_params(1).shape == (1,)


def test_the_loss_is_the_mean_distance_from_the_label() -> None:
    torch.manual_seed(1)
    predictions, targets = torch.randn(50, 1) * 3, torch.randint(0, 2, (50, 1))
    distances = [abs(1 / (1 + np.exp(-p)) - t) for p, t in zip(predictions[:, 0].tolist(), targets[:, 0], strict=True)]
    assert by_hand.sigmoid_l1_loss(predictions, targets).item() == pytest.approx(np.mean(distances), rel=1e-5)
    assert by_hand.sigmoid_l1_loss(torch.tensor([[50.0], [-50.0]]), torch.tensor([[1], [0]])).item() < 1e-20
    assert by_hand.sigmoid_l1_loss(torch.tensor([[-5000.0]]), torch.tensor([[1]])).item() == 1


def test_the_gradient_is_that_of_the_formula(pictures: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    x, y = pictures[0][:100], pictures[1][:100]
    torch.manual_seed(2)
    weights, bias = by_hand.initialize_params((784, 1), std=0.05), by_hand.initialize_params(1)
    loss = by_hand.calculate_gradient(x, y, weights, bias)

    own_weights, own_bias = (param.detach().double().requires_grad_() for param in (weights, bias))
    own_loss = torch.nn.functional.l1_loss(torch.sigmoid(x.double() @ own_weights + own_bias), y.double())
    own_weights_grad, own_bias_grad = torch.autograd.grad(own_loss, (own_weights, own_bias))
    assert weights.grad is not None
    assert bias.grad is not None
    assert loss.item() == pytest.approx(own_loss.item(), rel=1e-5)
    torch.testing.assert_close(weights.grad.double(), own_weights_grad, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(bias.grad.double(), own_bias_grad, rtol=1e-4, atol=1e-8)


def test_an_epoch_by_hand_is_an_epoch_of_pytorchs_sgd(pictures: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    x, y = pictures[0][::40], pictures[1][::40]
    batches = list(zip(x.split(64), y.split(64), strict=True))
    torch.manual_seed(3)
    weights, bias = by_hand.initialize_params((784, 1), std=0.01), by_hand.initialize_params(1)
    model = torch.nn.Linear(784, 1)
    model.load_state_dict({"weight": weights.detach().T.clone(), "bias": bias.detach().clone()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for one_x, one_y in batches:
        optimizer.zero_grad()
        torch.nn.functional.l1_loss(torch.sigmoid(model(one_x)), one_y.float()).backward()
        optimizer.step()
    by_hand.train_epoch(batches, weights, bias, lr=0.5)
    torch.testing.assert_close(weights.detach().T, model.weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(bias.detach(), model.bias.detach(), rtol=1e-4, atol=1e-6)
    assert weights.grad is None  # the next epoch begins without a gradient


def test_accuracy_is_the_mean_over_batches_to_four_decimals() -> None:
    weights, bias = torch.tensor([[1.0]]), torch.tensor([0.0])
    x = torch.tensor([[1.0], [-1.0], [2.0], [3.0]])
    y = torch.tensor([[1], [0], [0], [1]])
    assert by_hand.batch_accuracy(by_hand.linear(x, weights, bias), y).item() == 0.75
    batches = [(x[:3], y[:3]), (x[3:], y[3:])]
    assert by_hand.validate_epoch(batches, weights, bias) == 0.8333  # of 2/3 and 1
