"""`sevensteps export --to card`: a folder that a model hub takes as it is, and that tells nothing of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from typed import here, refused

import sevensteps as ss


def test_a_card_says_what_the_run_knows_and_tells_nothing_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ss.train("pullover-dress", recipe="linear", epochs=1, out=tmp_path / "run")
    done = here("export", "run", "--to", "card", "--out", "card", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    card = tmp_path / "card"
    assert {"README.md", "model.safetensors"} <= {path.name for path in card.iterdir()}
    assert (card / "model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()
    text = (card / "README.md").read_text("utf-8")
    assert run.test is not None
    assert f"| test | {run.test.accuracy:.2%} | {run.test.interval.low:.2%} to" in text
    assert run.calibration is not None
    assert f"Calibration error of its probabilities: {run.calibration.error.value:.2%}" in text
    assert run.learn.abstention is not None
    assert f"probability is under {run.learn.abstention.confidence:.4g}." in text
    assert f"training is over {run.learn.abstention.distance:.4g}." in text
    for path in card.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    before = {path.name: path.read_bytes() for path in card.iterdir()}
    refused(
        here("export", "run", "--to", "card", "--out", "card", cwd=tmp_path, capsys=capsys), 2, "not an empty folder"
    )
    assert {path.name: path.read_bytes() for path in card.iterdir()} == before
    refused(
        here("export", "run/model.safetensors", "--to", "card", cwd=tmp_path, capsys=capsys), 2, "A card needs a run"
    )
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    data = hub.ModelCard.load(card / "README.md").data
    assert (data.library_name, data.pipeline_tag) == ("sevensteps", "image-classification")
    assert data.eval_results[0].metric_value == run.test.accuracy
