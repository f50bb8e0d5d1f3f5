"""`judge`, `compare`, `train --seeds` and `--no-test`, typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typed import here, refused, sevensteps, three_classes, write_idx

import sevensteps as ss
from sevensteps.jobs.report import collect
from sevensteps.runs import checkpoint
from sevensteps.trust.ledger import looks_at


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on the same pictures, a copy of one, and one that left the test pictures unread."""
    folder = tmp_path_factory.mktemp("judging")
    source = three_classes(folder / "three")
    ss.train(source, epochs=1, lr=1e-4, out=folder / "runs/weak")
    ss.train(source, epochs=3, out=folder / "runs/strong")
    shutil.copytree(folder / "runs/strong", folder / "runs/copy")
    ss.train(source, epochs=3, recipe="relu", test=False, out=folder / "runs/unread")
    return folder


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEVENSTEPS_STATE", str(tmp_path / "state"))


def test_every_figure_of_a_run_is_shown_with_its_interval(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("judge", "strong", cwd=folder, capsys=capsys)
    assert (done.code, done.err) == (0, "")
    for word in (
        "60 test pictures; 95 % intervals",
        "balanced accuracy",
        "log loss",
        "brier",
        "baseline nearest neighbor",
        "calibration error",
        "`predict` answers",
    ):
        assert word in done.out
    found = json.loads(here("judge", "strong", "--json", cwd=folder, capsys=capsys).out)
    promised = {
        "run",
        "test",
        "valid",
        "baselines",
        "epochs",
        "seconds",
        "stopped_because",
        "gradient",
        "model",
        "findings",
    }
    assert promised <= set(found)
    scores = found["scores"]
    assert scores["metrics"]["accuracy"]["value"] == found["test"]["accuracy"]
    assert sum(map(sum, scores["confusion"])) == scores["n"] == 60
    for metric in scores["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    calibration, coverage = found["calibration"], found["coverage"]
    assert calibration["low"] <= calibration["error"] <= calibration["high"]
    assert coverage["answered"] + coverage["not_sure"] + coverage["none_of_these"] == coverage["n"] == 60
    assert (
        json.loads(here("judge", "strong", "--split", "valid", "--json", cwd=folder, capsys=capsys).out)["coverage"]
        is None
    )


def test_baselines_are_of_the_pictures_that_the_result_is_of(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(folder / "runs/unread", tmp_path / "unread")
    said = json.loads(here("judge", "unread", "--json", cwd=tmp_path, capsys=capsys).out)
    assert {(score["split"], score["n"]) for score in said["baselines"].values()} == {("test", 60)}
    assert (said["against_best_baseline"]["n"], said["against_best_baseline"]["split"]) == (60, "test")
    ss.train(folder / "three", epochs=3, recipe="relu", out=tmp_path / "read")
    read = json.loads((tmp_path / "read/judgement.json").read_text())
    for key in ("baselines", "against_best_baseline"):
        assert said[key] == read[key]
    rows = collect(run).baselines.values()
    assert {(score.split, score.n) for score in rows} == {("test", 60)}
    shown = here("judge", "unread", cwd=tmp_path, capsys=capsys).out
    assert "the best baseline, " in shown
    assert "of 60 test pictures (95 % interval" in shown
    others = here("judge", "unread", "--split", "valid", cwd=tmp_path, capsys=capsys).out
    assert "the best baseline" not in others
    for line in others.splitlines():
        assert not line.startswith("baseline") or line.endswith("on other pictures than those above")


@pytest.mark.parametrize("what", ["gone", "not a number", "cut", "judgement cut"])
def test_a_judgement_that_is_damaged_is_made_again_whole(
    folder: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(folder / "runs/strong", tmp_path / "strong")
    before = [(run / name).read_bytes() for name in ("judgement.json", "predictions.jsonl")]
    if what == "gone":
        (run / "judgement.json").unlink()
    elif what == "judgement cut":
        (run / "judgement.json").write_bytes(before[0][:-30])
    elif what == "cut":
        (run / "predictions.jsonl").write_bytes(before[1][:4000])
    else:
        (run / "predictions.jsonl").write_bytes(before[1].replace(b"[0.", b"[NaN, 0.", 1))
    done = here("judge", "strong", "--json", cwd=tmp_path, capsys=capsys)
    assert done.code == 0
    assert done.err.startswith("strong: the ")
    assert "It is judged again." in done.err
    assert [(run / name).read_bytes() for name in ("judgement.json", "predictions.jsonl")] == before
    said, kept = json.loads(done.out), json.loads(before[0])
    for key in ("baselines", "epochs", "stopped_because", "gradient", "model", "findings", "valid"):
        assert said[key] == kept[key]
    assert here("judge", "strong", cwd=tmp_path, capsys=capsys).err == ""


def test_a_run_that_was_cut_off_is_held_against_baselines_with_an_interval_or_not_at_all(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ss.train(folder / "three", epochs=3, lr=1e-4, checkpoint_every="1 epochs", out=tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    shutil.copy(tmp_path / "whole/checkpoint.previous.safetensors", tmp_path / "cut/checkpoint.safetensors")
    assert "baseline" not in collect(tmp_path / "cut").verdict
    only_valid = json.loads(here("judge", "cut", "--split", "valid", "--json", cwd=tmp_path, capsys=capsys).out)
    assert only_valid["test"] is None, "nobody asked for the test pictures"
    said = json.loads(here("judge", "cut", "--json", cwd=tmp_path, capsys=capsys).out)
    assert said["stopped_because"].startswith("it was interrupted")
    against = said["against_best_baseline"]
    assert against["low"] < against["difference"] < against["high"]
    verdict = collect(tmp_path / "cut").verdict
    assert f"(95 % interval {100 * against['low']:+.2f} to {100 * against['high']:+.2f} points)" in verdict


def test_the_interval_that_never_covers_less_is_wider(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shares(*flags: str) -> list[dict[str, Any]]:
        found = json.loads(here("judge", "weak", "--json", *flags, cwd=folder, capsys=capsys).out)
        classes = found["scores"]["per_class"]
        return [
            found["scores"]["metrics"]["accuracy"],
            found["scores"]["metrics"]["top_2"],
            *(of_class[name] for of_class in classes for name in ("recall", "precision", "f1")),
            *found["baselines"].values(),
            *found["calibration"]["bins"],
            found["coverage"],
            found["coverage"]["of_answered"],
            found["test"],
            found["valid"],
        ]

    usual, exact = (found[0] for found in (shares(), shares("--clopper-pearson")))
    assert exact["low"] < usual["low"] < usual["high"] < exact["high"]
    for usual, exact in zip(shares(), shares("--clopper-pearson"), strict=True):
        assert exact.get("method", "clopper-pearson") == "clopper-pearson"
        assert (exact["low"], exact["high"]) != (usual["low"], usual["high"])
        other = {"low", "high", "method", "of_answered", "foreign"}
        assert all(exact[key] == usual[key] for key in usual.keys() - other)
    assert "95 % intervals (Wilson's, for shares)" in here("judge", "weak", cwd=folder, capsys=capsys).out
    shown = here("judge", "weak", "--clopper-pearson", cwd=folder, capsys=capsys).out
    assert "95 % intervals (Clopper-Pearson, for shares)" in shown


def test_two_runs_are_compared_on_the_same_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(here("compare", "weak", "strong", "--json", cwd=folder, capsys=capsys).out)
    assert {"difference", "low", "high", "p_value", "only_a", "only_b", "n", "verdict"} <= set(found)
    assert found["difference"] == (found["only_b"] - found["only_a"]) / 60 > 0
    turned = json.loads(here("compare", "strong", "weak", "--json", cwd=folder, capsys=capsys).out)
    assert turned["difference"] == -found["difference"]
    assert turned["p_value"] == found["p_value"]
    shown = here("compare", "weak", "strong", cwd=folder, capsys=capsys)
    assert found["verdict"] in shown.out


def test_a_run_is_no_better_than_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for other in ("copy", "strong"):
        found = json.loads(here("compare", "strong", other, "--json", cwd=folder, capsys=capsys).out)
        assert (found["difference"], found["p_value"], found["only_a"], found["only_b"]) == (0, 1, 0, 0)
    assert "strong and strong again" in here("compare", "strong", "strong", cwd=folder, capsys=capsys).out


def test_the_same_pictures_under_other_names_are_compared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (folder / "runs/weak/predictions.jsonl").read_text()
    other = shutil.copytree(folder / "runs/weak", tmp_path / "elsewhere")
    (other / "predictions.jsonl").write_text(rows.replace('"id": "test/', '"id": "test/9'))
    judgement = json.loads((other / "judgement.json").read_text())
    del judgement["sha256"]
    judgement["files"]["predictions.jsonl"] = checkpoint.digest((other / "predictions.jsonl").read_bytes())
    (other / "judgement.json").write_text(checkpoint.judgement_text(judgement))
    typed = ["compare", "strong", "--json"]
    found = json.loads(here(*typed, str(other), cwd=folder, capsys=capsys).out)
    same = json.loads(here(*typed, "weak", cwd=folder, capsys=capsys).out)
    for key in ("difference", "only_a", "only_b", "p_value", "n"):
        assert found[key] == same[key]


def test_seeds_are_compared_with_their_spread_and_a_folder_of_them_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1, 2):
        ss.train(folder / "three", epochs=1, seed=seed, out=tmp_path / f"many/seed-{seed}")
    typed = ["compare", *(f"many/seed-{seed}" for seed in (0, 1, 2))]
    assert "over 3 seeds" in here(*typed, cwd=tmp_path, capsys=capsys).out
    assert json.loads(here(*typed, "--json", cwd=tmp_path, capsys=capsys).out)["spread"]["seeds"] == 3
    assert json.loads(here("compare", "weak", "strong", "--json", cwd=folder, capsys=capsys).out)["spread"] is None
    for verb in (["judge", "many"], ["report", "many"], ["compare", "many", "many/seed-0"], ["doctor", "many"]):
        refused(here(*verb, cwd=tmp_path, capsys=capsys), 1, f"such as {Path('many/seed-0')}")


def test_more_than_two_are_corrected_for_their_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(here("compare", "weak", "strong", "copy", "--json", cwd=folder, capsys=capsys).out)
    assert len(found["comparisons"]) == 3
    assert all(pair["adjusted_p_value"] >= pair["p_value"] for pair in found["comparisons"])


def test_comparing_needs_neither_pictures_nor_torch(folder: Path, tmp_path: Path) -> None:
    for name in ("weak", "strong"):
        shutil.copytree(folder / "runs" / name, tmp_path / name)
    code = (
        "import sys; from sevensteps.cli.app import run; code = run(sys.argv[1:]); "
        "print('torch' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", "weak", "strong"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "False")


def test_runs_that_were_judged_on_different_pictures_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = three_classes(tmp_path / "other")
    write_idx(other, "t10k", [0, 1, 2] * 20, side=12)
    (other / "t10k-images-idx3-ubyte").write_bytes(
        bytes(reversed((other / "t10k-images-idx3-ubyte").read_bytes()[16:])).join(
            [(other / "t10k-images-idx3-ubyte").read_bytes()[:16], b""]
        )
    )
    ss.train(other, epochs=1, out=tmp_path / "run")
    typed = ["compare", "strong", str(tmp_path / "run")]
    refused(here(*typed, cwd=folder, capsys=capsys), 1, "different pictures")
    refused(here("compare", "strong", cwd=folder, capsys=capsys), 2, "two or more runs")
    refused(here("compare", "strong", "unread", cwd=folder, capsys=capsys), 1, "no predictions of test", "judge")


def test_test_pictures_that_were_left_unread_are_read_by_judge_and_counted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "runs/unread", tmp_path / "unread")
    before = json.loads((tmp_path / "unread/judgement.json").read_text())
    assert before["test"] is None
    assert before["valid"]["n"] == 30
    assert {score["n"] for score in before["baselines"].values()} == {30}
    done = here("judge", "unread", "--json", cwd=tmp_path, capsys=capsys)
    assert done.code == 0
    kept, said = json.loads((tmp_path / "unread/judgement.json").read_text()), json.loads(done.out)
    assert kept["test"]["n"] == 60
    for key in ("test", "calibration", "coverage"):
        assert said[key] == kept[key]
        assert said[key]["n"] == 60
    (pictures,) = json.loads((tmp_path / "state/looks.json").read_text())
    assert len(looks_at(pictures)) == 1
    here("judge", "unread", cwd=tmp_path, capsys=capsys)
    assert len(looks_at(pictures)) == 1, "the same model again is no look"
    shutil.copytree(folder / "runs/strong", tmp_path / "strong")
    here("judge", "strong", cwd=tmp_path, capsys=capsys)
    compared = here("compare", "strong", "unread", cwd=tmp_path, capsys=capsys)
    assert "2 models have been tested on these pictures on this machine" in compared.out
    assert "luck" not in here("compare", "strong", "unread", "--split", "valid", cwd=tmp_path, capsys=capsys).out


def test_seeds_are_one_look_and_both_spreads_are_said(folder: Path, tmp_path: Path) -> None:
    typed = ["train", str(folder / "three"), "--epochs", "2", "--seeds", "3", "--out", "many", "--numbers"]
    state = {"SEVENSTEPS_STATE": str(tmp_path / "state")}
    done = sevensteps(*typed, cwd=tmp_path, **state)
    assert done.code == 0
    lines = [line for line in done.out.splitlines() if line[:2] not in ("! ", "  ")]  # without findings
    assert [line.split()[:2] for line in lines[:3]] == [["seed", "0"], ["seed", "1"], ["seed", "2"]]
    assert "3 starts learned" in lines[3]
    assert "over 3 seeds" in done.out
    assert (
        done.out.count("best baseline of seed 0, ")
        == done.out.count("1 model has been tested on these pictures on this machine")
        == 1
    )
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["seed-0", "seed-1", "seed-2"]
    (looks,) = json.loads((tmp_path / "state/looks.json").read_text()).values()
    assert [len(together) for together in looks] == [3]
    found = json.loads(sevensteps(*typed, "--force", "--json", cwd=tmp_path, **state).out)
    assert len(found["runs"]) == 3
    assert found["spread"]["seeds"] == 3
    assert found["test"] == found["runs"][0]["test"]
    refused(sevensteps("train", "--seeds", "1", cwd=tmp_path, **state), 2, "seeds is 1")


@pytest.mark.slow
def test_seeds_that_were_judged_on_pictures_of_their_own_are_judged_all_the_same(tmp_path: Path) -> None:
    state = {"SEVENSTEPS_STATE": str(tmp_path / "state")}
    untested = write_idx(tmp_path / "untested", "train", np.arange(300) % 3)
    typed = ["train", str(untested), "--epochs", "1", "--folds", "1", "--seeds", "2", "--numbers", "--json"]
    found = json.loads(sevensteps(*typed, "--no-test", cwd=tmp_path, **state).out)
    assert (found["spread"]["split"], found["spread"]["over_pictures"]) == ("valid", None)
    drawn = sevensteps(*typed, cwd=tmp_path, **state)
    found = json.loads(drawn.out)
    assert (drawn.code, found["spread"]["split"], found["spread"]["over_pictures"]) == (0, "test", None)
    assert "each judged on other held-out pictures (60 of test)" in drawn.err
    ledger = json.loads((tmp_path / "state/looks.json").read_text())
    assert [len(looks) for looks in ledger.values()] == [1, 1], "two sets of test pictures, each looked at once"


def test_what_is_wrong_with_a_seed_is_said_under_its_line(folder: Path, tmp_path: Path) -> None:
    state = {"SEVENSTEPS_STATE": str(tmp_path / "state")}
    typed = ["train", str(folder / "three"), "--epochs", "2", "--seeds", "2", "--numbers"]
    lines = sevensteps(*typed, cwd=tmp_path, **state).out.splitlines()
    for seed in (0, 1):
        at = next(at for at, line in enumerate(lines) if line.startswith(f"seed {seed}"))
        assert lines[at + 1].startswith("! Too few epochs")
        assert lines[at + 2].startswith("  ")


def test_a_seed_that_diverges_is_named_and_those_before_it_are_counted(folder: Path, tmp_path: Path) -> None:
    state = {"SEVENSTEPS_STATE": str(tmp_path / "state")}
    typed = ["train", str(folder / "three"), "--seeds", "2", "--lr", "1e38"]
    refused(sevensteps(*typed, cwd=tmp_path, **state), 1, "Seed 0: ")
    (tmp_path / "many/seed-2").mkdir(parents=True)
    (tmp_path / "many/seed-2/mine").touch()  # in the way of the third
    typed = ["train", str(folder / "three"), "--epochs", "1", "--seeds", "3", "--seed", "1", "--out", "many"]
    done = sevensteps(*typed, cwd=tmp_path, **state)
    assert done.code == 1
    (looks,) = json.loads((tmp_path / "state/looks.json").read_text()).values()
    assert [len(together) for together in looks] == [1], "seed 1 was judged before"


def test_leaving_the_test_unread_and_validating_on_it_do_not_go_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["train", "three", "--no-test", "--validate-on", "test"]
    refused(here(*typed, cwd=folder, capsys=capsys), 2, "--validate-on valid")


def test_the_doctor_explains_what_was_wrong_and_what_to_type(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ss.train(out=tmp_path / "healthy")
    done = here("doctor", "healthy", cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out) == (0, "healthy: nothing was found wrong in 8 epochs.\n")
    ss.train(recipe="walkthrough-by-hand", seed=29, epochs=3, out=tmp_path / "stuck")
    told = here("doctor", str(tmp_path / "stuck"), cwd=folder, capsys=capsys)
    assert told.out.startswith("Starting weights too large (since epoch 2)")
    assert "sevensteps train --recipe linear" in told.out
    found = json.loads(here("doctor", str(tmp_path / "stuck"), "--json", cwd=folder, capsys=capsys).out)
    assert [finding["code"] for finding in found["findings"]] == ["saturated"]
    refused(here("doctor", "nowhere", cwd=folder, capsys=capsys), 1, "nowhere")


def test_a_limit_of_a_baseline_is_said_in_words_and_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here("train", "--epochs", "1", "--out", "run", cwd=tmp_path, capsys=capsys)
    note = "compared with 10,000 of the 10,800 training pictures"
    assert json.dumps(note) in (tmp_path / "run/judgement.json").read_text()
    assert f"%), {note}\n" in here("judge", "run", cwd=tmp_path, capsys=capsys).out
    found = json.loads(here("judge", "run", "--json", cwd=tmp_path, capsys=capsys).out)
    assert found["baselines"]["nearest neighbor"]["note"] == note
    assert "note" not in found["baselines"]["pixel similarity"]


def test_a_run_that_diverged_leads_to_the_doctor(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = here("train", str(folder / "three"), "--lr", "1e38", "--out", "dv", cwd=tmp_path, capsys=capsys)
    assert failed.code == 1
    for verb in (["judge", "dv"], ["report", "dv"], ["compare", "dv", str(folder / "runs/strong")]):
        refused(
            here(*verb, cwd=tmp_path, capsys=capsys),
            1,
            "left numbers in 2.weight that are not finite",
            "sevensteps doctor dv",
        )
    assert here("doctor", "dv", cwd=tmp_path, capsys=capsys).out.startswith(
        "Learning rate too high: the loss rises (since epoch 1)"
    )


def test_the_doctor_cannot_examine_a_run_that_has_not_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new").mkdir()
    shutil.copy(folder / "runs/strong/recipe.toml", tmp_path / "new")
    refused(here("doctor", "new", cwd=tmp_path, capsys=capsys), 1, "has not trained yet", "sevensteps resume new")


def test_the_doctor_reads_a_run_whose_judgement_is_damaged(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(folder / "runs/weak", tmp_path / "weak")
    before = here("doctor", "weak", cwd=tmp_path, capsys=capsys).out
    (run / "judgement.json").write_text("{")
    done = here("doctor", "weak", cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out) == (0, before)
