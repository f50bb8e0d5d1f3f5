"""Arguments of fastai that are called otherwise here, or are not needed, get an answer and not a TypeError."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from small import images, learner, loaders, unchecked
from torch import nn

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.errors import UsageError

SPLITS = Splits(images(20), valid=images(10))
MODEL = nn.Linear(64, 1)

TYPED: dict[str, tuple[Callable[[], Any], str]] = {
    "from_images(bs)": (lambda: ss.DataLoaders.from_images(SPLITS, bs=64), "batch_size"),
    "from_images(val_bs)": (lambda: ss.DataLoaders.from_images(SPLITS, val_bs=64), "twice"),
    "from_images(shuffle)": (lambda: ss.DataLoaders.from_images(SPLITS, shuffle=False), "always"),
    "from_images(num_workers)": (lambda: ss.DataLoaders.from_images(SPLITS, num_workers=2), "no workers"),
    "from_images(valid_pct)": (lambda: ss.DataLoaders.from_images(SPLITS, valid_pct=0.2), "hold_out"),
    "from_images(item_tfms)": (lambda: ss.DataLoaders.from_images(SPLITS, item_tfms=[1]), "augment"),
    "DataLoaders(device)": (lambda: ss.DataLoaders([], device="cpu"), "Learner(..., device"),
    "Learner(wd)": (lambda: ss.Learner(loaders(flat=True), MODEL, wd=0.1), "weight_decay=0.01"),
    "Learner(moms)": (lambda: ss.Learner(loaders(flat=True), MODEL, moms=(0.9, 0.8)), "momentum=0.9"),
    "Learner(path)": (lambda: ss.Learner(loaders(flat=True), MODEL, path="."), "whole path"),
    "Learner(model_dir)": (lambda: ss.Learner(loaders(flat=True), MODEL, model_dir="models"), "whole path"),
    "Learner(splitter)": (lambda: ss.Learner(loaders(flat=True), MODEL, splitter=list), "requires_grad_"),
    "Learner(train_bn)": (lambda: ss.Learner(loaders(flat=True), MODEL, train_bn=False), "requires_grad_"),
    "fit(start_epoch)": (lambda: learner().fit(1, start_epoch=3), "learn.load(path)"),
    "fit_one_cycle(moms)": (lambda: learner().fit_one_cycle(1, moms=(0.9, 0.8)), "momentum=0.9"),
    "lr_find(suggest_funcs)": (lambda: learner().lr_find(suggest_funcs=(min,)), ".suggestion"),
    "validate(cbs)": (lambda: learner().validate(cbs=[1]), "for x, y in"),
    "get_preds(with_loss)": (lambda: learner().get_preds(with_loss=True), "get_logits"),
    "get_preds(with_input)": (lambda: learner().get_preds(with_input=True), "for x, y in"),
    "get_preds(with_decoded)": (lambda: learner().get_preds(with_decoded=True), "argmax(1)"),
    "predict(with_input)": (lambda: learner().predict(images(2)[0], with_input=True), "yours"),
    "show_results(shuffle)": (lambda: learner().show_results(shuffle=True), "dl=..."),
    "show_batch(nrows)": (lambda: loaders().show_batch(nrows=2, ncols=2), "max_n"),
    "save(with_opt)": (lambda: learner().save("a", with_opt=False), "learn.export(path)"),
    "load(with_opt)": (lambda: learner().load("a", with_opt=False), "ss.load_learner(path)"),
    "load(device)": (lambda: learner().load("a", device="cpu"), "Learner(..., device"),
    "load(strict)": (lambda: learner().load("a", strict=False), "load_state_dict"),
    "export(fname)": (lambda: learner().export(fname="a"), "path"),
    "export()": (lambda: learner().export(), "learn.export("),
    "load_learner(cpu)": (lambda: ss.load_learner("a", cpu=True), "CPU"),
    "SGD(mom)": (lambda: ss.SGD(MODEL.parameters(), 0.1, mom=0.9), "momentum"),
    "SGD(wd)": (lambda: ss.SGD(MODEL.parameters(), 0.1, wd=0.9), "weight_decay"),
}


@pytest.mark.parametrize("what", TYPED)
def test_an_argument_of_fastais_is_answered_with_what_to_write(what: str) -> None:
    typed, hint = TYPED[what]
    with unchecked(), pytest.raises(UsageError) as caught:
        typed()
    called, _, argument = what.removesuffix(")").partition("(")
    assert called in caught.value.message
    assert not argument or caught.value.message.endswith(f"{called}() has no argument {argument}.")
    assert hint in caught.value.hint


def test_asking_for_nothing_is_fine() -> None:
    made: Any = ss.Learner
    learn = made(loaders(flat=True), MODEL, splitter=None, cbs=[], moms=None)
    learn.fit(1, cbs=[], start_epoch=None, show=False)
    learn.validate(cbs=None)


def test_a_name_that_nobody_knows_is_pythons_own_error() -> None:
    with unchecked(), pytest.raises(TypeError, match="unexpected keyword argument 'epocs'"):
        learner().fit(epocs=3)  # type: ignore[call-arg]


def test_what_is_taken_can_still_be_read_from_the_signature() -> None:
    assert list(inspect.signature(ss.Learner).parameters)[:4] == ["dls", "model", "loss_func", "opt_func"]
    assert "start_epoch" not in inspect.signature(ss.Learner.fit).parameters
