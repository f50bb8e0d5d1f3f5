"""The errors: one family, a stable code each, and hints that help."""

from __future__ import annotations

import pickle

import pytest

from sevensteps import errors
from sevensteps.errors import SevenstepsError, nearest

# Programs rely on these: `--json` prints the code. One may be added, and none changed.
CODES = {
    "UsageError": "usage",
    "DataError": "data",
    "ShapeError": "shape",
    "RecipeError": "recipe",
    "ModelError": "model",
    "TrainingError": "training",
    "RunError": "run",
    "FileError": "file",
    "DownloadError": "download",
}
FAMILY = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, SevenstepsError) and value is not SevenstepsError
]


def test_the_codes_are_stable() -> None:
    assert CODES.items() <= {kind.__name__: kind.code for kind in FAMILY}.items()


def test_no_two_errors_share_a_code() -> None:
    assert len({kind.code for kind in FAMILY}) == len(FAMILY)


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_an_error_says_what_is_wrong_and_then_what_to_do(kind: type[SevenstepsError]) -> None:
    error = kind("This is wrong.", hint="Do that.")
    assert (error.message, error.hint) == ("This is wrong.", "Do that.")
    assert str(error) == "This is wrong.\nDo that."
    assert str(kind("This is wrong.")) == "This is wrong."
    assert isinstance(error, (ValueError, RuntimeError, OSError))


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_between_processes(kind: type[SevenstepsError]) -> None:
    error = pickle.loads(pickle.dumps(kind("This is wrong.", hint="Do that.")))  # noqa: S301
    assert type(error) is kind
    assert str(error) == "This is wrong.\nDo that."


@pytest.mark.parametrize(
    ("word", "known", "sentence"),
    [
        ("Pulover", ["Pullover", "Dress"], "Did you mean 'Pullover'?"),
        ("DRESS", ["Pullover", "Dress"], "Did you mean 'Dress'?"),
        ("zzz", ["Pullover", "Dress"], "Known: Pullover, Dress."),
        ("zzz", [], ""),
        ("", ["a"], "Known: a."),
    ],
)
def test_the_nearest_known_word_is_suggested(word: str, known: list[str], sentence: str) -> None:
    assert nearest(word, iter(known)) == sentence
