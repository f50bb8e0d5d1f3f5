"""Run commands in turns, one at a time, and report their times as a table: the machinery of `speed.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import OURS, python_of

PEERS = Path(__file__).parent / "peers"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
EITHER = 0  # threads: one, or one per core, whichever is faster
HEADINGS = {
    "import": "import s",
    "data": "data s",
    "train": "training s",
    "first": "data + training s, first",
    "again": "data + training s, again",
    "import + job": "import + first job s",
    "epoch": "s an epoch",
    "a second": "pictures a second",
    "ns": "ns a picture",
}


@dataclass(frozen=True)
class Side:
    """A row of a table: a script of `peers/` with its settings, or a whole command."""

    title: str
    script: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: str = OURS
    threads: int = EITHER  # a command has its own
    pictures: str = ""  # instead of the case's
    against: str = ""  # the title of the row to compare with; the first row unless given
    command: tuple[str, ...] = ()  # instead of a script; {python} and {pictures} are replaced
    beside: int = 0  # processes that keep a core busy meanwhile


@dataclass(frozen=True)
class Case:
    """A table: its title, its pictures, and its rows, of which the first is ours."""

    about: str
    pictures: str
    figures: Mapping[str, str]  # the measured values, and the format of each
    ratios: Sequence[str]  # the values to compare
    sides: Sequence[Side]
    accuracy: bool = False


@dataclass(eq=False)
class Row:
    """A row that is measured: how it is started, and a record for each round."""

    title: str
    side: Side
    python: str
    data: str
    threads: int
    records: list[dict[str, Any]] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    against: Row | None = None

    def measure(self, threads: int) -> dict[str, Any]:
        """Run it once.

        Raises:
            ChildProcessError: If it failed.
        """
        with busy(self.side.beside):
            if self.side.command:
                return spent([part.format(python=self.python, pictures=self.data) for part in self.side.command])[1]
            return clocked(self.python, self.side.script, self.data, [self.side.settings], threads)[0]


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many cores busy inside, as another program would."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def clocked(
    python: str, script: str, data: str | Path, settings: Sequence[Mapping[str, Any]], threads: int, seeds: int = 0
) -> list[dict[str, Any]]:
    """Return what `peers/clock.py` measures of a script, a record for each of the settings.

    Raises:
        ChildProcessError: If the script failed; with its last line of output.
    """
    asked = json.dumps([dict(one) for one in settings])
    command = [python, "-W", "ignore", str(PEERS / "clock.py"), script, str(data), asked, "--seeds", str(seeds)]
    output, _ = spent(command, threads)
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"import"')]


def spent(command: Sequence[str], threads: int = 0) -> tuple[str, dict[str, float]]:
    """Run a command in an empty folder; return its output, its seconds, and its peak memory in MB.

    Raises:
        ChildProcessError: If it failed; with its last line of output.
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    if threads:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment |= dict.fromkeys(names, str(threads))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=said, text=True)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            said.seek(0)
            raise ChildProcessError((said.read().strip().splitlines() or ["it said nothing"])[-1])
    cpu = usage.ru_utime + usage.ru_stime
    return output, {"seconds": seconds, "CPU seconds": cpu, "MB": usage.ru_maxrss / 1024}


def ready(case: Case, threads: int, envs: Path, pictures: Callable[[str], str | None]) -> list[Row]:
    """Return the rows that can be run here, warmed up, with the best number of threads; ours comes first again.

    A row that cannot be run is skipped, and the reason is printed.
    """
    rows: list[Row] = []
    for side in case.sides:
        python, data = python_of(side.environment, envs), pictures(side.pictures or case.pictures)
        if python is None or data is None:
            continue  # the reason was printed
        choice = (0,) if side.command else (threads or side.threads,) if threads or side.threads else (1, CORES)
        row = Row(side.title, side, python, data, 0)
        try:
            tried = {n: row.measure(n)[case.ratios[0]] for n in choice}
        except ChildProcessError as error:
            print(f"skipping {side.title}: {error}", file=sys.stderr, flush=True)
            continue
        row.threads = min(tried, key=lambda n: tried[n])
        rows.append(row)
    by_title = {row.title: row for row in rows}
    for row in rows:
        other = by_title.get(row.side.against or rows[0].title)
        row.against = other if other is not row else None
    again = dataclasses.replace(rows[0], title=f"{rows[0].title}, a second time", records=[], against=rows[0])
    return [again, *rows]


def take_turns(rows: Sequence[Row], rounds: int) -> None:
    """Run every row once per round; each round begins with a different row, so that no order repeats."""
    for number in range(rounds):
        first = number % len(rows)
        for row in (*rows[first:], *rows[:first]):
            row.records.append(row.measure(row.threads))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)


def find_accuracies(rows: Sequence[Row], seeds: int) -> None:
    """Train each row over seeds, without timing."""
    for row in rows:
        row.accuracies = clocked(row.python, row.side.script, row.data, [row.side.settings], row.threads, seeds)[0][
            "accuracies"
        ]


def as_record(case: Case, rows: Sequence[Row]) -> dict[str, Any]:
    """Return medians, all measurements, and ratios within each round."""
    return {
        "about": " ".join(case.about.split()),
        "rounds": len(rows[0].records),
        "rows": [
            {
                "title": row.title,
                "script": row.side.script or " ".join(Path(part).name for part in row.side.command),
                "settings": dict(row.side.settings),
                "threads": row.threads or None,
                "versions": row.records[0].get("versions", {}),
                "figures": {key: told([record[key] for record in row.records]) for key in case.figures},
                "against": row.against and row.against.title,
                "ratios": {key: told(ratios(row, row.against, key)) for key in case.ratios if row.against},
                "accuracies": row.accuracies,
            }
            for row in rows
        ],
    }


def ratios(row: Row, other: Row, key: str) -> list[float]:
    """Return a value of one row divided by that of another in each round; a slow machine slows both."""
    return [mine[key] / theirs[key] for mine, theirs in zip(row.records, other.records, strict=True)]


def told(each: list[float]) -> dict[str, Any]:
    """Return values with their median, lowest and highest."""
    return {"median": statistics.median(each), "low": min(each), "high": max(each), "each": each}


def as_markdown(name: str, case: Case, record: Mapping[str, Any]) -> str:
    """Return a case's record as a section with a table."""
    many = len(case.ratios) > 1
    heads = ["", "threads", *(HEADINGS.get(key, key) for key in case.figures)]
    heads += [f"ratio, {key}" if many else "ratio" for key in case.ratios]
    heads += ["accuracy"] if case.accuracy else []
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for row in record["rows"]:
        cells = [row["title"], str(row["threads"] or "its own")]
        cells += [form.format(row["figures"][key]["median"]) for key, form in case.figures.items()]
        for key in case.ratios:
            ratio = row["ratios"].get(key)
            cells.append("{median:.2f} ({low:.2f}–{high:.2f})".format(**ratio) if ratio else "")
        if case.accuracy:
            found = row["accuracies"]
            spread = f" ± {100 * statistics.stdev(found):.2f}" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found):.2%}{spread}" if found else "")
        lines.append(cells)
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    against = {row["against"] for row in record["rows"][1:]} - {None, case.sides[0].title}
    base = "the row it is compared with" if against else "ours"
    how = f"Medians of {record['rounds']} rounds; a ratio is to {base} in the same round, median (lowest–highest)."
    return f"## {name}\n\n{record['about']}\n{how}\n\n{table}\n"
