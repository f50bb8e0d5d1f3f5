"""Ours: epochs as `fit` trains them, including metrics and history."""

import math
import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command has it: docs/decisions/0004-waiting-threads.md

import torch

from sevensteps import Epoch, Images, Recipe, Splits


def epochs(pictures, settings):
    count = settings["classes"]
    classes = tuple(f"class {label}" for label in range(count))
    train, test = (
        Images(pictures[f"{split}_pixels"][:, None], pictures[f"{split}_labels"], classes)
        if f"{split}_pixels" in pictures
        else None
        for split in ("train", "test")
    )
    recipe = Recipe.load(settings["recipe"]).replace(epochs=settings["epochs"] + 1, **settings.get("changed", {}))
    if recipe.shards:  # as the command does: each part has one thread, and so has the rest
        torch.set_num_threads(1)
    learn = recipe.replace(hold_out=0.0, validate_on=settings["validate_on"]).learner(Splits(train, test))
    for event in learn.stream():
        learn.recorder.observe(event)
        if isinstance(event, Epoch):
            assert math.isfinite(event.train_loss)
            yield
