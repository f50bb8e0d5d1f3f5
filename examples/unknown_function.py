"""The seven steps on an unknown function: find a curve through noisy points. By hand, then with a Learner.

    python examples/unknown_function.py

The points come from 3x² + 2x + 1, which the process is not told: it is only told that the curve is some a·x² + b·x + c.
"""

from sevensteps.all import *


def make_points():
    """Return twenty noisy points of the unknown function."""
    torch.manual_seed(42)
    x = torch.linspace(-2, 2, 20)
    return x, 3 * x**2 + 2 * x + 1 + torch.randn(20) * 0.5


def quadratic(x, a, b, c):
    """Return the value of a quadratic function, the kind of curve to fit."""
    return a * x**2 + b * x + c


def fit_by_hand(x, y, steps=200, lr=0.02):
    """Go through steps 1 to 7 with plain tensors; return a, b, c and the loss after each step."""
    abc = torch.ones(3, requires_grad=True)  # 1 initialize
    losses = []
    for _ in range(steps):  # 6 repeat, 7 stop
        predictions = quadratic(x, *abc)  # 2 predict
        loss = ((predictions - y) ** 2).mean()  # 3 loss
        loss.backward()  # 4 gradient
        with torch.no_grad():
            abc -= lr * abc.grad  # 5 step
        abc.grad = None
        losses.append(loss.item())
    return abc.detach(), losses


class Quadratic(nn.Module):
    """The same curve as a module, with a, b and c as parameters."""

    def __init__(self):
        super().__init__()
        self.abc = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return quadratic(x, *self.abc)


def fit_by_learner(x, y, epochs=200, lr=0.02):
    """Do the same with a DataLoader and a Learner, with all points in one batch."""
    points = DataLoader(list(zip(x, y, strict=True)), batch_size=len(x))
    learn = Learner(DataLoaders(points, points), Quadratic(), loss_func=F.mse_loss, opt_func=SGD)
    learn.fit(epochs, lr=lr, show=False)
    return learn


def main():
    """Fit both ways and compare."""
    x, y = make_points()
    by_hand, losses = fit_by_hand(x, y)
    learn = fit_by_learner(x, y)
    print(f"by hand    a, b, c = {[round(number, 3) for number in by_hand.tolist()]}, loss {losses[-1]:.4f}")
    print(f"by Learner a, b, c = {[round(number, 3) for number in learn.model.abc.tolist()]}", end=", ")
    print(f"loss {learn.validate()[0]:.4f}; it stopped because {learn.stopped_because}")
    return by_hand, learn


if __name__ == "__main__":
    main()
