"""Figures: what is drawn is what was given, nothing is cut off, and nothing leaks."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from small import unchecked
from torch import nn

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import FileError, ShapeError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.show import curves, drawing, figures
from sevensteps.steps.stop import after

TWO = ("Pullover", "Dress")
TEN = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
HOSTILE = ("$\\frac{x$_^", "_a\nb\x1b[31m \\alpha and very much more of it")


def probabilities_of(first: list[float]) -> np.ndarray:
    return np.array([[value, 1 - value] for value in first], dtype=np.float32)


def some_figures(splits: Splits, classes: tuple[str, ...]) -> dict[str, Figure]:
    random = np.random.default_rng(0)
    n, k = 9, len(classes)
    pixels, labels = splits.test.pixels[:n], random.integers(0, k, n)
    probabilities = random.dirichlet(np.ones(k), n)
    many, guesses = random.integers(0, k, 500), random.integers(0, k, 500)
    return {
        "grid": figures.grid(pixels, [classes[label] for label in labels]),
        "varied": figures.varied(
            pixels[:2],
            random.random((2, 3, 1, 28, 28)).astype(np.float32),
            classes[:2],
            [[f"60 % {classes[0]}, 40 % {classes[1]}"] * 3] * 2,
        ),
        "one picture": figures.results(pixels[:1], labels[:1], probabilities[:1], classes),
        "results": figures.results(pixels, labels.tolist(), probabilities, classes),
        "mistakes": figures.worst_mistakes(pixels, labels, probabilities, classes),
        "no mistakes": figures.worst_mistakes(pixels, probabilities.argmax(1), probabilities, classes),
        "confusion": figures.confusion(many, guesses, classes),
        "weights": figures.weights(random.normal(size=(1 if k == 2 else k, 784)), (1, 28, 28), classes),
        "losses": curves.losses(random.random(100).tolist(), [0.5, 0.4]),
        "metrics": curves.metrics(["train_loss", "valid_loss", *classes], [[0.5] * (k + 2), [0.25] * (k + 2)]),
        "rates": curves.lr_find((1e-3, 1e-2, 1e-1), (0.5, 0.4, 0.8), 5e-3, 5e-2),
    }


@pytest.mark.parametrize("classes", [TWO, TEN, HOSTILE], ids=["two", "ten", "hostile"])
def test_no_text_of_any_figure_is_cut_off_or_runs_into_the_next(
    splits: Splits, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    for name, figure in some_figures(splits, classes).items():
        drawing.save(figure, tmp_path / "figure.png")
        drawn, size = figure.get_tightbbox(), figure.get_size_inches()
        assert (drawn.min > -0.01).all(), name
        assert (drawn.max < size + 0.01).all(), name
        titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_visible() and axes.get_title()]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(titles, 2)), name


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(), min_size=1, max_size=40))
def test_any_class_name_is_drawn_letter_by_letter(tmp_path: Path, name: str) -> None:
    pixels = np.zeros((1, 1, 4, 4), dtype=np.uint8)
    for figure in (
        figures.results(pixels, [0], probabilities_of([0.25]), [name, "$" + name + "$"]),
        figures.confusion([0, 1], [1, 1], [name, "$" + name + "$"]),
        figures.weights(np.ones((1, 16)), (1, 4, 4), [name, "$" + name + "$"]),
        curves.metrics(["train_loss", name], [[1.0, 2.0]]),
        figures.varied(pixels, np.zeros((1, 1, 1, 4, 4), np.float32), [name], [["$" + name + "$"]]),
    ):
        drawing.save(figure, tmp_path / "figure.png")


def test_the_grid_shows_the_pixels_of_each_picture_under_its_label(splits: Splits) -> None:
    pixels = splits.test.pixels[:5]
    figure = figures.grid(pixels, ["a", "b", "c", "d", "e"])
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == ["a", "b", "c", "d", "e"]
    for axes, picture in zip(drawn, pixels, strict=True):
        assert np.allclose(axes.images[0].get_array(), picture[0] / 255)
        assert axes.images[0].get_clim() == (0, 1)


def test_varied_pictures_stand_beside_the_picture_that_they_are_of(splits: Splits) -> None:
    pixels = splits.test.pixels[:2]
    seen = np.random.default_rng(0).random((2, 3, 1, 28, 28)).astype(np.float32)
    labels = [["Coat", "Coat", "90 % Coat, 10 % Bag"], ["Bag"] * 3]
    figure = figures.varied(pixels, seen, ["Coat", "Bag"], labels)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Coat", "", "", "90 % Coat\n10 % Bag", "Bag", "", "", ""]
    expected = np.concatenate([pixels[:, None] / 255, seen], 1).reshape(8, 28, 28)
    for axes, picture in zip(figure.axes, expected, strict=True):
        assert np.allclose(axes.images[0].get_array(), picture)
    with pytest.raises(ShapeError, match="1 names"):
        figures.varied(pixels, seen, ["Coat"], labels)
    with pytest.raises(ShapeError, match="do not go together"):
        figures.varied(pixels, seen, ["Coat", "Bag"], [["Coat"], ["Bag"]])


def test_uint8_and_float_pixels_look_the_same_and_normalized_ones_are_stretched(splits: Splits) -> None:
    pixels = splits.test.pixels[:2]

    def drawn(given: np.ndarray) -> np.ndarray:
        return np.stack([axes.images[0].get_array() for axes in figures.grid(given, ["a", "b"]).axes])

    assert np.allclose(drawn(pixels), drawn((pixels / 255).astype(np.float32)))
    normalized = drawn((pixels / 255 - 0.5) * 4)
    assert (normalized.min(), normalized.max()) == (0, 1)
    assert np.allclose(normalized, drawn(pixels))


def test_color_pictures_keep_their_colors() -> None:
    pixels = np.zeros((1, 3, 2, 4), dtype=np.uint8)
    pixels[0, 0, 0, 0] = 255
    picture = figures.grid(pixels, ["red corner"]).axes[0].images[0].get_array()
    assert picture.shape == (2, 4, 3)
    assert picture[0, 0].tolist() == [1, 0, 0]
    assert picture.sum() == 1


def test_a_wrong_answer_is_marked_by_a_cross_and_a_frame_and_not_by_color_alone(splits: Splits) -> None:
    figure = figures.results(splits.test.pixels[:2], [0, 1], probabilities_of([0.25, 0.125]), TWO)
    wrong, right = figure.axes[:2]
    assert wrong.get_title() == "Pullover\n✗ Dress 75 %"
    assert right.get_title() == "Dress\n✓ Dress 88 %"
    assert wrong.axison
    assert all(spine.get_visible() and spine.get_linewidth() >= 2 for spine in wrong.spines.values())
    assert not right.axison
    assert figure.get_suptitle().startswith("1 wrong of 2")


def test_a_probability_is_only_called_0_or_100_percent_if_it_is(splits: Splits) -> None:
    figure = figures.results(splits.test.pixels[:2], [0, 0], probabilities_of([0.9999, 1.0]), TWO)
    assert [axes.get_title().split("Pullover ")[1] for axes in figure.axes[:2]] == [">99 %", "100 %"]


def test_the_worst_mistakes_are_those_that_scikit_learns_model_is_surest_of(splits: Splits) -> None:
    test = splits.test
    assert test is not None
    flat = test.pixels.reshape(len(test), -1) / 255
    model = LogisticRegression(max_iter=20, tol=1e-1).fit(flat[:500], test.labels[:500])
    probabilities = model.predict_proba(flat)
    said = model.predict(flat)
    mistakes = [(probabilities[i].max(), i) for i in range(len(test)) if said[i] != test.labels[i]]
    expected = [i for _, i in sorted(mistakes, reverse=True)[:9]]
    figure = figures.worst_mistakes(test.pixels, test.labels, probabilities, test.classes)
    assert figure.get_suptitle().startswith(f"The 9 surest of {len(mistakes)} mistakes")
    for axes, i in zip(figure.axes, expected, strict=True):
        assert np.allclose(axes.images[0].get_array(), test.pixels[i, 0] / 255)
        assert axes.get_title().startswith(f"{test.classes[test.labels[i]]}\n✗ {test.classes[said[i]]} ")


def test_without_mistakes_the_figure_says_so(splits: Splits) -> None:
    figure = figures.worst_mistakes(splits.test.pixels[:3], [0, 1, 1], probabilities_of([0.75, 0.25, 0.125]), TWO)
    assert [text.get_text() for text in figure.texts] == ["No mistakes in 3 pictures."]
    none = np.zeros((0, 1, 28, 28), dtype=np.uint8)
    assert figures.worst_mistakes(none, [], np.zeros((0, 2)), TWO).texts[0].get_text() == "No mistakes in 0 pictures."


@pytest.mark.parametrize("k", [2, 10])
def test_confusions_are_counted_as_scikit_learn_counts_them(k: int) -> None:
    random = np.random.default_rng(k)
    labels = random.integers(0, k, 3000)
    predicted = np.where(random.random(3000) < 0.8, labels, random.integers(0, k, 3000))
    figure = figures.confusion(labels, predicted.tolist(), TEN[:k])
    expected = confusion_matrix(labels, predicted)
    cells = {text.get_position(): text for text in figure.axes[0].texts}
    for row in range(k):
        for column in range(k):
            count, _, share = cells[column, row].get_text().partition("\n")
            assert int(count.replace(",", "")) == expected[row, column]
            exact = 100 * expected[row, column] / expected[row].sum()
            if not expected[row, column]:
                assert share == ""
                continue
            assert share == "<1 %" if exact < 0.5 else abs(int(share.removesuffix(" %")) - exact) <= 0.5
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(TEN[:k])
    assert figure.axes[0].get_title() == f"{np.trace(expected):,} of 3,000 right"


def test_a_class_without_pictures_has_a_row_of_zeros() -> None:
    figure = figures.confusion([0, 0], [0, 1], ("a", "b", "c"))
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert [cells[column, 2] for column in range(3)] == ["0", "0", "0"]
    assert cells[1, 0] == "1\n50 %"


def test_many_classes_are_shown_by_color_with_a_scale(tmp_path: Path) -> None:
    labels = np.arange(60)
    figure = figures.confusion(labels, labels, [f"class {label}" for label in labels])
    assert not figure.axes[0].texts
    assert figure.axes[1].get_ylabel() == "share of the true class"
    assert max(figure.get_size_inches()) < 16


def test_weights_of_two_classes_are_one_picture_whose_colors_the_title_explains(splits: Splits) -> None:
    learn = Learner(DataLoaders.from_images(splits, batch_size=2048, flat=True), nn.Linear(784, 1))
    learn.fit(1, lr=0.1, show=False)
    weight = learn.model.weight.detach().numpy()
    figure = figures.weights(weight, (1, 28, 28), splits.classes)
    axes, bar = figure.axes
    image = axes.images[0]
    assert np.allclose(image.get_array(), weight.reshape(28, 28))
    low, high = image.get_clim()
    assert low == -high
    assert high == pytest.approx(np.abs(weight).max())
    assert axes.get_title() == "blue is evidence for Dress, red for Pullover"
    assert bar.get_ylabel() == "Pullover  ←  weight  →  Dress"
    blue, red = image.cmap(image.norm(high)), image.cmap(image.norm(low))
    assert blue[2] > blue[0]
    assert red[0] > red[2]


def test_weights_of_ten_classes_are_ten_pictures_on_one_scale() -> None:
    weight = np.random.default_rng(0).normal(size=(10, 3, 4, 5))
    figure = figures.weights(weight, (3, 4, 5), TEN)
    pictures = [axes for axes in figure.axes if axes.images and axes.get_title()]
    assert [axes.get_title() for axes in pictures] == list(TEN)
    assert len({axes.images[0].get_clim() for axes in pictures}) == 1
    for axes, one in zip(pictures, weight, strict=True):
        assert np.allclose(axes.images[0].get_array(), one[0] + one[1] + one[2])


def test_untrained_zero_weights_are_drawn_in_the_middle_color() -> None:
    image = figures.weights(np.zeros((1, 4)), (1, 2, 2), TWO).axes[0].images[0]
    assert image.get_clim() == (-1, 1)


def test_losses_stand_at_their_batches_and_validations_at_the_ends_of_their_epochs() -> None:
    axes = curves.losses([9.0, 8.0, 3.0, 2.0, 1.0, 1.0], [2.5, 1.5], skip_start=2).axes[0]
    batches, mean, valid = axes.lines
    assert batches.get_xdata().tolist() == [3, 4, 5, 6]
    assert batches.get_ydata().tolist() == [3, 2, 1, 1]
    assert mean.get_ydata()[0] == pytest.approx(3)  # what is skipped is not averaged in
    assert np.all(np.diff(mean.get_ydata()) < 0)
    assert list(valid.get_xdata()) == [3, 6]
    assert list(valid.get_ydata()) == [2.5, 1.5]
    interrupted = curves.losses([3.0, 2.0, 1.0], [1.5], skip_start=0, epoch_ends=[2]).axes[0]
    assert list(interrupted.lines[-1].get_xdata()) == [2]


def test_few_losses_are_shown_though_they_would_be_skipped_and_none_gives_words() -> None:
    assert curves.losses([2.0, 1.0], [], skip_start=5).axes[0].lines[0].get_xdata().tolist() == [1, 2]
    assert curves.losses([], []).texts[0].get_text() == "Nothing has been trained yet."
    assert curves.metrics(["train_loss"], []).texts[0].get_text() == "No epoch has been trained yet."


def test_the_recorder_draws_an_interrupted_fit_where_it_happened(splits: Splits) -> None:
    dls = DataLoaders.from_images(splits.hold_out(0.1), batch_size=2048, flat=True)
    learn = Learner(dls, nn.Linear(784, 1), metrics=accuracy)
    learn.fit(2, lr=0.1, show=False)
    valid = learn.recorder.plot_loss(skip_start=0).axes[0].lines[-1]
    assert list(valid.get_xdata()) == [6, 12]  # 10,800 pictures in batches of 2,048
    assert list(valid.get_ydata()) == [row[1] for row in learn.recorder.values]
    assert len(learn.recorder.plot_loss(with_valid=False).axes[0].lines) == 2


def test_a_loop_that_gave_the_recorder_nothing_is_drawn_by_its_epochs(splits: Splits) -> None:
    dls = DataLoaders.from_images(splits.hold_out(0.1), batch_size=2048, flat=True)
    learn = Learner(dls, nn.Linear(784, 1), metrics=accuracy)
    for _ in learn.stream(after(batches=2)):
        pass
    assert "learn.recorder.observe(event)" in learn.recorder.plot_loss().texts[0].get_text()
    learn.fit(1, lr=0.1, show=False)
    for _ in learn.stream(after(epochs=2)):
        pass
    drawn = learn.recorder.plot_loss().axes[0].lines
    assert [line.get_label() for line in drawn] == ["train_loss", "valid_loss"]
    for place, line in enumerate(drawn):
        assert list(line.get_ydata()) == [row[place] for row in learn.recorder.values]
    assert learn.recorder.losses == [], "what is drawn is of the fit before"


def test_each_metric_has_a_panel_and_the_losses_share_one() -> None:
    rows = [[0.5, 0.6, 0.7, 10.0], [0.4, 0.5, float("nan"), 20.0], [0.3, 0.4, 0.9, 30.0]]
    figure = curves.metrics(["train_loss", "valid_loss", "accuracy", "_odd$name"], rows)
    loss, accuracies, odd = [axes for axes in figure.axes if axes.get_visible()]
    assert [line.get_label() for line in loss.lines] == ["train_loss", "valid_loss"]
    assert list(loss.lines[1].get_ydata()) == [0.6, 0.5, 0.4]
    assert loss.lines[0].get_linestyle() != loss.lines[1].get_linestyle()
    assert accuracies.get_title() == "accuracy"
    assert odd.get_title() == "_odd$name"
    assert list(odd.lines[0].get_xdata()) == [1, 2, 3]
    assert accuracies.get_xlim() == odd.get_xlim()


def test_the_learning_rate_figure_marks_the_range_on_a_logarithmic_axis() -> None:
    axes = curves.lr_find((1e-4, 1e-3, 1e-2, 1e-1), (0.7, 0.6, 0.3, 0.9), 1e-3, 1e-2).axes[0]
    assert axes.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in axes.lines[:2]] == [1e-3, 1e-2]
    assert list(axes.lines[2].get_ydata()) == [0.7, 0.6, 0.3, 0.9]
    assert axes.get_legend().get_texts()[0].get_text() == "try 0.001 to 0.01"


def drawn_by_plot_function(*arguments: Any, **settings: Any) -> Axes:
    plt.close("all")
    assert curves.plot_function(*arguments, **settings) is None
    return plt.gcf().axes[0]


def test_plot_function_draws_what_readers_of_the_walk_through_give_it() -> None:
    axes = drawn_by_plot_function(torch.sigmoid, title="Sigmoid", min=-5, max=5)
    x, y = axes.lines[0].get_xdata(), axes.lines[0].get_ydata()
    assert (x[0], x[-1]) == (-5, 5)
    assert np.allclose(y, 1 / (1 + np.exp(-x)), atol=1e-6)
    assert axes.get_title() == "Sigmoid"
    square = drawn_by_plot_function(lambda x: x**2, "x", "x**2")
    assert (square.get_xlabel(), square.get_ylabel(), square.get_xlim()[0] < -1.9) == ("x", "x**2", True)
    weight = torch.tensor(3.0, requires_grad=True)
    assert np.allclose(drawn_by_plot_function(lambda x: weight * x).lines[0].get_ydata()[-1], 6)
    assert set(drawn_by_plot_function(lambda x: 1.5).lines[0].get_ydata()) == {1.5}


@pytest.mark.parametrize(
    ("f", "how", "words"),
    [
        (3, {}, "3 is not a function"),
        (torch.sigmoid, {"min": 5, "max": -5}, "from 5 to -5"),
        (torch.sigmoid, {"min": "a"}, "from 'a' to 2"),
        (torch.sigmoid, {"max": math.inf}, "to inf"),
        (lambda x: x[:3], {}, "a number for each of 100"),
        (lambda x: None, {}, "The function returns None"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_figure(f: Any, how: dict[str, Any], words: str) -> None:
    plt.close("all")
    with unchecked(), pytest.raises(UsageError, match=words) as caught:
        curves.plot_function(f, **how)
    assert caught.value.hint
    assert plt.get_fignums() == []


def test_what_is_drawn_after_plot_function_lands_on_its_curve() -> None:
    axes = drawn_by_plot_function(lambda x: x**2, "x", "x**2")
    plt.scatter(-1.5, 2.25, color="red")
    assert len(axes.collections) == 1
    plt.close("all")


def test_a_figure_shows_itself_in_a_notebook_without_help_from_matplotlib() -> None:
    shown = curves.metrics(["train_loss"], [[0.5], [0.25]])._repr_png_()
    assert shown.startswith(b"\x89PNG\r\n")


def test_a_saved_figure_is_the_same_bytes_whoever_draws_it_when_and_how_often(tmp_path: Path) -> None:
    program = (
        "import sys, matplotlib\n"
        "matplotlib.rcParams.update({'text.usetex': True, 'font.size': 30, 'axes.facecolor': 'black'})\n"
        "from sevensteps.show import curves, drawing, figures\n"
        "drawing.save(curves.metrics(['train_loss', 'accuracy'], [[0.5, 0.8], [0.25, 0.9]]), sys.argv[1])\n"
        "assert matplotlib.rcParams['text.usetex'] and matplotlib.rcParams['font.size'] == 30\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
    )
    other = tmp_path / "other.png"
    subprocess.run([sys.executable, "-c", program, other], check=True)
    figure = curves.metrics(["train_loss", "accuracy"], [[0.5, 0.8], [0.25, 0.9]])
    first = drawing.save(figure, tmp_path / "first.png")
    figure._repr_png_()
    again = drawing.save(figure, tmp_path / "again.png")
    assert first.read_bytes() == again.read_bytes() == other.read_bytes()
    with Image.open(first) as picture:
        assert set(picture.info) <= {"dpi"}
        assert picture.size == (1380, 540)
        assert picture.getpixel((0, 0)) == tuple(int(255 * value) for value in to_rgba("white"))


def test_saving_under_another_format_or_onto_a_folder_is_refused(tmp_path: Path) -> None:
    figure = curves.losses([1.0], [])
    with pytest.raises(UsageError, match=r"saved as PNG"):
        drawing.save(figure, tmp_path / "loss.jpg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileError, match=r"folder"):
        drawing.save(figure, tmp_path / "folder.png")


def test_what_does_not_go_together_is_refused_in_words(splits: Splits) -> None:
    pixels = splits.test.pixels[:2]
    with pytest.raises(ShapeError, match="2 pictures and 1 labels"):
        figures.grid(pixels, ["a"])
    with pytest.raises(ShapeError, match=r"2 pictures, 2 labels, probabilities .1, 2."):
        figures.results(pixels, [0, 1], probabilities_of([0.5]), TWO)
    with pytest.raises(ShapeError, match="3 classes"):
        figures.worst_mistakes(pixels, [0, 1], probabilities_of([0.5, 0.5]), ("a", "b", "c"))
    with pytest.raises(ShapeError, match="2 labels and 1 predictions"):
        figures.confusion([0, 1], [0], TWO)
    with pytest.raises(ShapeError, match="do not fill pictures of 1x28x28"):
        figures.weights(np.zeros((1, 30)), (1, 28, 28), TWO)
    with pytest.raises(ShapeError, match="2 numbers"):
        curves.metrics(["train_loss", "accuracy"], [[1.0]])


def test_hidden_units_are_drawn_with_the_largest_weights_first_in_line() -> None:
    few = figures.hidden_weights(np.eye(3, 16), (1, 4, 4))
    assert [axes.get_title() for axes in few.axes[:3]] == ["unit 1", "unit 2", "unit 3"]
    assert "hidden unit" in few.get_suptitle()
    many = np.zeros((60, 16))
    many[5:55] = 1
    shown = [axes.get_title() for axes in figures.hidden_weights(many, (1, 4, 4)).axes if axes.get_title()]
    assert shown == [f"unit {number}" for number in range(6, 56)]
