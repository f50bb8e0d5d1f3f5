"""`ss.SevenStepsClassifier` keeps scikit-learn's contract, trains what `ss.train` trains, and refuses what is wrong."""

from __future__ import annotations

import os
import pickle
import pickletools
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from small import images, unchecked

import sevensteps as ss


def pictures(count: int = 60, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 8, 8) or (n, 8, 8, 3) of two kinds, with names."""
    made = images(count, (channels, 8, 8))
    pixels = made.pixels[:, 0] if channels == 1 else made.pixels.transpose(0, 2, 3, 1)
    return pixels, np.array(["cat", "dog"])[made.labels]


@pytest.mark.slow
def test_it_keeps_the_contract_of_scikit_learn() -> None:
    with warnings.catch_warnings(), unchecked():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(ss.SevenStepsClassifier(epochs=20), on_fail=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
    skipped = failed.pop("check_array_api_input", None)  # asks for an environment variable; see the next test
    assert skipped is None or "SCIPY_ARRAY_API is not set" in str(skipped)
    assert failed == {}
    assert len(results) > 50


@pytest.mark.slow
def test_it_keeps_it_as_it_comes_and_skips_no_check() -> None:
    code = """
import sevensteps as ss
from sklearn.utils.estimator_checks import check_estimator
print({result["status"] for result in check_estimator(ss.SevenStepsClassifier())})
"""
    settings = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'passed'}", done.stderr


def test_the_model_is_the_one_that_train_makes() -> None:
    run = ss.train("pullover-dress", recipe="linear", classes=["Dress", "Pullover"], epochs=1)
    splits = ss.load("pullover-dress", classes=["Dress", "Pullover"])
    assert splits.test is not None
    names = np.array(splits.classes)
    classifier = ss.SevenStepsClassifier("linear", epochs=1).fit(splits.train.pixels[:, 0], names[splits.train.labels])
    wanted, _ = run.learn.get_preds(dl=ss.Batches(splits.test, 500))
    np.testing.assert_array_equal(classifier.predict_proba(splits.test.pixels[:, 0]), wanted.numpy())
    assert classifier.classes_.tolist() == ["Dress", "Pullover"]
    assert run.test is not None
    assert classifier.score(splits.test.pixels[:, 0], names[splits.test.labels]) == run.test.accuracy
    prediction = classifier.predictor_.predict(splits.test.pixels[0, 0])
    assert prediction[0] == classifier.predict(splits.test.pixels[:1, 0])[0]


@pytest.mark.slow
def test_it_is_about_as_good_as_logistic_regression() -> None:
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    train, test = (images.pixels.reshape(len(images), -1) / 255 for images in (splits.train, splits.test))
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.001)).fit(train, splits.train.labels)
    ours = ss.SevenStepsClassifier("linear").fit(splits.train.pixels[:, 0], splits.train.labels)
    score = theirs.score(test, splits.test.labels)
    assert abs(ours.score(splits.test.pixels[:, 0], splits.test.labels) - score) <= 0.005
    for load in (load_iris, load_breast_cancer):
        x, y = load(return_X_y=True)
        score = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), x, y).mean()
        assert abs(cross_val_score(ss.SevenStepsClassifier(), x, y).mean() - score) <= 0.015


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_go_through_pipelines_and_searches(channels: int) -> None:
    x, y = pictures(60, channels)
    pipeline = make_pipeline(FunctionTransformer(np.flip), ss.SevenStepsClassifier("linear", epochs=10))
    grid = {"sevenstepsclassifier__lr": np.array([0.0, 0.05])}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(x, y)
    assert search.best_params_ == {"sevenstepsclassifier__lr": 0.05}
    assert search.best_score_ > 0.7
    best = search.best_estimator_[-1]
    assert best.n_features_in_ == 64 * channels
    assert best.recipe_.lr == 0.05
    again = clone(best).set_params(epochs=np.int64(2)).fit(x[::-1], y[::-1])
    assert (again.recipe_.epochs, again.recipe_.lr) == (2, 0.05)


def test_the_seed_decides() -> None:
    x, y = pictures()
    shares = [ss.SevenStepsClassifier("relu", epochs=2, seed=seed).fit(x, y).predict_proba(x) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(shares[0], shares[1])
    assert np.abs(shares[0] - shares[2]).max() > 0.001
    recipe = ss.SevenStepsClassifier(epochs=1).fit(x, y).recipe_
    assert (recipe.model, recipe.epochs) == ("cnn", 1)  # as train chooses for pictures
    assert ss.SevenStepsClassifier().fit(x.reshape(60, 64), y).recipe_.model == "linear"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_several_jobs_give_the_same_scores(backend: str) -> None:
    x, y = pictures()
    alone = cross_val_score(ss.SevenStepsClassifier(epochs=2), x, y, scoring="neg_log_loss")
    with parallel_config(backend=backend):
        scores = cross_val_score(ss.SevenStepsClassifier(epochs=2), x, y, scoring="neg_log_loss", n_jobs=2)
    np.testing.assert_array_equal(scores, alone)


@pytest.mark.parametrize("as_rows", [False, True])
def test_a_pickle_holds_plain_data_and_a_checked_model(as_rows: bool) -> None:
    x, y = pictures()
    x = x.reshape(60, 64) if as_rows else x
    fitted = ss.SevenStepsClassifier("linear", epochs=2).fit(x, y)
    content = pickle.dumps(fitted, protocol=2)
    names = [argument.split(" ") for opcode, argument, _ in pickletools.genops(content) if opcode.name == "GLOBAL"]
    foreign = {module.split(".")[0] for module, _ in names}
    assert foreign <= {"numpy", "copy_reg", "__builtin__", "_codecs", "sevensteps", *(["sklearn"] if as_rows else [])}
    ours = [name for module, name in names if module.split(".")[0] == "sevensteps"]
    assert ours == ["SevenStepsClassifier"]
    loaded = pickle.loads(content)  # noqa: S301
    np.testing.assert_array_equal(loaded.predict_proba(x), fitted.predict_proba(x))
    assert loaded.recipe_ == fitted.recipe_
    state: dict[str, Any] = fitted.__getstate__()
    damaged = bytearray(state["predictor_"])
    damaged[-5] ^= 1
    with pytest.raises(ss.SevenstepsError, match="the pickled model is damaged"):
        ss.SevenStepsClassifier().__setstate__({**state, "predictor_": bytes(damaged)})


def test_a_class_with_a_single_row_and_odd_names() -> None:
    rows = np.arange(8.0).reshape(4, 2)
    fitted = ss.SevenStepsClassifier().fit(rows[[0, 3]], ["", "\U0001f600"])
    assert fitted.predict(rows[[3, 0]]).tolist() == ["\U0001f600", ""]
    assert set(ss.SevenStepsClassifier("walkthrough-learner").fit(rows, [1.0, 1.0, 2.0, 2.0]).predict(rows)) <= {
        1.0,
        2.0,
    }


def test_what_is_wrong_is_said() -> None:
    x, y = pictures()
    rows = x.reshape(60, 64)
    make = ss.SevenStepsClassifier
    with pytest.raises(NotFittedError):
        make().predict(x)
    with pytest.raises(ss.SevenstepsError, match=r"(?s)type float64, but pictures are uint8.*X \* 255"):
        make().fit(x / 255, y)
    with pytest.raises(ss.SevenstepsError, match=r"(?s)\(60, 3, 8, 8\).*Channels come last: X.transpose"):
        make().fit(images(60, (3, 8, 8)).pixels, y)
    with pytest.raises(ss.SevenstepsError, match="only 1 class, 'cat'"):
        make().fit(x, ["cat"] * 60)
    for names in (["cat", 1] * 30, ["cat", None] * 30):
        with pytest.raises(ss.SevenstepsError, match=r"(?s)y mixes kinds of classes.*Make all of them text"):
            make().fit(x, np.array(names, dtype=object))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(x, y[:-1])
    with pytest.raises(ss.SevenstepsError, match=r"(?s)model = cnn is for pictures.*Set model = linear"):
        make("cnn").fit(rows, y)
    with pytest.raises(ss.SevenstepsError, match="augment = flip is for pictures"):
        make(augment="flip").fit(rows, y)
    with pytest.raises(ss.SevenstepsError, match="epochs is 0"):
        make(epochs=0).fit(rows, y)
    for recipe in ({"a": 1}, 7, b"linear"):
        with pytest.raises(ss.SevenstepsError, match=r"(?s)recipe is .*must be the name of a recipe.*Recipe.load"):
            make().set_params(recipe=recipe).fit(x, y)
    with pytest.raises(ss.SevenstepsError, match="no recipe or file 'lineer'"):
        make("lineer").fit(rows, y)
    with pytest.raises(ss.SevenstepsError, match="does not take features = efficientnet-lite0"):
        make(ss.Recipe.load("linear").replace(features="efficientnet-lite0", normalize=False)).fit(x, y)
    fitted = make("linear", epochs=1).fit(x, y)
    with pytest.raises(ss.SevenstepsError, match=r"(?s)X has shape \(60, 8, 7\).*\(8, 8\)"):
        fitted.predict(x[:, :, :7])
    with pytest.raises(ss.SevenstepsError, match=r"X has shape \(60, 64\)"):
        fitted.predict(rows)
    with pytest.raises(ValueError, match="NaN"):
        make().fit(np.where(rows > 200, np.nan, rows), y)
    assert fitted.fit(rows, y).predict(rows).shape == (60,)  # what was fitted before leaves nothing behind


@pytest.mark.parametrize("as_rows", [False, True])
def test_what_was_fitted_before_still_answers_if_a_new_fit_fails(as_rows: bool) -> None:
    x, y = pictures()
    rows = x.reshape(60, 64)
    fitted = ss.SevenStepsClassifier("linear", epochs=1).fit(rows if as_rows else x, y)
    wanted, attributes = fitted.predict_proba(rows if as_rows else x), dict(vars(fitted))
    other = x[:, :6] if as_rows else rows[:, :32]
    for lr, labels in ((None, ["bird"] * 60), (0.1, np.array(["bird", "fish", "newt"])[np.arange(60) % 3])):
        with pytest.raises(ss.SevenstepsError):
            fitted.set_params(lr=lr, epochs=0 if lr else 1).fit(other, labels)
        fitted.set_params(lr=None, epochs=1)
        assert {name: vars(fitted)[name] is attributes[name] for name in attributes} == dict.fromkeys(attributes, True)
        np.testing.assert_array_equal(fitted.predict_proba(rows if as_rows else x), wanted)
    fitted.fit(other, y)
    assert hasattr(fitted, "scaler_") != as_rows


def test_scikit_learn_is_imported_when_it_is_needed_and_missed_in_words() -> None:
    code = """
import sys
import sevensteps as ss
print("sklearn" in sys.modules)
sys.modules["sklearn"] = None
from sevensteps import *
try:
    ss.SevenStepsClassifier()
except ss.SevenstepsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False",
        "SevenStepsClassifier needs scikit-learn.",
        "pip install 'sevensteps[sklearn]'",
    ]
