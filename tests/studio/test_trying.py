"""Try it: the answer, its doubts and reasons are those that `predict` gives."""

from __future__ import annotations

import io

import numpy as np
import pytest
from clothes import png_of
from PIL import Image

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.errors import DataError
from sevensteps.studio.results import Result, result_of
from sevensteps.studio.trying import Loaded, loaded, record_of, tried


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    run = ss.train("pullover-dress", "linear", out=tmp_path_factory.mktemp("try") / "run", observe=lambda event: None)
    return result_of(run.folder, None)


@pytest.fixture(scope="module")
def there(result: Result) -> Loaded:
    return loaded((result.need_saved().folder / "model.safetensors").read_bytes())


def test_the_answer_is_that_of_predict_with_the_picture_that_the_model_saw(
    there: Loaded, result: Result, splits: Splits
) -> None:
    content = png_of(splits, 7)
    found, wanted = tried(there, content, result), ss.predict(result.need_saved().folder, content)[0]
    assert dict(zip(found["classes"], found["probabilities"], strict=True)) == wanted.probabilities
    assert (found["answer"], found["said"]) == (wanted.best, wanted.reason or wanted.best)
    assert np.array_equal(found["seen"], splits.train.pixels[7])


def test_the_reason_adds_up_to_the_score(there: Loaded, splits: Splits) -> None:
    found = tried(there, png_of(splits, 7), None)
    assert there.explainer is not None
    why = there.explainer.explain(splits.train.pixels[7], "Dress")
    assert found["explain"]["toward"] == "Dress"  # the second class: blue speaks for it, as in every other picture
    assert float(found["explain"]["values"].sum()) == pytest.approx(why.score - why.start - why.missing)


def test_a_picture_of_another_kind_is_none_of_these_and_says_why(there: Loaded, splits: Splits) -> None:
    upside = io.BytesIO()
    Image.fromarray(255 - splits.train.pixels[7, 0]).save(upside, "PNG")
    found = tried(there, upside.getvalue(), None)
    assert found["said"] == "none of these"
    assert "its distance is" in found["why"]
    assert "invert it" in found["hint"]
    assert found["record"] == ""


def test_the_record_counts_answers_of_this_probability(result: Result) -> None:
    such = (result.shares >= 0.7) & (result.shares < 0.8)
    right = int(result.table.right[such].sum())
    wanted = f"Of its answers between 70\u00a0% and 80\u00a0%, {right:,} of {int(such.sum()):,} were right"
    assert record_of(result, 0.75).startswith(wanted)
    assert record_of(result, 1.0).startswith("Of its answers above 90\u00a0%")


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_an_error_with_a_reason(there: Loaded, content: bytes) -> None:
    with pytest.raises(DataError) as error:
        tried(there, content, None)
    assert error.value.message
    assert "Traceback" not in error.value.message


def test_a_network_in_training_is_tried_as_it_is(splits: Splits) -> None:
    from sevensteps.ship import file as model_file

    learn = ss.Recipe.load("cnn").replace(epochs=1).learner(splits.hold_out())
    there = loaded(model_file.to_bytes(learn.arrays(), learn.facts().as_json()))
    found = tried(there, png_of(splits, 3), None)
    assert found["explain"]["values"].shape == (28, 28)
    assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_several_classes_speak_for_and_against_the_answer() -> None:
    from small import learner, loaders

    from sevensteps.ship import file as model_file

    learn = learner("linear", loaders(classes=3))
    there = loaded(model_file.to_bytes(learn.arrays(), learn.facts().as_json()))
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "PNG")
    found = tried(there, content.getvalue(), None)
    assert found["explain"]["toward"] == found["answer"]
    assert not found["explain"]["sides"]
