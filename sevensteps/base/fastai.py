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
        "splitter": "All parameters share one learning rate. To freeze some, call requires_grad_(False) on them.",
        "path": "Give save, load and export the whole path.",
        "model_dir": "Give save, load and export the whole path.",
        "wd": "Write learn.fit(5, wd=0.01), or pass opt_func=functools.partial(SGD, weight_decay=0.01).",
        "wd_bn_bias": "Weight decay applies to all parameters.",
        "train_bn": "Batch norm is always trained. To freeze it, call requires_grad_(False) on its parameters.",
        "moms": "Pass opt_func=functools.partial(SGD, momentum=0.9).",
    },
    "fit": {
        "start_epoch": "fit continues where the last fit ended, or where a training that learn.load(path) loaded did."
    },
    "fit_one_cycle": {
        "moms": "Pass opt_func=functools.partial(SGD, momentum=0.9). The momentum stays the same in all epochs.",
        "start_epoch": "Training continues where the last fit ended; the cycle spans the epochs of this call.",
    },
    "lr_find": {"suggest_funcs": "The result has .low, .high and .suggestion."},
    "validate": {"cbs": "Write a loop instead: for x, y in learn.dls.valid: ..."},
    "get_preds": {
        "with_input": "Write a loop instead: for x, y in learn.dls.valid: ...",
        "with_decoded": "predictions.argmax(1) gives the class numbers.",
        "with_loss": "learn.validate() returns the mean loss. A loss function takes what learn.get_logits() returns.",
        "act": "Write Learner(..., activation=...).",
        "cbs": "Write a loop instead: for x, y in learn.dls.valid: ...",
    },
    "predict": {
        "with_input": "The picture is already yours: it is what you pass.",
        "rm_type_tfms": "There are no transforms to remove.",
    },
    "show_results": {
        "shuffle": "Pass a loader that shuffles, as dl=...",
        "nrows": "max_n=9 sets the number of pictures.",
        "ncols": "max_n=9 sets the number of pictures.",
    },
    "save": {
        "with_opt": "save always saves the optimizer, too. To save the model alone, call learn.export(path).",
        "file": "Call it path.",
    },
    "load": {
        "with_opt": "load always loads the optimizer, too. To load a model alone, call ss.load_learner(path).",
        "strict": "load needs the same model. To load a part, call learn.model.load_state_dict(..., strict=False).",
        "device": "The weights go to the learner's device: Learner(..., device=...).",
        "file": "Call it path.",
    },
    "export": {
        "fname": "Call it path.",
        "pickle_module": "Leave it out: model files do not use pickle.",
        "pickle_protocol": "Leave it out: model files do not use pickle.",
    },
    "load_learner": {
        "cpu": "Models are loaded onto the CPU.",
        "pickle_module": "Leave it out: model files do not use pickle.",
        "fname": "Call it path.",
    },
    "DataLoaders": {
        "device": "Write Learner(..., device=...).",
        "path": "Give save, load and export of a Learner the whole path.",
        "bs": "Set it for each loader: DataLoader(pairs, batch_size=256).",
        "batch_size": "Set it for each loader: DataLoader(pairs, batch_size=256).",
    },
    "from_images": {
        "bs": "Call it batch_size.",
        "val_bs": "Validation batches are always twice as large as training batches.",
        "shuffle": "Training pictures are always shuffled, validation pictures never.",
        "shuffle_train": "Training pictures are always shuffled, validation pictures never.",
        "num_workers": "Leave it out: there are no workers, because whole batches are built at once.",
        "valid_pct": "Hold pictures out first: splits.hold_out(0.1).",
        "item_tfms": 'Pass augment="flip+crop+brightness", which changes whole batches.',
        "batch_tfms": 'Pass augment="flip+crop+brightness", which changes whole batches.',
    },
    "show_batch": {"nrows": "max_n=9 sets the number of pictures.", "ncols": "max_n=9 sets the number of pictures."},
    "SGD": {"mom": "Call it momentum.", "wd": "Call it weight_decay."},
}
