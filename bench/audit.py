"""Plant near-copies, wrong labels and outliers, and measure how many an audit finds, what else it finds, and its time.

python bench/audit.py            scikit-learn's digits, and Fashion-MNIST's training and test pictures together (70,000)
python bench/audit.py labels     only wrong labels; cleanlab (extra dev-full) ranks by the same probabilities
python bench/audit.py outliers   noise, inverted, shuffled, turned and foreign pictures planted; and train against test
python bench/audit.py pairs FILE.png   a figure of near-copies that Fashion-MNIST itself contains
"""

from __future__ import annotations

import dataclasses
import io
import sys
import time

import numpy as np
from machine import describe
from PIL import Image

import sevensteps as ss
from sevensteps.data.folds import USUAL, folds_of
from sevensteps.data.images import Images, Splits
from sevensteps.data.near_pairs import near_pairs
from sevensteps.trust.audit.copies import audit
from sevensteps.trust.audit.outliers import LIMIT, deviations, distances
from sevensteps.trust.audit.quick_model import components, out_of_fold, pictures_of
from sevensteps.trust.audit.train_vs_test import told_apart
from sevensteps.trust.audit.wrong_labels import confident_learning

DIRECTIONS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]


def jpeg(picture: np.ndarray) -> np.ndarray:
    """Write a picture as a JPEG of quality 80, and read it."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=80)
    return np.asarray(Image.open(content))


def resized(picture: np.ndarray, share: float) -> np.ndarray:
    """Resize a picture (bicubic), and bring it back to its size as pictures of a folder are."""
    height, width = picture.shape
    other = Image.fromarray(picture).resize((round(width * share), round(height * share)), Image.Resampling.BICUBIC)
    return np.asarray(other.resize((width, height), Image.Resampling.BILINEAR))


def shifted(picture: np.ndarray, number: int) -> np.ndarray:
    """Shift a picture by a pixel in one of eight directions, and fill the edge with black."""
    down, right = DIRECTIONS[number % 8]
    padded = np.pad(picture, 1)
    return padded[1 - down : 1 - down + len(picture), 1 - right : 1 - right + picture.shape[1]]


KINDS = {
    "JPEG 80": lambda picture, number: jpeg(picture),
    "half as large again": lambda picture, number: resized(picture, 1.5),
    "three quarters as large": lambda picture, number: resized(picture, 0.75),
    "shifted by a pixel": shifted,
}


def planted(name: str, pictures: np.ndarray, count: int) -> None:
    """Plant near-copies of each kind, and print how many are found, and what else is found."""
    random = np.random.default_rng(0)
    made, of, kinds = [pictures], [np.arange(len(pictures))], np.array(["own"] * len(pictures), dtype=object)
    for kind, change in KINDS.items():
        rows = random.choice(len(pictures), count, replace=False)
        made.append(np.stack([change(pictures[row], number) for number, row in enumerate(rows)]))
        of.append(rows)
        kinds = np.append(kinds, [kind] * count)
    everything, source = np.concatenate(made)[:, None], np.concatenate(of)
    began = time.perf_counter()
    pairs = near_pairs(everything)
    seconds = time.perf_counter() - began
    first, second = pairs.first, pairs.second
    print(f"{name}: {len(everything):,} pictures, {count:,} planted of each kind; {seconds:.1f} s")
    is_planted = (source[first] == source[second]) & (kinds[first] == "own")
    for kind in KINDS:
        print(f"  found, {kind}: {(kinds[second][is_planted] == kind).sum() / count:.1%}")
    print(f"  found of all planted: {is_planted.sum() / (count * len(KINDS)):.2%}")
    others = int((source[first] != source[second]).sum())
    own = int(((kinds[first] == "own") & (kinds[second] == "own")).sum())
    print(f"  pairs of different pictures: {others:,} of {len(first):,} ({others / len(first):.2%})")
    print(f"    pairs that were not planted: {own:,} (Fashion-MNIST has real ones)", flush=True)


def own_pairs(pixels: np.ndarray, file: str) -> None:
    """Save a figure of a set's own near-copies, the least similar first: both pictures, and their difference."""
    pairs = near_pairs(pixels)
    order = np.argsort(pairs.scores, kind="stable")
    both = pixels[pairs.first[order], 0], pixels[pairs.second[order], 0]
    rows = np.concatenate([*both, np.abs(both[0].astype(int) - both[1]).astype(np.uint8)], axis=2)
    rows = np.pad(rows, ((0, -len(rows) % 8), (0, 2), (0, 4)))
    sheet = rows.reshape(-1, 8, *rows.shape[1:]).transpose(0, 2, 1, 3).reshape(-1, 8 * rows.shape[2])
    Image.fromarray(sheet).resize((2 * sheet.shape[1], 2 * sheet.shape[0]), Image.Resampling.NEAREST).save(file)
    print(f"{file}: {len(pairs.first):,} pairs")


def wrong_labels(name: str, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Plant 3 % wrong labels, three times, and print their share among the first suspects, ours and cleanlab's."""
    from cleanlab.filter import find_label_issues

    classes, count = int(labels.max()) + 1, round(0.03 * len(labels))
    shares: dict[str, list[float]] = {}
    seconds, found_in_all = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        rows = random.choice(len(labels), count, replace=False)
        wrong = labels.copy()
        wrong[rows] = (labels[rows] + random.integers(1, classes, count)) % classes
        began = time.perf_counter()
        probabilities = out_of_fold(pixels, wrong, classes, folds_of(wrong, classes, USUAL, 0))
        found, _, _ = confident_learning(probabilities, wrong)
        seconds.append(time.perf_counter() - began)
        found_in_all.append(len(found))
        ranked = {"ours": found}
        for rule in ("confident_learning", "prune_by_noise_rate"):
            for by in ("normalized_margin", "self_confidence"):
                ranked[f"cleanlab, {rule}, {by}"] = find_label_issues(
                    wrong, probabilities, filter_by=rule, return_indices_ranked_by=by, n_jobs=1
                )
        for who, order in ranked.items():
            shares.setdefault(who, []).append(float(np.isin(order[:count], rows).sum()) / count)
    listed = " ".join(f"{count:,}" for count in found_in_all)
    print(
        f"{name}: {len(labels):,} pictures, {count:,} wrong labels planted, three seeds; {max(seconds):.1f} s at most"
    )
    print(f"  suspects: {listed}")
    for who, of_one in shares.items():
        each = " ".join(f"{share:.1%}" for share in of_one)
        print(f"  planted among the first {count:,}, {who}: {np.mean(of_one):.1%} ({each})", flush=True)


def planted_outliers(name: str, pictures: np.ndarray, labels: np.ndarray, others: np.ndarray) -> None:
    """Plant ten outliers of each kind, five times, and print how we and peers rank them, and how many we name."""
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import LocalOutlierFactor

    areas: dict[str, list[float]] = {}
    named: dict[str, list[float]] = {}
    for seed in range(5):
        random = np.random.default_rng(seed)
        some = [pictures[random.choice(len(pictures), 10, replace=False)] for _ in range(3)]
        kinds = {
            "noise": random.integers(0, 256, some[0].shape),
            "inverted": 255 - some[0],
            "shuffled": np.stack([random.permutation(one.ravel()).reshape(one.shape) for one in some[1]]),
            "turned": np.rot90(some[2], axes=(1, 2)),
            "foreign": others[random.choice(len(others), 10, replace=False)],
        }
        pixels = np.concatenate([pictures, *kinds.values()]).astype(np.uint8)
        kind = np.array(["own"] * len(pictures) + [of for of in kinds for _ in range(10)])
        of_class = np.append(labels, random.choice(labels, 10 * len(kinds)))
        flat = pixels.reshape(len(pixels), -1)
        scores = {
            "ours": deviations(np.log(distances(*components(pixels[:, None]), np.full(len(pixels), -1))), of_class),
            "LocalOutlierFactor": -LocalOutlierFactor(20).fit(flat).negative_outlier_factor_,
            "IsolationForest": -IsolationForest(random_state=0).fit(flat).score_samples(flat),
        }
        for who, of_one in scores.items():
            areas.setdefault(who, []).append(float(roc_auc_score(kind != "own", of_one)))
        for of in ("own", *kinds):
            named.setdefault(of, []).append(float((scores["ours"][kind == of] > LIMIT).mean()))
    print(f"{name}: {len(pictures):,} pictures, ten of each kind planted, five seeds")
    print("  area under the curve: " + ", ".join(f"{who} {np.mean(of):.3f}" for who, of in areas.items()))
    print("  named: " + ", ".join(f"{of} {np.mean(shares):.2%}" for of, shares in named.items()), flush=True)


def dealt(images: Images) -> None:
    """Divide training pictures at random 200 times, and print how often the parts are told apart."""
    found = []
    for seed in range(200):
        rows = np.random.default_rng(seed).permutation(len(images))[:3000]
        test = dataclasses.replace(images.take(rows[:600]), origin="test")
        pictures = pictures_of(Splits(images.take(rows[600:]), test))
        apart = told_apart(pictures) if pictures else None
        assert apart is not None
        found.append(apart)
    covers = np.mean([one.interval.low <= 0.5 <= one.interval.high for one in found])
    told, area = np.mean([one.is_told for one in found]), np.mean([one.area for one in found])
    print(f"Train against test, 3,000 pullovers and dresses divided 200 times: {covers:.1%} of the intervals")
    print(f"  contain 0.5; told apart in {told:.1%}, mean area {area:.3f}")


def main() -> None:
    """Print the tables, and how long the whole audit takes."""
    from sklearn.datasets import load_digits

    print(describe())
    digits, labels = load_digits().images, load_digits().target.astype(np.int64)
    digits = (digits * 255 / 16).round().astype(np.uint8)
    splits = ss.load("fashion-mnist")
    assert splits.test is not None
    if sys.argv[1:2] == ["pairs"]:
        own_pairs(np.concatenate([splits.train.pixels, splits.test.pixels]), sys.argv[2])
        return
    if sys.argv[1:] == ["outliers"]:
        clothes = splits.train.take(np.arange(12_000))
        grown = [Image.fromarray(one).resize((28, 28), Image.Resampling.BILINEAR) for one in digits]
        small = [Image.fromarray(one[0]).resize((8, 8), Image.Resampling.BOX) for one in clothes.pixels[:2000]]
        planted_outliers("scikit-learn's digits", digits, labels, np.stack([np.asarray(one) for one in small]))
        planted_outliers(
            "Fashion-MNIST, the first",
            clothes.pixels[:, 0],
            clothes.labels,
            np.stack([np.asarray(one) for one in grown]),
        )
        dealt(ss.load("pullover-dress").train)
        return
    wrong_labels("scikit-learn's digits", digits[:, None], labels)
    embedded = ss.load("pullover-dress").train
    wrong_labels("Pullovers and dresses", embedded.pixels, embedded.labels)
    some = splits.train.take(np.arange(12_000))
    wrong_labels("Fashion-MNIST, the first", some.pixels, some.labels)
    wrong_labels("Fashion-MNIST", splits.train.pixels, splits.train.labels)
    if sys.argv[1:] == ["labels"]:
        return
    planted("scikit-learn's digits", digits, 400)
    planted("Fashion-MNIST", np.concatenate([splits.train.pixels[:, 0], splits.test.pixels[:, 0]]), 1000)
    began = time.perf_counter()
    found = audit(splits, near=True)
    print(f"exact and near duplicates of Fashion-MNIST's 70,000: {time.perf_counter() - began:.1f} s")
    print(f"  exact: {len(found.duplicates):,} groups within a split, {len(found.leaks):,} across")
    print(f"  near: {len(found.near_duplicates):,} groups within a split, {len(found.near_leaks):,} across")


if __name__ == "__main__":
    main()
