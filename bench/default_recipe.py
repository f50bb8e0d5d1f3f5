"""How the rate and the epochs of the default recipe were chosen: 2,000 training pictures play the unread test set.

python bench/default_recipe.py
"""

from __future__ import annotations

import statistics

import torch
from machine import describe

import sevensteps as ss
from sevensteps.judge.predictions import predict_split

SETTINGS = (
    {},
    {"lr": 0.1},
    {"lr": 0.02},
    {"lr": 0.01},
    {"epochs": 4},
    {"epochs": 15},
    {"epochs": 15, "lr": 0.02},
    {"schedule": "cosine"},
    {"init": "zeros"},
    {"weight_decay": 0.003},
    {"weight_decay": 0.01},
)


def main() -> None:
    """Print mean and deviation over ten seeds for each setting."""
    print(describe())
    torch.set_num_threads(1)
    train, judged = ss.load("pullover-dress").train.split(1 / 6, seed=123)
    for settings in SETTINGS:
        accuracies = []
        for seed in range(10):
            recipe = ss.Recipe.load("linear").replace(seed=seed, **settings)
            learn = recipe.learner(ss.Splits(train, judged))
            learn.fit(show=False)
            accuracies.append(predict_split(learn, judged, "held out").score.accuracy)
        mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
        print(f"{settings}: mean {mean:.2%}, deviation {100 * deviation:.2f} points", flush=True)


if __name__ == "__main__":
    main()
