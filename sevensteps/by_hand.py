"""The seven steps of gradient descent by hand, in plain tensors: pullover or dress?

This file uses nothing else of the package; read it from top to bottom. Run it: python -m sevensteps.by_hand
The process follows "Deep Learning for Coders with fastai and PyTorch", chapter 4.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

Batches = Iterable[tuple[Tensor, Tensor]]


def load_pictures() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return pictures as rows of 784 numbers in [0, 1] and labels as a column: 1 is a dress, 0 a pullover."""
    import numpy as np
    from PIL import Image

    folder = Path(__file__).parent / "data" / "embedded"
    sheet = torch.from_numpy(np.array(Image.open(folder / "pullover-dress.png")))  # 140 rows of 100 pictures, 28x28
    x = sheet.view(140, 28, 100, 28).permute(0, 2, 1, 3).reshape(-1, 28 * 28).float() / 255
    labels = json.loads((folder / "pullover-dress.json").read_text())["labels"]
    y = torch.tensor([int(label) for label in labels]).unsqueeze(1)
    return x[:12000], y[:12000], x[12000:], y[12000:]


def initialize_params(size: int | tuple[int, ...], std: float = 1.0) -> Tensor:
    """Step 1: draw random numbers to start from; PyTorch records what is done with them, for the gradient."""
    return (torch.randn(size) * std).requires_grad_()


def linear(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Step 2: predict with a weighted sum of the pixels; a score above 0 means dress."""
    return x @ weights + bias


def sigmoid(predictions: Tensor) -> Tensor:
    """Squeeze any number into 0 to 1, so that it can be compared with a label."""
    return predictions.sigmoid()  # 1 / (1 + exp(-predictions)), but it does not overflow


def sigmoid_l1_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Step 3: measure the mean distance between the squeezed prediction and the label; 0 is perfect."""
    predictions = sigmoid(predictions)
    return torch.where(targets == 1, 1 - predictions, predictions).mean()


def calculate_gradient(x: Tensor, y: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Step 4: find how the loss changes with each parameter; PyTorch puts it in `weights.grad` and `bias.grad`."""
    loss = sigmoid_l1_loss(linear(x, weights, bias), y)
    loss.backward()
    return loss


def train_epoch(batches: Batches, weights: Tensor, bias: Tensor, lr: float) -> None:
    """Do steps 2 to 5 for every batch: predict, loss, gradient, step."""
    for x, y in batches:
        calculate_gradient(x, y, weights, bias)
        for param in (weights, bias):
            with torch.no_grad():  # the step itself must not count toward the next gradient
                param -= param.grad * lr  # step 5: a little downhill
            param.grad = None  # otherwise the next gradient would be added to this one


def batch_accuracy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the share of right answers; the threshold is 0.5 after the sigmoid."""
    return ((sigmoid(predictions) > 0.5) == targets).float().mean()


def validate_epoch(batches: Batches, weights: Tensor, bias: Tensor) -> float:
    """Return the accuracy on pictures that are not trained on: the mean over batches, to four decimals."""
    accuracies = [batch_accuracy(linear(x, weights, bias), y) for x, y in batches]
    return round(torch.stack(accuracies).mean().item(), 4)


def train_model(
    train_batches: Batches, valid_batches: Batches, weights: Tensor, bias: Tensor, epochs: int, lr: float
) -> list[float]:
    """Step 6, repeat, and step 7, stop: train for a number of epochs chosen in advance; return their accuracies."""
    accuracies = []
    for epoch in range(1, epochs + 1):
        train_epoch(train_batches, weights, bias, lr)
        accuracies.append(validate_epoch(valid_batches, weights, bias))
        print(f"6 repeat      epoch {epoch:2}: accuracy {accuracies[-1]:.4f}")
        if epoch == 1 and accuracies[0] < 0.55:
            print("              Half are right, as by guessing: the starting weights are large, so most scores lie")
            print("              where the sigmoid is flat, and the gradient is tiny. It needs some epochs.")
    return accuracies


def main(epochs: int = 30, lr: float = 1.0, seed: int = 0) -> None:
    """Run the whole process and print what each step does."""
    torch.manual_seed(seed)
    train_x, train_y, valid_x, valid_y = load_pictures()
    print(f"data          {len(train_x):,} pictures to train on, {len(valid_x):,} to check with; 784 pixels each")
    train = torch.utils.data.DataLoader(list(zip(train_x, train_y, strict=True)), batch_size=256, shuffle=True)
    valid = torch.utils.data.DataLoader(list(zip(valid_x, valid_y, strict=True)), batch_size=256)
    x, y = next(iter(train))

    weights, bias = initialize_params((28 * 28, 1)), initialize_params(1)
    first = ", ".join(f"{weight:.3f}" for weight in weights[:3, 0].tolist())
    print(f"1 initialize  784 weights and 1 bias, at random; the first weights: {first}")
    predictions = linear(x, weights, bias)
    share = batch_accuracy(predictions, y)
    print(f"2 predict     {len(x)} scores, first {predictions[0, 0]:.3g} (above 0: dress); {share:.1%} right, by luck")
    loss = calculate_gradient(x, y, weights, bias)
    print(f"3 loss        {loss.item():.3f}: the mean distance from the labels; 0 is perfect, 0.5 is guessing")
    print(f"4 gradient    how the loss changes with each parameter: the middle pixel's, {weights.grad[406].item():.3g}")
    print(f"5 step        each parameter moves by -{lr:g} times its gradient")
    weights.grad = bias.grad = None
    accuracies = train_model(train, valid, weights, bias, epochs, lr)
    print(f"7 stop        all {epochs} epochs are done; accuracy {accuracies[-1]:.4f}")


if __name__ == "__main__":
    main()
