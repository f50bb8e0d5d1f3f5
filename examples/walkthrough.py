"""The walk-through as its readers type it, with one changed line: from sevensteps.all import *

    python examples/walkthrough.py

Everything else is the code that people write while they read: their own loss and metric, a DataLoader over zipped
tensors, targets of shape (batch, 1), SGD(model.parameters(), lr), and Learner(...).fit(15, lr=1.).
"""

from sevensteps.all import *

splits = load("pullover-dress")
train_x = torch.stack([picture for picture, _ in splits.train]).view(-1, 28 * 28)
train_y = tensor(splits.train.labels).unsqueeze(1)
valid_x = torch.stack([picture for picture, _ in splits.test]).view(-1, 28 * 28)
valid_y = tensor(splits.test.labels).unsqueeze(1)

dset = list(zip(train_x, train_y))
valid_dset = list(zip(valid_x, valid_y))
train_dl = DataLoader(dset, batch_size=256, shuffle=True)
valid_dl = DataLoader(valid_dset, batch_size=256)
xb, yb = first(train_dl)

plot_function(torch.sigmoid, title="Sigmoid", min=-5, max=5)


def mnist_loss(predictions, targets):
    predictions = predictions.sigmoid()
    return torch.where(targets == 1, 1 - predictions, predictions).mean()


def batch_accuracy(xb, yb):
    preds = xb.sigmoid()
    correct = (preds > 0.5) == yb
    return correct.float().mean()


# The second rung: a module and an optimizer.
linear_model = nn.Linear(28 * 28, 1)
opt = SGD(linear_model.parameters(), 1.0)


def calc_grad(xb, yb, model):
    preds = model(xb)
    loss = mnist_loss(preds, yb)
    loss.backward()


def train_epoch(model):
    for xb, yb in train_dl:
        calc_grad(xb, yb, model)
        opt.step()
        opt.zero_grad()


def validate_epoch(model):
    accs = [batch_accuracy(model(xb), yb) for xb, yb in valid_dl]
    return round(torch.stack(accs).mean().item(), 4)


def train_model(model, epochs):
    for _ in range(epochs):
        train_epoch(model)
        print(validate_epoch(model), end=" ")
    print()


if __name__ == "__main__":
    torch.manual_seed(0)
    train_model(linear_model, 5)

    # The third rung: DataLoaders and a Learner.
    dls = DataLoaders(train_dl, valid_dl)
    learn = Learner(dls, nn.Linear(28 * 28, 1), opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
    learn.fit(15, lr=1.0)

    # And a network that is not linear.
    simple_net = nn.Sequential(nn.Linear(28 * 28, 30), nn.ReLU(), nn.Linear(30, 1))
    learn = Learner(dls, simple_net, opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
    learn.fit(5, 0.1)
    plt.plot(L(learn.recorder.values).itemgot(2))
    print(learn.recorder.values[-1][2])
