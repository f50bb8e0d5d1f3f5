"""The names of augmentations, which of them suit the pictures, and which of them the classes rule out."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from small import images, learner, loaders
from torch import nn

from sevensteps.data import augment_names
from sevensteps.data.augment import AUGMENTATIONS, WARPS
from sevensteps.data.batches import Batches, DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import DataError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.learner.xray import as_arrays, chain
from sevensteps.recipes.recipe import Recipe
from sevensteps.show.labels import label_of
from sevensteps.steps.loss import cross_entropy, mse_loss, sigmoid_l1_loss

GREY, COLOR = (1, 28, 28), (3, 64, 64)


def called(*classes: str, shape: tuple[int, int, int] = (1, 16, 16)) -> Splits:
    """Return random pictures of classes with these names."""
    made = images(40, shape, len(classes))
    return Splits(Images(made.pixels, made.labels, classes))


def test_each_name_is_a_function_and_each_preset_is_of_names() -> None:
    assert [*AUGMENTATIONS, "mixup"] == list(augment_names.NAMES)
    assert WARPS.keys() < AUGMENTATIONS.keys()
    for names in augment_names.PRESETS.values():
        assert augment_names.in_order("+".join(names)) == names


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("flipp", "'flip'"),
        ("flip+sift", "'shift'"),
        ("foto", "'photos'"),
        ("zoom", "called scale"),
        ("RandomErasing", "called cutout"),
        ("flip_vert", "called flip_vertical"),
        ("ColorJitter", "called brightness+contrast"),
        ("", "Known: none, auto"),
        ("flip+none", "augment = none"),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(UsageError, match="augment is ") as caught:
        augment_names.in_order(wrong)
    assert hint in caught.value.hint
    with pytest.raises(UsageError):
        Batches(images(8), augment=wrong)


@pytest.mark.parametrize(
    ("augment", "classes", "shape", "names"),
    [
        ("none", ("cat", "dog"), GREY, "none"),
        ("shift+flip", ("cat", "dog"), GREY, "flip+shift"),
        ("auto", ("cat", "dog"), GREY, "flip"),
        ("auto", ("cat", "dog"), COLOR, "flip+crop+brightness+contrast"),
        ("auto", ("0", "1", "10"), GREY, "rotate+scale+shift"),
        ("auto", ("0", "1", "10"), (1, 8, 8), "rotate+scale"),
        ("auto", ("cat", "dog"), (1, 13, 40), "flip"),
        ("auto", ("turn_left", "turn_right"), (1, 8, 8), "none"),
        ("auto+shift", ("0", "1"), (1, 8, 8), "rotate+scale+shift"),  # asked for
        ("digits", ("0", "1"), (1, 8, 8), "rotate+scale+shift"),
        ("auto", ("a", "B", "ß"), COLOR, "rotate+scale+shift"),
        ("auto", ("turn_left", "turn_right"), GREY, "shift"),
        ("auto", ("TurnLeft", "straight"), COLOR, "crop+brightness+contrast"),
        ("auto+cutout", ("1", "2"), GREY, "rotate+scale+shift+cutout"),
        ("auto+flip", ("1", "2"), GREY, "flip+rotate+scale+shift"),  # asked for
        ("clothes", ("1", "2"), GREY, "flip"),
    ],
)
def test_presets_and_auto_are_written_out(
    augment: str, classes: tuple[str, ...], shape: tuple[int, int, int], names: str
) -> None:
    assert augment_names.settled(augment, classes, shape) == names
    assert augment_names.settled(names, classes, shape) == names


@pytest.mark.parametrize(
    ("classes", "against"),
    [
        (("Pullover", "Dress"), ""),
        (("T-shirt/top", "Ankle boot", "Bag"), ""),
        (("leftover", "bright"), ""),
        (("foot_L", "foot_R"), "foot_R"),
        (("size L", "size XL"), ""),
        (("Left hand", "face"), "Left hand"),
        (("clockwise", "still"), "clockwise"),
        (("7", "12"), "characters"),
        (("x", "cross"), ""),
        ((), ""),
    ],
)
def test_what_the_names_of_classes_say_of_mirror_images(classes: tuple[str, ...], against: str) -> None:
    said = augment_names.against_mirrors(classes)
    assert against in said
    assert bool(said) == bool(against)


def test_what_auto_leaves_out_of_tiny_pictures_is_said() -> None:
    def said(augment: str, classes: tuple[str, ...], shape: tuple[int, int, int]) -> str:
        return "".join(augment_names.in_words(augment, augment_names.settled(augment, classes, shape), classes, shape))

    left_out = "not shifted, because one pixel is more than a 14th of a picture"
    assert left_out in said("auto", ("0", "1"), (1, 8, 8))
    assert left_out in said("auto", ("0", "1"), (3, 8, 8))
    for augment, classes, shape in (
        ("auto", ("0", "1"), GREY),
        ("auto", ("cat", "dog"), (3, 8, 8)),  # whose preset does not shift
        ("auto+shift", ("0", "1"), (1, 8, 8)),
        ("digits", ("0", "1"), (1, 8, 8)),
    ):
        assert left_out not in said(augment, classes, shape)


def test_a_folder_of_digits_is_not_trained_on_with_mirror_images() -> None:
    digits, clothes = called("0", "1", "2"), called("coat", "bag", "shirt")
    recipe = Recipe.load("fashion-10")
    assert (recipe.settled(clothes).augment, recipe.settled(clothes).test_time_flip) == ("flip", True)
    settled = recipe.settled(digits)
    assert (settled.augment, settled.test_time_flip) == ("rotate+scale+shift", False)
    assert settled.settled(digits) == settled
    asked = recipe.replace(augment="flip").settled(digits)
    assert (asked.augment, asked.test_time_flip) == ("flip", True)


# Mixup, which changes labels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_formula_has_the_gradient_of_mixed_labels_too(classes: int) -> None:
    gradients = []
    for gradient in ("formula", "autograd"):
        learn = learner("linear", loaders(classes=classes, augment="flip+mixup"), gradient=gradient)
        assert learn.gradient == gradient
        events = learn.stream()
        next(events)
        gradients.append([parameter.grad.clone() for parameter in learn.model.parameters()])
        learn.close()
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_cross_entropy_of_shares_is_the_mean_of_those_of_the_labels() -> None:
    random = torch.Generator().manual_seed(0)
    scores = torch.randn((6, 4), generator=random)
    shares = torch.rand((6, 4), generator=random)
    shares /= shares.sum(1, keepdim=True)
    expected = -(shares * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(cross_entropy(scores, shares), expected)
    torch.testing.assert_close(cross_entropy(scores[:, :2], shares[:, 1]), -(
        torch.stack([1 - shares[:, 1], shares[:, 1]], 1) * scores[:, :2].log_softmax(1)
    ).sum(1).mean())  # fmt: skip


@pytest.mark.parametrize("classes", [2, 4])
def test_a_learner_copes_with_mixed_labels(classes: int) -> None:
    dls = loaders(120, classes=classes, augment="mixup")
    learn = learner("relu", dls)
    learn.fit(3, show=False)
    loss, right = learn.validate(0)
    assert 0 < right <= 1
    assert loss > 0
    seen = learn.xray()
    said = [label_of(chain(learn, seen, number).label, learn.classes or ()) for number in range(1, 9)]
    assert any("%" in one for one in said)  # the others were mixed with a picture of their own class
    assert as_arrays(seen)[2].values["targets"].dtype.kind == "f"
    assert dls.show_batch()
    assert learn.show_results()
    assert learn.lr_find(num_it=10, show_plot=False)
    assert not dls.valid.mixup


def test_the_class_with_the_largest_share_is_the_right_one() -> None:
    scores = torch.tensor([[3.0, 1, 0], [0, 2, 1]])
    assert accuracy(scores, torch.tensor([[0.7, 0.3, 0], [0.6, 0.4, 0]])) == 0.5
    assert accuracy(torch.tensor([[1.0], [-1], [1]]), torch.tensor([0.7, 0.2, 0.4])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("loss", [sigmoid_l1_loss, mse_loss, nn.MSELoss(), nn.functional.l1_loss])
def test_a_loss_that_takes_whole_labels_refuses_mixup_by_name(loss: Any) -> None:
    with pytest.raises(UsageError, match="mixup mixes labels, but "):
        learner("linear", loaders(augment="mixup"), loss)
    for fitting in (nn.BCEWithLogitsLoss(), lambda scores, targets: ((scores[:, 0] - targets) ** 2).mean()):
        learn = learner("linear", loaders(augment="mixup"), fitting)
        next(learn.stream())
        learn.close()
    weighted = functools.partial(cross_entropy, weight=torch.ones(3))
    with pytest.raises(UsageError, match="cross_entropy with weights takes only whole labels"):
        learner("linear", loaders(classes=3, augment="mixup"), weighted)


@pytest.mark.parametrize(("loss", "columns"), [(sigmoid_l1_loss, 1), (cross_entropy, 3)])
def test_shares_where_labels_are_taken_are_no_labels(loss: Any, columns: int) -> None:
    batches = [(torch.rand(4, 5), torch.tensor([0.0, 1, 0.25, 1]))]
    learn = Learner(DataLoaders(batches), nn.Linear(5, columns), loss)
    with pytest.raises(DataError, match=r"There is a target 0\.25"):
        next(learn.stream())
