"""Take the model: every file of it in one zip, with a self-test that has passed before the zip is given away."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.responses import Response

from ..base import files
from ..base.version import __version__
from ..errors import ModelError, RunError
from ..jobs.report import write_report
from ..recipes.without_folders import without_folders
from ..runs.checkpoint import JUDGEMENT, MODEL, RECIPE, REPORT
from ..runs.folder import CORRECTIONS
from ..runs.saved import Saved
from ..ship import file as model_file
from ..ship.formats import FORMATS, Order
from ..ship.predict import load_model
from .asked import Asked, Open, get, opened, post

if TYPE_CHECKING:
    from starlette.routing import Route

    from ..data.images import Images
    from .session import Session

PICTURES = 16  # that the self-test classifies

LONGEST = 300  # seconds that the self-test may take; a network of a large photograph takes a second a picture

_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the time of every file: the same run gives the same zip

WHAT = {
    MODEL: "the model, for Python",
    "model.onnx": "the model, for other programs",
    "model.golden.safetensors": "pictures with which `sevensteps verify` checks the ONNX file",
    "model.html": "one page that classifies pictures in a browser, offline",
    RECIPE: "every setting; trains the same model again",
    REPORT: "how good it is, and what it gets wrong",
    JUDGEMENT: "the same in numbers, for programs",
    CORRECTIONS: "the labels that were changed",
    "README.txt": "how to use all this",
    "selftest.py": "checks that the files are whole and give the right answers",
    "selftest.json": "the answers that they must give",
}


@dataclass(frozen=True)
class Pack:
    """A zip, what is in it, and what its self-test said."""

    name: str
    content: bytes
    about: Mapping[str, Any]


def pack(saved: Saved, images: Images | None) -> Pack:
    """Put a run's model into one zip, with a self-test; it is refused unless the self-test passes on its files.

    Args:
        saved: The run.
        images: Pictures for the self-test: those that it was tested on, where they are at hand.

    Raises:
        RunError: The run has no model yet, or its self-test fails.
        ModelError: The model is damaged.
        FileError: The files cannot be written.
    """
    model = saved.folder / MODEL
    if not model.is_file():
        raise RunError("There is no finished model yet.", hint="Train to the end first.")
    with tempfile.TemporaryDirectory(prefix="sevensteps-") as there:
        folder = Path(there) / "model"
        files.make_folder(folder)
        missing = _write(saved, folder, images)
        tested = _tested(folder)
        names = sorted((path for path in folder.rglob("*") if path.is_file()), key=_order)
        stem = _plain(saved.folder.resolve().name)
        content = _zipped(stem, {path.relative_to(folder).as_posix(): path.read_bytes() for path in names})
        listed = [
            {"name": path.name, "bytes": path.stat().st_size, "what": WHAT[path.name]}
            for path in names
            if path.parent == folder
        ]
    about = {"run": saved.folder.name, "files": listed, "missing": missing, "tested": tested, "bytes": len(content)}
    return Pack(f"{stem}.zip", content, about)


def _order(path: Path) -> tuple[int, str]:
    """Return where a file stands in the zip: those that are named above in that order, then the pictures."""
    names = list(WHAT)
    return (names.index(path.name) if path.name in WHAT else len(names), path.name)


def _plain(name: str) -> str:
    """Return a run's name as part of any file's name."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in name)


def _write(saved: Saved, folder: Path, images: Images | None) -> list[dict[str, str]]:
    """Write every file but the zip; return those that this model cannot have, each with the reason."""
    for name in (MODEL, JUDGEMENT, CORRECTIONS):
        if (saved.folder / name).is_file():
            files.write(folder / name, files.content(saved.folder / name, model_file.LARGEST))
    recipe = saved.recipe.replace(**without_folders(vars(saved.recipe)))
    if (folder / CORRECTIONS).is_file():
        recipe = recipe.replace(fix=CORRECTIONS)  # the copy beside it; the file that it was read from stays here
    files.write(folder / RECIPE, recipe.to_toml(saved.recorded))
    write_report(saved.folder, folder / REPORT)
    more = {"recipe": recipe.to_toml(), "data": saved.recorded.get("data", {})}
    missing = []
    for to, name in (("onnx", "model.onnx"), ("page", "model.html")):
        try:
            FORMATS[to].write(Order(folder / MODEL, folder / name, more))
        except ModelError as error:
            missing.append({"name": name, "why": error.message.replace(str(folder / MODEL), "This model")})
    files.write(folder / "README.txt", _readme(saved, missing))
    files.write(folder / "selftest.py", resources.files(__package__).joinpath("selftest.txt").read_text("utf-8"))
    _write_answers(folder, images)
    return missing


def _write_answers(folder: Path, images: Images | None) -> None:
    """Write pictures, and the answers that the model gives to them."""
    from ..ship.agreement import golden_pictures, image_of

    model = load_model(folder / MODEL)
    usable = images is not None and images.shape[0] in (1, 3) and len(images)
    if usable and images is not None:
        pixels = images.pixels[np.linspace(0, len(images) - 1, min(PICTURES, len(images))).astype(int)]
    else:
        pixels = golden_pictures(model.shape if model.shape[0] in (1, 3) else (3, 64, 64), PICTURES)
    files.make_folder(folder / "pictures")
    answers = []
    for number, picture in enumerate(pixels, 1):
        drawn = io.BytesIO()
        image_of(picture).save(drawn, "PNG")
        name = f"pictures/{number:02}.png"
        files.write(folder / name, drawn.getvalue())
        answer = model.answer(folder / name)
        if answer.probabilities is None:
            raise ModelError(f"The model does not answer: {answer.error}")
        shares = [answer.probabilities[each] for each in model.classes]
        answers.append({"picture": name, "answer": answer.reason or answer.best, "probabilities": shares})
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    wanted = {
        "sevensteps": __version__,
        "classes": list(model.classes),
        "tolerance": 1e-4,
        "own_size": tuple(pixels.shape[1:]) == model.shape and model.read is None,
        "answers": answers,
        "files": digests,
    }
    files.write(folder / "selftest.json", json.dumps(wanted, indent=1))


def _tested(folder: Path) -> list[str]:
    """Run the self-test as its user will; return what it says.

    Raises:
        RunError: It fails.
    """
    try:
        ended = subprocess.run(
            [sys.executable, str(folder / "selftest.py")], capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"The self-test of the files did not end: {error}.", hint="Try again.") from error
    lines = ended.stdout.splitlines()
    if ended.returncode:
        said = "; ".join([*lines, *ended.stderr.splitlines()[-1:]])
        raise RunError(
            f"The self-test of the files failed, so there is no zip: {said}",
            hint="Report this as a bug of the Studio. The run itself is not damaged.",
        )
    return lines


def _readme(saved: Saved, missing: list[dict[str, str]]) -> str:
    """Return how to use what is in the zip."""
    without = "".join(f"There is no {one['name']}: {one['why']}\n" for one in missing)
    lacks = {one["name"] for one in missing}
    lines = [
        f"A model of {', '.join(saved.classes)}, trained with sevensteps {__version__}.",
        "",
        "Check it:            python selftest.py",
        "Ask it:              sevensteps predict model.safetensors PICTURE.png",
        *([] if "model.html" in lacks else ["Without a program:   open model.html in a browser; it works offline"]),
        *(
            []
            if "model.onnx" in lacks
            else ["From other programs: model.onnx takes uint8 pixels and has everything inside"]
        ),
        "Train it again:      sevensteps train PICTURES --recipe recipe.toml",
        "",
        "report.html says how good it is and what it gets wrong.",
        "The folder pictures holds some pictures that it was tested on: do not share them if you are not allowed to.",
        without,
    ]
    return "\n".join(lines)


def _zipped(stem: str, contents: Mapping[str, bytes]) -> bytes:
    """Return a zip whose bytes depend on its files alone."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(f"{stem}/{name}", _BEGINNING)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return content.getvalue()


class Counter:
    """The zip of the open run, packed once until the run changes.

    Args:
        session: The state that the page shows.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._kept: tuple[Any, Pack] | None = None

    def pack(self) -> Pack:
        """Return the zip of the open run.

        Raises:
            RunError, ModelError, FileError: As `pack`.
        """
        now = opened(self._session)
        if now.folder is None and now.judged is not None:
            raise RunError("A learner's training is not saved here.", hint="In your notebook: learn.save('model')")
        folder = now.need_folder()
        stamps = tuple((folder / name).stat().st_mtime_ns for name in (MODEL, JUDGEMENT) if (folder / name).is_file())
        with self._lock:
            if self._kept is None or self._kept[0] != (folder, stamps):
                self._kept = (folder, stamps), pack(Saved.open(folder), _tested_on(now))
            return self._kept[1]


def _tested_on(now: Open) -> Images | None:
    return None if now.splits is None else now.splits.test or now.splits.valid or now.splits.train


def routes(session: Session) -> list[Route]:
    """Return the routes of Take it.

    Args:
        session: The state that the page shows.
    """
    counter = Counter(session)

    def about(asked: Asked) -> dict[str, Any]:
        found = counter.pack()
        return {**found.about, "name": found.name}

    def zipped(asked: Asked) -> Response:
        found = counter.pack()
        headers = {"Content-Disposition": f'attachment; filename="{found.name}"'}
        return Response(found.content, media_type="application/zip", headers=headers)

    return [
        post("/do/pack", about),
        get("/take", zipped),
    ]
