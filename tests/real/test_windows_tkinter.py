"""tkinter for Windows, as shipped, on a screen: wine draws a window with Xvfb, which is looked at, and goes away again."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.machine import Wine
from graph.testrun import prefix_of, unpack_archive
from tests.mini import Checkout
from tests.real.screen import Colour, Screen, screen
from tests.real.test_tkinter import COLOURS, SCRIPTS, four
from tests.real.test_windows import archive_of

LIMIT, WAIT = "900", 120.0
"""Seconds for all of it, with a new prefix of wine, and for a picture to change."""

pytestmark = pytest.mark.whole


@pytest.fixture
def display(tmp_path: Path) -> Iterator[Screen]:
    assert shutil.which("Xvfb"), "this machine has no Xvfb (Debian: xvfb)"
    (tmp_path / "screen").mkdir()
    with screen(tmp_path / "screen") as started:
        yield started


@pytest.fixture
def shown(wine: Wine, display: Screen, tmp_path: Path) -> Iterator[Wine]:
    """With a prefix of its own: what already runs in one has the screen that it was started with, or none."""
    machine = replace(wine, prefix=tmp_path / "prefix", display=display.display)
    yield machine
    subprocess.run(machine.stop, capture_output=True, timeout=WAIT)


@pytest.fixture
def python(first: Checkout, tmp_path: Path) -> Path:
    unpack_archive(archive_of(first, "install_only_stripped"), tmp_path / "a place")
    return prefix_of(tmp_path / "a place") / "python.exe"


def test_a_window_is_drawn_and_goes_away(python: Path, shown: Wine, display: Screen, tmp_path: Path) -> None:
    argv = shown.argv(str(python), "-I", shown.name(SCRIPTS / "window.py"), shown.name(four(tmp_path / "four.png")))
    limited, pipe = ["timeout", "--kill-after=5", LIMIT, *argv], subprocess.PIPE
    with subprocess.Popen(limited, stdin=pipe, stdout=pipe, text=True, errors="replace", env=display.env()) as process:
        assert process.stdin and process.stdout
        facts, said = told(process.stdout)
        assert facts, said
        assert (facts["patchlevel"], facts["tk_library"]) == ("9.0.4", "//zipfs:/lib/tk/tk_library")
        assert until(lambda: quarters(display, facts) == [*COLOURS]), quarters(display, facts)
        looked_at(display, facts, tmp_path / "window.png")
        process.stdin.close()
        left = process.stdout.read()
    assert (process.returncode, left) == (0, "")
    assert until(lambda: not {*quarters(display, facts)} & {*COLOURS}), quarters(display, facts)


def told(lines: Iterator[str]) -> tuple[Any, list[str]]:
    """The program's line of JSON, after what wine says of a new prefix; without one nothing, and what was said."""
    said: list[str] = []
    for line in lines:
        if line.startswith("{"):
            return json.loads(line), said
        said.append(line)
    return None, said


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT
    while not (come := condition()) and time.monotonic() < end:
        time.sleep(0.3)
    return come


def quarters(display: Screen, facts: Any) -> list[Colour]:
    """What the screen shows where the test image is, in the middle of each quarter."""
    left, top, width, height = facts["places"]["image"]
    assert (width, height) == (64, 64)
    picture = display.picture()
    return [picture.pixel(left + x, top + y) for y in (16, 48) for x in (16, 48)]


def looked_at(display: Screen, facts: Any, path: Path) -> None:
    """Text is black on white in steps, as it is anti-aliased, and the theme has drawn its widgets."""
    picture = display.picture()
    picture.png(path)
    print(f"\nscreenshot: {path}")
    # (wine's machine need not have a font for CJK)
    for name in ("latin", "greek", "cyrillic"):
        greys = {colour for colour in picture.colours(tuple(facts["places"][name])) if len(set(colour)) == 1}
        assert {(0, 0, 0), (255, 255, 255)} <= greys and len(greys) > 8, f"{name}: {len(greys)} greys"
    for name in ("bar", "tabs"):
        assert len(picture.colours(tuple(facts["places"][name]))) > 10, name
