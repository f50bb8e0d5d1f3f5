"""What `save` writes, `load` reads: training goes on as if nothing had been saved, or `save` refuses in words."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from small import assert_same, everything
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from sevensteps.data.batches import DataLoaders
from sevensteps.errors import ModelError, SevenstepsError, TrainingError
from sevensteps.learner.learner import Learner
from sevensteps.learner.load import load_learner
from sevensteps.records.events import Batch
from sevensteps.ship import file as model_file
from sevensteps.steps.step import UNFIT, Muon, constant, cosine, one_cycle
from sevensteps.steps.stop import StopRule, after, when_flat, when_reached

X = torch.rand(22, 6, generator=torch.Generator().manual_seed(0)) - 0.5
Y = (X[:, :1] + X[:, 1:2] > 0).float()


class Masked(nn.Module):
    """A layer with constants that training never changes: an endless one, whole numbers, and one that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.register_buffer("mask", torch.full((6, 6), -math.inf).triu(1))
        self.register_buffer("order", torch.arange(6))
        self.register_buffer("passing", torch.tensor(math.nan), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x)[:, self.order].unsqueeze(1) + self.mask).softmax(-1).sum(1)


class Counting(nn.Module):
    """A layer with a state that is no tensor, on which its answer depends."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(6, 1), {"batches": 0, "names": ["a", None, 1.5]}

    def forward(self, x: Tensor) -> Tensor:
        self.seen["batches"] += 1  # type: ignore[operator]
        return self.layer(x) / self.seen["batches"]  # type: ignore[operator]

    def get_extra_state(self) -> Any:
        return dict(self.seen)

    def set_extra_state(self, state: Any) -> None:
        self.seen = dict(state)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.unflatten(1, (3, 2)))[0][:, -1])  # type: ignore[no-any-return]


def shared_layer() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Tanh(), nn.Linear(6, 1))


def shared_weight() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 1))
    model[2].weight = model[0].weight
    return model


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    return model


def compiled_inside() -> nn.Module:
    return nn.Sequential(torch.compile(nn.Linear(6, 4), backend="eager"), nn.ReLU(), nn.Linear(4, 1))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))


def materialized() -> nn.Module:
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    model(X)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "by formula": lambda: nn.Linear(6, 1),
    "norm and dropout": lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.4), nn.Linear(4, 1)),
    "constants": lambda: nn.Sequential(Masked(), nn.Linear(6, 1)),
    "extra state": Counting,
    "shared layer": shared_layer,
    "shared weight": shared_weight,
    "frozen": frozen,
    "bfloat16": lambda: plain().bfloat16(),
    "float64": lambda: plain().double(),
    "compiled": lambda: torch.compile(plain(), backend="eager"),
    "compiled inside": compiled_inside,
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 4)), nn.ReLU(), nn.Linear(4, 1)),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 4)), nn.Linear(4, 1)),
    "recurrent": Recurrent,
    "transformer": lambda: nn.Sequential(nn.TransformerEncoderLayer(6, 2, 8), nn.Linear(6, 1)),
    "lazy, after a batch": materialized,
    "no affine norm": lambda: nn.Sequential(nn.BatchNorm1d(6, affine=False), nn.Linear(6, 1)),
    "average norm": lambda: nn.Sequential(nn.BatchNorm1d(6, momentum=None), nn.GroupNorm(2, 6), nn.Linear(6, 1)),
}
OPTIMIZERS: dict[str, Any] = {
    name: found
    for name, found in vars(torch.optim).items()
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer) and name not in UNFIT
}
OPTIMIZERS |= {
    "Muon": Muon,
    "SGD with momentum": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "RMSprop, centered": functools.partial(torch.optim.RMSprop, centered=True, momentum=0.5),
    "Adam, amsgrad": functools.partial(torch.optim.Adam, amsgrad=True, maximize=False),
}


PLANS: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "one cycle": lambda: {"stop": after(epochs=3), "schedule": one_cycle(pct_start=0.4)},
    "cosine": lambda: {"stop": after(batches=13) | after(epochs=4), "schedule": cosine},
    "flat": lambda: {"stop": after(epochs=4) & when_flat("train_loss", 1) | when_reached("train_loss", 0.01)},
    "seconds": lambda: {"stop": after(epochs=3, seconds=1e6), "schedule": constant},
}


def learner(model: str = "plain", optimizer: str = "SGD", batch_size: int = 5) -> Learner:
    """A learner over rows of numbers; the same each time."""
    torch.manual_seed(3)
    made = MODELS[model]()
    kind = next(parameter.dtype for parameter in made.parameters())
    rows = list(zip(X.to(kind), Y.to(kind), strict=True))
    train = torch.utils.data.DataLoader(rows, batch_size, shuffle=True)  # type: ignore[arg-type]
    return Learner(DataLoaders(train, [(X.to(kind), Y.to(kind))]), made, opt_func=OPTIMIZERS[optimizer], lr=0.01)


def leave_after(events: Any, batches: int) -> None:
    """Go through a stream until this many batches are done."""
    for event in events:
        batches -= isinstance(event, Batch)
        if batches <= 0:
            return


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=st.sampled_from(sorted(MODELS)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    plan=st.sampled_from(sorted(PLANS)),
    at=st.integers(0, 22),
)
@example(model="bfloat16", optimizer="AdamW", plan="one cycle", at=3)
@example(model="constants", optimizer="Adafactor", plan="cosine", at=7)
@example(model="compiled", optimizer="Rprop", plan="flat", at=5)
@example(model="extra state", optimizer="ASGD", plan="seconds", at=5)
@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_training_goes_on_from_a_file_as_if_nothing_had_been_saved(
    tmp_path_factory: pytest.TempPathFactory, model: str, optimizer: str, plan: str, at: int
) -> None:
    learn = learner(model, optimizer)
    if at:
        leave_after(learn.stream(**PLANS[plan]()), at)
    learn.close()
    path = learn.save(tmp_path_factory.mktemp("saved") / "m")
    other = learner(model, optimizer).load(path)
    assert_same(everything(other), everything(learn))
    rates: list[list[float]] = [[], []]
    for each, of_each in zip((learn, other), rates, strict=True):
        events = each.stream()
        of_each += [event.lr for event, _ in zip(events, range(30), strict=False) if isinstance(event, Batch)]
        each.close()
        each.fit(1, show=False)
    assert rates[0] == rates[1]
    assert other.stopped_because == learn.stopped_because
    assert_same(everything(other), everything(learn))
    assert other.recorder.values == learn.recorder.values


@pytest.mark.parametrize("model", MODELS)
def test_an_exported_model_answers_as_the_learner_does(model: str, tmp_path: Path) -> None:
    learn = learner(model)
    learn.fit(1, show=False)
    path = learn.export(tmp_path / "m.safetensors")
    instance = learner(model).model
    other = load_learner(path, instance, dls=learn.dls)
    assert torch.equal(other.get_preds()[0], learn.get_preds()[0])
    assert torch.equal(other.predict(X[0])[2], learn.predict(X[0])[2])
    other.fit(1, show=False)


@pytest.mark.parametrize("model", ["shared layer", "compiled", "compiled inside", "bfloat16", "by formula"])
def test_a_file_describes_layers_that_are_shared_compiled_or_of_half_precision(model: str, tmp_path: Path) -> None:
    learn = learner(model)
    loaded = load_learner(learn.export(tmp_path / "m.safetensors"))
    assert torch.equal(loaded.get_logits(dl=learn.dls.valid)[0], learn.get_logits()[0])
    assert len(list(loaded.model.parameters())) == len(list(learn.model.parameters()))


def test_a_shared_weight_needs_the_model_itself(tmp_path: Path) -> None:
    path = learner("shared weight").export(tmp_path / "m.safetensors")
    with pytest.raises(ModelError) as caught:
        load_learner(path)
    assert "model=" in caught.value.hint


@pytest.mark.parametrize(("one", "other"), [("compiled", "plain"), ("plain", "compiled"), ("plain", "compiled inside")])
def test_weights_are_the_same_with_and_without_the_compiler(one: str, other: str, tmp_path: Path) -> None:
    learn = learner(one)
    learn.fit(1, show=False)
    loaded = learner(other).load(learn.save(tmp_path / "m"))
    assert torch.equal(loaded.get_preds()[0], learn.get_preds()[0])
    exported = load_learner(learn.export(tmp_path / "e.safetensors"), MODELS[other]())
    assert torch.equal(exported.get_preds(dl=learn.dls.valid)[0], learn.get_preds()[0])


def change(learn: Learner, name: str) -> None:
    """Put something into a learner that a file cannot hold."""
    model: Any = learn.model
    if name == "extra state":
        model.__class__ = type("Odd", (nn.Sequential,), {"get_extra_state": lambda self: {1: {2, 3}}})
    elif name == "a setting":
        learn.opt.param_groups[0]["rule"] = torch.tanh
    elif name == "a state":
        learn.opt.state[learn.opt.param_groups[0]["params"][0]]["seen"] = {"a": 1}
    elif name == "a weight that is not finite":
        model[0].weight.data[0, 0] = math.inf
    elif name == "a constant that is not a number":
        model.register_buffer("scale", torch.tensor(math.nan))
    elif name == "a lazy layer":
        model.append(nn.LazyLinear(1))
    else:
        odd = {"complex": torch.zeros(2, dtype=torch.complex64), "expanded": torch.ones(1).expand(4)}
        model.register_buffer("odd", odd.get(name, torch.eye(2).to_sparse()))


@pytest.mark.parametrize("verb", ["save", "export"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("extra state", "extra state that a file cannot hold"),
        ("a setting", "The setting 'rule' of SGD"),
        ("a state", "The state 'seen' of SGD"),
        ("a weight that is not finite", "0.weight holds numbers that are not finite"),
        ("a constant that is not a number", "scale holds NaN"),
        ("a lazy layer", "3.weight is of a type"),
        ("complex", "odd holds numbers of type complex64"),
        ("sparse", "odd is of a type"),
        ("expanded", "odd has one number in several places"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_when_it_is_saved(verb: str, what: str, words: str, tmp_path: Path) -> None:
    learn = learner()
    change(learn, what)
    path = tmp_path / "m.safetensors"
    if verb == "export" and what in ("a setting", "a state"):  # a model without its optimizer
        learn.export(path)
        return
    with pytest.raises(SevenstepsError, match=words) as caught:
        getattr(learn, verb)(path)
    assert caught.value.hint
    assert not path.exists()


def test_an_optimizer_that_keeps_more_precision_than_the_weights_goes_on_exactly(tmp_path: Path) -> None:
    """PyTorch would cast its state to the type of the weights."""
    learn = learner("bfloat16", "SGD with momentum")
    learn.fit(1, show=False)
    learn.opt.state[learn.opt.param_groups[0]["params"][0]]["momentum_buffer"] = torch.full((4, 6), 1 / 3)
    path = learn.save(tmp_path / "m")
    assert path.exists()


class Around(torch.optim.Optimizer):
    """An optimizer around another, as look-ahead is."""

    def __init__(self, params: Any, lr: float) -> None:
        self.base = torch.optim.SGD(params, lr, momentum=0.9)
        super().__init__(self.base.param_groups, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.base.param_groups = self.param_groups
        self.base.step()


class Sharing(Around):
    """The same with one state for both."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.state = self.base.state


def test_an_optimizer_around_another_is_saved_with_its_state_or_not_at_all(tmp_path: Path) -> None:
    learn = Learner(learner().dls, learner().model, opt_func=Around, lr=0.01)
    learn.save(tmp_path / "new")
    learn.fit(1, show=False)
    with pytest.raises(ModelError, match="another optimizer in its 'base'"):
        learn.save(tmp_path / "m")
    sharing = Learner(learner().dls, learner().model, opt_func=Sharing, lr=0.01)
    sharing.fit(1, show=False)
    sharing.save(tmp_path / "m")


def groups(parameters: Any, lr: float) -> torch.optim.Optimizer:
    first, *rest = parameters
    slow = {"params": [first], "lr": lr / 3, "betas": (0.8, 0.9)}
    return torch.optim.Adam([slow, {"params": rest, "weight_decay": 0.1}], lr=lr)


class Scaled(nn.Module):
    """A loss that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return ((self.scale * predictions - targets) ** 2).mean() + (self.scale - 2) ** 2


@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_groups_and_a_loss_that_learns_go_on_exactly(tmp_path: Path) -> None:
    learn, other = (Learner(each.dls, each.model, Scaled(), groups, 0.01) for each in (learner(), learner()))
    leave_after(learn.stream(after(epochs=2), schedule=one_cycle()), 7)
    learn.close()
    other.load(learn.save(tmp_path / "m"))
    for each in (learn, other):
        list(each.stream())
        each.fit(1, show=False)
    assert_same(everything(other), everything(learn))


def test_settings_that_were_changed_since_come_back(tmp_path: Path) -> None:
    learn = learner("plain", "SGD")
    learn.opt.param_groups[0] |= {"momentum": 0.5, "initial_lr": 0.01}  # the second by a scheduler of PyTorch
    learn.fit(1, show=False)
    other = learner("plain", "SGD").load(learn.save(tmp_path / "m"))
    for each in (learn, other):
        each.fit(1, show=False)
    assert_same(everything(other), everything(learn))


def test_loading_does_not_move_a_model_whose_optimizer_has_a_scheduler(tmp_path: Path) -> None:
    learn = learner("plain", "Adam")
    learn.fit(1, show=False)
    path = learn.save(tmp_path / "m")
    other = learner("plain", "Adam")
    torch.optim.lr_scheduler.StepLR(other.opt, 10)
    other.load(path)
    assert other.opt.param_groups[0]["initial_lr"] == 0.01
    for name, tensor in learn.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], tensor)


def test_a_file_of_another_kind_of_extra_state_changes_nothing(tmp_path: Path) -> None:
    learn = learner("plain")
    before = everything(learn)
    with pytest.raises(TrainingError, match="does not fit"):
        learn.load(learner("extra state").save(tmp_path / "m"))
    assert_same(everything(learn), before)


# How training goes on


def half(batch: int, total: int | None) -> float:
    return 0.5


@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_a_schedule_and_a_stop_rule_of_ones_own_must_be_given_again(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"stop": StopRule(lambda progress: "enough" if progress.batches >= 8 else None)}
    learn = learner()
    leave_after(learn.stream(**plan, schedule=half), 5)
    learn.close()
    with pytest.warns(UserWarning, match="A file cannot hold a stop rule or a schedule of your own") as warned:
        path = learn.save(tmp_path / "m")
    assert "learn.stream(stop=..., schedule=...)" in str(warned[0].message)
    other = learner().load(path)
    parts: list[dict[str, Any]] = [{}, plan, {"schedule": half}]
    for part in parts:
        with pytest.raises(TrainingError, match="could not hold") as caught:
            other.stream(**part)
        assert "learn.fit(5)" in caught.value.hint
        other = learner().load(path)
    list(learn.stream())
    list(other.stream(**plan, schedule=half))
    assert_same(everything(other), everything(learn))
    learner().load(path).fit(1, show=False)


def test_a_fit_that_has_ended_needs_no_plan(tmp_path: Path) -> None:
    learn = learner()
    learn.fit(1, stop=StopRule(lambda progress: None), schedule=half, show=False)
    other = learner().load(learn.save(tmp_path / "m"))
    for each in (learn, other):
        leave_after(each.stream(), 3)
    assert_same(everything(other), everything(learn))


@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_time_that_a_fit_had_counts_after_it_was_saved(tmp_path: Path) -> None:
    learn = learner()
    leave_after(learn.stream(after(seconds=100.0)), 5)
    learn.state.seconds += 99.9
    other = learner().load(learn.save(tmp_path / "m"))
    assert 99.9 <= other.state.progress().seconds < 101


def test_a_rate_that_was_changed_comes_back(tmp_path: Path) -> None:
    learn = learner()
    learn.lr = 0.5
    learn.fit(1, show=False)
    learn.opt.param_groups[0]["lr"] = 0.25  # as a scheduler would
    other = learner().load(learn.save(tmp_path / "m"))
    assert (other.lr, learn.lr) == (0.25, 0.25)
    for each in (learn, other):
        each.fit(1, show=False)
    assert_same(everything(other), everything(learn))


@pytest.mark.parametrize(("size", "position"), [(10, 1), (2, 5), (1, 10)])
@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_another_batch_size_goes_on_at_the_same_picture(size: int, position: int, tmp_path: Path) -> None:
    learn = learner()
    leave_after(learn.stream(after(epochs=2), schedule=one_cycle()), 7)  # 2 batches of 5 in the second epoch
    learn.close()
    other = learner(batch_size=size).load(learn.save(tmp_path / "m"))
    assert (other.state.epoch, other.state.position, other.state.seen) == (1, position, 10)
    left = [event for event in other.stream() if isinstance(event, Batch)]
    assert sum(event.size for event in left) == 12
    assert other.state.history[-1].number == 2
    assert left[-1].lr == pytest.approx(0.01 / 1e5)
    living = learner()
    leave_after(living.stream(after(epochs=2), schedule=one_cycle()), 7)
    living.close()
    living.dls = learner(batch_size=size).dls
    assert [event.lr for event in living.stream() if isinstance(event, Batch)] == [event.lr for event in left]


@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_an_epoch_whose_batches_are_all_done_ends_under_any_batch_size(tmp_path: Path) -> None:
    learn = learner()
    leave_after(learn.stream(after(epochs=2), schedule=one_cycle()), 5)  # the last of them has 2 rows
    other = learner(batch_size=10).load(learn.save(tmp_path / "m"))
    events = list(other.stream())
    assert events[0] == other.state.history[0]
    assert len([event for event in events if isinstance(event, Batch)]) == 3


@pytest.mark.parametrize(
    ("stop", "size", "words"),
    [
        (after(epochs=2), 4, "no boundary there"),
        (after(batches=20), 10, "the stop rule of the fit counts batches"),
    ],
)
@pytest.mark.filterwarnings("ignore:The loader repeats")
def test_another_batch_size_is_refused_where_it_cannot_go_on(
    stop: StopRule, size: int, words: str, tmp_path: Path
) -> None:
    learn = learner()
    leave_after(learn.stream(stop), 7)
    learn.close()
    other, path = learner(batch_size=size), learn.save(tmp_path / "m")
    before = everything(other)
    with pytest.raises(TrainingError, match=words) as caught:
        other.load(path)
    assert "batch_size=5" in caught.value.hint
    assert_same(everything(other), before)
    with pytest.raises(TrainingError, match=words):
        learn.dls = other.dls


def test_a_fit_that_has_ended_goes_on_with_any_batch_size(tmp_path: Path) -> None:
    learn = learner()
    learn.fit(1, show=False)
    other = learner(batch_size=7).load(learn.save(tmp_path / "m"))
    learn.dls = other.dls
    for each in (learn, other):
        each.fit(1, show=False)
    assert_same(everything(other), everything(learn))


def test_layers_that_were_unfrozen_since_go_on_training(tmp_path: Path) -> None:
    learn = learner("frozen", "Adam")
    learn.fit(1, show=False)
    learn.model[0].requires_grad_(True)  # type: ignore[index]
    learn.fit(1, show=False)
    path = learn.save(tmp_path / "m")
    other = learner("frozen", "Adam")
    before = everything(other)
    with pytest.raises(TrainingError, match=r"0\.bias is trained in the file, and frozen here") as caught:
        other.load(path)
    assert "requires_grad_(True)" in caught.value.hint
    assert_same(everything(other), before)
    other.model.requires_grad_(True)
    other.load(path)
    for each in (learn, other):
        each.fit(1, show=False)
    assert_same(everything(other), everything(learn))


def test_layers_that_were_frozen_since_stay_frozen_unless_decided_otherwise(tmp_path: Path) -> None:
    learn = learner("plain", "Adam")
    learn.fit(1, show=False)
    learn.model[0].requires_grad_(False)  # type: ignore[index]
    path = learn.save(tmp_path / "m")
    with pytest.warns(UserWarning, match=r"As in the file, 0\.bias is now frozen"):
        other = learner("plain", "Adam").load(path)
    for each in (learn, other):
        each.fit(1, show=False)
    assert_same(everything(other), everything(learn))
    decided = learner("plain", "Adam")
    decided.model[2].requires_grad_(False)  # type: ignore[index]
    with pytest.warns(UserWarning, match=r"0\.bias is frozen in the file, and stays trained here"):
        decided.load(path)
    assert decided.frozen() == {"2.weight", "2.bias"}


@pytest.mark.parametrize(
    "damage",
    [
        {"stop": {"rule": "eval"}},
        {"stop": {"rule": "after", "epochs": -1}},
        {"stop": {"rule": "either", "of": []}},
        {"schedule": {"schedule": "one_cycle", "div": 0.0, "div_final": 1.0, "pct_start": 0.1}},
        {"schedule": {"schedule": "os.system"}},
        {"batching": {"size": "5", "batches": 5}},
        {"batching": [1]},
        {"usual_lr": -1},
        {"usual_lr": "x"},
        {"rates": {"shares": [1.0, 1.0], "last": 0.1, "factor": 1.0}},
        {"rates": {"shares": ["a"], "last": 0.1, "factor": 1.0}},
        {"frozen": 7},
        {"seconds": [1]},
    ],
)
def test_a_damaged_plan_is_refused_and_changes_nothing(damage: dict[str, Any], tmp_path: Path) -> None:
    learn = learner()
    leave_after(learn.stream(after(epochs=2), schedule=one_cycle()), 5)
    path = learn.save(tmp_path / "m")
    arrays, about = model_file.read(path)
    model_file.write(path, arrays, {**about, "plan": {**about["plan"], **damage}})
    other = learner()
    before = everything(other)
    with pytest.raises(TrainingError) as caught:
        other.load(path)
    assert caught.value.hint
    assert re.search(r"[^.]\.$", caught.value.message), "one sentence before the hint"
    assert_same(everything(other), before)
