"""The report's part on one batch and one picture: the seven steps with their numbers, and the weights as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...records.report import Report
from ...records.steps import Chain, StepView, XRay, largest_moves
from ..labels import label_of
from ..pixels import as_picture, colors_of, colors_of_map, data_uri, weight_maps
from .html import Html, Piece, escaped, name_of, table, tag

PICTURES = 12  # of the batch that are shown


TITLES = ("Initialize", "Predict", "Loss", "Gradient", "Step", "Repeat", "Stop")


SIGNS = "Blue is above zero, red below, white is zero."


def steps_section(report: Report) -> list[Html]:
    """One batch through the seven steps, then one picture of it all the way."""
    assert report.xray is not None
    return steps_html(report.xray, report.place, report.classes, report.chain)


def steps_html(seen: XRay, place: str, classes: Sequence[str], chain: Chain | None) -> list[Html]:
    """Return one batch in the seven steps, then one picture of it, as pieces of a page.

    Args:
        seen: The seven steps, with arrays of NumPy.
        place: Where in the run the batch is, in words.
        classes: The names of the classes.
        chain: The picture that is followed; None for none.

    Returns:
        The pieces, one after the other.
    """
    pieces = [tag("p", f"One batch of the run, {place}, with the numbers that training uses.")]
    pieces += [_step(step, seen, classes) for step in seen.steps]
    if chain is not None:
        pieces += [tag("h3", f"One picture through all the steps: number {chain.number} of this batch"), *_chain(chain)]
    return pieces


def _step(step: StepView, seen: XRay, classes: Sequence[str]) -> Html:
    drawn: list[Piece] = []
    parameters, gradients = seen[1].values["parameters"], seen[4].values["gradients"]
    if step.number == 1:
        drawn = [_maps(parameters, seen, classes, "The weights"), _parameters(parameters)]
    elif step.number == 2:
        drawn = [_batch(step.values, classes)]
    elif step.number == 4:
        drawn = [_maps(gradients, seen, classes, "The gradient"), _parameters(gradients)]
    elif step.number == 5:
        drawn = [_moved(parameters, gradients, step.values["parameters"])]
    return tag("div", tag("h3", f"{step.number} {TITLES[step.number - 1]}"), tag("p", step.line), drawn, class_="step")


def _maps(parameters: Mapping[str, Any], seen: XRay, classes: Sequence[str], what: str) -> Piece:
    """The weights that see the pixels as pictures, on one common scale."""
    picture = None if seen[2].values.get("of_features") else as_picture(seen[2].values["x"][0])
    found = None if picture is None else weight_maps(parameters, picture.shape)
    if found is None:
        return ""
    name, maps = found
    most = float(np.abs(maps).max(initial=0.0))
    captions: list[Piece]
    if len(maps) == 1 and len(classes) == 2:
        evidence = ["blue is evidence for ", name_of(classes[1])]
        captions = [evidence if what == "The weights" else "a step lowers blue weights and raises red ones"]
    elif len(maps) == len(classes):
        captions = [name_of(one) for one in classes]
    else:
        captions = [str(number) for number in range(1, len(maps) + 1)]
    items = [
        tag("li", tag("img", src=data_uri(colors_of_map(one, most)), alt=f"{what}, picture {at}"), caption)
        for at, (one, caption) in enumerate(zip(maps, captions, strict=True), 1)
    ]
    words = f"{what} in {name}: darkest at {most:.3g}. {SIGNS}"
    return Html(tag("p", words, class_="note") + tag("ul", items, class_="pictures"))


def _parameters(parameters: Mapping[str, np.ndarray]) -> Html:
    rows = [
        [tag("code", name), "x".join(map(str, one.shape)), *(f"{number:.3g}" for number in _summary(one))]
        for name, one in parameters.items()
    ]
    return table("Each tensor", ("tensor", "shape", "mean", "spread", "smallest", "largest"), rows)


def _summary(numbers: np.ndarray) -> tuple[float, float, float, float]:
    numbers = numbers.astype(float)
    return float(numbers.mean()), float(numbers.std()), float(numbers.min()), float(numbers.max())


def _batch(values: Mapping[str, Any], classes: Sequence[str]) -> Piece:
    """The first pictures of the batch, each with its label and what the model says."""
    shares, labels = values.get("probabilities"), values["targets"]
    items = []
    for at in range(min(PICTURES, len(values["x"]))):
        picture = None if values.get("of_features") else as_picture(values["x"][at])
        if picture is None:
            return ""
        label = label_of(labels[at], classes)
        said: Piece = ""
        if shares is not None:
            best = int(shares[at].argmax())
            said = [tag("br"), f"{shares[at][best]:.1%} ", name_of(label_of(best, classes))]
        drawn = tag("img", src=data_uri(colors_of(picture)), alt=f"Picture {at + 1} of the batch")
        items.append(tag("li", drawn, f"{at + 1}: ", name_of(label), said))
    return tag("ul", items, class_="pictures narrow")


def _moved(before: Mapping[str, Any], gradients: Mapping[str, Any], after: Mapping[str, Any]) -> Html:
    rows = [
        [tag("code", name), *(f"{number:.6g}" for number in (was, gradient, now))]
        for name, was, gradient, now in largest_moves(before, gradients, after)
    ]
    return table("The three numbers with the largest gradient", ("number", "before", "gradient", "after"), rows)


def _chain(chain: Chain) -> list[Html]:
    """One picture from pixels, or from features, to score to loss, and back to the gradient."""
    label = label_of(chain.label, chain.classes)
    one = "feature" if chain.of_features else "pixel"
    known: list[Piece] = ["It is ", name_of(label), "."]
    if chain.of_features:
        known.append(f" A frozen network made {chain.pixels.size:,} features of it; what follows is learned.")
    panels = [_panel(f"{one.capitalize()}s", known, "" if chain.of_features else _drawn(chain.pixels))]
    score = chain.scores
    if chain.contributions is not None:
        at = 0 if len(score) == 1 else int(score.argmax())
        bias = 0.0 if chain.bias is None else float(chain.bias[at])
        total = float(chain.contributions[at].sum())
        whose = _evidence_for(chain, at)
        words: list[Piece] = [f"Each {one} times its weight"]
        words += [] if chain.of_features else ["; blue is evidence for ", whose]
        words += [f". They add up to {total:.4g}; with the bias {bias:.4g} that is the score, {score[at]:.4g}."]
        panels.append(_panel("Times the weights", words, "" if chain.of_features else _signed(chain.contributions[at])))
    rows: list[Sequence[Piece]] = []
    for at, name in enumerate(chain.classes if len(score) > 1 else chain.classes[1:]):
        if at >= len(score):
            break
        share = "" if chain.probabilities is None else f"{chain.probabilities[at + (len(score) == 1)]:.4f}"
        rows.append([name_of(name), f"{score[at]:.4f}", share, f"{chain.slopes[at]:.4f}"])
    titles = ("class", "score", f"after the {chain.activation}", "slope of the loss")
    scores = table("Scores, and how much the loss would change if each rose by 1", titles, rows) if rows else ""
    gradient = _gradient_panel(chain)
    panels.append(
        _panel(
            f"Back to the {one}s",
            [
                f"How much the loss would change if a {one} rose by 1: ",
                f"at most {np.abs(chain.on_pixels).max():.3g}. {'' if chain.of_features else SIGNS}".rstrip(),
            ],
            "" if chain.of_features else _signed(chain.on_pixels),
        )
    )
    layers = [
        [tag("code", name), "x".join(map(str, one.shape)) or "1", *(f"{n:.3g}" for n in _summary(one))]
        for name, one in chain.layers
    ]
    return [
        tag("div", panels[:-1], *gradient, panels[-1], class_="chain"),
        escaped(scores),
        tag("p", f"The loss of this picture is {chain.loss:.4f} ({chain.loss_name})."),
        table("The output of each layer", ("layer", "shape", "mean", "spread", "smallest", "largest"), layers),
    ]


def _evidence_for(chain: Chain, at: int) -> Html:
    names = chain.classes[1:] if len(chain.scores) == 1 else chain.classes
    return name_of(names[at]) if at < len(names) else name_of(f"score {at + 1}")


def _gradient_panel(chain: Chain) -> list[Html]:
    """What this picture alone asks of the weights that see the pixels."""
    picture = None if chain.of_features else as_picture(chain.pixels)
    found = None if picture is None else weight_maps(chain.gradients, picture.shape, most=len(chain.scores))
    if found is None:
        return []
    name, maps = found
    at = int(np.abs(chain.slopes).argmax()) if len(maps) == len(chain.scores) else 0
    words = (
        f"The gradient of {name} for this picture alone: for a linear model, the slope times the picture. "
        "A step goes the other way."
    )
    return [_panel("Gradient", [words], tag("img", src=data_uri(colors_of_map(maps[at])), alt="The gradient"))]


def _panel(title: str, words: Piece, drawn: Piece) -> Html:
    return tag("div", tag("h4", title), drawn, tag("p", words, class_="note"), class_="big")


def _drawn(pixels: np.ndarray) -> Piece:
    picture = as_picture(pixels)
    return "" if picture is None else tag("img", src=data_uri(colors_of(picture)), alt="The picture")


def _signed(numbers: np.ndarray) -> Piece:
    picture = as_picture(numbers)
    return "" if picture is None else tag("img", src=data_uri(colors_of_map(picture.sum(0))), alt="A map of the pixels")
