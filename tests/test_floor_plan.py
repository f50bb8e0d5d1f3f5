"""The floor plan of docs/architecture.md: who may import whom, who may write a file, and what nobody may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sevensteps

PACKAGE = Path(sevensteps.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}

# Bottom to top: a folder knows those before it and none after it. Folders of one row do not know each other.
ORDER: list[tuple[str, ...]] = [
    ("errors",),
    ("base",),
    ("records",),
    ("show", "steps"),
    ("data",),
    ("ship",),
    ("learner",),
    ("recipes",),
    ("trust",),
    ("runs",),
    ("integrations",),
    ("jobs",),
    ("studio",),
    ("cli",),
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FRONT = ("__init__", "__main__", "all")  # what users import and start: it may know everybody, and nobody knows it
LESSON = "by_hand"  # knows nobody, and is known to nobody

# Whoever imports one of these has not imported PyTorch, which takes seconds.
WITHOUT_TORCH = [
    "__init__",
    "__main__",
    "base/device",
    "base/fastai",
    "base/files",
    "base/growing_file",
    "base/interrupts",
    "base/launched",
    "base/memory",
    "base/seeds",
    "base/user_folders",
    "base/version",
    "base/words",
    "cli/app",
    "cli/compare",
    "cli/data",
    "cli/keys",
    "cli/lesson",
    "cli/doctor",
    "cli/errors",
    "cli/flags",
    "cli/hints",
    "cli/judge",
    "cli/predict",
    "cli/prepare",
    "cli/report",
    "cli/runs",
    "cli/serve",
    "cli/studio",
    "cli/train",
    "cli/usage",
    "cli/verify",
    "cli/xray",
    "data/balance",
    "data/decode",
    "data/files/catalog",
    "data/files/class_folders",
    "data/files/in_parallel",
    "data/files/load",
    "data/files/summary",
    "data/files/table",
    "data/files/table_files",
    "data/files/table_rows",
    "data/folds",
    "data/hold_out",
    "data/image_arrays",
    "data/images",
    "data/near_copies",
    "data/near_pairs",
    "data/sources/did_you_mean",
    "data/sources/fashion",
    "data/sources/fashion_facts",
    "data/sources/idx",
    "data/sources/load",
    "data/sources/embedded",
    "data/store/blocks",
    "data/store/layout",
    "data/store/names",
    "data/store/prepare",
    "data/store/store",
    "data/store/streams",
    "errors",
    "jobs/advice",
    "jobs/compare",
    "jobs/data",
    "jobs/doctor",
    "jobs/judge",
    "jobs/lesson",
    "jobs/predict",
    "jobs/prepare",
    "jobs/preview",
    "jobs/processes",
    "jobs/report",
    "jobs/resume",
    "jobs/serve",
    "jobs/train",
    "jobs/verify",
    "jobs/xray",
    "recipes/recipe",
    "recipes/settings",
    "records/audit",
    "records/calibration",
    "records/comparison",
    "records/events",
    "records/history",
    "records/report",
    "records/scores",
    "records/steps",
    "runs/checkpoint",
    "runs/folder",
    "runs/pictures",
    "runs/recorded",
    "runs/saved",
    "ship/abstention",
    "ship/explain",
    "ship/facts",
    "ship/file",
    "ship/predict",
    "ship/serve/app",
    "ship/serve/server",
    "studio/app",
    "studio/gate",
    "studio/session",
    "studio/start",
    "studio/trainer",
    "studio/wire",
    "trust/audit/audit",
    "trust/audit/copies",
    "trust/audit/outliers",
    "trust/audit/quick_model",
    "trust/audit/train_vs_test",
    "trust/audit/wrong_labels",
    "trust/calibration",
    "trust/comparison",
    "trust/intervals",
    "trust/ledger",
    "trust/predictions",
    "trust/roc_area",
    "trust/scores",
]


def room(name: str) -> str:
    """The room of a file (`steps/loss.py`) or of a module's place in the package (`steps/loss`): its folder."""
    return name.removesuffix(".py").split("/")[0]


def is_module(place: str) -> bool:
    """Whether a place in the package is a file or a folder of the package."""
    return f"{place}.py" in FILES or f"{place}/__init__.py" in FILES


def places_in(node: ast.Import | ast.ImportFrom, file: str) -> Iterator[str]:
    """What an import of our own names, as places in the package (`steps/loss`); `__init__` is the package itself."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names if alias.name.split(".")[0] == "sevensteps"]
        yield from ("/".join(module.split(".")[1:]) or "__init__" for module in modules)
        return
    if node.level:
        folder = ["sevensteps", *file.split("/")[:-1]]
        start = folder[: len(folder) - node.level + 1]
        assert start, f"{file}:{node.lineno} imports from outside the package"
    else:
        start = []
    parts = [*start, *(node.module.split(".") if node.module else [])]
    if parts[0] != "sevensteps":
        return
    for alias in node.names:
        place = "/".join([*parts[1:], alias.name])
        yield place if is_module(place) else "/".join(parts[1:]) or "__init__"


def imports_in(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import, wherever it stands."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def imports_on_loading(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when the module is imported: in no function, and not for the type checker alone."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def outside_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The first parts of the names that an import asks of others."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [] if node.level else [(node.module or "").split(".")[0]]


def known_to(file: str) -> Iterator[tuple[int, str]]:
    """The places that a file imports anywhere, with the lines: `steps/loss`, or `data/__init__` for a folder itself."""
    for node in imports_in(FILES[file]):
        for place in places_in(node, file):
            yield node.lineno, place if f"{place}.py" in FILES else f"{place}/__init__"


def test_everything_stands_in_a_room() -> None:
    assert {room(file) for file in FILES} <= {*LEVEL, *FRONT, LESSON}


@pytest.mark.parametrize("file", FILES)
def test_no_file_knows_a_room_above_its_own(file: str) -> None:
    own = room(file)
    if own in FRONT:
        return
    for line, place in known_to(file):
        other = room(place)
        assert other in LEVEL, f"{file}:{line}: nobody may import {place}"
        assert other == own or (own in LEVEL and LEVEL[other] < LEVEL[own]), (
            f"{file}:{line}: {own} may not know {place}"
        )


def test_no_two_files_know_each_other_however_far_around() -> None:
    knows = {file: {f"{place}.py" for _, place in known_to(file)} - {file} for file in FILES}
    while leaves := {file for file, others in knows.items() if not others}:
        knows = {file: others - leaves for file, others in knows.items() if file not in leaves}
    assert not knows, f"a circle goes through some of {sorted(knows)}"


def loaded_with(start: str) -> dict[str, str]:
    """The files that importing a place in the package runs, each with the one that asked for it."""
    loaded = {f"{start}.py": "you", "__init__.py": "Python"}
    waiting = list(loaded)
    while waiting:
        file = waiting.pop()
        places = [place for node in imports_on_loading(FILES[file]) for place in places_in(node, file)]
        places += ["/".join([*file.split("/")[:-1], "__init__"])] if "/" in file else []
        for place in places:
            found = f"{place}.py" if f"{place}.py" in FILES else f"{place}/__init__.py"
            if found not in loaded:
                loaded[found] = file
                waiting.append(found)
    return loaded


@pytest.mark.parametrize("place", [*WITHOUT_TORCH, *(file[:-3] for file in FILES if file.startswith("show/"))])
def test_importing_it_imports_no_torch(place: str) -> None:
    for file, asked in loaded_with(place).items():
        modules = [module for node in imports_on_loading(FILES[file]) for module in outside_modules(node)]
        assert "torch" not in modules, f"{place} loads {file} (for {asked}), which imports torch"


def name_of(function: ast.expr) -> str:
    """What is called, as written: `np.save`, `open`, `.write_text` for a method of anything longer."""
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute):
        return f"{function.value.id if isinstance(function.value, ast.Name) else ''}.{function.attr}"
    return ""


def calls_in(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def open_handles(tree: ast.AST) -> set[str]:
    """Names that stand for something already open: a file that is being replaced, or memory."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and isinstance(node.context_expr, ast.Call):
            target, made = node.optional_vars, name_of(node.context_expr.func)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target, made = node.targets[0], name_of(node.value.func)
        else:
            continue
        if isinstance(target, ast.Name) and made.split(".")[-1] in ("replacing", "BytesIO", "StringIO"):
            names.add(target.id)
    return names


WRITING_METHODS = {
    "write_text",
    "write_bytes",
    "touch",
    "mkdir",
    "symlink_to",
    "hardlink_to",
    "tofile",
    "to_csv",
    "to_parquet",
    "save_file",
    "mkstemp",
    "NamedTemporaryFile",
    "TemporaryFile",
}
TO_A_HANDLE = {"save", "savez", "savez_compressed", "savetxt", "savefig", "dump", "write_table"}  # or else to a path
MODULES_THAT_WRITE = {"shutil": {"copy", "copy2", "copyfile", "copytree", "move"}, "os": {"replace", "rename", "mkdir"}}


def writes(call: ast.Call, handles: set[str]) -> bool:
    """Whether a call opens a file for writing, or makes, moves or links one."""
    name = name_of(call.func)
    base, dot, method = name.rpartition(".")
    if method in WRITING_METHODS or method in MODULES_THAT_WRITE.get(base, ()):
        return True
    if method == "open" and base == "os":
        return ast.unparse(call.args[0]) != "os.devnull"
    if method == "open":
        modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
        modes += call.args[1:2] if not dot else call.args[:1]
        return any(isinstance(mode, ast.Constant) and set("wax+") & set(str(mode.value)) for mode in modes)
    if method in TO_A_HANDLE and (
        base in ("np", "json", "pq", "torch", "image", "img", "Image") or method == "savefig"
    ):
        return not any(isinstance(value, ast.Name) and value.id in handles for value in call.args)
    return False


@pytest.mark.parametrize("file", sorted(FILES.keys() - {"base/files.py", "base/growing_file.py"}))
def test_only_files_writes_a_file(file: str) -> None:
    handles = open_handles(FILES[file])
    for call in calls_in(FILES[file]):
        assert not writes(call, handles), f"{file}:{call.lineno}: {ast.unparse(call)} belongs into base/files.py"


@pytest.mark.parametrize(
    "text",
    [
        "open('x', 'w')",
        "open('x', mode='ab')",
        "path.open('wb')",
        "folder().open('r+')",
        "path.write_text('x')",
        "(a / 'b').write_bytes(b'')",
        "np.save(path, array)",
        "np.savez(folder / 'x.npz', a=array)",
        "figure.savefig('x.png')",
        "image.save(path)",
        "os.open(path, os.O_WRONLY)",
        "shutil.copy(a, b)",
        "os.replace(a, b)",
        "json.dump(facts, open_file)",
    ],
)
def test_the_rule_sees_a_call_that_writes(text: str) -> None:
    assert writes(next(calls_in(ast.parse(text))), set())


WATCHED_RUN = """
import os, sys
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & writing:
        path = os.fspath(arguments[0]) if not isinstance(arguments[0], int) else ""
        path = os.fsdecode(path)
        if path.startswith(sys.argv[1]):
            frame = sys._getframe()
            while frame and not frame.f_code.co_filename.endswith(os.path.join("sevensteps", "base", "files.py")):
                frame = frame.f_back
            print("inside" if frame else "outside", path)

import sevensteps as ss
sys.addaudithook(watch)
ss.train("pullover-dress", recipe="linear", epochs=1, out=os.path.join(sys.argv[1], "run"))
"""


def test_a_whole_run_writes_through_files_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED_RUN, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    written = [line for line in done.stdout.splitlines() if line.startswith(("inside", "outside"))]
    assert len(written) >= 3
    assert not [line for line in written if line.startswith("outside")]


RUNS_CODE = {"eval", "exec", "compile", "__import__", "breakpoint"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "runpy"}


@pytest.mark.parametrize("file", FILES)
def test_nothing_that_is_read_can_run_code(file: str) -> None:
    for node in imports_in(FILES[file]):
        assert not UNSAFE_MODULES & set(outside_modules(node)), f"{file}:{node.lineno}"
    for call in calls_in(FILES[file]):
        name = name_of(call.func)
        where = f"{file}:{call.lineno}: {ast.unparse(call)}"
        assert name not in RUNS_CODE, where
        if file == "ship/backbone/weights.py" and name == "torch.load":  # a known file, whose SHA-256 is compared first
            assert ast.unparse(call) == "torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)"
            continue
        assert name not in ("torch.load", "torch.save", "torch.jit.load", "torch.hub.load"), where
        assert not name.endswith((".read_pickle", ".to_pickle", ".loads_pickle")), where
        for keyword in call.keywords:
            allowed = keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
            assert not allowed, where
        if name == "np.load":
            assert "allow_pickle" in [keyword.arg for keyword in call.keywords], where


def test_by_hand_is_known_to_nobody_and_knows_nobody() -> None:
    for file, tree in FILES.items():
        for node in imports_in(tree):
            for place in places_in(node, file):
                assert "by_hand" not in (place, file.removesuffix(".py")), f"{file}:{node.lineno}"


def test_the_page_shows_the_rooms_in_this_order() -> None:
    page = (Path(__file__).parent.parent / "docs/architecture.md").read_text("utf-8")
    rows = re.search(r"## The rooms\n.*?```\n(.*?)```", page, re.DOTALL)
    assert rows
    shown = [tuple(re.split(r"  +", row.strip())[0].split(" · ")) for row in rows[1].splitlines()]
    built = {room(file) for file in FILES}
    levels = [tuple(name for name in names if name in built) for names in ORDER]
    assert shown[::-1] == [names for names in levels if names]
