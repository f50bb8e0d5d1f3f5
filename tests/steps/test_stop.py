"""Step 7: when training stops, and the reason in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from small import learner, loaders

from sevensteps.errors import UsageError
from sevensteps.records.events import Epoch
from sevensteps.steps.stop import Progress, StopRule, after, when_flat, when_not_finite, when_reached


def progress(
    epochs: int = 0,
    batches: int = 0,
    seconds: float = 0.0,
    valid_losses: Sequence[float] = (),
    accuracies: Sequence[float] = (),
    loss: float | None = None,
) -> Progress:
    accuracies = accuracies or [0.0] * len(valid_losses)
    valid_losses = valid_losses or [1.0] * len(accuracies)
    history = [
        Epoch(number=number, train_loss=0.5, valid_loss=valid_loss, metrics={"accuracy": accuracy}, lr=0.1)
        for number, (valid_loss, accuracy) in enumerate(zip(valid_losses, accuracies, strict=True), 1)
    ]
    return Progress(epochs, batches, seconds, history, lambda: loss)


def test_after_counts_epochs_batches_and_seconds_whichever_is_first() -> None:
    rule = after(epochs=2, batches=100, seconds=60.0)
    assert rule.reason(progress(1, 99, 59.9)) is None
    assert rule.reason(progress(2, 86, 1.0)) == "2 epochs were asked for and done"
    assert rule.reason(progress(1, 100, 1.0)) == "100 batches were asked for and done"
    assert rule.reason(progress(1, 50, 60.5)) == "the 60 seconds it was given are over"
    assert after(epochs=1).reason(progress(1)) == "1 epoch was asked for and done"
    assert after(batches=1).reason(progress(0, 1)) == "1 batch was asked for and done"


@pytest.mark.parametrize("given", [{}, {"epochs": -1}, {"batches": -1}, {"seconds": -0.5}, {"seconds": math.nan}])
def test_after_refuses_nothing_and_negative_numbers(given: dict[str, float]) -> None:
    with pytest.raises(UsageError) as caught:
        after(**given)  # type: ignore[arg-type]
    assert caught.value.hint


def test_when_flat_waits_as_long_as_its_patience() -> None:
    rule = when_flat("valid_loss", patience=2)
    assert rule.reason(progress(valid_losses=[1.0, 0.9, 0.95])) is None
    assert rule.reason(progress(valid_losses=[1.0, 0.9, 0.95, 0.9])) == "valid_loss has not improved for 2 epochs"
    assert rule.reason(progress(valid_losses=[1.0, 0.9, 0.95, 0.8])) is None
    assert rule.reason(progress(valid_losses=[math.nan, math.nan])) is not None
    assert rule.reason(progress()) is None


def test_when_flat_does_not_wait_for_what_is_no_number() -> None:
    reason = when_flat("valid_loss", patience=3).reason
    assert reason(progress(valid_losses=[1.0, 0.5])) is None
    assert reason(progress(valid_losses=[1.0, math.nan])) == "valid_loss is no longer a number (nan) after epoch 2"


def test_when_flat_takes_a_smaller_gain_than_min_delta_for_none() -> None:
    falling = progress(valid_losses=[1.0, 0.99, 0.98, 0.97])
    assert when_flat(patience=3, min_delta=0.02).reason(falling) is None  # 0.97 is 0.03 below the best that counted
    assert when_flat(patience=3, min_delta=0.05).reason(falling) is not None


def test_when_flat_wants_metrics_to_rise() -> None:
    rule = when_flat("accuracy", patience=2)
    assert rule.reason(progress(accuracies=[0.5, 0.6, 0.7])) is None
    assert rule.reason(progress(accuracies=[0.7, 0.6, 0.5])) == "accuracy has not improved for 2 epochs"


def test_when_reached_looks_from_the_right_side() -> None:
    assert when_reached("accuracy", 0.95).reason(progress(accuracies=[0.949])) is None
    assert when_reached("accuracy", 0.95).reason(progress(accuracies=[0.1, 0.95])) == (
        "accuracy has reached 0.95: it is 0.9500"
    )
    assert when_reached("valid_loss", 0.1).reason(progress(valid_losses=[0.11])) is None
    assert when_reached("valid_loss", 0.1).reason(progress(valid_losses=[0.09])) is not None
    assert when_reached("accuracy", 0.95).reason(progress()) is None


@pytest.mark.parametrize(
    ("name", "how", "stops"),
    [
        ("error_rate", {}, False),
        ("mean_absolute_error", {}, False),
        ("accuracy", {}, True),
        ("mae", {}, True),
        ("mae", {"lower_is_better": True}, False),
        ("error", {"lower_is_better": False}, True),
    ],
)
def test_a_figure_improves_in_its_own_direction(name: str, how: dict[str, bool], stops: bool) -> None:
    falling = [
        Epoch(number=number, train_loss=0.5, valid_loss=0.5, metrics={name: 1 / number}, lr=0.1)
        for number in range(1, 5)
    ]
    seen = Progress(4, 4, 0.0, falling, lambda: None)
    assert (when_flat(name, patience=3, **how).reason(seen) is not None) == stops
    assert when_reached(name, 0.25, **how).reason(seen) is not None
    assert (when_reached(name, 0.2, **how).reason(seen) is not None) == stops


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_when_not_finite_names_the_batch(loss: float) -> None:
    reason = when_not_finite().reason(progress(batches=7, loss=loss))
    assert reason is not None
    assert "batch 7" in reason
    assert "lower learning rate" in reason


def test_when_not_finite_lets_numbers_pass() -> None:
    assert when_not_finite().reason(progress(loss=1e30)) is None
    assert when_not_finite().reason(progress(loss=None)) is None


def test_or_stops_with_the_first_reason_and_and_with_all() -> None:
    either, both = after(epochs=3) | after(batches=10), after(epochs=3) & after(batches=10)
    assert either.reason(progress(1, 10)) == "10 batches were asked for and done"
    assert both.reason(progress(1, 10)) is None
    assert both.reason(progress(3, 10)) == ("3 epochs were asked for and done, and 10 batches were asked for and done")


@pytest.mark.parametrize(
    ("rule", "done_in_first", "total"),
    [
        (after(epochs=3), 0, 30),
        (after(epochs=3), 4, 26),
        (after(epochs=0), 4, 0),
        (after(batches=7), 0, 7),
        (after(epochs=3, batches=7), 0, 7),
        (after(epochs=3) | when_flat(), 0, 30),
        (after(epochs=3) | after(epochs=5), 0, 30),
        (after(epochs=3) & after(epochs=5), 0, 50),
        (after(epochs=3) & when_flat(), 0, None),
        (after(seconds=9.0), 0, None),
        (when_flat(), 0, None),
    ],
)
def test_a_rule_knows_how_many_batches_there_are_at_most(rule: StopRule, done_in_first: int, total: int | None) -> None:
    assert rule.total(10, done_in_first) == total


def test_without_a_known_length_only_batches_bound_a_fit() -> None:
    assert after(epochs=3).total(None) is None
    assert after(epochs=3, batches=8).total(None) == 8


def test_a_figure_that_an_epoch_has_not_is_refused_with_the_nearest() -> None:
    for rule in (when_flat("acuracy"), when_reached("acuracy", 0.9)):
        with pytest.raises(UsageError, match="accuracy"):
            rule.reason(progress(accuracies=[0.5]))


def test_when_flat_refuses_a_patience_under_one() -> None:
    with pytest.raises(UsageError, match="patience"):
        when_flat(patience=0)


@pytest.mark.parametrize(
    ("rule", "epochs", "because"),
    [
        (after(epochs=2), 2, "2 epochs were asked for and done"),
        (after(batches=12), 2, "12 batches were asked for and done"),
        (after(seconds=0.0), 0, "the 0 seconds it was given are over"),
        (after(epochs=50) | when_reached("accuracy", 0.0), 1, "accuracy has reached 0"),
        (after(epochs=4) & after(batches=1), 4, "4 epochs were asked for and done, and 1 batch was asked for and done"),
        (after(epochs=50) | when_flat("accuracy", patience=2, min_delta=1.0), 3, "accuracy has not improved for 2"),
    ],
)
def test_a_run_ends_where_its_rule_says_and_tells_why(rule: StopRule, epochs: int, because: str) -> None:
    learn = learner(dls=loaders(80, 16))
    batches = sum(not isinstance(event, Epoch) for event in learn.stream(stop=rule))
    assert learn.stopped_because is not None
    assert because in learn.stopped_because
    assert len(learn.state.history) == epochs
    assert batches == {"12 batches were asked for and done": 12}.get(because, 5 * epochs)


def test_a_rule_counts_from_where_its_fit_began() -> None:
    learn = learner()
    learn.fit(2, show=False)
    list(learn.stream(stop=after(epochs=1)))
    assert [epoch.number for epoch in learn.state.history] == [1, 2, 3]
    assert [epoch.number for epoch in learn.state.fit_history] == [3]


class Counted(list[Epoch]):
    """A history that counts how many epochs were taken from it."""

    taken = 0

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        self.taken += len(part) if isinstance(part, list) else 1
        return part

    def __iter__(self) -> Iterator[Epoch]:
        self.taken += len(self)
        return super().__iter__()


def test_a_rule_takes_no_longer_after_a_thousand_epochs() -> None:
    done = progress(valid_losses=[1 / number for number in range(1, 1001)])
    history = Counted(done.history)
    done = dataclasses.replace(done, history=history)
    rule = when_flat("valid_loss", patience=3)
    assert rule.reason(done) is None
    history.taken = 0
    for _ in range(100):
        assert rule.reason(done) is None
    assert history.taken < 1000


def test_what_a_rule_looks_at_is_not_copied_for_every_batch() -> None:
    learn = learner()
    learn.fit(3, show=False)
    assert learn.state.progress().history is learn.state.progress().history
    assert len(learn.state.progress().history) == 3
    learn.state.begin_fit()
    assert learn.state.progress().history == []


def test_one_rule_can_be_asked_about_two_fits_in_turn() -> None:
    rule = when_flat("valid_loss", patience=2)
    flat, falling = progress(valid_losses=[1.0] * 4), progress(valid_losses=[1.0, 0.5, 0.3, 0.2])
    for count in range(1, 5):
        assert bool(rule.reason(dataclasses.replace(flat, history=flat.history[:count]))) == (count > 2)
        assert rule.reason(dataclasses.replace(falling, history=falling.history[:count])) is None


def test_rules_name_the_figures_that_they_read() -> None:
    rule = after(epochs=3) | when_flat("accuracy") & when_reached("valid_loss", 0.1)
    assert rule.figures == ("accuracy", "valid_loss")
    assert after(epochs=3).figures == ()
