"""The verdict of the Studio: sentences, cells and what the result cannot tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clothes import folder_of

from sevensteps.data.images import Splits
from sevensteps.errors import RunError, UsageError
from sevensteps.jobs.train import train
from sevensteps.records.scores import OUT_OF_FOLD
from sevensteps.runs.saved import Saved
from sevensteps.studio.results import Result, result_of
from sevensteps.studio.verdict import cell, headline, lead, section_of, verdict
from sevensteps.trust.intervals import score


@pytest.fixture(scope="module")
def result(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Result:
    there = tmp_path_factory.mktemp("verdict")
    run = train(folder_of(splits, there / "clothes"), "linear", out=there / "run", epochs=5, observe=lambda event: None)
    assert run.folder is not None
    pictures, _ = Saved.open(run.folder).pictures(lambda event: None)
    return result_of(run.folder, pictures)


def test_the_verdict_has_the_numbers_that_judge_prints(result: Result) -> None:
    shown, judged = verdict(result), result.figures
    assert shown["score"] == judged.score.as_json()
    assert np.asarray(shown["confusion"]).sum() == shown["score"]["n"]
    assert (
        shown["wrong"] == shown["score"]["n"] - shown["score"]["correct"] == sum(one["count"] for one in shown["pairs"])
    )
    assert {one["name"]: one["correct"] for one in shown["baselines"]} == {
        name: one.correct for name, one in judged.baselines.items()
    }
    section = section_of(result.need_saved().folder)
    assert section is not None
    assert (section["status"], section["sentence"]) == ("fresh", shown["headline"])


def test_the_surest_mistakes_come_first_with_their_own_pictures(result: Result) -> None:
    surest = verdict(result)["surest"]
    assert surest["shares"] == sorted(surest["shares"], reverse=True)
    assert result.images is not None
    for name, label, answer, picture in zip(
        surest["ids"], surest["labels"], surest["answers"], surest["pictures"], strict=True
    ):
        row = list(result.images.ids).index(name)
        assert np.array_equal(picture, result.images.pixels[row])
        assert label == result.images.labels[row] != answer


def test_a_cell_opens_its_pictures_in_pages(result: Result) -> None:
    table = result.table
    for label in range(2):
        for answer in range(2):
            found, ids = cell(result, label, answer, 0), []
            for page in range(found["pages"]):
                ids += cell(result, label, answer, page)["ids"]
            wanted = (table.labels == label) & (table.predicted == answer)
            assert sorted(ids) == sorted(np.array(table.ids)[wanted].tolist())
            assert found["count"] == wanted.sum()
    assert cell(result, 0, 0, 99)["ids"] == []
    with pytest.raises(UsageError, match="There is no class 2"):
        cell(result, 0, 2, 0)


def test_pictures_that_have_gone_leave_the_numbers(result: Result) -> None:
    gone = Result(result.saved, result.table, None)
    assert verdict(gone)["surest"]["pictures"] is None
    assert verdict(gone)["surest"]["ids"] == verdict(result)["surest"]["ids"]


def test_what_it_cannot_tell_is_said(result: Result) -> None:
    said = verdict(result, edited=2)
    assert "same source as the training pictures" in said["limits"][0]
    assert "2 pictures that it was tested on were corrected" in said["doubts"][-1]


@pytest.mark.parametrize(
    ("split", "correct", "n", "wanted"),
    [
        ("test", 1931, 2000, "It is right on 96.55\u00a0% of pictures it has never seen."),
        ("test", 180, 200, "It is right on 90.0\u00a0% of pictures it has never seen."),
        ("test", 11, 12, "It is right on 11 of 12 pictures it has never seen."),
        ("test", 1, 1, "It is right on the one picture it has never seen."),
        ("valid", 90, 100, "It is right on 90.0\u00a0% of pictures that training did not use."),
        (OUT_OF_FOLD, 90, 100, "Models like it are right on 90.0\u00a0% of pictures that they have never seen."),
    ],
)
def test_the_headline_is_true_of_what_was_measured(split: str, correct: int, n: int, wanted: str) -> None:
    assert headline(score(split, correct, n)) == wanted


def test_the_lead_names_chance_and_the_best_simple_method(result: Result) -> None:
    against = result.figures.against
    said = lead(result.figures.score, against)
    assert against is not None
    assert "(95\u00a0% interval)" in said
    assert against.baseline in said
    assert ("too close to call" in said) == (0.0 in against.interval)


def test_what_is_not_judged_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Nothing has been trained"):
        result_of(None, None)
    assert section_of(tmp_path) is None


def test_a_learner_that_is_not_saved_has_a_verdict_too(splits: Splits) -> None:
    from in_studio import Page

    import sevensteps as ss

    learn = ss.Recipe.load("plain").replace(epochs=1).learner(splits.hold_out())
    studio = ss.open_studio(learn, port=0)
    try:
        page = Page(studio.url)
        page.rest()
        page.do("speed", value=0, unit="batches")
        page.do("run")
        page.wait(lambda state: state["place"]["phase"] == "done" and state["verdict"])
        shown = page.get("/verdict")
        assert (shown["run"], shown["score"]["n"]) == ("your learner", 2000)
        assert page.get("/verdict/cell?label=0&answer=1")["count"] == shown["confusion"][0][1]
        assert "not saved" in page.send("POST", "/do/pack", b"{}").json["error"]["message"]
    finally:
        studio.close()
