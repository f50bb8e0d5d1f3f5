"""`--model package.module:function`: a network of one's own is trained and judged as any other; it runs if typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from torch import Tensor, nn
from typed import Done, here, refused, sevensteps, three_classes

import sevensteps as ss
from sevensteps.errors import ModelError, UsageError
from sevensteps.ship import file as model_file

CODE = """
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

open("ran", "a").close()


class Shared(nn.Module):  # two layers with one weight, a constant that no file holds, and random zeros in training
    def __init__(self, shape, outputs):
        super().__init__()
        channels, height, width = shape
        self.first = nn.Conv2d(channels, 8, 3, padding=1)
        self.normed = nn.BatchNorm2d(8)
        self.one, self.other = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.other.weight = self.one.weight
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(8, outputs)
        with torch.no_grad():
            self.last.bias += random.random() + float(np.random.rand())

    def forward(self, x):
        x = F.relu(self.normed(self.first(x)))
        x = F.relu(self.other(F.relu(self.one(x) * self.scale)))
        return self.last(self.dropout(x.amax((2, 3))))


class Twin(Shared):  # tensors of the same shapes, but another function
    def forward(self, x):
        x = torch.tanh(self.normed(self.first(x)))
        x = F.relu(self.other(F.relu(self.one(x) * self.scale)))
        return self.last(self.dropout(x.mean((2, 3))))


class Renamed(Shared):
    pass


class Parts:
    @staticmethod
    def lazy(shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))


def other_sizes(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.Linear(8, outputs))


def seven(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 7))


def misfit(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(100, outputs))


class Draws(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = nn.Linear(144, outputs)

    def forward(self, x):
        return self.layer(F.dropout(x.flatten(1)))


class Breaks(Draws):
    def forward(self, x):
        return self.layer({}["missing"])


class Remembers(Draws):
    def forward(self, x):
        return self.layer(x.flatten(1))

    def get_extra_state(self):
        return {"words": 1}

    def set_extra_state(self, state):
        pass


def raises(shape, outputs):
    return nn.Linear(shape, outputs)


def number(shape, outputs):
    return 3


def frozen(shape, outputs):
    return seven(shape, outputs).requires_grad_(False)[:1]


pi = 3.14
"""
EVERY = "--model", "nets:Shared"
TRAIN = "train", "set", *EVERY, "--threads", "1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module, pictures of three classes, and a run of a network of the module."""
    base = tmp_path_factory.mktemp("own")
    (base / "nets.py").write_text(CODE, "utf-8")
    (base / "broken.py").write_text("1 / 0", "utf-8")
    (base / "needs.py").write_text("import a_module_that_is_missing", "utf-8")
    three_classes(base / "set")
    done = sevensteps(*TRAIN, "--epochs", "2", "--out", "run", cwd=base)
    assert done.code == 0, done.err
    assert f"predict run PICTURE.png {' '.join(EVERY)}" in done.out
    Image.fromarray(ss.load(base / "set").test.pixels[0, 0]).save(base / "picture.png")
    (base / "ran").unlink()
    return base


Typed = Callable[..., Done]


@pytest.fixture
def typed(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run a command in this process, with the module imported anew."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    return lambda *words, cwd=folder: here(*words, cwd=cwd, capsys=capsys)


def ok(done: Done, *words: str) -> Done:
    assert done.code == 0, done.err
    for word in words:
        assert word in done.out + done.err, done
    return done


def test_a_network_of_ones_own_is_judged_as_any_other(typed: Typed, folder: Path) -> None:
    judged = json.loads(ok(typed("judge", "run", "--json")).out)
    assert judged["test"]["n"] == 60
    ok(typed("doctor", "run"))
    ok(typed("compare", "run", "run"))
    ok(typed("verify", "run"))
    assert not (folder / "ran").exists()  # nothing of these needs its code
    ok(typed("xray", "run", *EVERY), "7 stop ")
    page = ok(typed("report", "run", *EVERY, "--out", "with.html"))
    assert page.code == 0
    assert "1.network.first.weight" in (folder / "with.html").read_text("utf-8")


def test_no_saved_file_runs_its_code(typed: Typed, folder: Path) -> None:
    (folder / "ran").unlink(missing_ok=True)
    for verb in (
        ("predict", "run", "picture.png"),
        ("predict", "run/model.safetensors", "picture.png"),
        ("resume", "run", "--epochs", "1"),
        ("xray", "run"),
        ("verify", "run", "--rerun"),
        ("train", "set", "--recipe", "run"),
    ):
        done = typed(*verb)
        assert (done.code, "--model nets:Shared" in done.err) == (1, True), done
    ok(typed("verify", "run/model.safetensors"), "its model was not run")
    ok(typed("report", "run", "--out", "without.html"))
    assert "--model nets:Shared" not in (folder / "without.html").read_text("utf-8").split("</head>")[0]
    with pytest.raises(ModelError, match="a model file never runs code"):
        ss.load_learner(folder / "run")
    assert not (folder / "ran").exists()


def test_predict_with_the_flag_gives_what_the_learner_gives(
    typed: Typed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.loads(ok(typed("predict", "run", "picture.png", *EVERY, "--json")).out)
    ok(typed("predict", "run", "picture.png", *EVERY, "--explain", "why"), "why/picture.why.png")
    monkeypatch.chdir(folder)
    predictor = ss.load_learner("run", model="nets:Shared")
    (answer,) = said["results"]
    assert predictor.answer("picture.png").probabilities == pytest.approx(answer["probabilities"], abs=1e-6)
    network = predictor.model[1].network
    assert network.one.weight is network.other.weight  # shared as its code shares it
    assert ss.predict("run", "picture.png", network="nets:Shared")[0].best == answer["class"]


@pytest.mark.slow
def test_a_run_repeats_itself_and_goes_on_exactly(typed: Typed, folder: Path) -> None:
    ok(typed("verify", "run", "--rerun", *EVERY), "the same bytes")
    for name, epochs in (("short", "1"), ("long", "2")):
        how = ("--epochs", epochs, "--schedule", "constant", "--folds", "1", "--out", name)
        ok(typed(*TRAIN, *how))
    ok(typed("resume", "short", "--epochs", "1", *EVERY))
    files = [(folder / name / "model.safetensors").read_bytes() for name in ("short", "long")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_folds_and_seeds_are_as_for_any_other_model(typed: Typed, folder: Path) -> None:
    crossed = ok(typed(*TRAIN, "--epochs", "1", "--folds", "2", "--json"))
    assert json.loads(crossed.out)["cross_validation"]["folds"] == 2
    ok(typed(*TRAIN, "--epochs", "1", "--seeds", "2", "--out", "seeds"))
    files = [(folder / "seeds" / name / "model.safetensors").read_bytes() for name in ("seed-0", "seed-1")]
    assert files[0] != files[1]


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("nets:shared", 2, ("no function shared", "Did you mean 'Shared'?")),
        ("nest:Shared", 2, ("no module nest", "package.module:function")),
        ("broken:small", 2, ("broken cannot be imported: ZeroDivisionError",)),
        ("needs:small", 2, ("needs cannot be imported: No module named 'a_module_that_is_missing'",)),
        ("nets.Shared", 2, ("model is 'nets.Shared'", "package.module:function")),
        ("nets:pi", 2, ("is 3.14, which is not a function",)),
        ("nets:number", 1, ("returned 3, but must return an nn.Module",)),
        ("nets:raises", 1, ("raised TypeError",)),
        ("nets:seven", 1, ("(2, 7)", "must return (2, 3)", "a score for each class")),
        ("nets:misfit", 1, ("cannot take a batch of shape (2, 1, 12, 12)",)),
        ("nets:Draws", 1, ("other scores for the same pictures the second time", "self.training")),
        ("nets:Breaks", 1, ("raised KeyError: 'missing' (nets.py, line",)),
        ("nets:Remembers", 1, ("not a tensor", "register_buffer")),
    ],
)
def test_what_cannot_be_trained_is_refused(
    typed: Typed, folder: Path, model: str, code: int, words: tuple[str, ...]
) -> None:
    refused(typed("train", "set", "--model", model, "--out", "none"), code, *words)
    assert not (folder / "none").exists()


def test_code_that_does_not_fit_the_run_leaves_it_whole(typed: Typed, folder: Path) -> None:
    before = (folder / "run/checkpoint.safetensors").read_bytes()
    judged = {name: (folder / "run" / name).read_bytes() for name in ("judgement.json", "predictions.jsonl")}
    for name in judged:
        (folder / "run" / name).unlink()
    verbs = ("resume run --epochs 1", "predict run picture.png", "judge run", "xray run", "verify run --rerun")
    for verb in verbs:
        for other in ("nets:other_sizes", "nets:Twin"):
            done = typed(*verb.split(), "--model", other)
            assert done.code == 1, done
            assert f"was trained with nets:Shared, and {other} was given" in done.err
    for name, content in judged.items():
        assert not (folder / "run" / name).exists()
        (folder / "run" / name).write_bytes(content)
    assert (folder / "run/checkpoint.safetensors").read_bytes() == before
    ok(typed("train", "set", "--recipe", "linear", "--epochs", "1", "--out", "linear"))
    for verb in (("predict", "linear", "picture.png"), ("judge", "linear"), ("xray", "linear")):
        refused(typed(*verb, *EVERY), 2, "no code of your own", "Leave --model out")


def test_python_takes_the_function_itself(folder: Path, tmp_path: Path) -> None:
    def network(shape: tuple[int, int, int], outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

    run = ss.train(folder / "set", model=network, epochs=2, lr=0.01, out=tmp_path / "run", observe=lambda event: None)
    assert run.recipe.model.endswith("test_own_model:test_python_takes_the_function_itself.network")
    assert run.score is not None
    assert run.score.accuracy > 0.9
    images = ss.load(folder / "set").test
    picture = images.pixels[0, 0]
    answer = ss.load_learner(tmp_path / "run", model=network).answer(picture)
    assert answer.probabilities == run.learn.answer(picture).probabilities
    longer = ss.resume(tmp_path / "run", epochs=1, model=network, observe=lambda event: None)
    assert longer.epochs == 3
    with pytest.raises(UsageError, match="not the name of a function"):
        ss.predict(tmp_path / "run", picture, network="linear")


def test_code_is_recognized_by_what_it_computes(typed: Typed, folder: Path, tmp_path: Path) -> None:
    before = json.loads(ok(typed("predict", "run", "picture.png", *EVERY, "--json")).out)
    (tmp_path / "nets.py").write_text(CODE.replace("# two layers", "# a changed comment: two layers"), "utf-8")
    words = ("predict", str(folder / "run"), str(folder / "picture.png"))
    for name in ("nets:Shared", "nets:Renamed"):
        again = json.loads(ok(typed(*words, "--model", name, "--json", cwd=tmp_path)).out)
        assert again["results"][0]["probabilities"] == before["results"][0]["probabilities"]
    (tmp_path / "nets.py").write_text(CODE.replace("x.amax((2, 3))", "x.mean((2, 3))"), "utf-8")
    sys.modules.pop("nets")
    sys.path[:] = [place for place in sys.path if place != str(folder)]
    refused(typed(*words, *EVERY, cwd=tmp_path), 1, "nets:Shared, whose code computes something else now")


def test_another_number_of_heads_is_other_code(tmp_path: Path) -> None:
    def network(heads: int) -> Callable[..., nn.Module]:
        def seen(shape: tuple[int, int, int], outputs: int) -> nn.Module:
            layer = nn.TransformerEncoderLayer(32, heads, 32, batch_first=True)
            pooled = nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten())
            rows = nn.Sequential(nn.Conv2d(shape[0], 32, 4, 4), nn.Flatten(2), Turned(), layer, Turned())
            return nn.Sequential(rows, pooled, nn.Linear(32, outputs))

        return seen

    pictures = three_classes(tmp_path / "set")
    ss.train(pictures, model=network(4), epochs=1, folds=1, out=tmp_path / "run", observe=lambda event: None)
    ss.load_learner(tmp_path / "run", model=network(4))
    with pytest.raises(ModelError, match="whose code computes something else now"):
        ss.load_learner(tmp_path / "run", model=network(8))


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def test_a_file_of_before_goes_by_the_name(typed: Typed, folder: Path) -> None:
    arrays, about = model_file.read(folder / "run/model.safetensors")
    for layer in about["model"]["layers"]:
        layer.pop("answers", None)
    model_file.write(folder / "before.safetensors", arrays, about)
    ok(typed("predict", "before.safetensors", "picture.png", *EVERY))
    done = typed("predict", "before.safetensors", "picture.png", "--model", "nets:Twin")
    refused(done, 1, "was trained with nets:Shared, and nets:Twin was given.")


def test_the_recipe_records_whether_the_code_has_changed(typed: Typed, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(CODE + "\n# changed\n", "utf-8")
    done = ok(typed("verify", str(folder / "run"), "--rerun", *EVERY, cwd=tmp_path), "the same bytes")
    assert done.code == 0
    again = typed("train", "--recipe", str(folder / "run"), *EVERY, "--exact", "--out", "again", cwd=tmp_path)
    assert again.code == 1
    assert "the file with the code of the model has changed" in again.err
