"""Auditing: all that is found in the pictures of a source before anybody trains on them, and what is kept of it."""

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
from .copies import audit

VERSION = 1  # of what is found in the same pictures: raise it when that changes


MOST_KEPT = 250_000  # pictures; of more the names alone take long to tell apart


def audited(splits: Splits) -> AuditResult:
    """Everything: copies, near-copies, labels that look wrong, outliers, and whether train and test differ.

    What was found in the same pictures before is taken from the cache.
    """
    if found := known(splits):
        return found
    found = _looked_at(splits)
    if path := _kept_at(splits):
        with contextlib.suppress(FileError):  # a cache that cannot be written costs the same seconds next time
            files.make_folder(path.parent)
            files.write(path, json.dumps(dataclasses.asdict(found)))
    return found


def known(splits: Splits) -> AuditResult | None:
    """What was found in the same pictures before, if anybody looked."""
    try:
        path = _kept_at(splits)
        return AuditResult.from_json(json.loads(path.read_bytes())) if path else None
    except (OSError, ValueError, OverflowError, RecursionError):
        return None


def split_anew(found: AuditResult, splits: Splits) -> AuditResult:
    """What was found in a source, of the splits that a run has made of it: which copies are in two of them."""
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
    """What is known of a run's pictures without taking seconds: exact copies, and what somebody found before.

    None of a set larger than memory, all of which would have to be read.
    """
    if isinstance(splits.train, StoredImages):
        return None
    if splits.audited is not None:
        return split_anew(splits.audited, splits)
    missing = dict.fromkeys(("near-duplicates", "suspects", "outliers", "train_against_test"), "it takes seconds")
    return dataclasses.replace(audit(splits), not_looked_for=missing)


def _looked_at(splits: Splits) -> AuditResult:
    from .outliers import outliers
    from .quick_model import MOST, pictures_of
    from .train_vs_test import told_apart
    from .wrong_labels import suspects

    found = audit(splits, near=True)
    near = [ids for ids, _ in (*found.near_duplicates, *found.near_leaks)]
    pictures = pictures_of(splits, [*found.duplicates, *found.leaks, *near])
    reasons = dict(found.not_looked_for)
    if pictures is None:
        what = ["suspects", "outliers", *(["train_against_test"] if splits.test is not None else [])]
        reasons |= dict.fromkeys(what, f"there are more than {MOST:,} pictures")
        return dataclasses.replace(found, not_looked_for=reasons)
    (wrong, why), far, apart = suspects(pictures), outliers(pictures), told_apart(pictures)
    if why is not None:
        reasons["suspects"] = why
    if far is None:
        reasons["outliers"] = "it takes ten pictures that are not of one color"
    if apart is None and splits.test is not None:
        reasons["train_against_test"] = "it takes twenty pictures of each"
    return dataclasses.replace(found, suspects=wrong, outliers=far or [], told_apart=apart, not_looked_for=reasons)


def _kept_at(splits: Splits) -> Path | None:
    """The file of the cache for just these pictures, under these names, in these groups; None for too many."""
    present = splits.present()
    if sum(map(len, present.values())) > MOST_KEPT:
        return None
    digest = hashlib.sha256()
    for split, images in present.items():
        digest.update(f"{split} {images.fingerprint} {_named(images)}\n".encode())
    return cache_folder() / "audits" / f"{digest.hexdigest()[:24]}-{VERSION}.json"


def _named(images: Images) -> str:
    """What tells these names, and these groups, from others."""
    digest = hashlib.sha256("\0".join(images.ids).encode("utf-8", "surrogatepass"))
    if images.groups is not None:
        digest.update(np.ascontiguousarray(images.groups[images.rows]).data)
    return digest.hexdigest()
