"""Photographs: a linear model on features of a frozen network, beside scikit-learn on the same features and on pixels.

    python tools/make_stamps.py FOLDER
    python bench/photos.py FOLDER
    python bench/photos.py /usr/share/openclipart/png --largest 8 --train 0 --each 30 --draws 10

Prints the accuracy on the held-out pictures: mean and spread over splits of 115 to train on and the rest to test, then
over draws of one and of five pictures a class. The regularization of scikit-learn is chosen by cross-validation on the
training pictures of each split. Then: pictures a second through the network, and CPU seconds of training. The second
set is Debian's openclipart-png, 30 drawings of each of its 8 largest classes to train on. With --unfreeze N, the
fine-tuned model is compared with the probe on the test pictures of all splits instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from machine import describe
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

import sevensteps as ss
from sevensteps.data.batches import Batches
from sevensteps.data.files.how import How
from sevensteps.data.images import Images, Splits
from sevensteps.data.near_pairs import smaller
from sevensteps.data.on_white import decode_on_white
from sevensteps.learner.features import with_features
from sevensteps.recipes.choose import by_features
from sevensteps.ship.backbone.extract import extractor
from sevensteps.ship.backbone.names import NAME
from sevensteps.ship.backbone.weights import load_backbone
from sevensteps.trust.comparison import mid_p

Parts = Iterator[tuple[np.ndarray, np.ndarray]]  # rows to train on, rows to test on


Probe = Callable[[Images, Images], np.ndarray]  # from training pictures and others to the answers for the others


def ours(train: Images, test: Images, **settings: float) -> np.ndarray:
    """Return the answers of the recipe that `train` chooses for photographs, or of one with other settings."""
    recipe = by_features(NAME, len(train)).with_given({"hold_out": 0.0, "threads": 1, **settings})
    learn = recipe.learner(Splits(train))
    for _ in learn.stream():
        pass
    logits, _ = learn.get_logits(dl=Batches(test, 256))
    answers: np.ndarray = learn.probabilities(logits).argmax(1).numpy()
    return answers


def on_features(train: Images, test: Images) -> np.ndarray:
    """Return the answers of scikit-learn's logistic regression on the same features."""
    x, other = (images.inputs.reshape(len(images), -1) * (8 / 255) for images in (train, test))
    return fitted(x, train.labels).predict(other)


def plain(train: Images, test: Images) -> np.ndarray:
    """Return the answers of a usual loop in PyTorch: standardized features, `nn.Linear`, Adam, 100 epochs."""
    x, other = (torch.from_numpy(images.inputs.reshape(len(images), -1)).float() for images in (train, test))
    mean, spread = x.mean(0), x.std(0).clamp(min=1.0)  # of values from 0 to 255, some of which never differ
    x, other, y = (x - mean) / spread, (other - mean) / spread, torch.from_numpy(train.labels)
    torch.manual_seed(0)
    model = torch.nn.Linear(x.shape[1], len(train.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(100):
        for rows in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        answers: np.ndarray = model(other).argmax(1).numpy()
    return answers


def on_pixels(train: Images, test: Images) -> np.ndarray:
    """Return the answers of scikit-learn's logistic regression on standardized pixels, averaged to 32 a side."""
    x, other = (smaller(images.pixels).reshape(len(images), -1) / 255 for images in (train, test))
    scaler = StandardScaler().fit(x)
    return (
        LogisticRegression(C=1e-3, max_iter=200).fit(scaler.transform(x), train.labels).predict(scaler.transform(other))
    )


def fitted(x: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Return a logistic regression, with its regularization chosen by cross-validation if each class has three."""
    fewest = int(np.bincount(labels).min())
    if fewest < 3:
        return LogisticRegression(C=1.0, max_iter=300).fit(x, labels)
    return LogisticRegressionCV(Cs=[0.01, 0.1, 1.0], cv=3, max_iter=100).fit(x, labels)


def splits_of(labels: np.ndarray, train_size: int, count: int) -> Parts:
    """Yield rows to train on and rows to test on."""
    folds = StratifiedShuffleSplit(count, train_size=train_size, test_size=len(labels) - train_size, random_state=0)
    for train, test in folds.split(labels, labels):
        yield np.sort(train), np.sort(test)


def draws_of(labels: np.ndarray, each: int, count: int) -> Parts:
    """Yield rows to train on, as many of each class, and all others."""
    for seed in range(count):
        random = np.random.default_rng(seed)
        rows = [random.choice(np.flatnonzero(labels == label), each, replace=False) for label in np.unique(labels)]
        train = np.sort(np.concatenate(rows))
        yield train, np.setdiff1d(np.arange(len(labels)), train)


def largest(images: Images, count: int) -> Images:
    """Return the pictures of the largest classes, in the order of the classes."""
    sizes = np.bincount(images.labels, minlength=len(images.classes))
    kept = np.sort(np.argsort(-sizes, kind="stable")[:count])
    chosen = images.take(np.flatnonzero(np.isin(images.labels, kept)))
    classes = tuple(images.classes[label] for label in kept)
    return dataclasses.replace(chosen, labels=np.searchsorted(kept, chosen.labels), classes=classes)


def accuracies(probe: Probe, images: Images, parts: Parts) -> np.ndarray:
    """Return the accuracy of each split."""
    found = []
    for train, test in parts:
        tested = images.take(test)
        found.append(float((probe(images.take(train), tested) == tested.labels).mean()))
    return np.array(found)


def compare_fine_tuning(images: Images, unfreeze: int, parts: Parts) -> None:
    """Print how often the probe and the fine-tuned model are right on the test pictures of the same splits."""
    assert images.features is not None
    whole = dataclasses.replace(images, features=images.features.whole)
    right: dict[str, list[np.ndarray]] = {"probe": [], "fine-tuned": []}
    began = time.perf_counter()
    for train, test in parts:
        for name, of in (("probe", whole), ("fine-tuned", images)):
            part, tested = of.take(train), of.take(test)
            recipe = by_features(NAME, len(part), unfreeze=unfreeze if of is images else 0)
            learn = recipe.with_given({"hold_out": 0.0, "threads": 1}).learner(Splits(part))
            for _ in learn.stream():
                pass
            logits, _ = learn.get_logits(dl=Batches(tested, 64))
            right[name].append(logits.argmax(1).numpy() == tested.labels)
    probe, tuned = (np.stack(each) for each in right.values())
    only_probe, only_tuned = int((probe & ~tuned).sum()), int((tuned & ~probe).sum())
    counts = zip(probe, tuned, strict=True)
    p_values = [round(mid_p(int((a & ~b).sum()), int((b & ~a).sum())), 2) for a, b in counts]
    print(
        f"last {unfreeze} trained: probe {100 * probe.mean():.1f}, fine-tuned {100 * tuned.mean():.1f}; "
        f"of {probe.size} answers, {only_probe} are right by the probe alone, {only_tuned} fine-tuned alone; "
        f"mid-p of each split {p_values}; {(time.perf_counter() - began) / len(probe):.0f} s a split"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="class folders, as tools/make_stamps.py writes them")
    parser.add_argument("--largest", type=int, help="take this many of the largest classes; all of them if not given")
    parser.add_argument("--train", type=int, default=115, help="pictures to train on in each split; 0 for no splits")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--each", type=int, nargs="*", default=[1, 5], help="pictures of each class in each draw")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--weight-decays", type=float, nargs="*", default=[], help="compare these, in place of pixels")
    parser.add_argument(
        "--unfreeze", type=int, default=0, help="compare fine-tuning of the last N stages with the probe"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(describe())
    source, how = str(arguments.folder), How(bad_files="skip")
    splits = ss.load(source, bad_files="skip")
    images = with_features(splits, source, how, NAME, print, arguments.unfreeze).train
    if arguments.largest:
        images = largest(images, arguments.largest)
    if arguments.unfreeze:
        compare_fine_tuning(images, arguments.unfreeze, splits_of(images.labels, arguments.train, arguments.splits))
        return
    print(
        f"{len(images)} pictures in {len(images.classes)} classes; mean and standard deviation over splits or draws\n"
    )
    kinds: dict[str, Callable[[], Parts]] = {}
    if arguments.train:
        kinds[f"{arguments.train} to train on"] = lambda: splits_of(images.labels, arguments.train, arguments.splits)
    for each in arguments.each:
        kinds[f"{each} a class"] = lambda each=each: draws_of(images.labels, each, arguments.draws)  # type: ignore[misc]
    probes: dict[str, Probe] = {"ours": ours}
    for decay in arguments.weight_decays:
        probes[f"ours, weight decay {decay:g}"] = functools.partial(ours, weight_decay=decay)
    probes |= {"scikit-learn, same features": on_features, "PyTorch, same features": plain}
    if not arguments.weight_decays:
        probes["scikit-learn, pixels"] = on_pixels
    print(f"{'':<28}" + "".join(f"{kind:>18}" for kind in kinds), flush=True)
    for name, probe in probes.items():
        found = [accuracies(probe, images, parts()) for parts in kinds.values()]
        row = "".join(f"{f'{100 * a.mean():.1f} ({100 * a.std(ddof=1):.1f})':>18}" for a in found)
        print(f"{name:<28}{row}", flush=True)
    extract, picture = extractor(load_backbone()), np.zeros((3, 224, 224), dtype=np.uint8)
    began = time.process_time()
    for _ in range(100):
        extract(picture)
    print(f"\nthe network alone: {100 / (time.process_time() - began):.0f} pictures a CPU second")
    files = sorted(path for path in arguments.folder.rglob("*.png") if path.stat().st_size < 1 << 20)[:200]
    began = time.process_time()
    for path in files:
        extract(decode_on_white(path.read_bytes(), (3, 224, 224), path.name))
    print(f"from PNG files: {len(files) / (time.process_time() - began):.0f} pictures a CPU second")
    few = images.take(np.arange(min(1000, len(images))))
    began = time.process_time()
    ours(few, few.take(np.arange(1)))
    print(f"training on {len(few)}: {time.process_time() - began:.2f} CPU seconds")


if __name__ == "__main__":
    main()
