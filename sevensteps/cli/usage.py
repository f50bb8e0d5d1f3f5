"""What cannot be meant as typed, in words: with the names that the usage line has, and what to type instead."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Sequence
from typing import Any

import cyclopts
from cyclopts import App

from ..base.words import with_names
from ..errors import nearest

# What people type for a flag that has another name, by what they mean; other spellings are found by `_meant`.
_MEANT = {
    "learning-rate": "lr",
    "learningrate": "lr",
    "rate": "lr",
    "eta": "lr",
    "step-size": "lr",
    "hidden": "width",
    "hidden-units": "width",
    "hidden-size": "width",
    "units": "width",
    "neurons": "width",
    "network": "model",
    "net": "model",
    "arch": "model",
    "architecture": "model",
    "batch": "batch-size",
    "bs": "batch-size",
    "batchsize": "batch-size",
    "minibatch": "batch-size",
    "n-epochs": "epochs",
    "num-epochs": "epochs",
    "epoch": "epochs",
    "iterations": "epochs",
    "iters": "epochs",
    "opt": "optimizer",
    "wd": "weight-decay",
    "decay": "weight-decay",
    "l2": "weight-decay",
    "mom": "momentum",
    "scheduler": "schedule",
    "lr-schedule": "schedule",
    "patience": "stop-patience",
    "early-stopping": "stop-patience",
    "augmentation": "augment",
    "aug": "augment",
    "img-size": "size",
    "imgsz": "size",
    "image-size": "size",
    "resize": "size",
    "val-split": "hold-out",
    "validation-split": "hold-out",
    "valid-pct": "hold-out",
    "val": "hold-out",
    "test-size": "hold-out",
    "cv": "folds",
    "k-folds": "folds",
    "kfold": "folds",
    "n-splits": "folds",
    "random-state": "seed",
    "random-seed": "seed",
    "gpu": "device",
    "cuda": "device",
    "n-threads": "threads",
    "jobs": "threads",
    "workers": "threads",
    "num-workers": "threads",
    "output": "out",
    "out-dir": "out",
    "output-dir": "out",
    "save-dir": "out",
    "o": "out",
    "name": "out",
    "overwrite": "force",
    "exist-ok": "force",
    "config": "recipe",
    "cfg": "recipe",
    "settings": "recipe",
    "plot": "plots",
    "figures": "plots",
    "verbose": "numbers",
    "data": "source",
    "dataset": "source",
    "folder": "source",
    "path": "source",
    "class": "classes",
    "labels": "classes",
    "label": "label-column",
    "file": "file-column",
    "image-column": "file-column",
}

# What people type for what is no flag at all.
_NO_FLAG = {
    "layers": "The models are --model linear, relu, cnn and vgg.",
    "slow": "sevensteps xray RUN shows the seven steps of one batch at your own pace.",
    "step": "sevensteps xray RUN shows the seven steps of one batch at your own pace.",
    "pretrained": "--features efficientnet-lite0 learns from features of a pretrained network.",
}


def usage_in_words(error: cyclopts.CycloptsError, arguments: Sequence[str], app: App) -> tuple[str, str]:
    """The message and the hint for what the parser refuses."""
    words = [word for word in arguments if not word.startswith("-") or word == "--install-completion"]
    verb = next(iter(words), "")
    if arguments and arguments[0].startswith("-") and verb not in app:
        known = nearest(arguments[0], ["--help", "--version", "--install-completion"])
        hint = f"{known} sevensteps --help lists the commands."
        return f'Unknown option "{arguments[0]}".', hint
    if verb not in app:
        return _plain(error), "sevensteps --help lists the commands."
    hint = f"sevensteps {verb} --help lists its options."
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument is not None:
        flag = error.keyword or next((token.keyword for token in error.argument.tokens if token.keyword), None)
        is_flag = flag is not None or error.argument.index is None
        what = f"{flag or error.argument.name} needs a value" if is_flag else f"{verb} needs {_named(error.argument)}"
        return f"{what}.", hint
    if isinstance(error, cyclopts.UnknownOptionError):
        word = (error.token.keyword or error.token.value).partition("=")[0]
        if meant := _meant(word, verb, app):
            run = next((word for word in arguments[1:] if not word.startswith("-")), "")
            return f"Unknown option: {word}.", with_names(meant, {"run": run} if verb != "train" else {})
    if isinstance(error, cyclopts.CoercionError) and error.token is not None:
        value, flag = error.token.value, error.token.keyword
        if error.target_type is float and re.fullmatch(r"-?\d*,\d+(e[+-]?\d+)?", value):
            return _plain(error), f"Use a decimal point: {flag or ''} {value.replace(',', '.')}".replace("  ", " ")
    if isinstance(error, cyclopts.UnusedCliTokensError) and error.unused_tokens:
        return _left_over(verb, error.unused_tokens, arguments, hint)
    return _plain(error), hint


def _meant(word: str, verb: str, app: App) -> str:
    """What to type in place of a flag that there is not, also where it is a flag of another verb; "" if unknown."""
    name = word.lstrip("-").lower().replace("_", "-")
    flags = _flags_of(verb, app)
    flag = next((f"--{each}" for each in (name, _MEANT.get(name, "")) if f"--{each}" in flags), "")
    if flag == "--width":
        return "Did you mean --width, the hidden units? It needs --model relu."
    if flag:
        return f"Did you mean {flag}?"
    if name in _NO_FLAG and verb in ("train", "resume", "xray"):
        return _NO_FLAG[name]
    if difflib.get_close_matches(word, flags, cutoff=0.8):
        return ""  # the parser proposes it
    if (near := difflib.get_close_matches(name, _MEANT, 1, cutoff=0.85)) and f"--{_MEANT[near[0]]}" in flags:
        return f"Did you mean --{_MEANT[near[0]]}?"
    others = [other for other in _VERBS if word in _flags_of(other, app)]
    return f"{word} is a flag of {' and '.join(f'sevensteps {other}' for other in others)}." if others else ""


def _flags_of(verb: str, app: App) -> set[str]:
    """All flags of a verb."""
    return {name for argument in app[verb].assemble_argument_collection() for name in argument.names}


# In the order in which a flag of several is looked for.
_VERBS = ("train", "data", "predict", "judge", "compare", "xray", "report", "verify", "resume", "prepare", "runs")


def _left_over(verb: str, unused: Sequence[str], arguments: Sequence[str], hint: str) -> tuple[str, str]:
    """Return the message and the hint for unexpected arguments, such as an unquoted path with a space in it."""
    words = list(arguments)
    first = words.index(unused[0]) if unused[0] in words else 0
    for start in range(1, first):
        for end in range(first + 1, len(words) + 1):
            path = " ".join(words[start:end])
            if os.path.exists(path):
                typed = shlex.join([*words[:start], path, *words[end:]])
                return f"{path} was typed as {end - start} words.", f"With quotes it is one: sevensteps {typed}"
    many = "arguments" if len(unused) > 1 else "argument"
    return f"Unexpected {many} for {verb}: {shlex.join(unused)}.", hint


def _plain(error: cyclopts.CycloptsError) -> str:
    """The parser's own words, in which a flag that was typed as a word of its own is called as in the usage line."""
    text = str(error)
    argument = error.argument
    if argument is None or argument.index is None or any(token.keyword for token in argument.tokens):
        return text
    return re.sub(rf"(?<!\S){re.escape(argument.name)}\b", _named(argument), text)


def _named(argument: Any) -> str:
    """A word of the usage line: SOURCE for --source."""
    return str(argument.name).lstrip("-").replace("-", "_").upper()
