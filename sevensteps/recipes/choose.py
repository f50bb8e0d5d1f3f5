"""Choose the model and settings by the number and size of the pictures, if no recipe is named.

`python bench/default_recipe.py` measures the rule; docs/decisions/0023-model-and-recipe-by-size-and-count.md
explains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.own_code import is_own
from ..data.augment_names import against_mirrors
from ..data.files.how import file_settings
from ..errors import RecipeError
from ..ship.backbone.names import NAME
from .on_features import MANY, of_fine_tuning, of_linear
from .recipe import Recipe
from .recipe_file import shipped_recipes

if TYPE_CHECKING:
    from ..data.sources.facts import Facts


LEAST_SIDE, LEAST_PICTURES = 8, 10  # for cnn: pixels, and pictures of each class


WIDTH = 16  # of cnn: a third more channels than those of pullover against dress


# Pictures to train on, under which these are the pictures in a batch and the epochs: what is learned from is how often
# the parameters are stepped, and a quarter of the pictures take twice the epochs in batches of half the size.
STEPS = ((300, 16, 80), (2_500, 32, 40), (12_500, 64, 20))


OF_MANY = (64, 10)


# The rate of `linear` is for so many inputs. The largest curvature of its loss grows with their number, where pixels
# are centered and scaled, and the rate that still converges falls with that (LeCun et al., "Efficient backprop", 1998).
INPUTS = 28 * 28


MOST_MEASURED = 2_500  # pictures to train on: with more, trying a choice takes a quarter of a minute


# Settings that say nothing of how to train.
_OF_PICTURES = frozenset(
    {"source", "classes", "fix", "seed", "hold_out", "test", "folds", "coverage", "threads", "device"}
) | {"checkpoint_every", "track"}


RATE_OF_OWN = 0.001  # for AdamW: low enough for deep networks, and for those that were trained before; fastai's, too


# Settings of how pixels are varied, scaled or passed through a network from scratch.
OF_PIXELS = ("augment", "width", "test_time_flip", "normalize")


LEAST_SIDE_FOR_FEATURES = 64  # pixels, of color pictures: the network was trained on photographs


@dataclass(frozen=True)
class Chosen:
    """A recipe by name, the settings that replace its own, and why, in one line; empty for the usual choice."""

    recipe: str = "linear"
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    others: tuple[Mapping[str, Any], ...] = ()  # settings of `linear` to try where the choice loses on these pictures

    def to_try(self, given: Mapping[str, Any]) -> list[Recipe] | None:
        """Return what to try if a logistic regression is better than this choice on validation pictures.

        Args:
            given: Settings by name.

        Returns:
            The recipes; None where the choice stays as it is: it is the usual one, or a given setting decides how
            to train, or there are so many pictures that measuring takes long.
        """
        if not self.others or not given.keys() <= _OF_PICTURES | file_settings(given).keys():
            return None
        return [Recipe.load("linear").replace(**{**settings, **given}) for settings in self.others]

    def with_given(self, given: Mapping[str, Any]) -> Recipe:
        """Return the recipe; given settings replace chosen ones.

        Args:
            given: Settings by name.

        Returns:
            The recipe, not settled yet.

        Raises:
            RecipeError: Unknown settings, or settings that do not go together.
        """
        recipe = Recipe.load(self.recipe).replace(**{**self.settings, **given})
        if given.get("hold_out"):  # also where the share is the usual one
            recipe.refuse_idle_hold_out(recipe.hold_out)
        return recipe


def choose(source: str | Path | None, given: Mapping[str, Any], recipe: str | Path | None = None) -> Chosen:
    """Choose the recipe for a source, and the settings for its pictures that are not given.

    A recipe that is named stays as it is, except for the learning rate of `linear` where pictures have many inputs.
    Without a name, sources other than picture files and arrays get the recipe of the first job.

    Args:
        source: As for `train`; None for the embedded pictures.
        given: Settings by name.
        recipe: The name or file of a recipe.

    Returns:
        The choice.

    Raises:
        UsageError, DataError: Settings or pictures that are not a source.
        RecipeError: Stages of a network are to be trained, and features are switched off.
    """
    if recipe is None:
        unfreeze = given.get("unfreeze", 0)
        name = given.get("features", NAME if unfreeze else "none")
        if unfreeze and name == "none":
            raise RecipeError(
                f"unfreeze trains the last stages of {NAME}, but features is none.",
                hint="Set {features}, or {unfreeze}.",
                settings={"features": NAME, "unfreeze": 0},
            )
        if name != "none":
            facts = _facts(source, given)
            return by_features(name, facts.count if facts else MANY, unfreeze=unfreeze)
        facts = _facts(source, given)
        if is_own(str(given.get("model", ""))):
            return by_own_model(facts.count if facts else STEPS[-1][0])
        return suited(facts) if facts else Chosen()
    is_usual = str(recipe) == "linear" and "lr" not in given and given.get("model", "linear") == "linear"
    facts = _facts(source, given) if is_usual else None
    if facts is None or not (settings := _rate(facts)):
        return Chosen(str(recipe), {"shards": 0} if is_own(str(given.get("model", ""))) else {})
    return Chosen("linear", settings, f"lr = {settings['lr']}: pictures of {facts.inputs:,} inputs need a lower rate.")


def by_features(name: str, count: int, why: str = "", unfreeze: int = 0) -> Chosen:
    """Return the model, learning rate, batch size and epochs for features of a network.

    Args:
        name: The network.
        count: Pictures to train on.
        why: Why features are used, if the user did not ask for them.
        unfreeze: How many of the network's last stages are trained, too.

    Returns:
        The choice.
    """
    settings = of_fine_tuning(unfreeze) if unfreeze else of_linear(count)
    return Chosen("linear", {"features": name, **settings}, why)


def by_own_model(count: int) -> Chosen:
    """Return how to train a network of the user's own: as cnn, with a lower learning rate.

    Args:
        count: Pictures to train on.
    """
    return Chosen("cnn", {"name": "own", "model": "cnn", "width": 0, "shards": 0, "lr": RATE_OF_OWN, **steps(count)})


def may_use_features(source: str | Path | None, given: Mapping[str, Any]) -> bool:
    """Return whether these are pictures that a pretrained network may help with: files of color pictures, not small.

    Args:
        source: As for `train`.
        given: Settings by name; a model or a way to vary pixels leaves features out.
    """
    from ..data.sources.facts import facts_of
    from ..data.sources.find import find_catalog

    if {"model", "features", *OF_PIXELS} & set(given) or given.get("unfreeze"):
        return False
    how = Recipe(**file_settings(given)).how
    facts = facts_of(source or "", given.get("classes", ()), how)
    is_files = facts is not None and find_catalog(source, how, tuple(given.get("classes", ()))) is not None
    return is_files and facts is not None and facts.shape[0] == 3 and facts.side >= LEAST_SIDE_FOR_FEATURES


def steps(count: int) -> dict[str, Any]:
    """Return the batch size and the epochs for a number of pictures, as settings.

    Args:
        count: Pictures to train on.
    """
    batch_size, epochs = next(((batch, epochs) for most, batch, epochs in STEPS if count < most), OF_MANY)
    return {"batch_size": batch_size, "epochs": epochs}


def suited(facts: Facts) -> Chosen:
    """Return the model, batch size and epochs that suit pictures like these.

    Args:
        facts: The number, size and classes of the pictures.

    Returns:
        The choice.
    """
    settings = steps(facts.count)
    batch_size, epochs = settings["batch_size"], settings["epochs"]
    if facts.side >= LEAST_SIDE and facts.fewest >= LEAST_PICTURES:
        settings = {"width": WIDTH, **settings}
        against = against_mirrors(facts.classes)
        why = "it also trains on changed and mirrored copies; if left and right matter, add --augment shift"
        if against:
            why = f"it also trains on changed copies, but not on mirrored ones, because {against}"
        return Chosen("cnn", settings, f"{_line(facts, 'cnn', settings)}: {why}.", _instead(facts, batch_size, epochs))
    settings |= _rate(facts)
    few = facts.fewest < LEAST_PICTURES
    least = f"a class has fewer than {LEAST_PICTURES}" if few else f"they are {facts.side} pixels high"
    takes = f"{LEAST_PICTURES} pictures of each class, {LEAST_SIDE} pixels high or more"
    return Chosen(
        "linear", settings, f"{_line(facts, 'linear', settings)}: {least}, but cnn needs {takes}.", _instead(facts)
    )


def _instead(facts: Facts, batch_size: int = 0, epochs: int = 0) -> tuple[Mapping[str, Any], ...]:
    """Return settings of `linear` to compare a choice with: for these epochs, if given, and for the usual ones."""
    if facts.count >= MOST_MEASURED:
        return ()
    rate = _rate(facts)
    as_long = [{"batch_size": batch_size, "epochs": epochs, **rate}] if epochs else []
    return (*as_long, {"batch_size": 32, **rate})


def _facts(source: str | Path | None, given: Mapping[str, Any]) -> Facts | None:
    """Return the facts of a source; None for one that no choice is made for."""
    from ..data.sources.facts import facts_of

    return facts_of(source or "", given.get("classes", ()), Recipe(**file_settings(given)).how)


def _rate(facts: Facts) -> dict[str, Any]:
    """Return the learning rate of `linear` for this many inputs; nothing where it is the usual one."""
    if facts.inputs <= INPUTS:
        return {}
    usual = Recipe.from_toml(shipped_recipes()["linear"]).lr
    return {"lr": float(f"{usual * INPUTS / facts.inputs:.2g}")}


def _line(facts: Facts, recipe: str, settings: Mapping[str, Any]) -> str:
    """Return the beginning of the line that explains a choice."""
    said = ", ".join(f"{key} = {value}" for key, value in settings.items())
    # Without their number: which of the files are pictures is known only when they are decoded.
    return f"No --recipe given: for these pictures, the choice is {recipe} with {said}"
