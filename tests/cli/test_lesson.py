"""`lesson`: seven screens that fit a projector, keys in a real terminal, and sums that are right."""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from typed import here, refused

from sevensteps.jobs.lesson import lesson
from sevensteps.records.lesson import Lesson
from sevensteps.show.lesson import LINES, WIDTH, print_lesson, question_lines, screen_lines


class Written(io.StringIO):
    """What a console writes; it takes it for a file in UTF-8."""

    encoding = "utf-8"


NAMES = ("initialize", "predict", "loss", "gradient", "step", "repeat", "stop")


@pytest.fixture(scope="module")
def made() -> Lesson:
    return lesson()


def test_each_screen_fits_with_and_without_colors(made: Lesson) -> None:
    assert [(screen.number, screen.name) for screen in made.screens] == list(enumerate(NAMES, 1))
    for settings in ({"force_terminal": True, "color_system": "truecolor"}, {"no_color": True}):
        out = Console(file=Written(), width=WIDTH, **settings)  # type: ignore[arg-type]
        for screen in made.screens:
            for lines in (screen_lines(out, screen, keys=True), question_lines(out, screen, keys=True)):
                assert len(lines) <= LINES, screen.name
                assert max(map(len, lines)) <= WIDTH, [line.plain for line in lines if len(line) > WIDTH]
            assert not re.search(r"[{}]", "".join(line.plain for line in screen_lines(out, screen)))


def test_the_sums_are_right_as_they_are_written(made: Lesson) -> None:
    lines = [line for screen in made.screens for line in screen.sums]
    checked = 0
    for line in lines:
        if found := re.fullmatch(r"(.*[\d)]) = *(-?[\d.]+)", line):
            left = found[1].replace(" x ", " * ").removeprefix("loss = ")
            value = eval(left, {"sigmoid": lambda score: 1 / (1 + math.exp(-score))})  # noqa: S307  our own line
            assert value == pytest.approx(float(found[2]), abs=0.0006), line
            checked += 1
    assert checked == 4 + 2 + 1 + 4
    numbers = {line.split()[0]: [float(each) for each in re.findall(r"-?\d\.\d+", line)] for line in lines}
    pixels, weights = numbers["pixels"], numbers["weights"]
    score = sum(pixel * weight for pixel, weight in zip(pixels, weights, strict=True))
    assert score == pytest.approx(numbers["score,"][0])
    after = [float(line.split()[-1]) for line in made.screens[4].sums[2:6]]
    bias = float(made.screens[4].sums[6].split()[-1])
    new = sum(pixel * weight for pixel, weight in zip(pixels, after, strict=True)) + bias
    assert new == pytest.approx(numbers["new"][0], abs=0.0006)
    loss = float(made.screens[2].sums[-1].split()[-1])
    assert float(made.screens[5].sums[0].split()[5]) == pytest.approx(loss)


def test_the_real_numbers_are_those_of_a_training_that_worked(made: Lesson) -> None:
    before, after = (float(number) for number in re.findall(r"0\.\d{3}", made.screens[4].real))
    assert after < before
    shares = [float(share) for share in re.findall(r"(\d+\.\d) %", made.screens[5].real)]
    assert len(shares) == len(made.screens[5].pictures) == 4
    assert shares[0] < 60
    assert shares[-1] > 96
    assert f"{shares[-1]} %" in made.screens[6].real
    assert not re.search(r"\d\.\d{4}", json.dumps(made.as_json()))  # three digits, not seventeen


def test_a_pipe_gets_all_screens(made: Lesson, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    print_lesson(Console(width=80, highlight=False, markup=False), made, ask=True)
    out = capsys.readouterr().out
    assert re.findall(r"^(\d) of 7  (\w+)$", out, re.MULTILINE) == [
        (str(number), name) for number, name in enumerate(NAMES, 1) for _ in range(2)
    ]
    assert "\x1b" not in out
    for screen in made.screens:
        assert screen.question in out.replace("\n", " ")
    refused(here("lesson", "--html", "deck.pdf", cwd=tmp_path, capsys=capsys), 2, "deck.pdf is named as another kind")


class Terminal:
    """A real terminal of 80x24 in which the command runs."""

    def __init__(self, cwd: Path, *arguments: str, **environment: str) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.file, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sevensteps", "lesson", *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=cwd,
            start_new_session=True,
            env=env | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environment,
        )
        os.close(inside)
        self.shown = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.file)

    def until(self, text: str) -> str:
        """Wait for a text, and return what came up to its end since the last one."""
        end = time.monotonic() + 120
        while text not in self.shown:
            assert time.monotonic() < end, self.shown[-2000:]
            if select.select([self.file], [], [], 0.2)[0]:
                try:
                    self.shown += self.decoder.decode(os.read(self.file, 65536))
                except OSError:  # the process has ended
                    assert text in self.shown, self.shown[-2000:]
        at = self.shown.index(text) + len(text)
        before, self.shown = self.shown[:at], self.shown[at:]
        return before

    def types(self, keys: str) -> None:
        os.write(self.file, keys.encode())

    def ends(self) -> int:
        self.until("\x1b[?1049l")  # what was on the screen before is there again
        return self.process.wait(60)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_keys_go_on_and_back_in_a_real_terminal(tmp_path: Path) -> None:
    with Terminal(tmp_path) as there:
        first = there.until("1 of 7")
        assert "\x1b[?1049h" in first
        for key, text in (
            ("\r", "2 of 7"),
            ("\x1b[C", "3 of 7"),
            ("x\x1bOC", "4 of 7"),
            ("\x1b[D", "3 of 7"),
            ("\x1b[5~", "2 of 7"),
            ("\x1b[6~", "3 of 7"),
            ("    ", "7 of 7"),
        ):
            time.sleep(0.3)
            there.types(key)
            shown = there.until(text)
        time.sleep(0.3)
        there.types("\x1b[D")
        there.until("6 of 7")
        shown = there.until("sleeves")
        assert "▀" in shown
        assert "\x1b[38;2;" in shown
        assert shown.count("\r\n") <= LINES
        there.types("q")
        assert there.ends() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_without_colors_and_interrupted_the_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    with Terminal(tmp_path, "--ask", NO_COLOR="1") as there:
        there.until("Where does it start?")
        there.types("\r")
        shown = there.until("bias     0.0")
        assert not re.search(r"\x1b\[[\d;]*[34]8;", shown)
        assert "▀" not in shown
        os.killpg(there.process.pid, signal.SIGINT)
        assert there.ends() == 130
