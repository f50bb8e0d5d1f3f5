"""Repair: the suspects, and corrections that are made, taken back, saved, and read by a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clothes import WRONG, folder_of
from in_studio import Page

from sevensteps.data import corrections
from sevensteps.data.images import Splits
from sevensteps.data.sources.load import load
from sevensteps.errors import UsageError
from sevensteps.jobs.report import collect
from sevensteps.jobs.train import train
from sevensteps.runs.folder import EDITS
from sevensteps.runs.recorded import edited_of
from sevensteps.runs.saved import Saved
from sevensteps.studio.comparing import comparison
from sevensteps.studio.edits import Edits, edits_of, listed, wanted_in
from sevensteps.studio.repair import Shelf, examples, suspects
from sevensteps.studio.results import result_of
from sevensteps.studio.start import Opened, beside, opened
from sevensteps.trust.audit.audit import audited


@pytest.fixture(scope="module")
def clothes(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(splits, tmp_path_factory.mktemp("repair") / "clothes")


@pytest.fixture(scope="module")
def shelf(clothes: Path) -> Shelf:
    return Shelf.of(load(clothes))


def test_wrong_labels_are_found_and_paged(shelf: Shelf) -> None:
    found = audited(shelf.source)
    whole = suspects(found, shelf, Edits(), 0)
    assert {item["id"] for item in whole["items"]} >= set(WRONG[:2])
    paged = [item for page in range(whole["count"]) for item in suspects(found, shelf, Edits(), page, 1)["items"]]
    assert paged == whole["items"]
    assert suspects(found, shelf, Edits(), 10_000)["items"] == []
    one = whole["items"][0]
    label = shelf.source.classes.index(one["label"])
    assert shelf.source.train.labels[one["row"]] == label


def test_a_correction_is_seen_beside_its_suspect_and_can_be_taken_back(shelf: Shelf) -> None:
    found, edits = audited(shelf.source), Edits()
    edits.change({WRONG[0]: "Pullover", WRONG[1]: ""}, dict.fromkeys(WRONG, "Dress"))
    now = {item["id"]: item["now"] for item in suspects(found, shelf, edits, 0)["items"]}
    assert (now[WRONG[0]], now[WRONG[1]]) == ("Pullover", "")
    assert listed(edits)["rows"][0] == {"id": WRONG[1], "was": "Dress", "now": ""}
    edits.change({WRONG[0]: "Dress"}, {WRONG[0]: "Dress"})  # its own class: nothing to correct
    assert edits.unseen == [WRONG[1]]
    assert edits.undo() == [WRONG[0]]
    assert edits.rows[WRONG[0]].now == "Pullover"
    assert sorted(edits.undo()) == sorted(WRONG[:2])
    assert (edits.undo(), edits.rows, edits.unseen) == ([], {}, [])


def test_names_of_every_kind_survive_the_file(tmp_path: Path) -> None:
    edits, names = Edits(), ['a,"b".png', "two\nlines.png", "<b>&amp;.png", "=1+1.png", "ünïcode/日本.png"]
    edits.change(dict.fromkeys(names, "x"), dict.fromkeys(names, "y"))
    (tmp_path / EDITS).write_text(edits.as_csv(), "utf-8")
    assert edits_of(tmp_path).rows == edits.rows
    assert [row.picture for _, row in corrections.read(tmp_path / EDITS).rows] == names


@pytest.mark.parametrize(
    "changes", [None, [], {}, [{"id": "a"}], [{"id": 1, "now": "x"}], [{"id": "a", "now": "z"}], ["a"], [None]]
)
def test_a_change_of_another_form_is_refused(changes: object) -> None:
    with pytest.raises(UsageError):
        wanted_in(changes, ("x", "y"))


def test_a_picture_that_is_not_there_is_refused(shelf: Shelf) -> None:
    with pytest.raises(UsageError, match="There is no picture"):
        shelf.find(["../../etc/passwd"])


def test_examples_are_of_their_class_and_not_doubted(shelf: Shelf) -> None:
    train = shelf.source.train
    doubted = [train.ids[0]]
    for label, shown in enumerate(examples(train, doubted, 3)):
        wanted = [row for row in range(len(train)) if train.labels[row] == label and train.ids[row] not in doubted][:3]
        assert (shown["pictures"] == train.pixels[wanted]).all()


@pytest.mark.parametrize(
    "folds", [pytest.param(0, marks=pytest.mark.slow), 1]
)  # 240 pictures are cross-validated unless folds = 1
def test_a_run_with_corrections_is_compared_fairly_and_declares_edited_labels(
    clothes: Path, tmp_path: Path, folds: int
) -> None:
    how = {"epochs": 2, "folds": folds, "observe": lambda event: None}
    before = train(clothes, "linear", out=tmp_path / "before", **how)
    assert before.folder is not None
    held = result_of(before.folder, None).table
    labels = {name: held.classes[label] for name, label in zip(held.ids, held.labels.tolist(), strict=True)}
    edits, other = Edits(), {"Pullover": "Dress", "Dress": "Pullover"}
    some = dict(list(labels.items())[:4])
    edits.change({name: other[was] for name, was in some.items()}, some)
    (before.folder / EDITS).write_text(edits.as_csv(), "utf-8")
    after = train(clothes, "linear", out=tmp_path / "after", fix=str(before.folder / EDITS), **how)
    assert after.folder is not None
    assert edits_of(after.folder).rows == edits.rows  # the new run goes on with them
    assert edits_of(after.folder).unseen == []
    result = result_of(after.folder, Saved.open(after.folder).pictures(lambda event: None)[0])
    tested = set(result.table.ids)
    assert edited_of(result.need_saved().recorded) == len(tested & set(some))
    doubts = " ".join(collect(after.folder).doubts)
    assert ("tested on w" in doubts and "corrected" in doubts) == bool(tested & set(some))
    found = comparison(result_of(before.folder, None), result)
    both = tested & set(labels)
    assert found["comparison"]["n"] == len(both)
    assert any("both runs held out" in note for note in found["notes"]) == (len(both) < len(held))
    assert {"setting": "labels", "before": "0 corrections", "after": "4 corrections"} in found["differences"]
    right = sum(bool(ok) for name, ok in zip(result.table.ids, result.table.right, strict=True) if name in both)
    assert found["comparison"]["correct_b"] == right
    assert [one["count"] for one in found["only"]] == [found["comparison"][key] for key in ("only_a", "only_b")]


def test_corrections_belong_to_the_run_that_they_were_made_for(page: Page) -> None:
    page.do("batch")
    name = page.state["run"]["name"]
    [first] = page.get("/pictures?split=train&rows=0")["ids"]
    assert page.send("POST", "/do/relabel", json.dumps({"changes": [{"id": first, "now": ""}]}).encode()).status == 200
    assert page.state["edits"]["count"] == 1
    page.do("open", source="pullover-dress")
    assert page.state["edits"]["count"] == 0
    page.do("open", run=name)
    assert page.state["edits"]["count"] == 1


def test_corrections_are_read_as_train_reads_them_and_a_story_keeps_them(
    clothes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edits.csv").write_text(f"picture,now,was,why\n{WRONG[0]},Pullover,,\n{WRONG[1]},,,\n")
    many = [f"{path.parent.name}/{path.name},Dress,," for path in (clothes / "Pullover").iterdir()]
    (tmp_path / "many.csv").write_text("\n".join(["picture,now,was,why", *many[:90], ""]))

    def opens(fix: str) -> Page:
        studio = beside(port=0, first=lambda trainer: opened(trainer, str(clothes), framed=False, fix=fix))
        studios.append(studio)
        return Page(studio.url)

    studios: list[Opened] = []
    try:
        error = opens("many.csv").wait(lambda state: state["place"]["error"])["place"]["error"]
        assert "90 of 240 labels" in error["message"]
        assert error["hint"].endswith("--fix many.csv --yes")
        page = opens("edits.csv")
        page.rest()
        page.do("start", model="linear", epochs=1, recipe="plain")
        page.do("batch")
        state = page.state
        assert (state["edits"]["all"], state["edits"]["count"]) == (2, 0)
        assert "--fix runs/clothes-plain-1/corrections.csv " in state["run"]["command"]
        page.do("start", story="rare")
        story = page.wait(lambda state: state["place"]["phase"] in ("done", "failed"))
        rows = edits_of(Path(story["run"]["folder"])).rows
        assert (rows[WRONG[0]].now, rows[WRONG[1]].now) == ("Pullover", "")
        assert len(rows) > 50
        page.do("start", story=None)
        page.do("batch")
        assert page.state["edits"]["all"] == 2
    finally:
        for studio in studios:
            studio.close()
