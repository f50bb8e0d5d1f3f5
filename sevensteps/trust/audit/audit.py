"""Run the whole audit of a source's pictures, and keep its result in the cache."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...base import files
from ...base.user_folders import cache_folder
from ...data.images import Images, Splits
from ...data.store.store import StoredImages
from ...errors import FileError
from ...records.audit import AuditResult
from .copies import audit, audit_and_copies
from .wrong_labels import TOO_WEAK, WEAK, suspects

VERSION = 1  # of the files in the cache


# Of the computation, which is written into the file. The first one (files without a number) compared all pictures with
# all and learned from all of them, which is still what small sets get and no worse for larger ones; but it gave up on
# labels, outliers and train against test where there were more than 100,000 pictures.
_COMPUTATION, _FIRST_GAVE_UP = 2, 100_000


def audited(splits: Splits) -> AuditResult:
    """Look for duplicates, near-duplicates, suspicious labels, outliers, and differences between train and test.

    Args:
        splits: The pictures of a source.

    Returns:
        The result, from the cache if the same pictures were audited before.
    """
    if cached := known(splits):
        return cached
    result = _looked_at(splits)
    path = _kept_at(splits)
    with contextlib.suppress(FileError):  # a cache that cannot be written costs the same seconds next time
        files.make_folder(path.parent)
        files.write(path, json.dumps({"computation": _COMPUTATION, **dataclasses.asdict(result)}))
    return result


def known(splits: Splits) -> AuditResult | None:
    """Return the cached audit of these pictures, or None if there is none.

    Args:
        splits: The pictures of a source.
    """
    count = sum(map(len, splits.present().values()))
    try:
        kept = json.loads(_kept_at(splits).read_bytes())
        found = AuditResult.from_json(kept)
    except (OSError, ValueError, OverflowError, RecursionError):
        return None
    if count > _FIRST_GAVE_UP and "computation" not in kept:
        return None
    if len(found.suspects) > count * (1 - WEAK):  # kept before there was a limit
        missing = {**found.not_looked_for, "suspects": TOO_WEAK}
        found = dataclasses.replace(found, suspects=[], not_looked_for=missing)
    return found


def split_anew(found: AuditResult, splits: Splits) -> AuditResult:
    """Sort the copies that an audit found by the splits that a run made of its source.

    Args:
        found: The audit of the source.
        splits: The splits of the run.
    """
    present = splits.present()
    split_of = {name: split for split, images in present.items() for name in images.ids}

    def is_leak(group: Sequence[str]) -> bool:
        return len({split_of.get(name) for name in group} - {None}) > 1

    exact, near = [*found.duplicates, *found.leaks], [*found.near_duplicates, *found.near_leaks]
    return dataclasses.replace(
        found,
        counts={split: images.counts for split, images in present.items()},
        duplicates=[group for group in exact if not is_leak(group)],
        leaks=[group for group in exact if is_leak(group)],
        near_duplicates=[(group, score) for group, score in near if not is_leak(group)],
        near_leaks=[(group, score) for group, score in near if is_leak(group)],
    )


def at_hand(splits: Splits) -> AuditResult | None:
    """Return what is known about a run's pictures without spending seconds: exact copies, and any earlier audit.

    Args:
        splits: The splits of the run.

    Returns:
        The audit, or None for a set larger than memory, which would have to be read as a whole.
    """
    if isinstance(splits.train, StoredImages):
        return None
    if splits.audited is not None:
        return split_anew(splits.audited, splits)
    missing = dict.fromkeys(("near-duplicates", "suspects", "outliers", "train_against_test"), "it takes seconds")
    return dataclasses.replace(audit(splits), not_looked_for=missing)


def _looked_at(splits: Splits) -> AuditResult:
    """Run every part of the audit; give the reason for each part that cannot run."""
    from .outliers import outliers
    from .quick_model import pictures_of
    from .train_vs_test import told_apart

    found, copies = audit_and_copies(splits, near=True)
    pictures = pictures_of(splits, copies)
    reasons = dict(found.not_looked_for)
    (wrong, why), far, apart = suspects(pictures), outliers(pictures), told_apart(pictures)
    if why is not None:
        reasons["suspects"] = why
    if far is None:
        reasons["outliers"] = "this needs ten pictures with more than one color"
    if apart is None and splits.test is not None:
        reasons["train_against_test"] = "this needs twenty pictures of each"
    return dataclasses.replace(found, suspects=wrong, outliers=far or [], told_apart=apart, not_looked_for=reasons)


def _kept_at(splits: Splits) -> Path:
    """Return the cache file for exactly these pictures, names and groups."""
    digest = hashlib.sha256()
    for split, images in splits.present().items():
        digest.update(f"{split} {images.fingerprint} {_named(images)}\n".encode())
    return cache_folder() / "audits" / f"{digest.hexdigest()[:24]}-{VERSION}.json"


def _named(images: Images) -> str:
    """Return a digest of the pictures' names and groups."""
    digest = hashlib.sha256()
    for first in range(0, len(images), 1 << 16):  # the names of a million pictures need not be in memory at once
        names = "\0".join(images.ids[first : first + (1 << 16)])
        digest.update(("\0" * (first > 0) + names).encode("utf-8", "surrogatepass"))
    if images.groups is not None:
        digest.update(np.ascontiguousarray(images.groups[images.rows]).data)
    if images.features is not None:  # the audit looks at these
        digest.update(images.features.sha256.encode())
    return digest.hexdigest()
