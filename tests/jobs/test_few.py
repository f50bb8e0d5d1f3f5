"""Few pictures: that there are few is said wherever the result stands, and a few answers are no evidence of chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import here

from sevensteps.data.images import Splits
from sevensteps.jobs.train import train
from sevensteps.records.events import Epoch
from sevensteps.records.few import FEW, few_as_json, few_in_words
from sevensteps.trust.doctor.evidence import chance_of

OF_CHANCE = {"at_chance", "one_class", "saturated", "stuck"}


def clothes(splits: Splits, folder: Path, count: int) -> Path:
    """A folder with so many pullovers, and so many dresses."""
    for label, name in enumerate(splits.classes):
        (folder / name).mkdir(parents=True)
        for row in np.flatnonzero(splits.train.labels == label)[:count].tolist():
            Image.fromarray(splits.train.pixels[row, 0]).save(folder / name / f"{row}.png")
    return folder


def test_few_pictures_are_said_in_text_json_and_report(
    splits: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clothes(splits, tmp_path / "few", 25)
    done = here("train", "few", "--recipe", "linear", "--json", "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    told = json.loads(done.out)["few_pictures"]
    assert told == few_as_json(told["fewest"])
    assert told["fewest"] in (22, 23)  # of 25 some are held out for validation
    assert json.loads((tmp_path / "run/judgement.json").read_text())["few_pictures"] == told
    assert here("judge", "run", cwd=tmp_path, capsys=capsys).code == 0
    assert here("report", "run", cwd=tmp_path, capsys=capsys).code == 0
    words = few_in_words(told["fewest"])
    assert "a pretrained backbone, trained on many other pictures, usually helps" in words
    assert words[1:] in (tmp_path / "run/report.html").read_text("utf-8")


def test_many_pictures_are_not_said_to_be_few(splits: Splits, tmp_path: Path) -> None:
    # 250 of each: a fifth to test with leaves 200, a tenth of these for validation 180.
    for count, is_few in ((250, True), (280, False)):
        run = train(clothes(splits, tmp_path / str(count), count), "linear", epochs=1)
        assert (run.as_json()["few_pictures"] is not None) == is_few
        assert (run.fewest is not None) == is_few
    assert FEW == 200


@pytest.mark.parametrize("recipe", ["linear", "cnn"])
@pytest.mark.parametrize("seed", [0, 1, 3])  # whose results are above chance
def test_a_run_on_few_pictures_is_not_said_to_be_at_chance_beside_a_result_above_it(
    splits: Splits, tmp_path: Path, recipe: str, seed: int
) -> None:
    run = train(clothes(splits, tmp_path / "few", 20), recipe, seed=seed, epochs=8)
    assert run.score is not None
    assert run.score.interval.low > 0.5
    assert not {finding.code for finding in run.findings} & OF_CHANCE


@pytest.mark.parametrize(
    ("right", "n", "holds", "is_above"),
    [
        (2, 4, False, False),  # a guess may have it, and a model that is right in eight of ten
        (3, 4, False, False),
        (4, 4, False, True),
        (10, 20, True, False),
        (16, 20, False, True),
        (600, 1_200, True, False),
        (630, 1_200, True, False),
        (640, 1_200, False, True),
        (1, 1_200, True, False),
    ],
)
def test_what_is_evidence_of_chance(right: int, n: int, holds: bool, is_above: bool) -> None:
    epoch = Epoch(number=1, train_loss=0.7, valid_loss=0.7, metrics={"accuracy": right / n}, lr=0.1, seconds=0.0)
    chance = chance_of(epoch, {"a": n // 2, "b": n - n // 2})
    assert chance is not None
    assert (chance.holds, chance.is_above) == (holds, is_above)
