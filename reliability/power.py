"""Power loss: replay the calls of a run on a disk that forgets what was not synced, in many ways.

The disk promises what POSIX promises, and no more. The bytes of a file are safe after its fsync; before, they may be
missing, zero, or partly written. A new name, a rename or a removal is safe after the fsync of its folder; before, each
may be undone, whatever came after it. Pillai et al., "All file systems are not created equal" (OSDI 2014), found each
of these on a file system in use.
"""

from __future__ import annotations

import functools
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sevensteps.errors import SevenstepsError
from sevensteps.runs import checkpoint

from . import disk
from .cases import CASES
from .children import final, in_child, typed
from .disk import Call
from .kill import command, fresh, going_on, is_run, uninterrupted

SECTOR = 512  # bytes that a disk writes as a unit


def loss(place: Path, source: Path, states: int, resumed: int, seed: int = 0) -> dict[str, Any]:
    """Read `states` states of the folder after a power cut, and resume `resumed` of them to the end."""
    chance = random.Random(seed)
    counts: dict[str, Any] = {"states": 0, "resumed": 0, "lost": [], "unloadable": [], "differ": []}
    runs = []
    for case in CASES:
        whole, _ = uninterrupted(place, source, case)
        fresh(place / "recorded").mkdir()  # represents everything that was on the disk before
        folder, log = place / "recorded" / "run", place / "calls.json"
        ended = in_child(functools.partial(_recorded, command(source, case, folder), folder, log))
        if ended.code:
            raise RuntimeError(f"the recorded run failed: {ended}")
        rows = json.loads(log.read_text())
        calls = [Call(name, tuple(paths), bytes.fromhex(content)) for name, paths, content in rows]
        runs.append((case, whole, calls, str(folder.resolve()), acknowledged(calls)))
    every = max(states // max(resumed, 1), 1)
    for state in range(states):
        case, whole, calls, root, saves = runs[state % len(runs)]
        upto = chance.randrange(1, len(calls) + 1)
        cut = fresh(place / "cut")
        build(after_power_cut(calls[:upto], chance), root, cut)
        counts["states"] += 1
        where = f"{case.name}, after call {upto}, state {state}"
        promised = sum(number <= upto for number in saves)
        try:
            found = checkpoint.load(cut)[0] if cut.exists() else None
        except SevenstepsError as error:
            counts["unloadable"].append(f"{where}: {error}")
            continue
        if promised and (found is None or number_of(found, case.name, runs) < promised):
            counts["lost"].append(f"{where}: {promised} saves were acknowledged")
        if state % every == 0:
            counts["resumed"] += 1
            again = going_on(cut) if is_run(cut) else command(source, case, cut)
            ended = typed(*again)
            if ended.code or final(cut) != whole:
                counts["differ"].append(f"{where}: {ended.code} {ended.err}")
    return counts


def acknowledged(calls: Sequence[Call]) -> list[int]:
    """Return after how many calls each save of a checkpoint was acknowledged: the run went on to another file."""
    saves, renamed = [], False
    for number, call in enumerate(calls, 1):
        if call.name == "replace" and call.paths[1].endswith("/" + checkpoint.CHECKPOINT):
            renamed = True
        elif renamed and call.name == "open":
            saves.append(number - 1)
            renamed = False
    return saves


def number_of(found: checkpoint.Checkpoint, name: str, runs: Sequence[Any]) -> int:
    """Return which save of its run a checkpoint is, counted from 1, by its bytes."""
    calls = next(calls for case, _, calls, _, _ in runs if case.name == name)
    written: dict[str, bytes] = {}
    saves = []
    for call in calls:
        if call.name == "write":
            written[call.paths[0]] = written.get(call.paths[0], b"") + call.content
        elif call.name == "replace" and call.paths[1].endswith("/" + checkpoint.CHECKPOINT):
            saves.append(written[call.paths[0]])
    return saves.index(found.to_bytes()) + 1


@dataclass
class Entry:
    """A file on the disk: the bytes that are safe, and all that were written."""

    lasting: bytes = b""
    written: bytes = b""


@dataclass
class State:
    """The names and files that are safe, and the changes of names since their folder was synced."""

    names: dict[str, Entry | None] = field(default_factory=dict)  # None: a folder
    pending: list[tuple[str, tuple[str, ...], Entry | None]] = field(default_factory=list)


def after_power_cut(calls: Sequence[Call], chance: random.Random) -> dict[str, bytes | None]:
    """Return what is on the disk after these calls and a power cut: the bytes of each file, None for a folder."""
    state, live = State(), dict[str, Entry | None]()
    for call in calls:
        path = call.paths[0]
        if call.name == "open":
            if path not in live:
                live[path] = Entry()
                state.pending.append(("open", call.paths, live[path]))
        elif call.name == "mkdir":
            live[path] = None
            state.pending.append(("mkdir", call.paths, None))
        elif call.name == "write":
            entry = live[path]
            assert entry is not None
            entry.written += call.content
        elif call.name == "unlink":
            live.pop(path, None)
            state.pending.append(("unlink", call.paths, None))
        elif call.name == "replace":
            live[call.paths[1]] = live.pop(path)
            state.pending.append(("replace", call.paths, live[call.paths[1]]))
        elif live.get(path) is not None:  # fsync of a file
            entry = live[path]
            assert entry is not None
            entry.lasting = entry.written
        else:  # fsync of a folder: the changes of its names are safe
            lasting = [one for one in state.pending if os.path.dirname(one[1][-1]) == path]
            state.pending = [one for one in state.pending if one not in lasting]
            for one in lasting:
                apply(state.names, one)
    undo = chance.choice((0.0, 0.5, 1.0))
    for one in state.pending:
        if chance.random() >= undo:
            apply(state.names, one)
    how = chance.choice(("dropped", "zeroed", "torn", "there"))
    return {path: entry if entry is None else damaged(entry, how, chance) for path, entry in state.names.items()}


def apply(names: dict[str, Entry | None], done: tuple[str, tuple[str, ...], Entry | None]) -> None:
    """Make a change of names permanent; a rename moves the file even if its old name was never synced."""
    what, paths, entry = done
    if what == "unlink":
        names.pop(paths[0], None)
    else:
        if what == "replace":
            names.pop(paths[0], None)
        names[paths[-1]] = entry


def damaged(entry: Entry, how: str, chance: random.Random) -> bytes:
    """Return what is left of a file whose last bytes were not synced."""
    unsynced = entry.written[len(entry.lasting) :]
    if how == "dropped" or not unsynced:
        return entry.lasting
    if how == "zeroed":
        return entry.lasting + bytes(len(unsynced))
    if how == "there":
        return entry.written
    sectors = [unsynced[at : at + SECTOR] for at in range(0, len(unsynced), SECTOR)]
    return entry.lasting + b"".join(s if chance.random() < 0.5 else bytes(len(s)) for s in sectors)


def build(content: dict[str, bytes | None], root: str, cut: Path) -> None:
    """Write to a folder what is on the disk below `root`; files in a folder whose name was lost are lost, too."""
    if content.get(root, b"") is not None:  # the run's own folder
        return
    cut.mkdir(parents=True)
    for path, of_file in sorted(content.items()):
        inside = os.path.relpath(path, root)
        if not inside.startswith("..") and inside != "." and of_file is not None:
            (cut / inside).write_bytes(of_file)


def _recorded(arguments: tuple[str, ...], folder: Path, log: Path) -> tuple[int, Any]:
    """Run the command, and log the calls that change files."""
    from sevensteps.cli.app import run

    with disk.counting(folder.parent) as seen:
        code = run(arguments)
    log.write_text(json.dumps([[call.name, call.paths, call.content.hex()] for call in seen.calls]))
    return code, None
