"""What cannot be meant as typed, in words: with the names that the usage line has, and what to type instead."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import Any

import cyclopts
from cyclopts import App

from ..errors import nearest

# What people type for a flag of train that has another name.
_MEANT = {
    "--learning-rate": "Did you mean --lr?",
    "--rate": "Did you mean --lr?",
    "--hidden": "Did you mean --width, the hidden units? It needs --model relu.",
    "--hidden-units": "Did you mean --width? It needs --model relu.",
    "--layers": "The models are --model linear, relu and cnn.",
    "--network": "Did you mean --model?",
    "--batch": "Did you mean --batch-size?",
    "--bs": "Did you mean --batch-size?",
    "--patience": "Did you mean --stop-patience?",
    "--verbose": "Did you mean --numbers?",
    "--slow": "sevensteps xray RUN shows the seven steps of one batch at your own pace.",
    "--step": "sevensteps xray RUN shows the seven steps of one batch at your own pace.",
}


def usage_in_words(error: cyclopts.CycloptsError, arguments: Sequence[str], app: App) -> tuple[str, str]:
    """The message and the hint for what the parser refuses."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    if arguments and arguments[0].startswith("-") and verb not in app:
        hint = f"{nearest(arguments[0], ['--help', '--version'])} sevensteps --help lists the commands."
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
        if verb in ("train", "resume") and word in _MEANT:
            return f"Unknown option: {word}.", _MEANT[word]
    if isinstance(error, cyclopts.CoercionError) and error.token is not None:
        value, flag = error.token.value, error.token.keyword
        if error.target_type is float and re.fullmatch(r"-?\d+,\d+", value):
            return _plain(error), f"Use a decimal point: {flag or ''} {value.replace(',', '.')}".replace("  ", " ")
    if isinstance(error, cyclopts.UnusedCliTokensError) and error.unused_tokens:
        return _left_over(verb, error.unused_tokens, arguments, hint)
    return _plain(error), hint


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
