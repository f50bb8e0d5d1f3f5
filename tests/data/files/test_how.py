"""How to read picture files: recipe keys and the arguments of `load` come from one record, which checks its values."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_type_hints

import pytest

from sevensteps.data.files.how import AS_USUAL, FILE_SETTINGS, How, file_settings
from sevensteps.data.sources.find import with_bad_skipped
from sevensteps.data.sources.load import load
from sevensteps.errors import UsageError
from sevensteps.recipes.recipe import Recipe


@pytest.mark.parametrize("key", FILE_SETTINGS)
def test_a_setting_is_the_same_in_a_recipe_and_in_load(key: str) -> None:
    setting = {field.name: field for field in dataclasses.fields(How)}[key]
    in_recipe = {field.name: field for field in dataclasses.fields(Recipe)}[key]
    assert (in_recipe.default, dict(in_recipe.metadata)) == (setting.default, dict(setting.metadata))
    argument = inspect.signature(load).parameters[key]
    assert argument.default == setting.default
    kinds = [get_type_hints(owner)[key] for owner in (How, Recipe, load)]
    assert kinds[0] == kinds[1] == kinds[2]


def test_a_recipe_gives_its_settings_of_picture_files_whole() -> None:
    recipe = Recipe(size=28, fit="crop", bad_files="skip", group="person", label_column="tone")
    assert recipe.how == How(size=28, fit="crop", bad_files="skip", group="person", label_column="tone")
    assert recipe.how.changed() == file_settings({**recipe.how.changed(), "epochs": 3})
    assert Recipe().how == AS_USUAL
    assert AS_USUAL.changed() == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": -1}, "size is -1, but must be a whole number from 0 to 1024"),
        ({"size": 1025}, "size is 1025"),
        ({"size": True}, "size is True"),
        ({"fit": "squeeze"}, "fit is 'squeeze', but must be one of letterbox, squash, crop"),
        ({"bad_files": "ignore"}, "bad_files is 'ignore', but must be one of stop, skip"),
        ({"group": 3}, "group is 3, but must be text"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_a_value_that_is_not_valid_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        How(**settings)
    assert words in caught.value.message
    assert caught.value.hint


def test_only_a_look_at_picture_files_skips_bad_files(tmp_path: Any) -> None:
    assert with_bad_skipped(tmp_path, {}) == {"bad_files": "skip"}
    assert with_bad_skipped(tmp_path, {"bad_files": "stop", "size": 5}) == {"bad_files": "stop", "size": 5}
    assert with_bad_skipped("pullover-dress", {}) == {}
    assert with_bad_skipped([(1, 2)], {"size": 5}) == {"size": 5}
