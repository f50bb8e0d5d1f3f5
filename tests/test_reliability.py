"""The suite that tries to lose runs, a few points of each part, and that it sees every call that changes a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reliability import disk
from reliability.cases import CASES, make_source
from reliability.kill import command

ROOT = Path(__file__).parent.parent
AROUND = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])}


def counts_of(*parts: str) -> Any:
    """Return what parts of the suite counted, and see that nothing failed."""
    command = [sys.executable, "-m", "reliability", *parts]
    done = subprocess.run(command, cwd=ROOT, env=AROUND, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow  # `python -m reliability`, which CI runs besides, takes these parts and all others
def test_damage_is_seen_and_power_cuts_lose_no_save() -> None:
    counts = counts_of("damage", "power")
    assert counts["damage"]["truncations"] > 1000
    assert counts["damage"]["flips"] >= 1000
    assert counts["power"]["states"] >= 500


COUNT = """
import sys
from pathlib import Path
from reliability import disk
from sevensteps.cli.app import run
with disk.counting(Path(sys.argv[1])) as seen:
    code = run(sys.argv[2:])
print(*(call.name for call in seen.calls), file=sys.stderr)
sys.exit(code)
"""
SYSTEM_CALLS = {
    "openat": "open",
    "write": "write",
    "fsync": "fsync",
    "rename": "replace",
    "unlink": "unlink",
    "mkdir": "mkdir",
}


# That change a folder, too, and that nothing here makes.
OTHERS = "creat link symlink truncate ftruncate pwrite64 writev renameat renameat2 unlinkat mkdirat fdatasync chmod"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not here")
def test_every_call_that_changes_the_folder_is_one_that_can_be_broken_off(tmp_path: Path) -> None:
    source, folder, log = make_source(tmp_path / "source"), tmp_path / "run", tmp_path / "log"
    trace = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", "trace=" + ",".join([*SYSTEM_CALLS, *OTHERS.split()])]
    typed = [sys.executable, "-c", COUNT, str(folder), *command(source, CASES[0], folder)]
    done = subprocess.run([*trace, *typed], cwd=ROOT, env=AROUND, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not be used here")
    assert done.returncode == 0, done.stderr
    counted = done.stderr.splitlines()[-1].split()
    assert set(counted) <= set(disk.CALLS)
    seen = []
    for line in log.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        if call is None or str(folder) not in call[2]:
            continue
        if call[1] == "openat" and not re.search(r"O_(WRONLY|RDWR|CREAT)", line):
            continue
        assert call[1] in SYSTEM_CALLS, f"the disk of the suite does not see {line}"
        seen.append(SYSTEM_CALLS[call[1]])
    assert seen == counted


@pytest.mark.slow
def test_the_server_answers_rightly_whatever_comes() -> None:
    counts = counts_of("serve")["serve"]
    assert counts["right answers to 64 clients"] == 2000
    assert sum(counts["mutated bodies"].values()) == 150
    assert counts["seconds until 40 slow sockets are closed"] < 10
