"""Help for users of fastai: arguments that have another name here or are not needed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..errors import UsageError

P = ParamSpec("P")


T = TypeVar("T")


def instead_of(**hints: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function explain arguments that it does not have.

    Args:
        hints: For each such argument, what to write instead.

    Returns:
        A decorator. The decorated function raises a UsageError if it is given one of these arguments.
    >>> @instead_of(bs="Call it batch_size.")
    ... def load(batch_size: int) -> None: ...
    >>> load(bs=64)
    Traceback (most recent call last):
    sevensteps.errors.UsageError: load() has no argument bs.
    Call it batch_size.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def answering(*arguments: P.args, **settings: P.kwargs) -> T:
            for name in [name for name in settings if name in hints]:
                value = settings.pop(name)
                if value is not None and value != []:  # None and [] ask for nothing
                    called = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
                    raise UsageError(f"{called}() has no argument {name}.", hint=hints[name])
            return function(*arguments, **settings)

        return answering

    return decorate


# What fastai's functions take and ours do not, by our function and fastai's argument: what to write instead.
INSTEAD: dict[str, dict[str, str]] = {
    "Learner": {
        "splitter": "All parameters have one rate; requires_grad_(False) freezes some.",
        "path": "save, load and export take the whole path.",
        "model_dir": "save, load and export take the whole path.",
        "wd": "learn.fit(5, wd=0.01), or opt_func=functools.partial(SGD, weight_decay=0.01)",
        "wd_bn_bias": "Weight decay is for all parameters alike.",
        "train_bn": "Batch norm is trained; requires_grad_(False) freezes its parameters.",
        "moms": "opt_func=functools.partial(SGD, momentum=0.9)",
    },
    "fit": {"start_epoch": "fit goes on where the last one ended, and learn.load(path) where a saved one did."},
    "fit_one_cycle": {
        "moms": "opt_func=functools.partial(SGD, momentum=0.9): it stays the same all the way.",
        "start_epoch": "It goes on where the last fit ended; the cycle is of its own epochs.",
    },
    "lr_find": {"suggest_funcs": "What it gives has .low, .high and .suggestion."},
    "validate": {"cbs": "for x, y in learn.dls.valid: ..."},
    "get_preds": {
        "with_input": "for x, y in learn.dls.valid: ...",
        "with_decoded": "predictions.argmax(1) is the number of the class.",
        "with_loss": "learn.validate() gives the mean; logits, y = learn.get_logits() is what a loss takes.",
        "act": "Learner(..., activation=...)",
        "cbs": "for x, y in learn.dls.valid: ...",
    },
    "predict": {"with_input": "The picture is yours already.", "rm_type_tfms": "Nothing is to be removed."},
    "show_results": {
        "shuffle": "Pass a loader that shuffles: dl=...",
        "nrows": "max_n=9 says how many.",
        "ncols": "max_n=9 says how many.",
    },
    "save": {
        "with_opt": "It always saves the optimizer; learn.export(path) saves the model alone.",
        "file": "Call it path.",
    },
    "load": {
        "with_opt": "It always loads the optimizer; ss.load_learner(path) loads a model alone.",
        "strict": "The model must be the same; learn.model.load_state_dict(...) takes less.",
        "device": "It goes where the learner is: Learner(..., device=...).",
        "file": "Call it path.",
    },
    "export": {
        "fname": "Call it path.",
        "pickle_module": "Nothing is pickled.",
        "pickle_protocol": "Nothing is pickled.",
    },
    "load_learner": {
        "cpu": "It is loaded onto the CPU.",
        "pickle_module": "Nothing is pickled.",
        "fname": "Call it path.",
    },
    "DataLoaders": {
        "device": "Learner(..., device=...)",
        "path": "save, load and export of a Learner take the whole path.",
        "bs": "The loaders have their own: DataLoader(pairs, batch_size=256).",
        "batch_size": "The loaders have their own: DataLoader(pairs, batch_size=256).",
    },
    "from_images": {
        "bs": "Call it batch_size.",
        "val_bs": "Validation batches are twice as large: nothing is kept for the gradient.",
        "shuffle": "Training pictures are always shuffled, validation pictures never.",
        "shuffle_train": "Training pictures are always shuffled, validation pictures never.",
        "num_workers": "There are no workers: whole batches are gathered at once.",
        "valid_pct": "splits.hold_out(0.1)",
        "item_tfms": 'augment="flip+crop+brightness" changes whole batches.',
        "batch_tfms": 'augment="flip+crop+brightness" changes whole batches.',
    },
    "show_batch": {"nrows": "max_n=9 says how many.", "ncols": "max_n=9 says how many."},
    "SGD": {"mom": "Call it momentum.", "wd": "Call it weight_decay."},
}
