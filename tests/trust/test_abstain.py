""" "not sure" and "none of these": the distance, the limits and what they promise, and the file that carries them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typed import here, three_classes

import sevensteps as ss
from sevensteps.data.images import Images, Splits
from sevensteps.errors import ModelError, UsageError
from sevensteps.jobs.report import collect
from sevensteps.records.scores import Coverage
from sevensteps.runs import checkpoint
from sevensteps.ship import abstention as room
from sevensteps.ship import file as model_file
from sevensteps.ship.abstention import NONE_OF_THESE, NOT_SURE, Abstention, reduced, reduced_size
from sevensteps.ship.predict import load_model
from sevensteps.show.report.report import page
from sevensteps.show.sentences import coverage_in_words
from sevensteps.trust.abstain import fit_abstention, home_coverage
from sevensteps.trust.intervals import wilson


def pictures(n: int, seed: int, classes: int = 2, shape: tuple[int, int, int] = (1, 8, 8)) -> Images:
    """A pattern of each class, a few directions in which it varies, and noise."""
    fixed, random = np.random.default_rng(0), np.random.default_rng(seed)
    patterns = fixed.uniform(60, 190, (classes, *shape))
    ways = fixed.normal(0, 1, (classes, 3, *shape))
    labels = random.integers(0, classes, n)
    steps = np.einsum("nk,nkchw->nchw", random.normal(0, 12, (n, 3)), ways[labels])
    pixels = patterns[labels] + steps + random.normal(0, 4, (n, *shape))
    return Images(np.clip(pixels, 0, 255).astype(np.uint8), labels, tuple(f"class {label}" for label in range(classes)))


def fitted(n: int = 1000, coverage: float = 0.9, seed: int = 1, **how: Any) -> tuple[Abstention, Images]:
    valid = pictures(n, seed + 1000, **how)
    confidences = np.random.default_rng(seed).uniform(0.5, 1, n)
    found = fit_abstention(pictures(600, seed, **how), valid, confidences, coverage)
    assert found is not None
    return found, valid


# The distance


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 16, 16), (1, 28, 28), (3, 17, 5), (3, 40, 33), (1, 100, 7)])
def test_pictures_are_reduced_to_means_of_squares(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    channels, height, width = shape
    high, wide = -(-height // 16), -(-width // 16)
    expected = np.array(
        [
            [
                picture[c, y : y + high, x : x + wide].mean() / 255
                for c in range(channels)
                for y in range(0, height, high)
                for x in range(0, width, wide)
            ]
            for picture in pixels
        ]
    )
    np.testing.assert_allclose(reduced(pixels), expected, atol=1e-12)
    assert reduced(pixels).shape == (3, reduced_size(shape))
    assert reduced_size(shape) <= 16 * 16 * channels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_distance_is_mahalanobis_under_the_probabilistic_components(classes: int) -> None:
    """Held against scikit-learn's PCA, whose `get_covariance` is Tipping and Bishop's."""
    from sklearn.decomposition import PCA

    train, others = pictures(900, 1, classes), pictures(50, 2, classes)
    found = fit_abstention(train, others, np.linspace(0.5, 1, 50), 0.9)
    assert found is not None
    expected = []
    for label in range(classes):
        x = reduced(train.pixels[train.labels == label])
        pca = PCA(20).fit(x)
        steps = reduced(others.pixels) - pca.mean_
        expected.append(np.einsum("ni,ij,nj->n", steps, np.linalg.inv(pca.get_covariance()), steps) / x.shape[1])
    np.testing.assert_allclose(found.distances(others.pixels), np.min(expected, axis=0), rtol=1e-4)


def test_a_picture_like_those_of_training_is_at_about_one_and_another_is_far() -> None:
    found, valid = fitted()
    assert 0.8 < np.median(found.distances(valid.pixels)) < 1.3
    assert found.distances(255 - valid.pixels).min() > found.distance
    noise = np.random.default_rng(0).integers(0, 256, (100, 1, 8, 8), dtype=np.uint8)
    assert found.distances(noise).min() > found.distance


def test_blocks_of_pictures_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, valid = fitted(50)
    whole = found.distances(valid.pixels)
    monkeypatch.setattr(room, "AT_ONCE", 1)
    np.testing.assert_allclose(found.distances(valid.pixels), whole, rtol=1e-12)


def test_the_same_pictures_give_the_same_bytes() -> None:
    one, other = fitted()[0], fitted()[0]
    for direction in one.directions.reshape(-1, one.directions.shape[2]):  # of its two ways, always the same
        assert direction[np.abs(direction).argmax()] > 0
    assert one.facts() == other.facts()
    for name, array in one.arrays().items():
        assert array.dtype == np.float32
        assert array.tobytes() == other.arrays()[name].tobytes()


@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_few_pictures_and_pictures_all_alike_have_a_distance(n: int) -> None:
    train = Images(np.full((n, 1, 6, 6), 7, np.uint8), np.zeros(n, dtype=np.int64), ("only", "never seen"))
    found = fit_abstention(train, train, np.ones(n), 0.5)
    assert found is not None
    assert len(found.means) == 1, "a class without pictures is none that a picture could be near to"
    assert found.distances(train.pixels) == pytest.approx(np.zeros(n), abs=1e-9)
    assert found.reasons(np.ones(n), found.distances(train.pixels)) == [None] * n
    far = found.distances(np.full((1, 1, 6, 6), 200, np.uint8))
    assert np.isfinite(far).all()
    assert far[0] > 1000


def test_many_classes_have_fewer_directions_each_so_that_files_stay_small() -> None:
    train = pictures(12_000, 1, classes=50)  # enough of each for 20 directions
    found = fit_abstention(train, train[:100], np.ones(100), 0.9)
    assert found is not None
    assert found.directions.shape == (50, 8, 64)


# The limits


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("n", [5, 39, 200])
def test_new_pictures_are_answered_as_often_as_is_said(n: int, coverage: float) -> None:
    """On average over what was drawn for validation: conformal prediction's promise, also for few pictures."""
    shares = []
    for seed in range(60):
        found, _ = fitted(n, coverage, seed)
        new = pictures(400, seed + 9000)
        confidences = np.random.default_rng(seed + 5000).uniform(0.5, 1, 400)
        shares.append(found.answered(confidences, found.distances(new.pixels)).mean())
    error = np.std(shares) / 60**0.5
    assert np.mean(shares) >= coverage - 3 * error
    if n == 200:
        assert np.mean(shares) <= coverage + 0.02 + 3 * error


def test_half_of_what_is_left_out_is_too_far() -> None:
    found, valid = fitted(1000, 0.9)
    confidences = np.random.default_rng(1).uniform(0.5, 1, 1000)
    reasons = found.reasons(confidences, found.distances(valid.pixels))
    assert [reasons.count(reason) for reason in (NONE_OF_THESE, NOT_SURE)] == pytest.approx([50, 50], abs=3)


def test_a_confidence_that_many_share_is_answered() -> None:
    """Ties, as saturated scores give them, never leave out more than is said."""
    valid = pictures(200, 2)
    found = fit_abstention(pictures(200, 1), valid, np.ones(200), 0.8)
    assert found is not None
    assert found.confidence == 1
    assert found.reasons(np.ones(200), np.zeros(200)) == [None] * 200


def test_too_few_pictures_leave_nothing_out() -> None:
    found, _ = fitted(5, 0.95)
    assert found.confidence == 0
    assert found.reasons(np.array([0.0]), np.array([1e200])) == [None]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95, 0.99])
def test_what_too_few_validation_pictures_switch_off_is_said(coverage: float) -> None:
    """The count is Coverage's, the limits are `fit_abstention`'s: they agree at the boundary."""
    found, valid = fitted(5, coverage)
    shares = np.full((5, 2), 0.5)
    needed = home_coverage(found, valid, shares, "test").needed
    for n, never in ((needed, ()), (needed - 1, (NONE_OF_THESE,)), (3, (NOT_SURE, NONE_OF_THESE))):
        said = home_coverage(fitted(n, coverage)[0], valid, shares, "test")
        assert said.never_says == never
        assert said.as_json()["never_says"] == list(never)
        assert Coverage.from_json(said.as_json()) == said
        words = coverage_in_words(said)
        assert ("It never says" in words) == bool(never)
        assert (f"at least {needed} validation pictures" in words) == bool(never)
        assert ("For the others it says" in words) == (NOT_SURE not in never)


def test_all_to_be_answered_needs_nothing() -> None:
    assert fit_abstention(pictures(20, 1), pictures(20, 2), np.ones(20), 1.0) is None


def test_far_comes_before_unsure() -> None:
    found = dataclasses.replace(fitted()[0], confidence=0.8, distance=2.0)
    reasons = found.reasons(np.array([0.9, 0.7, 0.9, 0.7, 0.8]), np.array([1.0, 1.0, 3.0, 3.0, 2.0]))
    assert reasons == [None, NOT_SURE, NONE_OF_THESE, NONE_OF_THESE, None]


@pytest.mark.parametrize(("coverage", "n"), [(0.0, 20), (1.1, 20), (0.9, 19), (float("nan"), 20)])
def test_what_does_not_go_together_is_refused(coverage: float, n: int) -> None:
    with pytest.raises(UsageError):
        fit_abstention(pictures(20, 1), pictures(20, 2), np.ones(n), coverage)


def test_the_coverage_of_a_split_is_counted() -> None:
    found, valid = fitted(300, 0.8)
    random = np.random.default_rng(3)
    first = random.uniform(0, 1, 300)
    shares = np.stack([first, 1 - first], axis=1)
    said = home_coverage(found, valid, shares, "test")
    far = found.distances(valid.pixels) > found.distance
    unsure = ~far & (shares.max(1) < found.confidence)
    answered = ~far & ~unsure
    assert (said.none_of_these, said.not_sure, said.answered) == (far.sum(), unsure.sum(), answered.sum())
    assert (said.n, said.stated, said.share) == (300, 0.8, answered.mean())
    assert said.interval == wilson(int(answered.sum()), 300)
    assert said.score is not None
    assert said.score.correct == ((shares.argmax(1) == valid.labels) & answered).sum()
    none = home_coverage(dataclasses.replace(found, distance=0.0), valid, shares, "test")
    assert (none.answered, none.score, none.as_json()["of_answered"]) == (0, None, None)


# In a run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run whose source is beside it."""
    folder = tmp_path_factory.mktemp("abstain")
    ss.train(three_classes(folder / "three"), lr=0.1, epochs=3, hold_out=0.4, coverage=0.8, out=folder / "run")
    return folder / "run"


def test_the_file_the_learner_and_the_checkpoint_carry_the_same(run: Path) -> None:
    saved = checkpoint.read(run / "checkpoint.safetensors")
    _, of_checkpoint = room.in_file(saved.arrays, saved.about, "checkpoint")
    learner, loaded = ss.load_learner(run), load_model(run)
    exported = load_model(learner.export(run.parent / "again.safetensors"))
    for found in (of_checkpoint, learner.abstention, loaded.abstention, exported.abstention):
        assert found is not None
        assert found.coverage == 0.8
        assert found.facts() == saved.about["abstain"]
        for name, array in found.arrays().items():
            assert (array == saved.arrays[name]).all()


def test_the_judgement_has_the_coverage_of_the_test_pictures(run: Path) -> None:
    said = json.loads((run / "judgement.json").read_text())["coverage"]
    assert (said["split"], said["stated"], said["n"]) == ("test", 0.8, 60)
    assert said["answered"] + said["not_sure"] + said["none_of_these"] == 60
    assert said["low"] <= said["coverage"] == said["answered"] / 60 <= said["high"]
    assert said["of_answered"]["n"] == said["answered"]


def test_it_is_learned_from_what_the_parameters_kept_say(run: Path) -> None:
    """The limits by hand: from the run's own table of validation predictions."""
    splits = ss.load(run.parent / "three").hold_out(0.4, seed=0)
    assert splits.valid is not None
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    shares = np.array([row["probabilities"] for row in rows if row["split"] == "valid"], dtype=np.float32)
    found = fit_abstention(splits.train, splits.valid, shares.max(1), 0.8)
    assert found is not None
    assert found.facts() == checkpoint.read(run / "checkpoint.safetensors").about["abstain"]


@pytest.mark.parametrize("how", [{"hold_out": 0.0}, {"validate_on": "test"}, {"coverage": 1.0}])
def test_without_validation_pictures_or_where_all_are_asked_for_every_picture_is_answered(
    run: Path, tmp_path: Path, how: dict[str, Any]
) -> None:
    done = ss.train(run.parent / "three", epochs=1, out=tmp_path / "run", **how)
    assert (done.learn.abstention, done.judgement()["coverage"]) == (None, None)
    assert load_model(tmp_path / "run").abstention is None
    assert not [name for name in model_file.read(tmp_path / "run/model.safetensors")[0] if name.startswith("abstain.")]


@pytest.mark.slow
def test_a_run_says_what_becomes_of_made_up_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = ss.train("pullover-dress", recipe="linear", epochs=2, out=tmp_path / "run")
    coverage, abstention = done.coverage, done.learn.abstention
    assert coverage is not None
    assert abstention is not None
    shares = {of.pictures: of.share for of in coverage.foreign}
    assert list(shares) == ["noise", "inverted", "shuffled pixels"]
    assert min(shares.values()) > 0.8
    noise = np.random.default_rng(0).integers(0, 256, (200, 1, 28, 28), dtype=np.uint8)
    assert (abstention.distances(noise) > abstention.distance).mean() == shares["noise"] == 1
    said = json.loads(here("judge", "run", "--json", cwd=tmp_path, capsys=capsys).out)["coverage"]["foreign"]
    assert said == [of.as_json() for of in coverage.foreign] == done.judgement()["coverage"]["foreign"]
    assert all(of["low"] <= of["share"] <= of["high"] and of["n"] == 200 for of in said)
    assert "100.0% of noise" in here("judge", "run", cwd=tmp_path, capsys=capsys).out
    assert "shuffled pixels" in page(collect(tmp_path / "run"))


def test_foreign_pictures_are_rejected_more_often_than_those_of_home(splits: Splits) -> None:
    """As measured by bench/abstaining.py: a floor well below what it prints."""
    from sklearn.datasets import load_digits

    done = ss.train("pullover-dress", recipe="linear", epochs=1)
    abstention = done.learn.abstention
    assert abstention is not None
    assert splits.test is not None
    assert 0.93 < done.judgement()["coverage"]["coverage"] < 0.97
    digits = np.repeat(np.repeat(load_digits().images, 4, 1), 4, 2)[:, None, 2:30, 2:30] / 16 * 255
    noise = np.random.default_rng(0).integers(0, 256, (200, 1, 28, 28))
    for foreign, least in ((digits, 0.6), (noise, 1.0), (255 - splits.test.pixels[:200], 0.99)):
        far = abstention.distances(foreign.astype(np.uint8)) > abstention.distance
        assert far.mean() >= least
    assert (abstention.distances(splits.test.pixels) > abstention.distance).mean() < 0.05


# Files from anywhere


def _cut(name: str) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda arrays, about: arrays.update({f"abstain.{name}": arrays[f"abstain.{name}"][:-1]})


def _limits(**changes: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    def change(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
        limits = {**about["abstain"], **changes}
        about["abstain"] = {name: value for name, value in limits.items() if value is not ...}

    return change


def _put(name: str, value: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda arrays, about: arrays.update({name: value})


FOREIGN: dict[str, Callable[[dict[str, np.ndarray], dict[str, Any]], Any]] = {
    "a confidence above one": _limits(confidence=1.5),
    "a confidence in words": _limits(confidence="high"),
    "a confidence that is true": _limits(confidence=True),
    "a negative distance": _limits(distance=-1),
    "no distance": _limits(distance=...),
    "a number too many": _limits(more=1),
    "a list of limits": lambda arrays, about: about.update(abstain=[0.9]),
    "limits and no tensors": lambda arrays, about: [arrays.pop(n) for n in list(arrays) if n.startswith("abstain.")],
    "tensors and no limits": lambda arrays, about: about.update(abstain=None),
    "a tensor too many": _put("abstain.more", np.zeros(1, dtype=np.float32)),
    "means missing": lambda arrays, about: arrays.pop("abstain.means"),
    "a mean missing": _cut("means"),
    "directions missing": _cut("directions"),
    "a precision missing": _cut("precision"),
    "means of more classes": _put("abstain.means", np.zeros((4, 144), dtype=np.float32)),
    "means of other pictures": _put("abstain.means", np.zeros((3, 100), dtype=np.float32)),
    "means in a row": _put("abstain.means", np.zeros(144, dtype=np.float32)),
    "no class": lambda arrays, about: arrays.update({n: a[:0] for n, a in arrays.items() if n.startswith("abstain.")}),
    "more directions than values": _put("abstain.directions", np.zeros((3, 145, 144), dtype=np.float32)),
    "doubles": _put("abstain.precision", np.ones(3)),
    "a precision of zero": _put("abstain.precision", np.zeros(3, dtype=np.float32)),
    "a negative precision": _put("abstain.precision", np.full(3, -1, dtype=np.float32)),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_whose_abstention_cannot_be_is_refused_in_words(run: Path, tmp_path: Path, what: str) -> None:
    arrays, about = model_file.read(run / "model.safetensors")
    FOREIGN[what](arrays, about)
    path = tmp_path / "model.safetensors"
    model_file.write(path, arrays, about)
    for load in (load_model, ss.load_learner):
        with pytest.raises(ModelError):
            load(path)


def test_the_largest_numbers_there_are_give_a_distance(run: Path, tmp_path: Path) -> None:
    arrays, about = model_file.read(run / "model.safetensors")
    most = np.finfo(np.float32).max
    for name in list(arrays):
        if name.startswith("abstain."):
            arrays[name] = np.full_like(arrays[name], most)
    model_file.write(tmp_path / "model.safetensors", arrays, about)
    found = load_model(tmp_path / "model.safetensors").abstention
    assert found is not None
    assert np.isfinite(found.distances(np.zeros((1, 1, 12, 12), np.uint8))).all()
