"""One picture of a batch from pixels to loss to gradient, and how a terminal shows it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from small import assert_same, everything, images, learner, loaders, with_dropout
from torch import nn
from typed import here, refused, three_classes

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.xray import as_arrays, chain
from sevensteps.show.pixels import colors_of, colors_of_map, shades_of, signs_of
from sevensteps.show.terminal_steps import print_chain, print_xray


def with_random_layers() -> Learner:
    return Learner(loaders(augment="flip+shift"), with_dropout(), None, lr=0.1)


def of_three_classes() -> Learner:
    return learner("relu", loaders(classes=3))


@pytest.mark.parametrize("make", [learner, of_three_classes, with_random_layers])
def test_the_batch_is_the_mean_of_its_pictures(make: Any) -> None:
    learn = make()
    before = everything(learn)
    seen = learn.xray()
    size = len(seen[2].values["x"])
    chains = [chain(learn, seen, number) for number in range(1, size + 1)]
    assert np.mean([one.loss for one in chains]) == pytest.approx(seen[3].values["loss"], rel=1e-5)
    for name, gradient in seen[4].values["gradients"].items():
        mean = np.mean([one.gradients[name] for one in chains], axis=0)
        np.testing.assert_allclose(mean, gradient.numpy(), rtol=1e-3, atol=1e-6)
    for number, one in enumerate(chains):
        np.testing.assert_allclose(one.scores, seen[2].values["logits"][number].numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one.pixels, seen[2].values["x"][number].numpy())
        assert one.label == int(seen[2].values["targets"][number])
    assert_same(everything(learn), before)


def test_of_a_linear_model_every_link_can_be_calculated_by_hand() -> None:
    learn = learner("linear")
    one = chain(learn, learn.xray(), 3)
    assert one.contributions is not None
    assert one.bias is not None
    assert one.probabilities is not None
    weight = next(p for name, p in learn.model.named_parameters() if p.ndim == 2).detach().numpy()
    normalized = (one.pixels - 0.5) / 0.25
    np.testing.assert_allclose(one.contributions, weight.reshape(1, 1, 8, 8) * normalized, atol=1e-6)
    score = float(one.contributions.sum() + one.bias[0])
    assert score == pytest.approx(float(one.scores[0]), abs=1e-5)
    share = 1 / (1 + np.exp(-score))
    assert one.probabilities.tolist() == pytest.approx([1 - share, share], abs=1e-6)
    assert one.loss == pytest.approx(-np.log(share if one.label else 1 - share), abs=1e-5)
    slope = share - one.label
    assert one.slopes.tolist() == pytest.approx([slope], abs=1e-6)
    name = next(name for name, gradient in one.gradients.items() if gradient.ndim == 2)
    np.testing.assert_allclose(one.gradients[name][0], slope * normalized.flatten(), atol=1e-5)
    np.testing.assert_allclose(one.on_pixels.flatten(), slope * weight[0] / 0.25, atol=1e-5)
    assert [layer for layer, _ in one.layers] == ["Normalize", "Flatten", "Linear"]


def test_a_network_has_no_contributions_of_single_pixels_but_a_slope() -> None:
    learn = of_three_classes()
    seen = learn.xray()
    one = chain(learn, seen, 2)
    assert one.contributions is None
    x = seen[2].values["x"].clone()
    step = 1e-3
    x[1, 0, 4, 4] += step
    moved = learn.objective.loss(learn.model(x)[1:2], seen[2].values["targets"][1:2])
    assert (float(moved.detach()) - one.loss) / step == pytest.approx(float(one.on_pixels[0, 4, 4]), rel=0.05, abs=1e-3)


def test_flat_pixels_and_numbers_to_fit_go_through() -> None:
    x, y = torch.rand(8, 9), torch.rand(8, 1)
    learn = Learner(DataLoaders([(x, y)]), nn.Linear(9, 1), nn.functional.mse_loss)
    seen = learn.xray()
    one = chain(learn, seen, 8)
    assert one.probabilities is None
    assert one.label == pytest.approx(float(y[7]))
    shown = io.StringIO()
    print_chain(Console(file=shown), one)
    print_xray(Console(file=shown), as_arrays(seen), ())
    assert "mse_loss" in shown.getvalue()


@pytest.mark.parametrize("number", [0, -1, 17])
def test_a_picture_that_is_not_in_the_batch_is_refused(number: int) -> None:
    learn = learner()
    with pytest.raises(UsageError, match=f"no picture {number} in a batch of 16"):
        chain(learn, learn.xray(), number)


def test_a_picture_in_a_pipe_is_plain_characters() -> None:
    ramp = np.linspace(0, 255, 10).astype(np.uint8).reshape(1, 1, 10)
    assert shades_of(ramp, 10) == ["  ..::--==++**##%%@@"]
    assert signs_of(np.array([[-1.0, -0.3, 0.0, 0.3, 1.0]]), 5) == ["==--  ++##"]
    assert signs_of(np.zeros((2, 3)), 5) == ["", ""]


def test_a_large_picture_becomes_means_over_blocks() -> None:
    picture = np.zeros((1, 5, 9), dtype=np.uint8)
    picture[0, :4, :4] = 200
    small = colors_of(picture, 3)
    assert small.shape == (2, 3, 3)
    assert small[:, :, 0].tolist() == [[200, 67, 0], [100, 33, 0]]
    assert colors_of_map(np.array([[-1.0, 0.0, 1.0]])).tolist() == [[[103, 0, 31], [247, 247, 247], [5, 48, 97]]]


def two_classes() -> Splits:
    return Splits(images(80), valid=images(40, seed=1))


def shown(learn: Learner, **how: Any) -> str:
    """What a terminal or pipe gets of a batch and of its first picture."""
    seen, out = learn.xray(), io.StringIO()
    console = Console(file=out, width=100, highlight=False, **how)
    print_xray(console, as_arrays(seen), learn.classes or ())
    print_chain(console, chain(learn, seen, 1))
    return out.getvalue()


def test_what_a_weight_speaks_for_is_named() -> None:
    linear = learner("linear", DataLoaders.from_images(two_classes(), 16))
    assert "+ is evidence for class 1, - for class 0" in shown(linear)
    three = Splits(images(80, classes=3), valid=images(40, classes=3, seed=1))
    many = shown(learner("linear", DataLoaders.from_images(three, 16)))
    assert "+ is evidence for the class, - against it: class 0, class 1, class 2" in many
    hidden = shown(learner("relu", DataLoaders.from_images(two_classes(), 16)))
    assert "+ raises what the unit gives" in hidden
    assert "evidence for class" not in hidden.partition("picture 1 of")[0]


def test_a_terminal_gets_half_blocks_in_color_and_a_pipe_none() -> None:
    learn = learner("linear", DataLoaders.from_images(two_classes(), 16))
    terminal = shown(learn, force_terminal=True, color_system="truecolor")
    assert "▀" in terminal
    assert "\x1b[38;2;" in terminal
    assert "\x1b[38;5;" in shown(of_three_classes(), force_terminal=True, color_system="256")
    for how in ({}, {"force_terminal": True, "no_color": True}, {"force_terminal": True, "color_system": None}):
        plain = shown(learn, **how)
        assert "▀" not in plain
        assert "##" in plain
    assert "\x1b" not in shown(learn)
    assert shown(learn).isascii()


def test_names_of_classes_move_no_cursor() -> None:
    made = Images(images(32).pixels, images(32).labels, ("\x1b[2Jone", "two\r\u202e"))
    text = shown(learner("linear", DataLoaders.from_images(Splits(made, valid=made), 16)))
    assert "\x1b" not in text
    assert "\r" not in text
    assert r"\x1b[2Jone" in text


def test_the_command_follows_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ss.train(three_classes(tmp_path / "three"), epochs=1, out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    done = here("xray", "run", "--picture", "2", cwd=tmp_path, capsys=capsys)
    assert (done.code, done.err) == (0, "")
    for words in ("picture 2 of 256", "times weights", "after the softmax", "cross_entropy = ", "gradient"):
        assert words in done.out
    found = json.loads(here("xray", "run", "--picture", "2", "--json", cwd=tmp_path, capsys=capsys).out)["picture"]
    assert np.sum(found["contributions"], axis=(1, 2, 3)) + found["bias"] == pytest.approx(found["scores"], abs=1e-4)
    assert found["number"] == 2
    refused(here("xray", "run", "--picture", "257", cwd=tmp_path, capsys=capsys), 2, "no picture 257", "1 to 256")
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
