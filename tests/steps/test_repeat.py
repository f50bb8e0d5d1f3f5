"""Step 6: training is a stream that can be left at any yield and resumed exactly, in the same learner or another."""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small import assert_same, everything, images, learner, loaders, with_dropout
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from sevensteps.data.batches import DataLoaders
from sevensteps.errors import TrainingError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.records.events import Batch, Epoch
from sevensteps.steps.initialize import initialize
from sevensteps.steps.loss import binary_cross_entropy_with_logits
from sevensteps.steps.step import SGD, cosine, one_cycle
from sevensteps.steps.stop import after, when_flat

EPOCHS = 3
with_momentum = functools.partial(SGD, momentum=0.9, weight_decay=0.01)


def linear_with_momentum() -> Learner:
    return learner("linear", loaders(), None, with_momentum)


def dropout_and_augmentation() -> Learner:
    return Learner(loaders(augment="flip+shift"), with_dropout(), None, with_momentum, 0.1, metrics=accuracy)


class Jittered(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A user's own data set, which draws its augmentation from torch's global generator."""

    def __init__(self) -> None:
        self.images = images(80)

    def __len__(self) -> int:
        return 80

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        x, y = self.images[index]
        return x + 0.1 * torch.randn(x.shape), y


def foreign_loader() -> Learner:
    train = DataLoader(Jittered(), 16, shuffle=True)
    return Learner(DataLoaders(train, loaders().valid), with_dropout(), None, torch.optim.AdamW, 0.01, metrics=accuracy)


def foreign_loader_with_a_generator_of_its_own() -> Learner:
    generator = torch.Generator().manual_seed(5)
    train = DataLoader(Jittered(), 16, shuffle=True, generator=generator)
    return Learner(DataLoaders(train, loaders().valid), with_dropout(), None, with_momentum, 0.1, metrics=accuracy)


def mixed_by_formula() -> Learner:
    return learner("linear", loaders(48, 16, 3, augment="flip+rotate+cutout+mixup"))


def rmsprop_clipped() -> Learner:
    return learner("cnn", loaders(48, 16), None, torch.optim.RMSprop, lr=0.003, clip=0.5)


MAKERS = [
    linear_with_momentum,
    dropout_and_augmentation,
    mixed_by_formula,
    foreign_loader,
    foreign_loader_with_a_generator_of_its_own,
    rmsprop_clipped,
]


def stream_of(learn: Learner) -> Iterator[Batch | Epoch]:
    return learn.stream(stop=after(epochs=EPOCHS), schedule=one_cycle())


@functools.cache
def uninterrupted(make: Callable[[], Learner]) -> tuple[dict[str, Any], list[Any]]:
    """Return the final state of a complete run, and what each of its events said."""
    learn = make()
    events = [said(event) for event in stream_of(learn)]
    return everything(learn), events


def said(event: Batch | Epoch) -> Any:
    if isinstance(event, Epoch):
        return event
    return (event.epoch, event.number, event.total, event.size, float(event.loss), event.lr)


@pytest.mark.parametrize("make", MAKERS)
def test_leaving_at_any_yield_and_going_on_ends_as_an_uninterrupted_run(make: Callable[[], Learner]) -> None:
    whole, events = uninterrupted(make)
    for left_at in range(1, len(events)):
        learn = make()
        first = stream_of(learn)
        seen = [said(next(first)) for _ in range(left_at)]
        del first
        torch.rand(7)  # the user's own random numbers have no say
        seen += [said(event) for event in stream_of(learn)]
        assert seen == events
        assert_same(everything(learn), whole)


@pytest.mark.parametrize("make", MAKERS)
def test_leaving_at_every_yield_ends_as_an_uninterrupted_run(make: Callable[[], Learner]) -> None:
    whole, events = uninterrupted(make)
    learn = make()
    seen = [said(next(stream_of(learn))) for _ in events]
    assert seen == events
    assert list(stream_of(learn)) == []  # nothing is left to do but to say so
    assert_same(everything(learn), whole)


@pytest.mark.filterwarnings("ignore:The loader repeats")
@pytest.mark.parametrize("make", MAKERS)
def test_saving_at_any_yield_and_loading_into_a_fresh_learner_ends_the_same(
    make: Callable[[], Learner], tmp_path: Path
) -> None:
    whole, events = uninterrupted(make)
    for left_at in range(1, len(events)):
        learn = make()
        first = stream_of(learn)
        for _ in range(left_at):
            next(first)
        saved = learn.save(tmp_path / "half")
        other = make().load(saved)
        assert_same(everything(other), everything(learn))
        assert [said(event) for event in stream_of(other)] == events[left_at:]
        assert_same(everything(other), whole)


class Endless(torch.utils.data.IterableDataset[tuple[Tensor, int]]):
    """A stream of pictures, which cannot start in its middle."""

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return iter(images(80))


def streaming() -> Learner:
    train = DataLoader(Endless(), 16)
    return Learner(DataLoaders(train, loaders().valid), with_dropout(), None, with_momentum, 0.1, metrics=accuracy)


def with_workers() -> Learner:
    train = DataLoader(Jittered(), 16, shuffle=True, num_workers=1)
    return Learner(DataLoaders(train, loaders().valid), with_dropout(), None, with_momentum, 0.1, metrics=accuracy)


@pytest.mark.parametrize(
    ("make", "said_on_loading"),
    [
        (linear_with_momentum, ""),
        (foreign_loader, "The loader repeats the 3 batches of this epoch that are done, and they are dropped."),
        (streaming, "epoch 2 starts over, and the parameters stay as they are."),
        (with_workers, "epoch 2 starts over, and the parameters stay as they are."),
    ],
)
def test_what_going_on_within_an_epoch_costs_is_said(
    make: Callable[[], Learner], said_on_loading: str, tmp_path: Path
) -> None:
    learn = make()
    first = learn.stream(stop=after(epochs=EPOCHS))
    for _ in range(9):
        next(first)
    learn.close()
    learn.save(tmp_path / "half")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other = make().load(tmp_path / "half")
    assert [str(warning.message).endswith(said_on_loading) for warning in caught] == [True] * bool(said_on_loading)
    event = next(other.stream(stop=after(epochs=EPOCHS)))
    assert isinstance(event, Batch)
    assert (event.epoch, event.number) == (2, 1 if "starts over" in said_on_loading else 4)


@pytest.mark.parametrize(
    "opt_func",
    [with_momentum, torch.optim.AdamW, functools.partial(torch.optim.RMSprop, momentum=0.9, centered=True)],
)
def test_an_optimizer_comes_back_from_a_file_exactly(opt_func: Any, tmp_path: Path) -> None:
    def make() -> Learner:
        return learner("relu", loaders(), None, opt_func, lr=0.01)

    learn = make()
    learn.fit(2, show=False)
    other = make().load(learn.save(tmp_path / "saved.safetensors"))
    assert_same(everything(other), everything(learn))
    saved, loaded = learn.opt.state_dict(), other.opt.state_dict()
    assert saved["param_groups"] == loaded["param_groups"]
    for index, state in saved["state"].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(loaded["state"][index][name]))
            assert type(value) is type(loaded["state"][index][name])
    learn.fit(1, show=False)
    other.fit(1, show=False)
    assert_same(everything(other), everything(learn))


def test_a_fit_that_begins_within_an_epoch_ends_its_schedule_with_its_last_batch(tmp_path: Path) -> None:
    learn = linear_with_momentum()
    list(learn.stream(stop=after(batches=3)))
    list(learn.stream(stop=after(epochs=2), schedule=one_cycle()))
    factors = [one_cycle()(batch, 7) for batch in range(7)]

    other = linear_with_momentum()
    list(other.stream(stop=after(batches=3)))
    rates = []
    for _ in range(9):
        event = next(other.stream(stop=after(epochs=2), schedule=one_cycle()))
        rates += [event.lr] if isinstance(event, Batch) else []
        other = linear_with_momentum().load(other.save(tmp_path / "within"))
    list(other.stream(stop=after(epochs=2), schedule=one_cycle()))
    assert rates == pytest.approx([0.1 * factor for factor in factors])
    assert_same(everything(other), everything(learn))


def test_the_stream_is_the_loop_that_a_user_of_pytorch_would_write() -> None:
    learn, theirs = learner("relu", None, None, with_momentum), learner("relu")
    events = list(learn.stream(stop=after(epochs=2), schedule=one_cycle()))
    opt = torch.optim.SGD(theirs.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    wanted: list[Any] = []
    for epoch in range(2):
        for x, y in theirs.dls.train.epoch_batches(0, epoch):  # type: ignore[attr-defined]
            number = sum(isinstance(event, float) for event in wanted)
            opt.param_groups[0]["lr"] = rate = 0.1 * one_cycle()(number, 10)
            opt.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(theirs.model(x), y.float().unsqueeze(1))
            loss.backward()
            opt.step()
            wanted.append(float(loss.detach()))
        wanted.append((epoch + 1, rate))
    assert [float(e.loss) if isinstance(e, Batch) else (e.number, e.lr) for e in events] == wanted
    assert all(torch.equal(p, q) for p, q in zip(learn.model.parameters(), theirs.model.parameters(), strict=True))


def test_after_a_batch_the_gradient_is_that_batchs() -> None:
    for how in ("formula", "autograd"):
        learn = learner(gradient=how)
        stream = learn.stream(stop=after(epochs=1))
        for number in range(5):
            before = copy.deepcopy(learn.model)
            x, y = list(learn.dls.train.epoch_batches(0, 0))[number]
            loss = binary_cross_entropy_with_logits(before(x), y)
            wanted = torch.autograd.grad(loss, list(before.parameters()))
            event = next(stream)
            assert isinstance(event, Batch)
            torch.testing.assert_close(event.loss, loss.detach())
            for parameter, gradient in zip(learn.model.parameters(), wanted, strict=True):
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_events_keep_their_values_when_training_goes_on() -> None:
    learn = learner("relu")
    kept, read = [], []
    for event in learn.stream(stop=after(epochs=2)):
        if isinstance(event, Batch):
            assert not event.loss.requires_grad
            kept.append(event.loss)
            read.append(float(event.loss))
    assert [float(loss) for loss in kept] == read
    assert len({loss.data_ptr() for loss in kept}) == len(kept)
    assert len(set(read)) > 5


def test_a_publicly_iterated_loader_gives_fresh_tensors() -> None:
    batches = list(loaders().train)
    copies = [(x.clone(), y.clone()) for x, y in batches]
    for x, y in loaders().train:
        x.zero_()
        y.zero_()
    assert all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(batches, copies, strict=True))


def test_no_context_is_open_across_a_yield() -> None:
    for learn in (linear_with_momentum(), foreign_loader()):
        torch.manual_seed(3)
        for _ in stream_of(learn):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            state = torch.get_rng_state()
            torch.manual_seed(3)
            assert torch.equal(torch.get_rng_state(), state)


def test_the_user_may_train_something_else_between_two_batches() -> None:
    learn, other = dropout_and_augmentation(), foreign_loader()
    for one, two in zip(stream_of(learn), stream_of(other), strict=True):
        assert type(one) is type(two)
    assert_same(everything(learn), uninterrupted(dropout_and_augmentation)[0])


def test_an_epoch_tells_the_mean_loss_over_its_pictures() -> None:
    learn = learner(dls=loaders(70, 16))  # the last batch has 6
    losses, sizes = [], []
    for event in learn.stream(stop=after(epochs=1)):
        if isinstance(event, Batch):
            losses.append(float(event.loss))
            sizes.append(event.size)
        else:
            assert sizes == [16, 16, 16, 16, 6]
            assert event.train_loss == pytest.approx(sum(map(float.__mul__, losses, map(float, sizes))) / 70)


def test_a_second_stream_is_refused_until_the_first_is_closed() -> None:
    learn = linear_with_momentum()
    first = stream_of(learn)
    next(first)
    before = everything(learn)
    for again in (
        lambda: stream_of(learn),
        lambda: learn.fit(1, show=False),
        lambda: learn.fit_one_cycle(1, show=False),
    ):
        with pytest.raises(TrainingError, match="open already") as caught:
            again()
        assert "learn.close()" in caught.value.hint
    assert_same(everything(learn), before)
    learn.close()
    assert list(first) == []
    events = [said(event) for event in stream_of(learn)]
    assert events == uninterrupted(linear_with_momentum)[1][1:]
    learn.close()


def test_a_stream_that_is_not_begun_yet_counts_as_open() -> None:
    learn = linear_with_momentum()
    first = stream_of(learn)
    with pytest.raises(TrainingError):
        stream_of(learn)
    assert len(list(first)) == len(uninterrupted(linear_with_momentum)[1])


@pytest.mark.parametrize("make", MAKERS)
def test_looking_between_two_batches_changes_nothing(make: Callable[[], Learner], tmp_path: Path) -> None:
    whole, events = uninterrupted(make)
    learn = make()
    learn.metrics = [accuracy]
    seen = []
    for event in stream_of(learn):
        seen.append(said(event))
        if learn.state.batch % 2:
            continue
        random, modes = torch.get_rng_state(), [module.training for module in learn.model.modules()]
        gradients = [(p.grad, p.grad.clone()) for p in learn.model.parameters() if p.grad is not None]
        before = everything(learn)
        learn.validate()
        learn.validate(ds_idx=0)
        learn.get_preds()
        learn.xray()
        learn.predict(images(1).pixels[0] / 255)
        learn.lr_find(num_it=12, show_plot=False)
        learn.summary()
        learn.save(tmp_path / "now")
        learn.export(tmp_path / "now.safetensors")
        assert_same(everything(learn), before)
        assert torch.equal(torch.get_rng_state(), random)
        assert [module.training for module in learn.model.modules()] == modes
        now = [parameter.grad for parameter in learn.model.parameters() if parameter.grad is not None]
        for (gradient, value), same in zip(gradients, now, strict=True):
            assert same is gradient
            assert torch.equal(same, value)
    assert seen == events
    assert_same(everything(learn), whole)


def test_a_rate_set_between_two_batches_is_used_from_there_and_recorded() -> None:
    learn = linear_with_momentum()
    rates = []
    for event in learn.stream(stop=after(epochs=2)):
        if isinstance(event, Batch):
            rates.append(event.lr)
            if event.epoch == 1 and event.number == 3:
                learn.set(lr=0.02)
    assert rates == [0.1] * 3 + [0.02] * 7
    assert learn.state.changes == [{"at_batch": 3, "lr": 0.02}]
    learn.set(lr=0.5)  # between two fits: a setting, not a change
    learn.fit(1, show=False, lr=0.3)
    assert learn.state.changes == [{"at_batch": 3, "lr": 0.02}]


def test_a_rate_given_to_a_new_fit_is_its_setting_even_after_a_stream_was_left() -> None:
    learn = linear_with_momentum()
    next(learn.stream(stop=after(epochs=1)))
    learn.fit(1, 0.3, show=False)
    assert learn.recorder.lrs == [0.3] * 4
    assert learn.state.changes == []


def test_a_recorded_change_goes_through_a_file(tmp_path: Path) -> None:
    learn = linear_with_momentum()
    stream = learn.stream(stop=after(epochs=2))
    next(stream)
    learn.set(lr=0.02)
    other = linear_with_momentum().load(learn.save(tmp_path / "changed"))
    assert other.state.changes == [{"at_batch": 1, "lr": 0.02}]
    event = next(other.stream(stop=after(epochs=2)))
    assert isinstance(event, Batch)
    assert event.lr == 0.02


def test_a_stream_after_a_finished_one_begins_a_new_fit_that_counts_from_there() -> None:
    learn = linear_with_momentum()
    assert len(list(learn.stream(stop=after(batches=7)))) == 8
    assert learn.stopped_because == "7 batches were asked for and done"
    events = learn.stream(stop=after(batches=7))
    numbers = [(event.epoch, event.number) for event in events if isinstance(event, Batch)]
    assert numbers == [(2, 3), (2, 4), (2, 5), (3, 1), (3, 2), (3, 3), (3, 4)]


def test_a_finished_fits_rule_and_schedule_do_not_leak_into_the_next_stream() -> None:
    learn = linear_with_momentum()
    learn.fit(1, lr=0.5, schedule=cosine, show=False)
    events = list(itertools.islice(learn.stream(), 40))
    assert len(events) == 40
    assert {event.lr for event in events} == {0.5}


def test_a_user_who_leaves_decides_nothing_else() -> None:
    learn = linear_with_momentum()
    for event in learn.stream(stop=after(epochs=5) | when_flat()):
        if isinstance(event, Batch) and event.number == 4:
            break
    assert learn.stopped_because is None
    assert (learn.state.epoch, learn.state.position, learn.state.batch) == (0, 4, 4)


def test_a_learner_without_validation_pictures_trains() -> None:
    learn = Learner(DataLoaders(loaders().train), with_dropout(), lr=0.1, metrics=accuracy)
    events = list(learn.stream(stop=after(epochs=1)))
    assert isinstance(events[-1], Epoch)
    assert events[-1].valid_loss is None
    assert events[-1].metrics == {}


def test_a_sampler_with_replacement_and_a_generator_of_its_own_repeats() -> None:
    def make() -> Learner:
        x, y = next(iter(loaders(80, 80, flat=True).train))
        data = TensorDataset(x, y)
        sampler = RandomSampler(data, True, 100, torch.Generator().manual_seed(3))
        return Learner(DataLoaders(DataLoader(data, 16, sampler=sampler)), initialize(nn.Linear(64, 1)), lr=0.1)

    one, other = make(), make()
    list(one.stream(stop=after(epochs=2)))
    for _ in range(9):
        next(other.stream(stop=after(epochs=2)))
        other.xray()
    list(other.stream(stop=after(epochs=2)))
    assert_same(everything(one), everything(other))


def test_an_unshuffled_list_of_batches_trains() -> None:
    x = torch.rand(40, 3)
    batches = [(x[i : i + 8], (x[i : i + 8].sum(1) > 1.5).long()) for i in range(0, 40, 8)]
    learn = Learner(DataLoaders(batches, batches), nn.Linear(3, 1), lr=1.0, metrics=accuracy)
    learn.fit(60, show=False)
    assert learn.recorder.values[-1][-1] > 0.9


def test_a_loader_without_batches_is_said() -> None:
    with pytest.raises(TrainingError, match="no batches"):
        next(iter(Learner(DataLoaders([]), nn.Linear(3, 1)).stream()))


def test_a_loader_that_gives_each_batch_once_is_not_looked_into() -> None:
    batches = iter([(torch.rand(4, 3), torch.tensor([0, 1, 0, 1]))] * 3)
    learn = Learner(DataLoaders(batches), nn.Linear(3, 1))
    for look in (learn.xray, lambda: learn.lr_find(show_plot=False)):
        with pytest.raises(UsageError, match="once"):
            look()
    assert sum(isinstance(event, Batch) for event in learn.stream(stop=after(epochs=1))) == 3


def test_the_state_of_another_model_or_optimizer_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    trained = linear_with_momentum()
    trained.fit(1, show=False)
    saved = trained.save(tmp_path / "saved")
    others = [
        learner("linear", loaders(), None, torch.optim.AdamW),
        learner("relu", loaders(), None, with_momentum),
        learner("linear", loaders(classes=3), None, with_momentum),
        Learner(loaders(), nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), None, with_momentum),
    ]
    frozen = learner("linear").model
    next(frozen.parameters()).requires_grad_(False)
    others.append(Learner(loaders(), frozen, None, with_momentum))
    for other in others:
        before = everything(other)
        with pytest.raises(TrainingError, match="does not fit") as caught:
            other.load(saved)
        assert caught.value.hint
        assert_same(everything(other), before)


def test_a_history_with_figures_that_are_not_finite_goes_through_a_file(tmp_path: Path) -> None:
    def lost(predictions: Tensor, targets: Tensor) -> float:
        return float("nan")

    def endless(predictions: Tensor, targets: Tensor) -> float:
        return float("-inf")

    learn = learner(metrics=[lost, endless, accuracy])
    learn.fit(1, show=False)
    other = learner(metrics=[lost, endless, accuracy]).load(learn.save(tmp_path / "saved"))
    assert repr(other.state.history) == repr(
        [
            Epoch(number=e.number, train_loss=e.train_loss, valid_loss=e.valid_loss, metrics=e.metrics, lr=e.lr)
            for e in learn.state.history
        ]
    )
