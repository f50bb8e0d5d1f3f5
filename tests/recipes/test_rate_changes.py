"""Changes of the learning rate that a recipe replays."""

from __future__ import annotations

import pytest
import torch

import sevensteps as ss


@pytest.mark.parametrize("text", ["x", "5", "5:x", "5:-1", "0:0.1", "9:0.1,5:0.1", "5:inf", "5:nan", "5:1e999"])
def test_what_is_not_a_change_is_refused(text: str) -> None:
    with pytest.raises(ss.SevenstepsError, match="lr_changes"):
        ss.Recipe(lr_changes=text)


def test_a_recipe_replays_what_set_did() -> None:
    splits = ss.load("pullover-dress")
    recipe = ss.Recipe.load("plain").replace(batch_size=2048, epochs=2)
    by_hand, replayed = recipe.learner(splits), recipe.replace(lr_changes="3:0.05,8:0.4").learner(splits)
    for _ in by_hand.stream():
        if rate := {3: 0.05, 8: 0.4}.get(by_hand.state.batch):
            by_hand.set(lr=rate)
    replayed.fit(show=False)
    assert replayed.state.changes == by_hand.state.changes == [{"at_batch": 3, "lr": 0.05}, {"at_batch": 8, "lr": 0.4}]
    for one, other in zip(by_hand.model.parameters(), replayed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    # A stream that is left exactly there goes on with the new rate.
    left = recipe.replace(lr_changes="3:0.05,8:0.4").learner(splits)
    for _ in left.stream():
        if left.state.batch == 3:
            break
    for _ in left.stream():
        pass
    for one, other in zip(left.model.parameters(), replayed.model.parameters(), strict=True):
        assert torch.equal(one, other)
