"""The README tells the truth: its outputs are the program's, and its code runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from make_readme import BLOCK, output_of  # noqa: E402


def without_numbers(text: str) -> str:
    """Digits may differ in the last place from machine to machine; words and layout may not."""
    return re.sub(r"-?[\d.,]+(e-?\d+)?", "#", text)


README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("block", list(BLOCK.finditer(README)), ids=lambda block: block["command"])
def test_the_output_shown_is_the_programs(block: re.Match[str]) -> None:
    assert without_numbers(block["output"]) == without_numbers(output_of(block["command"]))


def test_the_code_shown_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102  our own page
    assert names["run"].test.accuracy > 0.96  # type: ignore[attr-defined]
