"""The report of a run: what it says, that it is the same for the same run, and that no name gets through as markup."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from typed import here, refused, three_classes, write_idx

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.jobs.report import collect, write_report
from sevensteps.records.audit import Outlier, Suspect
from sevensteps.records.events import Finding
from sevensteps.records.report import Answered, Report
from sevensteps.runs import checkpoint
from sevensteps.show.report.html import MOST_ROWS, plain, table
from sevensteps.show.report.report import page

HOSTILE = (
    "\"><script>window.got = 1</script><img src=x onerror='window.got = 2'></title></style>-->\n\r\t\x00\x1b[2J"
    "\u202eesrever\u2066\u2028\ud800\ufffe & &lt; {{7*7}} <svg onload=window.got=3>"
)
VOID = {"br", "img", "link", "meta"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first job, trained and judged."""
    folder = tmp_path_factory.mktemp("first") / "first"
    ss.train("pullover-dress", recipe="linear", epochs=3, out=folder)
    return folder


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten classes that has learned next to nothing: hundreds of mistakes of every kind."""
    folder = tmp_path_factory.mktemp("ten")
    write_idx(folder / "ten", "train", np.arange(400) % 10, side=64)
    write_idx(folder / "ten", "t10k", np.random.default_rng(0).integers(0, 10, 800), side=64)
    ss.train(folder / "ten", recipe="relu", epochs=1, lr=1e-5, out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def report(first: Path) -> Report:
    return collect(first)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a network."""
    with browser.browser(tmp_path_factory.mktemp("profile")) as there:
        yield there


class Outline(HTMLParser):
    """The elements of a page with the names of their attributes, and whether each is closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def everywhere(value: Any, name: str) -> Any:
    """The same record with `name` after every text in it."""
    if isinstance(value, str):
        return value + name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {"id"} if not isinstance(value, Answered) else set()
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: v if k in kept else everywhere(v, name) for k, v in fields.items()})
    if isinstance(value, Mapping):
        return {key: everywhere(one, name) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(everywhere(one, name) for one in value)
    return value


def named(report: Report, name: str = HOSTILE) -> Report:
    """The report with `name` in every name, message and file's text; the doctor has something to say."""
    finding = Finding(
        code="one_class",
        epoch=2,
        message="It says one class only.",
        fix="sevensteps train",
        recovered_at=None,
        evidence={"share": 0.5, "classes": ["Dress"]},
    )
    report = dataclasses.replace(report, findings=[finding, dataclasses.replace(finding, recovered_at=3)])
    changed = everywhere(dataclasses.replace(report, audit=None), name)
    audit = report.audit
    assert audit is not None
    counts = {split: {one + name: n for one, n in of.items()} for split, of in audit.counts.items()}
    leaks = [["train/1" + name, "test/2" + name]]
    copies = {"leaks": leaks, "duplicates": leaks, "conflicts": leaks, "near_leaks": [(leaks[0], 0.9)]}
    suspects = [Suspect("train/1" + name, "Dress" + name, "Pullover" + name, 0.9)]
    far = [Outlier("train/1" + name, "Dress" + name, None)]
    audit = dataclasses.replace(audit, counts=counts, **copies, suspects=suspects, outliers=far)
    return dataclasses.replace(changed, audit=audit, source=name)


@pytest.mark.slow
def test_the_command_writes_it_and_says_where(first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("report", str(first), cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out.strip(), done.err) == (0, str(first / "report.html"), "")
    elsewhere = here("report", str(first), "--out", "there/mine.html", "--json", cwd=tmp_path, capsys=capsys)
    assert json.loads(elsewhere.out) == {"report": str(Path("there/mine.html"))}
    assert (tmp_path / "there/mine.html").read_bytes() == (first / "report.html").read_bytes()


def test_it_says_first_how_good_the_run_is(first: Path, report: Report) -> None:
    text = page(report)
    test = json.loads((first / "judgement.json").read_text())["test"]
    verdict = f"{test['accuracy']:.2%} of {test['n']:,} test pictures"
    assert report.verdict.startswith(verdict)
    assert f"95 % interval {test['low']:.2%} to {test['high']:.2%}" in report.verdict
    assert text.index(f"<h1>{round(100 * test['accuracy'])} of 100 right</h1>") < text.index("<h2")
    assert text.index("How this was computed") < text.index(verdict) < text.index("<h2")
    found = Outline(text)
    assert [name for name, _ in found.elements].count("h1") == 1
    for title in (
        "What to do next",
        "Mistakes",
        "How it was learned",
        "Each class",
        "When it does not answer",
        "The pictures",
        "How to repeat it",
    ):
        assert title in found.text


def test_it_says_how_often_it_answers(first: Path, report: Report) -> None:
    coverage = json.loads((first / "judgement.json").read_text())["coverage"]
    text = Outline(page(report)).text
    at = text.index("answered")
    assert text[at + 1 : at + 3] == [
        f"{coverage['coverage']:.2%}",
        f"{coverage['low']:.2%} to {coverage['high']:.2%}",
    ]
    assert f'not answered: {coverage["not_sure"]:,} "not sure", {coverage["none_of_these"]:,} "none of these"' in text


def test_curves_of_test_pictures_are_named_so(tmp_path: Path) -> None:
    ss.train(three_classes(tmp_path / "three"), epochs=2, validate_on="test", out=tmp_path / "run")
    (curves,) = re.findall(r'<h2 id="curves".*?</section>', page(collect(tmp_path / "run")), re.DOTALL)
    assert "on the test pictures" in curves
    assert "test loss" in curves
    assert "validation" not in curves


def test_a_limit_of_a_baseline_is_said(report: Report) -> None:
    assert "compared with 10,000 of the 10,800 training pictures" in "".join(Outline(page(report)).text)


def test_what_repeats_the_run_is_typed_beside_it(
    first: Path, report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    words = report.repeat.split()[1:]
    again = here(*words, "--out", "again", "--epochs", "1", cwd=first.parent, capsys=capsys)
    assert again.code == 0


def test_one_picture_is_said_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = three_classes(tmp_path / "three")
    write_idx(source, "t10k", np.array([1]))
    done = here("train", "three", "--epochs", "1", "--out", "one", cwd=tmp_path, capsys=capsys)
    assert done.code == 0
    shown = done.out + here("judge", "one", cwd=tmp_path, capsys=capsys).out
    shown += here("compare", "one", "one", cwd=tmp_path, capsys=capsys).out
    shown += "".join(Outline(page(collect(tmp_path / "one"))).text)
    assert "of 1 test picture (95 %" in shown
    assert not re.findall(r"\b1 (?:test |valid )?pictures", shown)


def test_the_mistakes_are_those_of_the_table(first: Path, report: Report) -> None:
    rows = [json.loads(line) for line in (first / "predictions.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["split"] == "test"]
    classes = ("Pullover", "Dress")
    wrong = {
        row["id"]: max(row["probabilities"]) for row in rows if classes[np.argmax(row["probabilities"])] != row["label"]
    }
    found = report.mistakes
    assert found is not None
    assert (found.n, found.wrong) == (2000, len(wrong))
    assert sum(pair.count for pair in found.pairs) == len(wrong)
    assert [one.id for one in found.surest] == sorted(wrong, key=lambda name: -wrong[name])[: len(found.surest)]
    splits = ss.load("pullover-dress")
    for one in found.surest:
        assert splits.test is not None
        row = splits.test.ids.index(one.id)
        assert one.pixels is not None
        assert np.array_equal(one.pixels, splits.test.pixels[row])
        assert splits.classes[splits.test.labels[row]] == one.label != one.answer


def test_the_same_run_gives_the_same_bytes_wherever_it_is(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "first")
    one, other = write_report(first, tmp_path / "one.html"), write_report(tmp_path / "first")
    assert one.read_bytes() == other.read_bytes()
    assert str(tmp_path) not in other.read_text("utf-8")


def test_it_asks_nothing_of_anybody_and_runs_nothing(report: Report) -> None:
    text = page(report)
    assert text.replace("http-equiv", "").count("http") == 0
    found = Outline(text)
    assert not {"script", "iframe", "object", "embed", "form", "base", "style"} & {
        name for name, _ in found.elements if name != "style"
    }
    assert not [names for _, names in found.elements if any(name.startswith("on") or name == "style" for name in names)]


@pytest.mark.slow
def test_a_run_with_every_kind_of_mistake_stays_small(ten: Path) -> None:
    report = collect(ten)
    assert report.mistakes is not None
    assert report.mistakes.wrong > 600
    assert len(report.mistakes.surest) == 24
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)

    def worst(one: Answered) -> Answered:
        return dataclasses.replace(one, pixels=noise)

    pairs = [dataclasses.replace(p, pictures=list(map(worst, p.pictures))) for p in report.mistakes.pairs]
    mistakes = dataclasses.replace(report.mistakes, pairs=pairs, surest=list(map(worst, report.mistakes.surest)))
    history = [dataclasses.replace(report.history[0], number=number) for number in range(1, 20_001)]
    for one in (report, dataclasses.replace(report, mistakes=mistakes, history=history)):
        assert len(page(one).encode()) < 3_000_000


def test_a_long_table_says_what_it_leaves_out() -> None:
    text = table("Each epoch", ("epoch", "loss"), [[str(row), "0"] for row in range(1000)])
    rows = text.count("<tr>") - 1
    assert rows <= MOST_ROWS + 1
    assert "every 5th of 1,000 rows" in text
    assert '<th scope="row">999</th>' in text


def test_no_name_gets_through_as_markup(report: Report) -> None:
    found = page(named(report))
    tame = page(named(report, "x" * len(HOSTILE)))
    assert Outline(found).elements == Outline(tame).elements
    assert "script" not in {name for name, _ in Outline(found).elements}
    for character in "\x00\x1b\u202e\u2066\u2028\ud800\ufffe":
        assert character not in found
    found.encode("utf-8")


def test_text_is_spelled_out_where_it_would_be_obeyed() -> None:
    assert plain("a\x00\u202e\ud800\n") == r"a\x00\u202e\ud800\n"
    assert plain("می\u200cخواهم 👩\u200d🔬 Größe 漢字") == "می\u200cخواهم 👩\u200d🔬 Größe 漢字"


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (["judgement.json", "predictions.jsonl"], "has not been judged"),
        (["predictions.jsonl"], "there is no predictions.jsonl"),
        (["judgement.json"], "has not been judged"),
    ],
)
def test_what_is_missing_is_said(first: Path, tmp_path: Path, gone: list[str], words: str) -> None:
    run = shutil.copytree(first, tmp_path / "run")
    for name in gone:
        (run / name).unlink()
    found = collect(run)
    assert found.mistakes is found.figures is None
    assert words in found.missing["mistakes"]
    assert "has not been judged" in found.verdict
    assert any("sevensteps judge" in command for _, command in found.following)
    text = "".join(Outline(page(found)).text)
    assert words in text
    assert "The seven steps of a batch" in text


def test_a_judgement_of_another_model_is_none(first: Path, tmp_path: Path) -> None:
    run = shutil.copytree(first, tmp_path / "run")
    judgement = json.loads((run / "judgement.json").read_text())
    del judgement["sha256"]
    judgement["files"]["model.safetensors"] = "0" * 64
    (run / "judgement.json").write_text(checkpoint.judgement_text(judgement))
    assert "belongs to another model" in collect(run).missing["mistakes"]


def test_where_the_pictures_are_gone_or_others_none_are_shown(tmp_path: Path) -> None:
    source = three_classes(tmp_path / "source")
    ss.train(source, epochs=1, out=tmp_path / "run")
    write_idx(source, "t10k", np.arange(60) % 2)
    others = collect(tmp_path / "run")
    assert "have changed" in others.missing["steps"]
    shutil.rmtree(source)
    gone = collect(tmp_path / "run")
    assert gone.mistakes is not None
    assert "no longer at" in gone.mistakes.without_pictures
    assert {"data", "steps"} <= set(gone.missing)
    text = page(gone)
    assert "<img" not in text
    assert "The pictures are not shown" in text


def test_a_run_that_was_cut_off_is_said_to_be_so(tmp_path: Path) -> None:
    source = three_classes(tmp_path / "source")
    ss.train(source, epochs=2, checkpoint_every="1 epochs", out=tmp_path / "run")
    before = tmp_path / "before"
    before.mkdir()
    shutil.copy(tmp_path / "run" / "checkpoint.previous.safetensors", before / "checkpoint.safetensors")
    found = collect(before)
    assert "was interrupted after 2 epochs and has not been judged" in found.verdict
    assert found.following[0][1] == "sevensteps resume before"
    Outline(page(found))


@pytest.mark.parametrize("what", ["nothing", "recipe only", "damaged", "no run"])
def test_what_no_report_can_be_made_of_is_an_error(
    first: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    words = ["run is not a run's folder"]
    if what == "recipe only":
        shutil.copy(first / "recipe.toml", run)
        words = ["Nothing was saved", "sevensteps resume"]
    elif what == "damaged":
        (run / "checkpoint.safetensors").write_bytes((first / "checkpoint.safetensors").read_bytes()[:-9])
        words = ["has no intact checkpoint", "damaged"]
    elif what == "no run":
        run = tmp_path / "ruin"
        words = ["There is no run or path"]
    refused(here("report", str(run), cwd=tmp_path, capsys=capsys), 1, *words)
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("width", browser.WIDTHS)
@pytest.mark.parametrize("theme", browser.THEMES)
def test_a_browser_shows_it_without_a_complaint(
    there: Any, first: Path, tmp_path: Path, width: str, theme: str
) -> None:
    said, asked = browser.show(there, write_report(first, tmp_path / "report.html"), width, theme)
    assert (said, asked) == ([], [])
    assert there.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    light = there.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (theme == "light")
    parsed = there.execute_script("return [...document.querySelectorAll('*')].map(e => e.localName)")
    written = [name for name, _ in Outline((tmp_path / "report.html").read_text("utf-8")).elements]
    assert parsed == written  # the browser found no element out of its place
    loaded = there.execute_script("return [...document.images].every(i => (i.loading = 'eager', i.decode()))")
    assert loaded
    assert browser.violations(there) == []


def test_a_browser_finds_nothing_in_hostile_names(there: Any, report: Report, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(named(report)), "utf-8")
    for width in browser.WIDTHS:
        assert browser.show(there, tmp_path / "report.html", width) == ([], [])
        assert there.execute_script("return window.got") is None
        assert there.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.violations(there) == []


def test_the_browser_would_have_seen_it(there: Any, tmp_path: Path) -> None:
    """What these tests rest on: requests, complaints and barriers are seen where there are any."""
    (tmp_path / "bad.html").write_text("<img src='https://example.invalid/x.png'><script>oops()</script>", "utf-8")
    said, asked = browser.show(there, tmp_path / "bad.html")
    assert asked == ["https://example.invalid/x.png"]
    assert any("oops is not defined" in line for line in said)
    assert any(line.startswith("image-alt") for line in browser.violations(there))


def test_it_can_be_printed(there: Any, first: Path, tmp_path: Path) -> None:
    import base64

    browser.show(there, write_report(first, tmp_path / "report.html"), theme="dark")
    printed = base64.b64decode(there.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 30
    there.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return getComputedStyle(document.querySelector('nav')).display + getComputedStyle(document.body).color"
    assert there.execute_script(shown) == "nonergb(0, 0, 0)"
    there.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(("out", "says"), [("page.pdf", "--out page.html"), (".", "a folder stands")])
def test_a_report_is_written_as_a_page_only(
    out: str, says: str, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here("report", str(first), "--out", out, cwd=tmp_path, capsys=capsys)
    assert done.code
    assert says in done.err
    assert "Internal" not in done.err
    assert not list(tmp_path.iterdir())


def test_the_first_report_takes_what_data_found(
    tmp_path: Path, splits: Splits, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    some, test = splits.train[:400], splits.train[400:500]
    np.savez(  # noqa: TID251
        tmp_path / "clothes.npz", x_train=some.pixels[:, 0], y_train=some.labels, x_test=test.pixels[:, 0],
        y_test=test.labels, allow_pickle=False,
    )  # fmt: skip
    assert here("data", "clothes.npz", cwd=tmp_path, capsys=capsys).code == 0
    (kept,) = (tmp_path / "cache" / "audits").iterdir()
    saved = json.loads(kept.read_text())
    kept.write_text(json.dumps({**saved, "outliers": [{"id": "train/7", "label": "Dress", "score": 9.5}]}))
    assert here("train", "clothes.npz", "--epochs", "1", "--out", "runs/one", cwd=tmp_path, capsys=capsys).code == 0
    assert here("report", "runs/one", cwd=tmp_path, capsys=capsys).code == 0
    assert [path.name for path in (tmp_path / "cache" / "audits").iterdir()] == [kept.name]
    assert "1 picture is unlike all others" in (tmp_path / "runs/one/report.html").read_text()
