"""What the end of a run says of a run that was stuck for a while."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from sevensteps.records.events import Finding
from sevensteps.show.findings import passed_in_words
from sevensteps.show.result import Outcome, print_result
from sevensteps.show.seeds import starts_in_words
from sevensteps.trust.intervals import score

NOTHING: dict[str, Any] = {
    "score": None,
    "stopped_because": "",
    "is_early": False,
    "kept_epoch": None,
    "validated_on_test": False,
    "baselines": {},
    "against": None,
    "looks": None,
    "coverage": None,
    "fewest": None,
    "imbalance": None,
    "balance": "none",
    "audit": None,
    "program": "sevensteps",
    "folder": "runs/x",
    "source": "x",
    "has_figures": False,
    "following": (),
}


@pytest.mark.parametrize(
    ("code", "until", "is_said"), [("saturated", 22, True), ("stuck", 4, False), ("slow", 22, False)]
)
def test_a_run_that_was_stuck_for_long_says_so(code: str, until: int, is_said: bool) -> None:
    finding = Finding(code=code, epoch=2, message="message", fix="fix", recovered_at=until)
    out = Console(file=io.StringIO(), width=60)
    print_result(out, Outcome(findings=[finding], **NOTHING))
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    stuck = ["stuck        epochs 2 to 21 learned nothing. See why:", "sevensteps doctor runs/x"]
    assert lines == [*(stuck if is_said else []), "saved        runs/x"]


def test_what_passed_soon_needs_no_advice() -> None:
    finding = Finding(code="one_class", epoch=2, message="message", fix="fix", recovered_at=3)
    assert passed_in_words(finding) == "The model learned from epoch 3 on. Nothing to do."
    late = Finding(code="one_class", epoch=2, message="message", fix="fix", recovered_at=30)
    assert passed_in_words(late) == ""


def test_starts_with_one_result_have_no_spread() -> None:
    same, other = score("test", 9, 10), score("test", 8, 10)
    assert starts_in_words([same] * 3, [True] * 3) == (
        "All 3 starts learned, with the same result: 90.0 % of 10 test pictures right."
    )
    assert "give or take" in starts_in_words([same, other], [True] * 2)
