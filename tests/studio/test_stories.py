"""The stories go wrong as they should, and the doctor says why."""

from __future__ import annotations

import shlex

import pytest
from in_studio import Page

import sevensteps as ss


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "codes"),
    [
        ("rate", {"oscillating", "diverging"}),
        ("zeros", {"dead_relus", "vanishing"}),
        ("saturated", {"saturated", "stuck"}),
        ("shuffled", {"shuffled_labels"}),
        ("rare", {"class_imbalance"}),
    ],
)
def test_the_doctor_explains_each_story(page: Page, story: str, codes: set[str]) -> None:
    page.do("start", story=story)
    state = page.wait(lambda state: state["place"]["phase"] in ("done", "failed"))
    assert state["run"]["story"] == story
    assert {finding["code"] for finding in state["doctor"]} & codes
    # It is a run like any other: its command trains it again.
    words = shlex.split(state["run"]["command"])
    assert words[:2] == ["sevensteps", "train"]
    assert ss.verify(state["run"]["folder"]).passed
    page.do("start", story=None)
    again = page.rest()["run"]
    assert (again["story"], again["recipe"]["name"], again["recipe"]["init"]) == (None, "plain", "default")
    assert again["parent"] == state["run"]["name"]


def test_an_unknown_story_is_refused(page: Page) -> None:
    assert "There are:" in page.refused("start", story="happy")["hint"]
