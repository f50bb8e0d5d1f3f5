"""Groups that prevent a split: the error says so, names the classes, and says what helps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import Done, here

from sevensteps.data.folds import in_one_group, why_kept_whole
from sevensteps.data.images import Images


def filmed(folder: Path, videos: Mapping[str, int]) -> Path:
    """Write a folder of noise with this many pictures for each class and video (CLASS/VIDEO)."""
    random = np.random.default_rng(0)
    for video, count in videos.items():
        name, number = video.split("/")
        (folder / name).mkdir(parents=True, exist_ok=True)
        for picture in range(count):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"video{number}-{picture}.png")
    return folder


def train(tmp_path: Path, capsys: pytest.CaptureFixture[str], videos: Mapping[str, int], *flags: str) -> Done:
    filmed(tmp_path / "films", videos)
    arguments = ("--recipe", "linear", "--epochs", "1", "--group", r"\w+/video\d+", *flags)
    return here("train", "films", "--numbers", *arguments, cwd=tmp_path, capsys=capsys)


def test_nothing_can_be_held_out_where_each_class_is_one_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = train(tmp_path, capsys, {"cat/1": 12, "dog/2": 9})
    assert done.code == 1
    assert "Groups leave no pictures to hold out: all 12 pictures of cat, all 9 pictures of dog" in done.err
    assert "in one group each, or copies of one another" in done.err
    assert "Set group so that the groups are smaller, or leave it out." in done.err
    assert "too few" not in done.err


def test_folds_are_said_to_be_of_groups_where_there_are_pictures_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = {"cat/1": 300, "cat/2": 5, "dog/3": 300, "dog/4": 5}
    done = train(tmp_path, capsys, many, "--no-test")
    assert "cross-validation" not in done.err  # --no-test judges on validation pictures
    done = train(tmp_path, capsys, many)
    assert done.code == 0, done.err
    assert "Groups leave fewer than 100 of 610 pictures to test with (the largest group has 300 of 610" in done.err
    assert "too few to test" not in done.err


def test_a_class_that_is_one_group_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = {"cat/1": 20} | {f"dog/{number}": 5 for number in range(2, 8)} | {f"cow/{n}": 5 for n in range(10, 16)}
    done = train(tmp_path, capsys, videos)
    assert done.code == 0, done.err
    assert "A fifth of 80 pictures is too few to test with" in done.err
    assert "! All 20 pictures of cat are in one group, or copies of one another: the model tested on them" in done.err
    done = train(tmp_path, capsys, videos, "--folds", "1")
    assert done.code == 0, done.err
    assert "! Groups leave no test picture of cat: the accuracy says nothing about them." in done.err


def test_only_groups_that_hold_a_class_whole_do() -> None:
    def of(groups: list[int]) -> Images:
        pixels = np.zeros((6, 1, 2, 2), dtype=np.uint8)
        return Images(pixels, np.array([0, 0, 0, 1, 1, 2]), ("a", "b", "c"), groups=np.array(groups))

    assert in_one_group(of([-1] * 6)) == in_one_group(of([0, 0, 1, -1, -1, -1])) == ()
    assert in_one_group(of([0, 0, 0, 0, 1, 2])) == ("a",)
    assert in_one_group(of([0, 0, 0, 0, 0, 0])) == ("a", "b")  # c has one picture, which is on one side anyhow
    assert why_kept_whole(of([0, 0, 1, 1, 1, -1])).endswith(
        "all 2 pictures of b are in one group, or copies of one another"
    )
    assert why_kept_whole(of([0, 0, 1, 1, 2, -1])) == "the largest group has 2 of 6 pictures"
