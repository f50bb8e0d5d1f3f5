"""Pictures, splits and loaders show themselves: short in a terminal, with pictures in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from sevensteps.data.batches import Batches, DataLoaders
from sevensteps.data.images import Images, Splits


def noise(labels: list[int], classes: tuple[str, ...], channels: int = 1) -> Images:
    """Small pictures of noise with these labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), channels, 6, 5), dtype=np.uint8)
    return Images(pixels, np.array(labels, dtype=np.int64), classes)


class Page(HTMLParser):
    """The tags, texts and pictures of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_pictures_show_counts_and_the_first_of_each_class(splits: Splits) -> None:
    page = Page(splits.train._repr_html_())
    assert "12,000 pictures of 28x28, gray" in page.texts
    assert page.texts.count("6,000") == 2
    assert len(page.pictures) == 16
    assert all(str(picture["src"]).startswith("data:image/png;base64,") for picture in page.pictures)
    first = int(np.flatnonzero(splits.train.labels == 1)[0])
    assert [page.pictures[8][key] for key in ("alt", "title")] == ["Dress", f"train/{first}"]


def test_splits_show_each_class_in_each_split(splits: Splits) -> None:
    assert repr(splits) == "Splits(pullover-dress: 12,000 train, 2,000 test pictures of 28x28x1; Pullover, Dress)"
    page = Page(splits._repr_html_())
    assert "pullover-dress: 12,000 train, 2,000 test pictures of 28x28, gray" in page.texts
    assert page.texts.count("6,000") == page.texts.count("1,000") == 2
    assert len(page.pictures) == 16


def test_files_that_were_left_out_are_counted() -> None:
    images = noise([0, 1], ("a", "b"), channels=3)
    page = Page(Splits(images, bad_files=(("x.png", "it is empty"),))._repr_html_())
    assert "Left out: 1 file that cannot be used." in page.texts
    assert "pictures: 2 train pictures of 5x6, color" in page.texts


def test_many_classes_are_shown_in_part() -> None:
    classes = tuple(f"class {number}" for number in range(40))
    images = noise(list(range(40)), classes)
    page = Page(images._repr_html_())
    assert len(page.pictures) == 12
    assert "… and 28 more classes" in page.texts
    assert len(repr(images)) < 250
    assert repr(images).endswith("1 class 11, and 28 more classes)")
    assert repr(Splits(images)).endswith("class 11, ...)")


def test_a_name_is_not_markup() -> None:
    page = Page(noise([0, 1], ("<script>", "b"))._repr_html_())
    assert "script" not in page.tags
    assert "<script>" in page.texts


@pytest.mark.parametrize("labels", [[], [0, 0, 0]])
def test_a_class_without_pictures_has_none(labels: list[int]) -> None:
    page = Page(noise(labels, ("a", "b"))._repr_html_())
    assert len(page.pictures) == len(labels)
    assert "0" in page.texts


def test_loaders_say_what_they_give_without_being_iterated(splits: Splits) -> None:
    dls = DataLoaders.from_images(splits, batch_size=500, valid="test")
    assert repr(dls.train) == "Batches(24 batches of 500; 12,000 pictures of 28x28x1, shuffled)"
    assert repr(dls.valid) == "Batches(2 batches of 1,000; 2,000 pictures of 28x28x1)"
    assert repr(dls) == f"DataLoaders(\n  train={dls.train!r},\n  valid={dls.valid!r},\n)"
    page = Page(dls._repr_html_())
    assert "24 batches of 500; 12,000 pictures of 28x28x1, shuffled" in page.texts
    assert len(page.pictures) == 16
    used = iter([(torch.zeros(2, 3), torch.zeros(2))])
    own = DataLoaders(used)
    assert "list_iterator" in repr(own)
    assert Page(own._repr_html_()).pictures == []
    assert len(list(used)) == 1


def test_batches_of_one_size_and_rows_say_so(splits: Splits) -> None:
    assert repr(Batches(splits.train, 256, flat=True)) == "Batches(47 batches of 256; 12,000 rows of 784 pixels)"
    assert len(Page(Batches(splits.train)._repr_html_()).pictures) == 16
