"""The notebooks in docs/ print what is stored in them, and the exercises have the answers that they name."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from make_notebooks import PAGES, cells_of, executed, stored, texts_of  # noqa: E402

NUMBER = r"-?\d[\d,]*\.?\d*(?:e-?\d+)?"


@pytest.mark.parametrize("name", PAGES)
def test_a_notebook_is_its_page(name: str) -> None:
    written = [(cell.cell_type, cell.source) for cell in cells_of(PAGES[name].read_text("utf-8"))]
    assert [(cell.cell_type, cell.source) for cell in stored(name).cells] == written


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_notebook_leads_to_a_file(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", PAGES[name].read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target


def test_each_exercise_has_a_hint_an_answer_and_a_reason() -> None:
    text = PAGES["exercises"].read_text("utf-8")
    exercises = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)[1:]
    numbers, bodies = exercises[::2], exercises[1::2]
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 12
    for number, body in zip(numbers, bodies, strict=True):
        for part in (
            "**(a)**",
            "**(b)**",
            "**(c)**",
            "*Hint:",
            f'lock({number}, "")',
            f"reveal({number},",
            "**Reason.**",
        ):
            assert part in body, f"{number}: {part}"
    answers = re.findall(r"The answer is ([abc])\.", "".join(texts_of(stored("exercises"))))
    assert len(answers) == len(numbers)
    assert set(answers) == {"a", "b", "c"}


def test_an_answer_is_revealed_only_after_it_is_locked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REVEAL_ALL", raising=False)
    first = next(cell.source for cell in stored("exercises").cells if cell.cell_type == "code")
    names: dict[str, object] = {"os": __import__("os")}
    exec(first[first.index("locked = {}") : first.index('print(f"as it is')], names)  # noqa: S102  our own notebook
    lock, reveal = names["lock"], names["reveal"]
    reveal(1, lambda: pytest.fail("it ran"))  # type: ignore[operator]
    assert "First lock your answer" in capsys.readouterr().out
    lock(1, "B")  # type: ignore[operator]
    reveal(1, lambda: {"a": False, "b": True, "c": False})  # type: ignore[operator]
    assert capsys.readouterr().out == "The answer is b. You said so.\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_notebook_prints_what_is_stored(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEVENSTEPS_STATE", str(tmp_path / "state"))
    began = time.monotonic()
    again, before = texts_of(executed(name)), texts_of(stored(name))
    assert time.monotonic() - began < 180
    for now, was in zip(again, before, strict=True):
        assert re.sub(NUMBER, "#", now) == re.sub(NUMBER, "#", was)
        numbers = [[float(number.replace(",", "")) for number in re.findall(NUMBER, text)] for text in (now, was)]
        # Another processor adds in another order: a picture or two of thousands may change sides.
        assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=0.3 if "%" in was else 0.006), was
