"""The README and the pages in docs/ tell the truth: outputs are the program's, code runs, and what is named exists."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from in_studio import Page
from photos import photos_in
from PIL import Image
from served import served
from typed import finished, sevensteps, start

import sevensteps as ss
from sevensteps.cli.app import app
from sevensteps.data.sources.fashion import SYSTEM

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from make_readme import BLOCK, PAGES, output_of  # noqa: E402


def without_numbers(text: str) -> str:
    """Replace numbers: digits may differ in the last place from machine to machine; words and layout may not."""
    return re.sub(r"-?[\d.,]+(e-?\d+)?", "#", text)


TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
DECISIONS = {f"docs/decisions/{page.name}": page.read_text("utf-8") for page in (ROOT / "docs/decisions").glob("*.md")}
OTHERS = {name: (ROOT / name).read_text("utf-8") for name in ("CONTRIBUTING.md", "CHANGELOG.md")}
EVERY_PAGE = {**TEXTS, **DECISIONS, **OTHERS}
BLOCKS = [block for text in TEXTS.values() for block in BLOCK.finditer(text)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["command"])
def test_the_output_shown_is_the_programs(block: re.Match[str]) -> None:
    assert without_numbers(block["output"]) == without_numbers(output_of(block["command"]))


def test_the_code_shown_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = {page: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for page, text in TEXTS.items()}
    assert sum(map(len, blocks.values())) >= 4
    ss.export(ss.train("pullover-dress", epochs=1, out="RUN"))  # what the page on exporting names
    Image.new("L", (28, 28)).save("picture.png")
    names: dict[str, dict[str, object]] = {page: {} for page in blocks}
    for page, codes in blocks.items():
        for code in codes:
            exec(compile(code, page, "exec"), names[page])  # noqa: S102  our own page
    assert names["docs/python.md"]["run"].test.accuracy > 0.96  # type: ignore[attr-defined]


def test_the_start_of_the_readme_fits_one_screen() -> None:
    start = TEXTS["README.md"].split("\n| page |")[0]
    assert "sevensteps train" in start
    assert start.index("CPU") < start.index("python -m venv .venv && ")
    assert len(start.splitlines()) <= 40


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_pages_name_the_torch_that_the_constraints_install(page: str) -> None:
    pinned = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned
    assert f"`{pinned[0]}`" in EVERY_PAGE[page]


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_link_leads_to_a_file(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", EVERY_PAGE[page])
    for target in (one or other for one, other in targets):
        if not target.startswith("https://"):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", [name for name in EVERY_PAGE if name != "CHANGELOG.md"])
def test_every_python_file_named_exists(page: str) -> None:
    for name in re.findall(r"`(?:python )?(?!RUN/)((?:\w+/)*\w+\.py)\b", EVERY_PAGE[page]):  # `export` writes RUN/…
        assert (ROOT / name).exists() or (ROOT / "sevensteps" / name).exists(), f"{page}: {name}"


def test_decisions_have_numbers_of_their_own_and_say_them() -> None:
    numbers = [int(Path(page).name[:4]) for page in sorted(DECISIONS)]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, page in zip(numbers, sorted(DECISIONS), strict=True):
        assert DECISIONS[page].startswith(f"# {number}. ")


@pytest.mark.parametrize("page", [name for name in EVERY_PAGE if name != "CHANGELOG.md"])
def test_every_name_said_to_be_in_a_file_is_there(page: str) -> None:
    for name, file in re.findall(r"`(\w+)` (?:in|of) `([a-z_/]+\.py)`", EVERY_PAGE[page]):
        assert re.search(rf"\b{name}\b", (ROOT / "sevensteps" / file).read_text("utf-8")), f"{page}: {name}"


def test_the_tables_that_contributing_names_are_in_its_files() -> None:
    rows = re.findall(r"^\| .* \|$", OTHERS["CONTRIBUTING.md"], re.MULTILINE)[2:]
    for row in rows:
        files = [ROOT / "sevensteps" / name for name in re.findall(r"`([a-z_/]+\.py)`", row)]
        text = "".join(file.read_text("utf-8") for file in files)
        for name in re.findall(r"`([A-Z]+)`", row):
            assert re.search(rf"^{name}\b", text, re.MULTILINE), row


def typed_commands(text: str) -> list[list[str]]:
    """Return the words of every `sevensteps VERB …` in a page's blocks and code spans, without comments."""
    code = re.findall(r"^(sevensteps [a-z].*)$", text, re.MULTILINE) + re.findall(r"`(sevensteps [a-z][^`]*)`", text)
    return [shlex.split(line.replace("…", ""), comments=True) for line in code]


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_and_flag_shown_exists(page: str) -> None:
    for words in typed_commands(TEXTS[page]):
        verb = words[1]
        assert verb in app, f"{page}: {words}"
        flags = {flag for argument in app[verb].assemble_argument_collection() for flag in argument.names}
        for word in words[2:]:
            assert not word.startswith("--") or word.split("=")[0] in {*flags, "--help"}, f"{page}: {words}"


@pytest.fixture
def desk(everything: Path, tmp_path: Path) -> Path:
    """A folder for one page, because two pages may write the same file or folder."""
    return shutil.copytree(everything, tmp_path / "desk")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything that the pages name is there."""
    desk = tmp_path_factory.mktemp("desk")
    drawn = np.random.default_rng(0)
    for name, other, rows in (("cats", "dogs", slice(0, 8)), ("dogs", "cats", slice(8, 16))):
        for number in range(60):
            pixels = drawn.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[rows] += 150
            is_wrong = number < 2  # a label, so that there is something to correct
            path = desk / f"my-pictures/{other if is_wrong else name}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    shutil.make_archive(str(desk / "my-pictures"), "zip", desk / "my-pictures")
    photos_in(desk / "my-photos", 10)
    (network,) = re.findall(r"^def small.*?(?=^\n\n)", TEXTS["docs/python.md"], re.MULTILINE | re.DOTALL)
    (desk / "nets.py").write_text(f"from torch import nn\n\n\n{network}")
    for folder in ("FOLDER", "PATH"):
        shutil.copytree(desk / "my-pictures", desk / folder)
    rows = [f"my-pictures/{name}/{n}.png,{name},owner {n % 20}" for name in ("cats", "dogs") for n in range(60)]
    (desk / "my-table.csv").write_text("\n".join(["file,breed,owner", *rows]))
    for name in ("picture.png", "PICTURE.png", "new.jpg"):
        Image.fromarray(np.zeros((28, 28), dtype=np.uint8)).save(desk / name)
    for more in (
        ["--epochs", "2"],
        ["--epochs", "2", "--recipe", "relu"],
        ["--epochs", "2", "--recipe", "walkthrough-by-hand"],
        ["my-pictures", "--epochs", "1", "--recipe", "cnn"],
        ["PATH", "--epochs", "1", "--recipe", "linear", "--out", "RUN"],
    ):
        done = sevensteps("train", *more, cwd=desk)
        assert done.code == 0, done.err
    return desk


def is_whole(words: list[str]) -> bool:
    """Whether a command is one to type, not a verb that is spoken of."""
    return len(words) > 2 or words[1] in ("train", "runs", "data")


def opened_in_the_studio(words: list[str], desk: Path) -> None:
    """Type a `sevensteps studio …`, wait until it has opened what it was given, and end it with Ctrl-C."""
    with start(*words[1:], "--no-browser", cwd=desk) as process:
        page = Page(process.stdout.readline().split()[1])
        assert page.rest()["place"]["phase"] != "failed", words
        process.send_signal(signal.SIGINT)
        assert finished(process).code == 0, words


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if any(map(is_whole, typed_commands(text)))])
def test_every_command_shown_works_as_it_is_typed(page: str, desk: Path) -> None:
    for words in filter(is_whole, typed_commands(TEXTS[page])):
        needs_clothes = "fashion-mnist" in words or "fashion-10" in words
        if needs_clothes and SYSTEM.is_dir():  # where the system has them, the command would train for minutes
            continue
        if words[1] == "serve":  # until it is told to end
            with served(*words[2:], cwd=desk) as server:
                assert server.send("GET", "/").status == 200
            continue
        if words[1] == "studio":
            opened_in_the_studio(words, desk)
            continue
        is_short = words[1] != "train" or {"--epochs", "--help"} & set(words)
        done = sevensteps(*words[1:], *([] if is_short else ["--epochs", "1"]), cwd=desk)
        if needs_clothes:  # which are downloaded, and tests are offline
            assert done.code == 1, words
            assert "Could not download" in done.err, f"{page}: {words}: {done.err}"
        else:
            assert done.code == 0, f"{page}: {words}: {done.err}"
