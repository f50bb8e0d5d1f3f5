"""Measure how often a model says "not sure" or "none of these" to test pictures, and to pictures of other things.

    python bench/abstaining.py linear cnn
    python bench/abstaining.py linear relu cnn --ways

"Home" is the test split. Foreign pictures are the other classes of Fashion-MNIST if available, scikit-learn's digits at
28x28, noise, and test pictures with their pixels shuffled, inverted or turned. `--ways` compares ways to measure the
distance of a picture, each with the limit that refuses 2.5 % of the validation pictures.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is imported

import numpy as np
import torch
from machine import describe
from PIL import Image
from torch import nn

import sevensteps as ss
from sevensteps.errors import SevenstepsError
from sevensteps.runs.run import Run
from sevensteps.ship.abstention import NONE_OF_THESE, NOT_SURE, reduced


def main() -> None:
    """Print the shares of home and foreign pictures that each recipe refuses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["linear", "relu", "cnn"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", action="store_true", help="compare ways to measure a distance")
    arguments = parser.parse_args()
    print(describe())
    for name in arguments.recipes:
        recipe = ss.Recipe.load(name).replace(seed=arguments.seed)
        run = ss.train(recipe=recipe)
        splits = recipe.held_out(ss.load(recipe.source, recipe.classes or None))
        assert splits.test is not None
        foreign = elsewhere(splits.test.pixels, splits.classes)
        home(name, run)
        if arguments.ways:
            ways(run, splits, foreign)
        else:
            rejected(run, foreign)


def home(name: str, run: Run) -> None:
    """Print the coverage of the test pictures."""
    found, assured = run.coverage, run.test
    assert found is not None
    assert found.score is not None
    assert assured is not None
    print(
        f"{name}: of {found.n:,} test pictures {found.share:.1%} ({found.interval.low:.1%} to "
        f"{found.interval.high:.1%}) are answered, {found.stated:.0%} was stated; {found.not_sure} not sure, "
        f"{found.none_of_these} none of these; right: {found.score.accuracy:.2%} of the answered, "
        f"{assured.accuracy:.2%} of all",
        flush=True,
    )


def rejected(run: Run, foreign: dict[str, np.ndarray]) -> None:
    """Print what the model says about foreign pictures."""
    abstention = run.learn.abstention
    assert abstention is not None
    print(f"  {'pictures':<22}{'n':>6}{'none of these':>15}{'not sure':>10}{'left out':>10}")
    for name, pixels in foreign.items():
        confidences = softmax(scores_and_features(run, pixels)[0]).max(1)
        reasons = abstention.reasons(confidences, abstention.distances(pixels))
        far, unsure = (reasons.count(reason) / len(pixels) for reason in (NONE_OF_THESE, NOT_SURE))
        print(f"  {name:<22}{len(pixels):>6}{far:>15.1%}{unsure:>10.1%}{far + unsure:>10.1%}", flush=True)


def elsewhere(home: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the foreign pictures, by name."""
    from sklearn.datasets import load_digits

    random = np.random.default_rng(0)
    found = {}
    try:
        others = ss.load("fashion-mnist").test
        assert others is not None
        for label, name in enumerate(others.classes):
            if name not in classes:
                found[name] = others.pixels[others.labels == label]
    except SevenstepsError as error:
        print(f"(without the other classes of Fashion-MNIST: {error})")
    digits = [Image.fromarray((digit / 16 * 255).astype(np.uint8)) for digit in load_digits().images]
    found["digits"] = np.stack([np.asarray(one.resize((28, 28), Image.Resampling.BILINEAR))[None] for one in digits])
    found["noise"] = random.integers(0, 256, (1000, 1, 28, 28), dtype=np.uint8)
    found["shuffled pixels"] = random.permuted(home[:1000].reshape(1000, -1), axis=1).reshape(1000, 1, 28, 28)
    found["inverted"] = 255 - home[:1000]
    found["turned by 90 degrees"] = np.rot90(home[:1000], axes=(2, 3)).copy()
    return found


def scores_and_features(run: Run, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a score for each class, divided by the temperature, and the inputs of the last linear layer."""
    learn, seen = run.learn, []
    last = [layer for layer in learn.model.modules() if isinstance(layer, nn.Linear)][-1]
    hook = last.register_forward_pre_hook(lambda layer, given: seen.append(given[0].detach().double()))
    blocks = [torch.from_numpy(pixels[start : start + 1000].copy()) for start in range(0, len(pixels), 1000)]
    with learn.looking():
        scores = [learn.model(block.float() / 255).double() for block in blocks]
    hook.remove()
    found = torch.cat(scores).numpy() / learn.temperature
    return np.concatenate([0 * found, found], axis=1) if found.shape[1] == 1 else found, torch.cat(seen).numpy()


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities of scores."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def mahalanobis(x: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the distance from the nearest class, with one covariance for all (Lee et al. 2018)."""
    means = [x[labels == label].mean(0) for label in np.unique(labels)]
    rest = np.concatenate([x[labels == label] - mean for label, mean in zip(np.unique(labels), means, strict=True)])
    covariance = rest.T @ rest / len(rest)
    inverse = np.linalg.inv(covariance + np.eye(len(covariance)) * 1e-3 * np.trace(covariance) / len(covariance))
    return lambda y: np.min([np.einsum("ij,jk,ik->i", y - mean, inverse, y - mean) for mean in means], axis=0)


def components(x: np.ndarray, labels: np.ndarray, k: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the distance under probabilistic principal components of all classes together, or of each class."""
    parts = []
    for label in np.unique(labels):
        mine = x[labels == label]
        variances, vectors = np.linalg.eigh(np.cov(mine.T))
        along = np.maximum(variances[::-1][:k], 1e-9)
        parts.append((mine.mean(0), vectors[:, ::-1][:, :k], along, max(variances[::-1][k:].mean(), 1e-9)))

    def distance(y: np.ndarray, part: tuple[np.ndarray, np.ndarray, np.ndarray, float]) -> np.ndarray:
        mean, directions, along, spread = part
        steps = y - mean
        inside = (steps @ directions) ** 2
        return np.asarray((inside / along).sum(1) + ((steps**2).sum(1) - inside.sum(1)) / spread)

    return lambda y: np.min([distance(y, part) for part in parts], axis=0)


def ways(run: Run, splits: ss.Splits, foreign: dict[str, np.ndarray]) -> None:
    """Print the share of each foreign set that each way to measure refuses."""
    train, valid, test = splits.train, splits.valid, splits.test
    assert valid is not None
    assert test is not None
    places = np.random.default_rng(0).permutation(len(train))[:6000]
    sets = {"train": train.pixels[places], "valid": valid.pixels, "home": test.pixels, **foreign}
    labels = train.labels[places]
    both = {name: scores_and_features(run, pixels) for name, pixels in sets.items()}
    small = {name: reduced(pixels) for name, pixels in sets.items()}
    last = {name: features for name, (_, features) in both.items()}
    one = np.zeros_like(labels)
    measured = {
        "confidence": {name: -softmax(scores).max(1) for name, (scores, _) in both.items()},
        "20 components a class, pixels": _all(components(small["train"], labels, 20), small),
        "40 components a class, pixels": _all(components(small["train"], labels, 40), small),
        "40 components of all, pixels": _all(components(small["train"], one, 40), small),
        "one covariance, pixels": _all(mahalanobis(small["train"], labels), small),
        "one covariance, last layer": _all(mahalanobis(last["train"], labels), last),
        "10 components a class, last layer": _all(components(last["train"], labels, 10), last),
    }
    print(f"  {'':<34}{'home':>7}{'mean':>7}  " + "".join(f"{name[:8]:>9}" for name in foreign))
    for way, found in measured.items():
        limit = np.quantile(found["valid"], 0.975)
        shares = [(found[name] > limit).mean() for name in foreign]
        cells = "".join(f"{share:>9.1%}" for share in shares)
        print(f"  {way:<34}{(found['home'] > limit).mean():>7.1%}{np.mean(shares):>7.1%}  {cells}", flush=True)


def _all(distance: Callable[[np.ndarray], np.ndarray], sets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the distances of every set."""
    return {name: distance(x) for name, x in sets.items()}


if __name__ == "__main__":
    main()
