"""`export`: write a model in a format that other programs read, and check that it gives the same answers there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, UsageError, nearest
from ..recipes.without_folders import without_folders
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.folder import AnyRun
from ..runs.saved import Saved
from ..ship.formats import FORMATS, Order
from .card import CARD, README, write_card

if TYPE_CHECKING:
    from ..ship.agreement import Agreement


@dataclass(frozen=True, repr=False)
class Exported:
    """The file that was written, and how far its answers are from those of the model."""

    file: Path
    bytes: int
    golden: Path | None  # the file with pictures and their answers, if they are not inside
    agreement: Agreement | None  # None if the file checks its answers whenever it is opened
    files: tuple[str, ...] = ()  # of a card: what is in its folder
    note: str = ""  # of a card: why it has no ONNX file

    def as_json(self) -> dict[str, Any]:
        """Return what `export --json` prints."""
        said: dict[str, Any] = {"file": str(self.file), "bytes": self.bytes}
        if self.files:
            said["files"] = list(self.files)
        if self.note:
            said["note"] = self.note
        if self.golden is not None:
            said["golden"] = str(self.golden)
        if self.agreement is not None:
            said["pictures"] = self.agreement.count
            said["largest_difference"] = self.agreement.probability
            said["largest_difference_of_distance"] = self.agreement.distance
        return said

    def __repr__(self) -> str:
        return f"{self.in_words}\n{self.check_in_words}"

    @property
    def check_in_words(self) -> str:
        """How it is known that the file answers as the model does; of a card, what is in its folder."""
        if self.files:
            upload = f"Name a license in {README}, then upload the folder: {', '.join(self.files)}"
            return "\n".join([*([self.note] if self.note else []), upload])
        if self.agreement is None:
            return "Open it in a browser. Each time, it checks first that it answers as the model does."
        return f"the same answers as the model: {self.agreement.in_words}"

    @property
    def in_words(self) -> str:
        """The file and its size."""
        from ..data.store.store import in_words

        return f"{self.file}: {in_words(self.bytes)}"


def export(
    thing: AnyRun, to: str = "onnx", out: str | Path | None = None, *, any_size: bool = False, force: bool = False
) -> Exported:
    """Write a model in a format that other programs read, with a check that it gives the same answers there.

    An ONNX file is only written if it passes. A page checks itself whenever it is opened, and works only if it passes.

    Args:
        thing: A run's folder, its name under `runs/`, the run that `train` returned, or a `model.safetensors`.
        to: The format: "onnx"; "page" for a web page that classifies pictures offline; or "python" for a program that
            needs only NumPy (linear models) or PyTorch; or "card" for a folder to upload to a model hub.
        out: The file to write. Default: `model.onnx`, `model.html`, `model.py` or the folder `card` beside the model's
            file. An earlier export of this name is replaced, but no other file.
        any_size: Whether the file takes pictures of any size, and resizes them to the same pixels as `predict`.
        force: Whether to replace other files, too; never the model itself, nor anything in the folder of a card.

    Returns:
        The file, and how far its answers to at least 64 made-up pictures are from those of the model.

    Raises:
        UsageError: There is no such format, `out` has the suffix of another one or is the model itself, or a program
            would have the name of a module that it imports.
        RunError, ModelError: There is no such run or file, the model cannot be written in this format, a package is
            missing, or the answers differ.
        FileError: Another file is in the way, or the file cannot be written.
    """
    if to not in (*FORMATS, CARD):
        raise UsageError(f"There is no format {to!r:.80}.", hint=nearest(str(to), (*FORMATS, CARD)))
    if any_size and to != "onnx":
        raise UsageError("--any-size is for --to onnx; other files resize pictures anyway.", hint="Leave it out.")
    if force and to == CARD:
        raise UsageError(
            "--force does not work with --to card: the folder of a card is never replaced.",
            hint="Name another folder with --out.",
        )
    if to == CARD:
        return _export_card(thing, out)
    suffix = FORMATS[to].suffix
    file, more = _model_of(thing)
    path = Path(out) if out is not None else file.with_name(f"model{suffix}")
    if path.suffix.lower() != suffix:
        named = path if path.stem.strip(".") else path / "model"
        instead = named.with_suffix(suffix)
        raise UsageError(f"The name of the file must end in {suffix}.", hint=f"--out {instead}")
    hint = "Choose another file with --out, or replace it with --force."
    written = FORMATS[to].write(Order(file, path, more, any_size, force, hint))
    return Exported(path, path.stat().st_size, written.golden, written.agreement)


def _export_card(thing: AnyRun, out: str | Path | None) -> Exported:
    """Write the folder for a model hub.

    Raises:
        UsageError, RunError, ModelError, FileError: As `export`.
    """
    if isinstance(thing, (str, Path)) and Path(thing).is_file():
        raise UsageError(
            "A card needs a run: the file of a model does not have its results.", hint="Name the folder of the run."
        )
    file, more = _model_of(thing)
    saved = Saved.open(file.parent)
    folder = Path(out) if out is not None else saved.folder / CARD
    names, note = write_card(saved, folder, more)
    size = sum((folder / name).stat().st_size for name in names)
    return Exported(folder, size, None, None, tuple(names), note)


def _model_of(thing: AnyRun) -> tuple[Path, dict[str, Any]]:
    """Return a model's file, and what the run around it says of its training.

    Raises:
        RunError, ModelError: There is no such run or file.
    """
    if isinstance(thing, (str, Path)) and Path(thing).is_file():
        return Path(thing), {}
    saved = Saved.open(folders.find_run(thing))
    file = saved.folder / checkpoint.MODEL
    if not file.is_file():
        raise ModelError(f"{saved.folder} has no {checkpoint.MODEL}.", hint=f"sevensteps resume {saved.folder}")
    recipe = saved.recipe.replace(**without_folders(vars(saved.recipe)))
    return file, {"recipe": recipe.to_toml(), "data": saved.recorded.get("data", {})}
