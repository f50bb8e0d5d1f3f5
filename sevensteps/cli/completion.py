"""`sevensteps --install-completion`: the Tab key completes verbs, flags and choices."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from ..errors import UsageError

Shell = Literal["bash", "zsh", "fish"]

# The file that loads the completion in a new shell, and that a line is added to; fish finds it without one.
_LOADED_BY = {"bash": "~/.bashrc", "zsh": "~/.zshrc"}


def install(app: App, shell: Shell | None) -> int:
    """Write a shell's completion script where the shell looks for it; print what was written.

    Args:
        app: The command line.
        shell: The shell; the one that runs the command unless given.

    Raises:
        UsageError: The shell is not known.
    """
    from cyclopts.completion.detect import ShellDetectionError, detect_shell

    from ..show import terminal

    hint = "Name it: sevensteps --install-completion bash (or zsh, or fish)"
    try:
        found = shell or detect_shell()
    except ShellDetectionError as error:
        raise UsageError("It cannot be seen which shell this is.", hint=hint) from error
    if found not in ("bash", "zsh", "fish"):
        raise UsageError(f"There is no completion for {found}.", hint=hint)
    path = app.install_completion(shell=found)
    console, _ = terminal.consoles()
    console.print(terminal.printable(f"The Tab key completes sevensteps in {found}, from the next terminal on."))
    loads = f", and {_LOADED_BY[found]} loads it" if found in _LOADED_BY else ""
    console.print(terminal.printable(f"Written: {path}{loads}"))
    return 0
