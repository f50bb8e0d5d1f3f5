"""Pictures that are given on the page: dropped, chosen or taken with the camera, one request each.

They are written into a folder of their own under numbers, and a table says which class each belongs to: neither the
name of a file nor that of a class becomes part of a path.
"""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..base import files
from ..data.class_names import check_names, class_named
from ..data.decode import decode, look
from ..data.files.archive import LARGEST_RATIO, LARGEST_SURE
from ..errors import DataError, UsageError
from .gate import PICTURE_BODY
from .session import Session
from .wire import answer, body, number_in, post, text_in

LIMITS = {
    "picture_bytes": PICTURE_BODY,
    "pictures": 10_000,
    "pixels": 50_000_000,
    "bytes": 4 << 30,  # of all pictures
    "unpacked_bytes": LARGEST_SURE,  # of a file in a zip, which the page unpacks
    "unpacked_ratio": LARGEST_RATIO,
}
MOST_CLASSES = 100
LONGEST_NAME = 80
SHOWN = 100  # refused pictures that the page lists

_SUFFIX = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


@dataclass
class Gathering:
    """The pictures that were given since the Studio was opened.

    Args:
        session: Shows how many there are.
    """

    session: Session
    pictures: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # by class: file and bytes of each
    refused: list[dict[str, str]] = field(default_factory=list)
    folder: Path | None = None
    number: int = 0  # of the last picture
    size: int = 0  # bytes of all pictures
    tables: int = 0
    used: set[str] = field(default_factory=set)  # files that a table names, which stay

    def show(self) -> None:
        """Tell the page what there is."""
        counts = {name: len(rows) for name, rows in self.pictures.items()}
        is_empty = not counts and not self.refused
        about = {"counts": counts, "refused": self.refused[-SHOWN:], "bytes": self.size}
        self.session.put("gathering", None if is_empty else about)

    def add(self, of: str, content: bytes) -> None:
        """Keep a picture, which can be decoded.

        Args:
            of: Its class.
            content: The bytes of its file.

        Raises:
            FileError: It cannot be written.
        """
        if self.folder is None:
            self.folder = _new_folder()
        self.number += 1
        suffix = next((suffix for head, suffix in _SUFFIX.items() if content.startswith(head)), ".tif")
        name = f"{self.number:06d}{suffix}"
        files.write(self.folder / name, content)
        self.pictures.setdefault(of, []).append((name, len(content)))
        self.size += len(content)

    def check(self, of: str) -> None:
        """Raise if another picture of a class cannot be taken.

        Args:
            of: Its class.

        Raises:
            UsageError: There is no room for it.
            DataError: People would read the name of the class as another's that is here.
        """
        if of not in self.pictures:
            check_names("Your pictures", {**dict.fromkeys(self.pictures, "already here"), of: "new"})
        count = sum(map(len, self.pictures.values()))
        if count >= LIMITS["pictures"]:
            raise UsageError(
                f"The page takes {LIMITS['pictures']:,} pictures at most.",
                hint="Put larger sets into a folder: sevensteps studio FOLDER",
            )
        if self.size > LIMITS["bytes"]:
            raise UsageError("These pictures take more than 4 GiB.", hint="Use a folder: sevensteps studio FOLDER")
        if of not in self.pictures and len(self.pictures) >= MOST_CLASSES:
            raise UsageError(f"The page takes {MOST_CLASSES} classes at most.", hint="sevensteps studio FOLDER")

    def drop(self, of: str | None, number: int | None) -> None:
        """Take pictures away again.

        Args:
            of: The class; None for everything.
            number: The place of one picture in the class, from 1; None for the whole class.

        Raises:
            UsageError: There is no such class or picture.
        """
        if of is None:
            gone = [row for rows in self.pictures.values() for row in rows]
            self.pictures.clear()
            self.refused.clear()
        elif of not in self.pictures:
            raise UsageError(f"There is no class {of!r:.80}.", hint="Reload the page.")
        elif number is None:
            gone = self.pictures.pop(of)
        elif not 1 <= number <= len(self.pictures[of]):
            raise UsageError(f"There is no picture {number} of {of}.", hint="Reload the page.")
        else:
            gone = [self.pictures[of].pop(number - 1)]
            if not self.pictures[of]:
                del self.pictures[of]
        self.size -= sum(size for _, size in gone)
        for name, _ in gone:
            if self.folder is not None and name not in self.used:
                files.remove(self.folder / name)

    def table(self) -> Path:
        """Write the table of the pictures and their classes, and return it.

        Raises:
            UsageError: There are fewer than two classes, or one picture of each.
            FileError: It cannot be written.
        """
        if len(self.pictures) < 2 or self.folder is None:
            raise UsageError("Training needs pictures of two classes or more.", hint="Add pictures of another class.")
        if all(len(rows) == 1 for rows in self.pictures.values()):
            raise UsageError(
                "One picture of each class is too few to train and to test with.",
                hint="Add pictures: four of each class or more.",
            )
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("file", "label"))
        for of, rows in self.pictures.items():
            writer.writerows((name, of) for name, _ in rows)
        self.tables += 1
        path = self.folder / f"my-pictures-{self.tables}.csv"
        files.write(path, text.getvalue())
        self.used |= {name for rows in self.pictures.values() for name, _ in rows}
        return path


def routes(session: Session) -> list[Route]:
    """Return the routes that take pictures.

    Args:
        session: Shows how many there are.
    """
    gathering, one_at_a_time = Gathering(session), asyncio.Lock()

    async def gather(request: Request) -> Response:
        of, name = _class_named(request.query_params.get("class", "")), request.query_params.get("name", "")[:200]
        gathering.check(of)
        content = await request.body()
        async with one_at_a_time:
            gathering.check(of)  # others were added while this one came
            taken = False
            try:
                await asyncio.to_thread(_check, content)
            except DataError as error:
                gathering.refused.append({"name": name, "reason": error.message.removesuffix(".")})
            else:
                await asyncio.to_thread(gathering.add, of, content)
                taken = True
            gathering.show()
        return answer({"taken": taken})

    async def ungather(request: Request) -> Response:
        values = await body(request)
        of = None if values.get("class") is None else text_in(values, "class")
        number = None if values.get("number") is None else number_in(values, "number", int)
        async with one_at_a_time:
            try:
                await asyncio.to_thread(gathering.drop, of, number)
            finally:
                gathering.show()
        return answer({})

    async def use(request: Request) -> Response:
        async with one_at_a_time:
            path = str(await asyncio.to_thread(gathering.table))
        await session.ask(lambda trainer: trainer.open_source(path, is_own=True))
        return answer({})

    return [post("/gather", gather), post("/do/ungather", ungather), post("/do/use-gathered", use)]


def _check(content: bytes) -> None:
    """Raise if a picture cannot be used.

    Raises:
        DataError: It cannot be decoded, or has too many pixels.
    """
    seen = look(content, "it")
    if seen.width * seen.height > LIMITS["pixels"]:
        raise DataError(f"it has {seen.width * seen.height:,} pixels, but may have {LIMITS['pixels']:,}.")
    decode(content, (3, 32, 32), "it")  # a file that ends too early shows only then


def _class_named(name: str) -> str:
    """Return the name of a class, as a table of pictures would give it.

    Raises:
        UsageError: It is empty, too long, holds characters that cannot be shown, or means that a value is missing.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"{name!r:.100} cannot be the name of a class.", hint=f"Use 1 to {LONGEST_NAME} letters, digits or signs."
        )
    if not (named := class_named(name)):
        raise UsageError(
            f"{name!r} cannot be the name of a class: in tables it says that a label is missing.",
            hint="Choose another name.",
        )
    return named


def _new_folder() -> Path:
    """Make the next free folder for pictures of the page.

    Raises:
        FileError: It cannot be made.
    """
    number = 1
    while not files.make_folder(Path(f"studio-pictures-{number}")):
        number += 1
    return Path(f"studio-pictures-{number}")
