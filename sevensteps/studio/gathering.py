"""Pictures that are given on the page: dropped, chosen or taken with the camera, one request each."""

from __future__ import annotations

from .gate import PICTURE_BODY

LIMITS = {"picture_bytes": PICTURE_BODY, "pictures": 10_000, "pixels": 50_000_000}
