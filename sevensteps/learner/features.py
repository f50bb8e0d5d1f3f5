"""Give pictures the features of a pretrained network, computed once for each picture and kept in the cache."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..base.device import cores
from ..base.words import counted
from ..data.features import Features
from ..data.files.catalog import Catalog
from ..data.files.decoded_cache import VERSION as DECODER
from ..data.files.how import How
from ..data.files.plan import ids_of
from ..data.files.summary import Told
from ..data.fit import Fit
from ..data.images import Images, Splits
from ..data.on_white import decode_on_white, pixels_on_white
from ..data.sources.find import find_catalog
from ..data.store.store import StoredImages
from ..data.value_range import Range
from ..errors import DataError
from ..ship.backbone.cut import DEVIATIONS, Cut, cut_at, layers_before
from ..ship.backbone.extract import LARGEST, Extract, extractor, need_runtime
from ..ship.backbone.networks import load_network
from ..ship.backbone.weights import Backbone
from .kept_features import KeptFeatures, key_of

COMPUTED = "  features of {done:,} of {total:,} pictures; {left:.0f} s left"


AT_ONCE = 64  # pictures whose features are computed before they are written to the cache


MOST_BYTES = 2 << 30  # of what is computed before a cut, for the pictures of a split: it is held in memory


Say = Callable[[str], None]


def with_features(
    splits: Splits,
    source: Any,
    how: How,
    name: str,
    say: Say = lambda line: None,
    unfreeze: int = 0,
    warn: Say | None = None,
) -> Splits:
    """Return the same pictures with the features of a pretrained network.

    Features found in the cache are not computed again. An interrupted call keeps what it has computed.

    Args:
        splits: The pictures of the source, before some are held out or after.
        source: The source, as for `load`; its picture files are read again, at the size that the network takes.
        how: How picture files are read.
        name: The network: "efficientnet-lite0", or one of timm, "timm:NAME" or "timm:NAME@FILE.safetensors".
        say: Takes the progress.
        unfreeze: How many of the last stages are trained: the features are then what the layers before them return,
            and those of the whole network stand beside them.
        warn: Takes a line if the cache is damaged or cannot be used; `say` unless given.

    Raises:
        UsageError: There is no such network.
        ModelError: The network is not installed.
        DataError: The pictures are in a store, a file has changed since it was read, or there are too many pictures to
            hold what comes before the last stages in memory.
    """
    if any(isinstance(images, StoredImages) for images in splits.present().values()):
        store = source if isinstance(source, (str, Path)) else splits.source
        raise DataError(
            f"Features of {name} are computed from picture files, and {store} is a store.",
            hint="Train on the folder that the store was made from.",
        )
    warn = warn or say
    backbone, catalog = load_network(name, say=warn), find_catalog(source, how)
    need_runtime(backbone)  # before training, though the cache may have every feature: judging computes more
    whole = _features_of(splits, catalog, how.fit, backbone, None, say, warn)
    if unfreeze:
        cut = cut_at(layers_before(unfreeze))
        for images in splits.present().values():
            _refuse_large(len(images), cut, unfreeze)
        before = _features_of(splits, catalog, how.fit, backbone, cut, say, warn)
        whole = {origin: dataclasses.replace(before[origin], whole=features) for origin, features in whole.items()}
    named: dict[str, Any] = {
        split: dataclasses.replace(images, features=whole[images.origin]) for split, images in splits.present().items()
    }
    return dataclasses.replace(splits, **named)


def _features_of(
    splits: Splits, catalog: Catalog | None, fit: Fit, backbone: Backbone, cut: Cut | None, say: Say, warn: Say
) -> dict[str, Features]:
    """Return the features of the pictures of each split of the source, by its name there."""
    features: dict[str, Features] = {}
    with KeptFeatures(warn) as kept:
        for images in splits.present().values():
            if images.origin not in features:
                every = [each for each in splits.present().values() if each.origin == images.origin]
                rows = _rows(every, catalog, fit, backbone, cut, kept, say)
                where = (cut.layers, cut.shape) if cut else (None, None)
                features[images.origin] = Features(rows, backbone.name, backbone.sha256, *where)
    return features


def _refuse_large(count: int, cut: Cut, unfreeze: int) -> None:
    """Raise if what comes before a cut does not fit into memory.

    Raises:
        DataError: There are too many pictures.
    """
    each = math.prod(cut.shape)
    if count * each > MOST_BYTES:
        raise DataError(
            f"What {count:,} pictures are before the last {counted(unfreeze, 'stage')} of the network takes "
            f"{count * each / (1 << 30):.1f} GiB of memory, and at most {MOST_BYTES >> 30} GiB are used.",
            hint=f"Train on {MOST_BYTES // each:,} pictures or fewer, or leave the network as it is: {{unfreeze}}.",
            settings={"unfreeze": 0},
        )


def of_pixels(images: Images) -> Images:
    """Return pictures with new features, computed from their pixels in memory by the same network, or cached.

    Args:
        images: Pictures with features of what they showed before.
    """
    features = images.features
    assert features is not None
    backbone, layers = load_network(features.name, features.sha256), features.layers
    cut = None if layers is None else cut_at(layers)
    images = dataclasses.replace(images, rows=np.arange(len(images)), names=images.ids, groups=None)
    with KeptFeatures() as kept:
        rows = _rows([images], None, images.fit or "squash", backbone, cut, kept, lambda line: None)
    return dataclasses.replace(images, features=dataclasses.replace(features, rows=rows, whole=None))


def _rows(
    every: Sequence[Images],
    catalog: Catalog | None,
    fit: Fit,
    backbone: Backbone,
    cut: Cut | None,
    kept: KeptFeatures,
    say: Say,
) -> np.ndarray:
    """Return a row of features for each row of a split of the source, of which `every` has some."""
    wanted = np.unique(np.concatenate([images.rows for images in every]))
    width = math.prod(cut.shape) if cut else backbone.features
    features = np.zeros((int(wanted[-1]) + 1 if len(wanted) else 0, width), dtype=np.uint8)
    made_with = f"{backbone.sha256} {LARGEST} decoder {DECODER} on white {fit} {every[0].range} {backbone.shape}"
    made_with += f" before layer {cut.layers}, {DEVIATIONS} deviations" if cut else ""
    contents: Iterable[tuple[int, bytes, Callable[[], np.ndarray]]]
    if catalog is not None and every[0].names:
        contents = _files(wanted, every[0], catalog, backbone, fit, every[0].range)
    else:
        contents = _arrays(every, backbone, fit)
        made_with += " pixels"
    progress = Told(say, len(wanted), COMPUTED)
    extract: Extract | None = None
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(cores()))
        contents = iter(contents)
        while part := list(islice(contents, AT_ONCE)):
            keys = [key_of(made_with, content) for _, content, _ in part]
            rows = kept.find(keys, width)
            missing = [place for place, row in enumerate(rows) if row is None]
            if missing:
                extract = extract or extractor(backbone, cut)
                computed = list(pool.map(_computed(extract), [part[place][2] for place in missing]))
                kept.add((keys[place], new) for place, new in zip(missing, computed, strict=True))
                for place, new in zip(missing, computed, strict=True):
                    rows[place] = new
            for (number, _, _), row in zip(part, rows, strict=True):
                assert row is not None
                features[number] = row
            progress.more(len(part))
    return features


def _computed(extract: Extract) -> Callable[[Callable[[], np.ndarray]], np.ndarray]:
    """Return the function that decodes a picture and computes its features."""
    return lambda pixels: extract(pixels())


def _files(
    wanted: np.ndarray, images: Images, catalog: Catalog, backbone: Backbone, fit: Fit, range: Range | None
) -> Iterator[tuple[int, bytes, Callable[[], np.ndarray]]]:
    """Give number, bytes and decoder of each picture file."""
    files = catalog.splits[images.origin]
    file_of = dict(zip(ids_of(catalog, files), files, strict=True))
    try:
        chosen = [file_of[images.names[number]] for number in wanted.tolist()]
    except KeyError as error:
        raise DataError(f"{error.args[0]} is gone since it was read.", hint="Start again.") from error
    contents = catalog.contents(chosen)
    for number, file, content in zip(wanted.tolist(), chosen, contents, strict=True):
        read, name = content(), catalog.name_of(file)
        yield number, read, partial(decode_on_white, read, backbone.shape, name, fit, range, backbone.interpolation)


def _arrays(
    every: Sequence[Images], backbone: Backbone, fit: Fit
) -> Iterator[tuple[int, bytes, Callable[[], np.ndarray]]]:
    """Give number, bytes and resizer of each picture that does not come as a file."""
    for images in every:
        for number, pixels in zip(images.rows.tolist(), images.pixels, strict=True):
            content = repr(pixels.shape).encode() + pixels.tobytes()
            yield number, content, lambda pixels=pixels: enlarged(pixels, backbone, fit)  # type: ignore[misc]


def enlarged(pixels: np.ndarray, backbone: Backbone, fit: Fit) -> np.ndarray:
    """Return pixels in the shape that a backbone takes.

    Args:
        pixels: Of one picture, uint8 (channels, height, width).
        backbone: The network.
        fit: How the picture is fitted to the shape.
    """
    from PIL import Image

    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    return pixels_on_white(picture, backbone.shape, fit, None, backbone.interpolation)
