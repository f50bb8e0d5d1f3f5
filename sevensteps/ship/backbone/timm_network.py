"""Networks of timm as backbones: their weights from a safetensors file, and their features in 8 bits.

Nothing is downloaded unless `fetch` is called, which a command does only with a name that was typed for it.
docs/decisions/0037-other-networks.md explains the choices.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...base.user_folders import cache_folder
from ...errors import DownloadError, ModelError, UsageError, nearest
from .. import file as model_file
from .names import INSTALL_TIMM, PREFIX
from .weights import Backbone

SUFFIX = ".safetensors"


_KIND = "timm"  # in the facts of a kept file


def load_timm(name: str, sha256: str | None = None) -> Backbone:
    """Return a network of timm whose weights are on this machine.

    Args:
        name: timm:NAME, whose published weights were fetched before; or timm:NAME@FILE.safetensors.
        sha256: Of the network that is needed; None takes the file's, or the published weights.

    Raises:
        ModelError: The weights are not on this machine, are damaged, or do not fit the network; or timm is missing.
        UsageError: There is no such network.
    """
    network, _, file = name.partition("@")
    if file:
        backbone = _from_file(network, Path(file))
        _keep(backbone, is_published=False)
        return backbone
    stem = f"timm-{network.removeprefix(PREFIX)}-"
    for path in sorted(_folder().glob(f"{stem}*{SUFFIX}")):
        try:
            arrays, about = model_file.read(path)
        except ModelError:
            continue  # damaged: as if it were not there
        if about.get("kind") != _KIND or about.get("name") != network:
            continue
        backbone = _backbone(arrays, about)
        if backbone.sha256 == sha256 or (sha256 is None and path.stem.endswith("-published")):
            return backbone
    what = f" with SHA-256 {sha256[:12]}…" if sha256 else ""
    raise ModelError(
        f"The weights of {network}{what} are not on this machine.",
        hint=f"Add --features {network} to download them, or --features {network}@FILE{SUFFIX} to read them.",
    )


def fetch(name: str, say: Callable[[str], None]) -> None:
    """Make the weights of a network that was typed ready to use; they are downloaded once.

    Args:
        name: timm:NAME, or timm:NAME@FILE.safetensors, which is read and not downloaded.
        say: Takes a line that names the license of the weights.

    Raises:
        DownloadError: They cannot be downloaded.
        ModelError, UsageError: As `load_timm`; or the published weights exist only as a pickle.
    """
    network, _, file = name.partition("@")
    try:
        backbone = load_timm(name)
    except ModelError:
        if file:
            raise
        backbone = _from_file(network, _downloaded(network))
        _keep(backbone, is_published=True)
    own = ", if they are those of timm" if file else ""
    say(f"features of {network}; license of the weights: {backbone.license}{own}")


def _folder() -> Path:
    return cache_folder() / "backbones"


def _keep(backbone: Backbone, is_published: bool) -> None:
    """Write a network into the cache, from which models of its features find it by its SHA-256."""
    end = "-published" if is_published else ""
    path = _folder() / f"timm-{backbone.name.removeprefix(PREFIX)}-{backbone.sha256[:16]}{end}{SUFFIX}"
    if not path.exists():
        model_file.write(path, backbone.arrays, backbone.description)


def _timm() -> Any:
    """Import timm. It imports huggingface_hub, which must know by then that it may not report how it is used.

    Raises:
        ModelError: It is not installed.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import timm
    except ImportError as error:
        raise ModelError(f"To use networks of timm, timm must be installed ({error}).", hint=INSTALL_TIMM) from error
    return timm


def _checked(network: str) -> str:
    """Return the name that timm has for a network.

    Raises:
        ModelError: timm is not installed.
        UsageError: It has no such network.
    """
    timm, name = _timm(), network.removeprefix(PREFIX)
    if not timm.is_model(name) or (name.partition(".")[2] and name not in timm.list_pretrained()):
        raise UsageError(f"timm has no network {name}.", hint=nearest(name, timm.list_models()))
    return name


def _downloaded(network: str) -> Path:
    """Download the published weights of a network, as safetensors.

    Raises:
        DownloadError: They cannot be downloaded.
        ModelError: They are published as a pickle alone, which may run code; or timm is not installed.
        UsageError: timm has no such network.
    """
    name = _checked(network)
    cfg = _timm().get_pretrained_cfg(name)
    repository = cfg.hf_hub_id if cfg is not None else None
    own_file = f"Convert them and type --features {network}@FILE{SUFFIX}."
    if not repository:
        raise ModelError(f"{network} has no weights in safetensors form.", hint=own_file)
    try:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        raise ModelError(
            f"To download weights, huggingface_hub must be installed ({error}).", hint=INSTALL_TIMM
        ) from error
    constants.HF_HUB_DISABLE_TELEMETRY = True  # also where a program imported it before us
    try:
        return Path(hf_hub_download(repo_id=repository, filename=cfg.hf_hub_filename or f"model{SUFFIX}"))
    except LocalEntryNotFoundError as error:
        raise _offline(network, repository, error) from error
    except EntryNotFoundError as error:
        raise ModelError(f"{network} has no weights in safetensors form.", hint=own_file) from error
    except Exception as error:  # the many errors of a network
        raise _offline(network, repository, error) from error


def _offline(network: str, repository: str, error: Exception) -> DownloadError:
    """Return the error for weights that cannot be downloaded, with what to do without a network."""
    page = f"https://huggingface.co/{repository}/resolve/main/model{SUFFIX}"
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DownloadError(
        f"The weights of {network} cannot be downloaded: {reason:.150}",
        hint=f"Get {page} elsewhere, and type --features {network}@model{SUFFIX}",
    )


def _from_file(network: str, path: Path) -> Backbone:
    """Return a network with the weights of a safetensors file.

    Raises:
        ModelError: The file is missing, is another kind of file, or its tensors do not fit; or timm is not installed.
        UsageError: timm has no such network.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    name = _checked(network)
    if path.suffix.lower() != SUFFIX:
        raise ModelError(
            f"{path} is not a safetensors file; others may run code when they are read.",
            hint=f"Convert it to {SUFFIX} first.",
        )
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"{error!s:.150}"
        raise ModelError(f"{path} cannot be read: {reason}.", hint="Check the path, or get the file again.") from error
    timm = _timm()
    module = timm.create_model(name, pretrained=False, num_classes=0)  # without the layer that names classes
    wanted = {key: value for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    # timm's own loading takes what fits and leaves the rest as it started.
    for key, value in wanted.items():
        if key not in tensors or tensors[key].shape != value.shape:
            there = f"{key} has shape {tuple(tensors[key].shape)}" if key in tensors else f"{key} is missing"
            raise ModelError(
                f"{path} does not hold the weights of {name}: {there}.", hint="Name the network that they belong to."
            )
    module.load_state_dict({key: tensors[key] for key in wanted}, strict=False)
    cfg = timm.data.resolve_model_data_config(module)
    side, share = tuple(cfg["input_size"]), float(cfg["crop_pct"])
    with torch.inference_mode():
        features = module.eval()(torch.zeros((1, *side)))
    if features.ndim != 2 or side[0] != 3:
        raise ModelError(
            f"{name} does not give one row of features for a color picture.", hint="Choose another network."
        )
    about = {
        "kind": _KIND,
        "name": network,
        "license": str(module.pretrained_cfg.get("license") or "unknown"),
        "features": int(features.shape[1]),
        "size": list(side[1:]),
        "resized": [math.floor(length / share) for length in side[1:]],
        "interpolation": "bicubic" if cfg["interpolation"] == "bicubic" else "bilinear",
        "mean": list(map(float, cfg["mean"])),
        "std": list(map(float, cfg["std"])),
        "form": "root of the share, positive and negative part",
    }
    arrays = {key: value.numpy().copy() for key, value in module.state_dict().items()}
    return _backbone(arrays, about)


def _backbone(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Backbone:
    """Return the backbone that these tensors and facts are."""
    facts = {key: value for key, value in about.items() if key not in ("format", "sha256")}
    named = {key: value for key, value in facts.items() if key != "license"}
    sha256 = model_file.digest(arrays.items(), named)
    height, width = facts["resized"]
    return Backbone(
        facts["name"],
        facts,
        arrays,
        (3, height, width),
        2 * facts["features"],  # the positive and the negative part of each feature
        facts["license"],
        sha256,
        facts.get("interpolation", "bilinear"),  # networks of before have none in their facts
    )


def timm_features(backbone: Backbone) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from the pixels of one picture to its features, as fractions of the same length.

    A feature and its opposite are two numbers that are not negative (Shang et al., "Understanding and improving
    convolutional neural networks via concatenated rectified linear units", 2016); then each is divided by the mean and
    its root is taken, as `RootOfShare` does.

    Args:
        backbone: A network that `load_timm` gave.

    Raises:
        ModelError: timm is not installed, or its version has another network of this name.
    """
    import torch

    from ...steps.predict import RootOfShare

    facts, name = backbone.description, backbone.name
    module = _timm().create_model(_checked(name), pretrained=False, num_classes=0)
    try:
        module.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in backbone.arrays.items()})
    except RuntimeError as error:
        raise ModelError(f"This version of timm has another network {name}.", hint="Train again.") from error
    module.eval()
    mean, std = (torch.tensor(facts[key]).view(3, 1, 1) for key in ("mean", "std"))
    height, width = facts["size"]
    comparable = RootOfShare()

    def features(pixels: np.ndarray) -> np.ndarray:
        top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
        cut = np.array(pixels[:, top : top + height, left : left + width])
        with torch.inference_mode():
            x = module((torch.from_numpy(cut).float() / 255 - mean).div(std)[None])
            row: np.ndarray = comparable(torch.cat([x.clamp(min=0), (-x).clamp(min=0)], dim=1))[0].numpy()
        return row

    return features
