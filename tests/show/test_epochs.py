"""The table that `fit` shows outside a notebook; `test_notebook` looks at the one inside."""

from __future__ import annotations

import io
import re
import sys

import pytest
import torch
from torch import Tensor, nn

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.jobs.train import train
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.records.events import Batch, Epoch
from sevensteps.show.epochs import epoch_table


class Unreadable(torch.Tensor):
    """A loss that says so when somebody waits for its number."""

    def __float__(self) -> float:
        raise AssertionError("the loss was read")

    def item(self) -> float:  # type: ignore[override]
        raise AssertionError("the loss was read")


def epoch(number: int = 1, valid_loss: float | None = 0.5, seconds: float = 0.25, **metrics: float) -> Epoch:
    return Epoch(number=number, train_loss=0.25, valid_loss=valid_loss, metrics=metrics, lr=1.0, seconds=seconds)


def shown(capsys: pytest.CaptureFixture[str], *events: Batch | Epoch) -> list[str]:
    with epoch_table(len(events)) as observe:
        for event in events:
            observe(event)
    return capsys.readouterr().out.splitlines()


def test_fit_prints_one_aligned_line_an_epoch_with_the_numbers_of_the_recorder(
    splits: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    dls = DataLoaders.from_images(splits.hold_out(0.1), batch_size=1024, flat=True)
    learn = Learner(dls, nn.Linear(784, 1), metrics=accuracy)
    learn.fit(2, lr=0.1)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    assert [int(line.split()[0]) for line in lines] == [1, 2]
    numbers = [[float(cell) for cell in line.split()[1:4]] for line in lines]
    assert torch.allclose(torch.tensor(numbers), torch.tensor(learn.recorder.values), atol=5e-7, rtol=0)
    assert {len(line) for line in lines} == {len(header)}
    assert all(re.search(r"\d\.\d{6}  +\d\.\d{6}  +\d\.\d{6}  +\d+\.\d\d s$", line) for line in lines)


def test_a_second_fit_goes_on_counting_epochs(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    dls = DataLoaders.from_images(splits, batch_size=4096, flat=True)
    learn = Learner(dls, nn.Linear(784, 1))
    learn.fit(1, lr=0.1)
    learn.fit(1, lr=0.1)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["epoch", "1", "epoch", "2"]


def test_show_false_prints_nothing(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    learn = Learner(DataLoaders.from_images(splits, batch_size=4096, flat=True), nn.Linear(784, 1))
    learn.fit(1, lr=0.1, show=False)
    assert capsys.readouterr().out == ""


def test_without_validation_there_is_no_column_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    header, line = shown(capsys, epoch(valid_loss=None))
    assert header.split() == ["epoch", "train_loss", "time"]
    assert line.split() == ["1", "0.250000", "0.25", "s"]


def test_columns_stay_aligned_for_long_names_and_large_or_missing_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        epoch(9, a=float("nan"), a_metric_with_a_long_name=0.5),
        epoch(10, a=-0.5, a_metric_with_a_long_name=float("inf"), seconds=75.2),
        epoch(1000, a=1.0, a_metric_with_a_long_name=1.0, seconds=3700.0),
    )
    assert len({len(line) for line in lines}) == 1
    assert "nan" in lines[1]
    assert "inf" in lines[2]
    assert lines[2].endswith(" 01:15")
    assert lines[3].endswith(" 1:01:40")


def test_nothing_is_printed_before_the_first_epoch_and_no_loss_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    loss = torch.tensor(1.0).as_subclass(Unreadable)
    assert (
        shown(capsys, *(Batch(epoch=1, number=number, total=3, size=8, loss=loss, lr=0.1) for number in (1, 2, 3)))
        == []
    )


def test_a_name_can_neither_break_the_line_nor_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, epoch(**{"a\nb\x1b[2J\r": 0.5}))
    assert len(lines) == 2
    assert not set("\x1b\r") & set("".join(lines))


def test_a_terminal_that_cannot_spell_a_name_does_not_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with epoch_table(1) as observe:
        observe(epoch(genauigkeit_für_größe=0.5))
    assert b"genauigkeit_f?r_gr??e" in written.getvalue()


def test_an_interrupted_fit_keeps_the_lines_it_has_printed(splits: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    calls = 0

    def interrupting(predictions: Tensor, targets: Tensor) -> float:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        return 0.5

    dls = DataLoaders.from_images(splits.hold_out(0.1), batch_size=2048, flat=True)
    learn = Learner(dls, nn.Linear(784, 1), metrics=interrupting)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(50, lr=0.1)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    header = next(place for place, words in enumerate(lines) if words[0] == "epoch")
    assert [words[0] for words in lines[header + 1 :]] == [str(done + 1) for done in range(len(learn.recorder.values))]
    assert learn.recorder.values


def test_train_shows_the_table_in_a_terminal_and_nothing_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train("pullover-dress", epochs=2)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    train("pullover-dress", epochs=2, observe=lambda event: None)
    assert capsys.readouterr().out == ""
    train("pullover-dress", epochs=2)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    assert [int(line.split()[0]) for line in lines] == [1, 2]
