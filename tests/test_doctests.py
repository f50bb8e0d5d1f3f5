"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import sevensteps

PACKAGE = Path(sevensteps.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("sevensteps", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_gives_what_it_says(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted, "its example is not found"
    assert not failed
