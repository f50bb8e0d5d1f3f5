"""`sevensteps export`: a file that other programs read, with the same answers; `verify` repeats the check anywhere."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photos import photos_in
from PIL import Image
from typed import here, refused, sevensteps, shown, write_idx

import sevensteps as ss
from sevensteps.ship.onnx.run import OnnxModel, read_onnx

ROOT = Path(__file__).parent.parent.parent
QUICK = ("--epochs", "1", "--folds", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("export")
    done = sevensteps("train", "--epochs", "1", "--out", "run", cwd=base)
    assert done.code == 0, done.err
    return base


def test_a_run_is_exported_and_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = sevensteps("export", "run", cwd=folder)
    assert done.code == 0, done.err
    assert "run/model.onnx: 19" in shown(done)  # KB
    assert "the same answers as the model: 64 pictures" in shown(done)
    assert done.out.rstrip().endswith("sevensteps verify run/model.onnx")
    assert (folder / "run/model.golden.safetensors").is_file()
    assert sevensteps("verify", "run/model.onnx", cwd=folder).code == 0
    about = OnnxModel(read_onnx(folder / "run/model.onnx"), "").about
    assert 'source = "pullover-dress"' in about["recipe"]
    assert set(about["data"]) >= {"train", "test"}
    said = json.loads(here("export", "run", "--out", "a/b.onnx", "--json", cwd=folder, capsys=capsys).out)
    assert said["pictures"] == 64
    assert said["largest_difference"] <= 1e-5
    assert (folder / "a/b.onnx").read_bytes() == (folder / "run/model.onnx").read_bytes()
    again = here("export", "run/model.safetensors", "--out", "c.onnx", cwd=folder, capsys=capsys)
    assert (again.code, (folder / "c.onnx").is_file()) == (0, True)


def test_verify_names_an_onnx_file_of_an_older_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "t10k"):
        write_idx(tmp_path / "small", split, [0, 1] * 40)
    typed = ("train", "small", "--epochs", "1", "--out", "run")
    assert here(*typed, cwd=tmp_path, capsys=capsys).code == 0
    assert here("export", "run", cwd=tmp_path, capsys=capsys).code == 0
    assert re.search("model.onnx +ok +belongs", shown(here("verify", "run", cwd=tmp_path, capsys=capsys)))
    assert here(*typed, "--seed", "1", "--force", cwd=tmp_path, capsys=capsys).code == 0
    done = here("verify", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 1
    assert "belongs to another model; sevensteps export run writes it again" in shown(done)
    assert here("export", "run", cwd=tmp_path, capsys=capsys).code == 0
    assert here("verify", "run", cwd=tmp_path, capsys=capsys).code == 0
    (tmp_path / "run/model.onnx").write_bytes(b"cut")
    done = here("verify", "run", cwd=tmp_path, capsys=capsys)
    assert (done.code, "run/model.onnx was not written by sevensteps export" in shown(done)) == (1, True)


def test_a_file_for_pictures_of_any_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("export", "run", "--any-size", "--out", "any.onnx", "--json", cwd=folder, capsys=capsys)
    assert (done.code, json.loads(done.out)["pictures"]) == (0, 72)
    assert here("verify", "any.onnx", cwd=folder, capsys=capsys).code == 0
    picture = Image.effect_noise((90, 41), 80)
    (wanted,) = ss.predict(folder / "run", picture)
    answers = OnnxModel(read_onnx(folder / "any.onnx"), "").answers(np.asarray(picture)[None, None])
    assert wanted.probabilities is not None
    assert np.abs(answers.probabilities[0] - list(wanted.probabilities.values())).max() <= 1e-5


def test_a_program_needs_no_torch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("export", "run", "--to", "python", "--out", "away/m.py", cwd=folder, capsys=capsys)
    assert done.code == 0, done.err
    assert "the same answers as the model: 72 pictures" in shown(done)
    assert done.out.rstrip().endswith("python away/m.py picture.png")
    Image.effect_noise((90, 41), 80).save(folder / "noise.png")
    (wanted,) = ss.predict(folder / "run", folder / "noise.png")
    assert wanted.probabilities is not None
    lines = "import sys", "sys.path[:0] = ['away']", "import m", "print(m.predict('noise.png'))", "print(*sys.modules)"
    command = [sys.executable, "-I", "-c", "; ".join(lines)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    answer, modules = run.stdout.splitlines()
    assert not {"torch", "sevensteps", "safetensors"} & set(modules.split())
    given = ast.literal_eval(answer)
    assert (given["class"], given["reason"]) == (wanted.best, wanted.reason)
    assert given["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-6)
    assert given["distance"] == pytest.approx(wanted.distance)
    refused(here("export", "run", "--to", "python", "--any-size", cwd=folder, capsys=capsys), 2, "--any-size is for")


def test_a_program_and_a_page_are_not_taken_for_models(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for format, name, use in (("python", "said.py", "python said.py"), ("page", "said.html", "Open it in a browser")):
        assert here("export", "run", "--to", format, "--out", name, cwd=folder, capsys=capsys).code == 0
        refused(here("verify", name, cwd=folder, capsys=capsys), 2, "checks", use)
        refused(here("predict", name, "x.png", cwd=folder, capsys=capsys), 1, use, "model.safetensors")


def test_all_test_pictures_get_the_answer_of_the_run(folder: Path) -> None:
    exported = ss.export(folder / "run", out=folder / "all.onnx")
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    learner = ss.load_learner(folder / "run")
    assert learner.abstention is not None
    logits, _ = learner.get_logits(dl=ss.Batches(splits.test, 500))
    wanted = (logits / learner.temperature).sigmoid()[:, 0].numpy()
    model = OnnxModel(read_onnx(exported.file), "")
    answers = model.answers(splits.test.pixels)
    assert np.abs(answers.probabilities[:, 1] - wanted).max() <= 1e-5
    shares = np.stack([1 - wanted, wanted], axis=1)
    refused_by_run = ~learner.abstention.answered(shares.max(1), learner.abstention.distances(splits.test.pixels))
    np.testing.assert_array_equal(model.refused(answers), refused_by_run)


def test_predict_takes_the_file_and_needs_no_torch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("export", "run", "--out", "p.onnx", cwd=folder, capsys=capsys).code == 0
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    (folder / "new").mkdir()
    for number in range(6):
        Image.fromarray(splits.test.pixels[number * 150, 0]).resize((40, 30)).save(folder / f"new/{number}.png")
    (folder / "new/noise.png").write_bytes(b"none")
    wanted = json.loads(sevensteps("predict", "run", "new", "--json", cwd=folder).out)
    done = sevensteps("predict", "p.onnx", "new", "--json", cwd=folder)
    given = json.loads(done.out)
    assert (done.code, given["failed"], len(given["results"])) == (1, 1, 7)
    for one, other in zip(wanted["results"], given["results"], strict=True):
        for key in ("file", "class", "reason", "error"):
            assert one.get(key) == other.get(key)
        if "class" in one:
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
            assert one["distance"] == pytest.approx(other["distance"], rel=1e-5)
    refused(here("predict", "p.onnx", "new", "--explain", "why", cwd=folder, capsys=capsys), 2, "needs gradients")
    program = "import sys; from sevensteps.jobs.predict import predict; predict('p.onnx', 'new'); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert "onnxruntime" in run.stdout.split()
    assert "torch" not in run.stdout.split()


def test_what_is_wrong_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(here("export", "run", "--to", "tflite", cwd=folder, capsys=capsys), 2, "tflite", "onnx")
    refused(here("export", "run", "--out", "x.bin", cwd=folder, capsys=capsys), 2, "must end in .onnx", "--out x.onnx")
    refused(here("export", "none", cwd=folder, capsys=capsys), 1, "no run or path 'none'")
    (folder / "other.onnx").write_bytes(b"none")
    done = here("verify", "other.onnx", cwd=folder, capsys=capsys)
    assert done.code == 1
    assert "was not written by sevensteps export, or is incomplete" in " ".join(shown(done).split())
    for out in ("", ".", "..", "/"):
        refused(here("export", "run", "--out", out, cwd=folder, capsys=capsys), 2, "must end in .onnx", "model.onnx")
    refused(here("predict", "none.onnx", "x.png", cwd=folder, capsys=capsys), 1, "no file none.onnx")
    refused(here("verify", "other.onnx", "--rerun", cwd=folder, capsys=capsys), 2, "--rerun trains a run again")
    (folder / "in/the.golden.safetensors").mkdir(parents=True)
    refused(here("export", "run", "--out", "in/the.onnx", cwd=folder, capsys=capsys), 1, "the.golden.safetensors")
    assert not (folder / "in/the.onnx").exists()
    done = here("verify", "missing.onnx", cwd=folder, capsys=capsys)
    assert (done.code, "no file missing.onnx" in shown(done)) == (1, True)


def test_the_program_in_the_documentation_gives_the_answer_of_predict(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text("utf-8"), re.DOTALL)
    assert here("export", "run", "--out", "RUN/model.onnx", cwd=folder, capsys=capsys).code == 0
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    monkeypatch.chdir(folder)
    for number in (0, 400):
        Image.fromarray(splits.test.pixels[number, 0]).save("picture.png")
        (wanted,) = ss.predict("run", "picture.png")
        exec(compile(program, "export.md", "exec"), {})  # noqa: S102  our own page
        assert capsys.readouterr().out.strip() == (wanted.reason or wanted.best)


def test_the_program_in_the_documentation_warns_of_nothing_where_no_picture_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text("utf-8"), re.DOTALL)
    for name in ("light", "dark"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            picture = Image.new("RGB", (16, 16), (number * 5 + 200 * (name == "light"),) * 3)
            picture.save(tmp_path / f"photos/{name}/{number}.png")
    ss.train(tmp_path / "photos", recipe="linear", epochs=1, folds=1, out=tmp_path / "RUN")
    picture.save(tmp_path / "picture.png")
    (wanted,) = ss.predict(tmp_path / "RUN", tmp_path / "picture.png")
    assert "none of these" in wanted.never_says
    assert here("export", "RUN", cwd=tmp_path, capsys=capsys).code == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(program, "export.md", "exec"), {})  # noqa: S102  our own page; a warning fails the test
    assert capsys.readouterr().out.strip() == wanted.best


@pytest.mark.slow
@pytest.mark.parametrize("unfreeze", ["0", "1"])
def test_a_model_of_features_has_its_network_inside(unfreeze: str, tmp_path: Path) -> None:
    photos_in(tmp_path / "photos")
    flags = ("--features", "efficientnet-lite0", "--unfreeze", unfreeze)
    assert sevensteps("train", "photos", *flags, *QUICK, "--out", "run", cwd=tmp_path).code == 0
    done = sevensteps("export", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert sevensteps("verify", "run/model.onnx", cwd=tmp_path).code == 0
    model = OnnxModel(read_onnx(tmp_path / "run/model.onnx"), "")
    assert model.shape == (3, 224, 224)
    any_size = OnnxModel(read_onnx(ss.export(tmp_path / "run", out=tmp_path / "any.onnx", any_size=True).file), "")
    from sevensteps.data.on_white import decode_on_white

    for name in ("photos/china/00.png", "photos/hopper/01.png"):
        pixels = decode_on_white((tmp_path / name).read_bytes(), model.shape, fit=model.facts.fit or "squash")
        answers = model.answers(pixels[None])
        (wanted,) = ss.predict(tmp_path / "run", [tmp_path / name])
        assert wanted.probabilities is not None
        whole = np.asarray(Image.open(tmp_path / name).convert("RGB")).transpose(2, 0, 1)
        assert np.abs(any_size.answers(whole[None]).probabilities - answers.probabilities).max() <= 1e-5
        assert np.abs(answers.probabilities[0] - list(wanted.probabilities.values())).max() <= 1e-5
        assert answers.distances is not None
        assert answers.distances[0] == pytest.approx(wanted.distance, rel=1e-5)
