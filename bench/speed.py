"""Compare our speed with that of peers: the same bytes, the same machine, in turns.

    python bench/speed.py                       every case, as Markdown
    python bench/speed.py --case linear         only one case
    python bench/speed.py --json figures.json   also write the measurements as JSON

Each peer is a small script in `peers/`, run in its own environment, which is created when first needed (several GB in
all; `--envs` says where). One process runs at a time. Every round runs each row of a table once; ratios are taken
within a round, so that changes in the machine's speed affect both sides. The first row compares ours with itself.
Needs an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import gzip
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from environments import ENVIRONMENTS
from machine import describe
from turns import CORES, PEERS, Case, Side, as_markdown, as_record, find_accuracies, ready, take_turns

import sevensteps as ss

# Cases

# Chosen by bench/choose.py: what reaches 97.60 % on held-out training pictures, as our recipe does, in the least time.
# There the bare loop got 97.67 %, LogisticRegression 97.60 and averaged SGD, in one epoch, 97.73; on the test pictures,
# which are harder and were looked at afterwards, that is 96.85, 96.80 and 96.81 %. Batches of 1,024 never got there.
# The loops over PyTorch do the same arithmetic, so they share what was chosen for the bare one.
TUNED: Mapping[str, Any] = {"batch_size": 256, "epochs": 6, "lr": 0.1}
LOGISTIC: Mapping[str, Any] = {"C": 0.01, "max_iter": 15}
AVERAGED: Mapping[str, Any] = {"epochs": 1, "lr": 0.01, "alpha": 0.01}
OURS_TUNED: Mapping[str, Any] = {"batch_size": 256, "epochs": 6, "lr": 0.05, "hold_out": 0.0}
AS_RECIPE: Mapping[str, Any] = {"batch_size": 256, "epochs": 8, "lr": 0.05}  # our recipe's own numbers
AS_IT_COMES: Mapping[str, Any] = {"C": 1.0, "max_iter": 100}  # LogisticRegression without arguments
MOVED: Mapping[str, Any] = {"augment": "flip+shift"}  # what the loop of others does
ADAMW: Mapping[str, Any] = {"optimizer": "AdamW", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.05}


def cases(name: str) -> dict[str, Case]:
    """Return every case; `name` is the recipe that ours runs in the linear case."""
    ten, two, line = (ss.Recipe.load(recipe) for recipe in ("fashion-10", "cnn", "linear"))
    return {
        "linear": Case(
            f"""Pullover or dress: from raw uint8 pictures in memory to a trained linear model. Tuned, ours is recipe
            `{name}` on all 12,000 pictures as the others are, in six epochs; *as shipped* holds a tenth out, looks at
            it after each epoch, and has eight. `first` is the first time in a process, with what a framework imports
            only when used, and `again` the median of repetitions in the same process.""",
            "pullover-dress",
            {
                "import": "{:.2f}",
                "data": "{:.3f}",
                "train": "{:.3f}",
                "first": "{:.3f}",
                "again": "{:.3f}",
                "import + job": "{:.2f}",
            },
            ("first", "again", "import + job"),
            [
                Side("ours, tuned", "ours_job", {"recipe": name, **OURS_TUNED}),
                Side("ours, the recipe as shipped", "ours_job", {"recipe": name}),
                Side("LogisticRegression, tuned", "sklearn_logistic", LOGISTIC, "scikit-learn"),
                Side("LogisticRegression, as it comes", "sklearn_logistic", AS_IT_COMES, "scikit-learn"),
                Side("SGDClassifier, averaged, tuned", "sklearn_sgd", AVERAGED, "scikit-learn"),
                Side("bare PyTorch, tuned", "torch_bare", TUNED),
                Side("bare PyTorch, our recipe's settings", "torch_bare", AS_RECIPE),
                Side("DataLoader(TensorDataset), tuned", "torch_dataloader", TUNED),
                Side("the same, whole batches by BatchSampler", "torch_dataloader", {**TUNED, "whole_batches": True}),
                Side("fastai Learner, tuned", "fastai_learner", TUNED, "fastai"),
                Side("fastai Learner, our recipe's settings", "fastai_learner", AS_RECIPE, "fastai"),
                Side("Lightning, tuned", "lightning_trainer", TUNED, "lightning"),
                Side("Keras (PyTorch), tuned", "keras_fit", TUNED, "keras"),
                Side("skorch, tuned", "skorch_net", TUNED, "skorch"),
            ],
            accuracy=True,
        ),
        "epoch": Case(
            """An epoch of pullover or dress through `Learner`, history included, with or without metrics on the 2,000
            test pictures after it, against a bare loop over float tensors made ahead, which validates and keeps
            nothing. The same network, optimizer and batch size; no augmentation; the bare loop's rate is constant.""",
            "pullover-dress",
            {"epoch": "{:.4f}"},
            ("epoch",),
            [
                *epoch_sides("linear", line, 20, "formula", "autograd"),
                *epoch_sides("cnn", two, 2, "autograd"),
            ],
        ),
        "loader": Case(
            """Passes over the training loader alone: 60,000 pictures to shuffled float batches of 256 in [0, 1].
            PyTorch's loader is given the floats ready made, ours the bytes.""",
            "fashion-mnist",
            {"epoch": "{:.4f}", "a second": "{:,.0f}"},
            ("epoch",),
            [
                Side("ours", "ours_loader", {"augment": "none", "batch_size": 256, "epochs": 20}, threads=1),
                Side(
                    "ours, with flip and shift",
                    "ours_loader",
                    {"augment": "flip+shift", "batch_size": 256, "epochs": 10},
                    threads=1,
                ),
                *(
                    Side(
                        title,
                        "torch_loader",
                        {"whole_batches": whole, "batch_size": 256, "epochs": 3},
                        threads=1,
                    )
                    for title, whole in (
                        ("DataLoader(TensorDataset)", False),
                        ("the same, whole batches by BatchSampler", True),
                    )
                ),
            ],
        ),
        "command": Case(
            """Start to end: `sevensteps train`, which also judges, compares with baselines, draws figures and saves
            a run, against the walk-through's script with fastai, which prints four decimals.""",
            "pullover-dress",
            {"seconds": "{:.2f}", "CPU seconds": "{:.2f}", "MB": "{:,.0f}"},
            ("seconds", "CPU seconds", "MB"),
            [
                Side("sevensteps train", command=("{python}", "-m", "sevensteps", "train")),
                Side(
                    "fastai's script, pictures from an array",
                    environment="fastai",
                    command=("{python}", str(PEERS / "fastai_walkthrough.py"), "{pictures}"),
                ),
                Side(
                    "fastai's script, pictures from torchvision",
                    environment="fastai",
                    pictures="torchvision",
                    command=("{python}", str(PEERS / "fastai_walkthrough.py"), "{pictures}", "--torchvision"),
                ),
            ],
        ),
        "cnn": Case(
            """An epoch of all ten classes, 60,000 pictures with flip and shift: recipe `fashion-10` under AdamW against
            the same network, optimizer, schedule and augmentation in a loop over DataLoader(TensorDataset), in
            PyTorch's usual memory format and in the faster channels_last, also with the recipe's own optimizer.
            None validates.""",
            "fashion-mnist",
            {"epoch": "{:.2f}"},
            ("epoch",),
            [
                *(
                    Side(
                        title,
                        "ours_epochs",
                        {
                            "recipe": "fashion-10",
                            "classes": 10,
                            "validate_on": "valid",
                            "epochs": 1,
                            "changed": changed,
                        },
                        threads=CORES,
                    )
                    for title, changed in (
                        ("ours", {**ADAMW, **MOVED}),
                        ("ours, optimizer as shipped", MOVED),
                    )
                ),
                *(
                    Side(
                        f"DataLoader loop, {memory}, {optimizer}",
                        "torch_cnn_dataloader",
                        {**numbers_of(ten), **changed, "channels_last": memory != "NCHW", "epochs": 1},
                        threads=CORES,
                    )
                    for memory, optimizer, changed in (
                        ("NCHW", "AdamW", ADAMW),
                        ("channels_last", "AdamW", ADAMW),
                        ("channels_last", "Muon", {"optimizer": "Muon"}),
                    )
                ),
            ],
        ),
        "shards": Case(
            """An epoch of pullover or dress with the network, batch size and optimizer of `fashion-10`: the whole batch
            by all threads, as in runs without `shards`, against parts of one thread each, in 32 bits and in bfloat16,
            alone and while another process keeps a core busy. Nothing is validated.""",
            "pullover-dress",
            {"epoch": "{:.3f}"},
            ("epoch",),
            [
                Side(
                    f"{title}{beside * ', beside a busy process'}",
                    "ours_epochs",
                    {
                        "recipe": "fashion-10",
                        "classes": 2,
                        "validate_on": "valid",
                        "epochs": 3,
                        "changed": {"shards": shards, "precision": precision, "loss": "auto", "label_smoothing": 0.0},
                    },
                    threads=CORES,
                    against=f"{PARTS[0][0]}{beside * ', beside a busy process'}",
                    beside=beside,
                )
                for beside in (0, 1)
                for title, shards, precision in PARTS
            ],
        ),
        "growth": Case(
            """Nanoseconds a picture as sets grow (noise of 28x28): passes over the loader alone, and epochs of recipe
            `linear` without validation.""",
            "",
            {"ns": "{:.0f}"},
            ("ns",),
            [
                Side(
                    f"{what}, {count:,} pictures",
                    script,
                    {**settings, "epochs": repeats},
                    threads=1,
                    pictures=str(count),
                    against=f"{what}, 10,000 pictures",
                )
                for what, script, settings in (
                    ("loader", "ours_loader", {"augment": "none", "batch_size": 256}),
                    ("epoch", "ours_epochs", {"recipe": "linear", "classes": 2, "validate_on": "valid"}),
                )
                for count, repeats in ((10_000, 50), (1_000, 200), (100_000, 10), (1_000_000, 2))
            ],
        ),
    }


def numbers_of(recipe: ss.Recipe) -> dict[str, Any]:
    """Return the settings of a recipe that a peer's loop needs."""
    keys = ("model", "lr", "momentum", "weight_decay", "batch_size", "label_smoothing", "width")
    return {**{key: getattr(recipe, key) for key in keys}, "recipe_epochs": recipe.epochs}


def epoch_sides(title: str, recipe: ss.Recipe, repeats: int, *gradients: str) -> list[Side]:
    """Return the rows of ours with and without validation and of the bare loop, for one model."""
    bare = f"{title}: bare loop, autograd"
    ours = [
        Side(
            f"{title}: ours by {gradient}, {says}",
            "ours_epochs",
            {
                "recipe": recipe.name,
                "changed": {"gradient": gradient, "augment": "none"},
                "classes": 2,
                "validate_on": validate_on,
                "epochs": repeats,
            },
            against=bare,
        )
        for gradient in gradients
        for validate_on, says in (("test", "with metrics"), ("valid", "without"))
    ]
    return [*ours, Side(bare, "torch_epochs", {**numbers_of(recipe), "epochs": repeats}, against=bare)]


PARTS = (
    ("whole batches", 0, "f32"),
    ("2 parts", 2, "f32"),
    ("4 parts", 4, "f32"),
    ("2 parts, bf16", 2, "bf16"),
    ("4 parts, bf16", 4, "bf16"),
)


# Pictures


def export(path: Path, train: Any, test: Any) -> Path:
    """Write two `Images` as raw bytes that every script can read."""
    import numpy as np

    arrays = {"train_pixels": train.pixels[:, 0], "train_labels": train.labels}
    arrays |= {"test_pixels": test.pixels[:, 0], "test_labels": test.labels}
    np.savez(path, allow_pickle=False, **arrays)  # noqa: TID251 - scripts of other frameworks have no other reader
    return path


@functools.cache
def pictures(name: str, folder: Path) -> str | None:
    """Return the file of the named pictures, or None if this machine has none."""
    if name.isdigit() or not name:
        return name
    if name == "torchvision":  # Fashion-MNIST as it is distributed, where torchvision looks for it
        files = Path("/usr/share/datasets/fashion-mnist")
        raw = folder / "FashionMNIST" / "raw"
        if not files.exists():
            return None
        raw.mkdir(parents=True)
        for file in files.glob("*.gz"):
            (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        return str(folder)
    try:
        splits = ss.load(name)
    except ss.SevenstepsError as error:
        print(f"{name} is not available; using artificial pictures: {error}", file=sys.stderr)
        return "60000"
    return str(export(folder / f"{name}.npz", splits.train, splits.test))


def main() -> None:
    """Measure the cases, and print each table as soon as it is complete."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=cases("linear"), action="append", help="one case; may be repeated")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=20, help="for the mean accuracies; 0 leaves them out")
    parser.add_argument("--threads", type=int, default=0, help="for every row alike, instead of what suits each")
    parser.add_argument("--recipe", default="linear", help="ours in the linear case")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORDS", help="ours and the rows with these words")
    parser.add_argument("--envs", type=Path, default=ENVIRONMENTS, help="where the peers' environments are kept")
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    arguments = parser.parse_args()
    every = cases(arguments.recipe)
    started = {
        "environment": f"{describe()}, {cpu()}",
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }
    print(f"# Speed\n\n{started['environment']}; load before: {started['load']}\n", flush=True)
    records: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        find = functools.partial(pictures, folder=Path(folder))
        for name in arguments.case or every:
            case = every[name]
            if arguments.only:
                ours, *others = case.sides
                kept = [side for side in others if any(words in side.title for words in arguments.only)]
                case = dataclasses.replace(case, sides=[ours, *kept])
            rows = ready(case, arguments.threads, arguments.envs, find)
            take_turns(rows, arguments.rounds)
            if case.accuracy and arguments.seeds:
                find_accuracies(rows[1:], arguments.seeds)  # the first row repeats the second
            records[name] = as_record(case, rows)
            print(as_markdown(name, case, records[name]), flush=True)
            if arguments.json:  # after each case, so that a failing case loses no others
                arguments.json.write_text(json.dumps({**started, "cases": records}, indent=1) + "\n")
    versions = {
        f"{package} {version}"
        for record in records.values()
        for row in record["rows"]
        for package, version in row["versions"].items()
    }
    print(f"Versions: {', '.join(sorted(versions))}.")


def cpu() -> str:
    """Return the processor's name, if the system tells it."""
    said = Path("/proc/cpuinfo")
    lines = said.read_text().splitlines() if said.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
