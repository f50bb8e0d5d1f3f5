"""The same commands run everywhere: in `.ci/run`, in the GitHub workflow, before a commit and by make.

`.ci/run` and the workflow's commands are run in an empty folder where every program is a stand-in that writes down
how it was called. So the tests compare what is called, not how the files are written.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

import sevensteps

ROOT = Path(__file__).parent.parent
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
PROGRAMS = ("pip", "python", "pytest", "mypy", "ruff", "sevensteps")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")


def calls_of(command: Sequence[str], folder: Path) -> list[str]:
    """Run a command with stand-ins for all programs; return their calls, one line each."""
    log = folder / "calls"
    stand_in = f'#!/bin/sh\necho "${{0##*/}} $*" >> "{log}"\n'
    for name in ("bin/python", "bin/chromium", "bin/chromedriver", *(f".venv/bin/{name}" for name in PROGRAMS)):
        program = folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(stand_in, "utf-8")
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return log.read_text("utf-8").splitlines()


def calls_of_ci(folder: Path, *given: str) -> list[str]:
    """Return what `.ci/run` calls."""
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
    shutil.copy(ROOT / "README.md", folder)
    return calls_of(["bash", ".ci/run", *given], folder)


@pytest.fixture
def ci_calls(tmp_path: Path) -> list[str]:
    return calls_of_ci(tmp_path / "ci")


def job(name: str) -> str:
    """Return the text of one of the workflow's jobs, without comments."""
    jobs = re.sub(r"^ *#.*\n", "", WORKFLOW, flags=re.MULTILINE).split("\njobs:\n")[1]
    texts = re.split(r"^  ([\w-]+):\n", jobs, flags=re.MULTILINE)
    return dict(zip(texts[1::2], texts[2::2], strict=True))[name]


def commands_of(text: str) -> list[str]:
    """Return the commands of a job's steps, which must stand on one line each."""
    commands = re.findall(r"^ +(?:- )?run: (.+)$", text, re.MULTILINE)
    assert not [command for command in commands if command[0] in "|>"]
    return commands


def test_the_script_calls_every_check(ci_calls: list[str]) -> None:
    assert {call.split()[0] for call in ci_calls} == set(PROGRAMS)


def test_linux_and_macos_run_the_script() -> None:
    assert commands_of(job("linux-and-macos")) == ["bash .ci/run"]


def test_the_slow_tests_are_a_job_of_their_own(ci_calls: list[str], tmp_path: Path) -> None:
    assert commands_of(job("slow")) == ["bash .ci/run slow"]
    calls = calls_of_ci(tmp_path / "slow", "slow")
    assert calls[-1] == "pytest -m slow"
    assert "pytest -m slow" not in ci_calls
    prepared = calls[:-1]
    assert ci_calls[: len(prepared)] == prepared
    assert any(call.startswith("pip install") and ".[dev]" in call for call in prepared)


def test_windows_calls_what_the_script_calls(ci_calls: list[str], tmp_path: Path) -> None:
    commands = [command for command in commands_of(job("windows")) if not command.startswith("git ")]
    script = "\n".join(commands).replace(".venv/Scripts/", ".venv/bin/")
    (tmp_path / "windows").mkdir()
    calls = calls_of(["bash", "-euc", script], tmp_path / "windows")
    only_there = {"python -m reliability": None, "mypy ": "mypy --platform linux"}  # the workflow says why
    expected = [only_there.get(call, call) for call in ci_calls]
    assert calls == [call for call in expected if call is not None]


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    supported = [line.split(" :: ")[-1] for line in project["classifiers"] if "Python :: 3." in line]
    for name in ("linux-and-macos", "windows"):
        tested = re.search(r"python: \[(.+)\]", job(name))
        assert tested is not None
        assert re.findall(r"[\d.]+", tested[1]) == supported


def test_the_workflow_may_only_read() -> None:
    assert re.findall(r"permissions:\n((?: +.+\n)+)", WORKFLOW) == ["  contents: read\n"]


def test_ruff_has_one_version() -> None:
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    hook = re.search(
        r"ruff-pre-commit\n +rev: v(.+)$", (ROOT / ".pre-commit-config.yaml").read_text("utf-8"), re.MULTILINE
    )
    assert pinned is not None
    assert hook is not None
    assert hook[1] == pinned[1]


def test_make_lint_is_what_the_script_checks(ci_calls: list[str]) -> None:
    lint = re.search(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert lint is not None
    typed = [line.strip().removeprefix(".venv/bin/") for line in lint[1].splitlines()]
    assert typed == [call.strip() for call in ci_calls if call.startswith(("ruff", "mypy"))]


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {sevensteps.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
