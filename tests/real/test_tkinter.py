"""tkinter as shipped, moved, on a screen: windows, fonts, images, input, IDLE, turtle, threads. Needs Xvfb, xdotool and fonts."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graph.testrun import prefix_of, unpack_archive
from tests.mini import Checkout
from tests.real.conftest import archive
from tests.real.machine import environment, patiently, said
from tests.real.screen import Picture, Screen, screen
from tests.real.version import MINOR

SCRIPTS = Path(__file__).with_name("tk")
PLACES = ("base", "venv", "symlink")
COLOURS = ((255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0))
"""Of the quarters of the test image, row by row."""
WAIT = 60.0
PILLOW = "13.0.0"


@pytest.fixture(scope="module")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    for program in ("Xvfb", "xdotool"):
        assert shutil.which(program), f"this machine has no {program} (Debian: xvfb, xdotool)"
    with screen(tmp_path_factory.mktemp("screen")) as started:
        yield started


@pytest.fixture(scope="module")
def pythons(moved: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The interpreter as it is reached from each of PLACES."""
    folder = tmp_path_factory.mktemp("pythons")
    subprocess.run([moved / "bin/python3", "-m", "venv", "--without-pip", folder / "a venv"], check=True)
    (folder / "linked").symlink_to(moved / f"bin/python{MINOR}")
    return {"base": moved / "bin/python3", "venv": folder / "a venv/bin/python", "symlink": folder / "linked"}


def start(display: Screen, *argv: str | Path, **env: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    # what hangs ends all the same, and its window with it
    limited = ["timeout", "--kill-after=5", "120", *(str(arg) for arg in argv)]
    return subprocess.Popen(limited, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=display.env(**env))


@contextmanager
def shown(display: Screen, *argv: str | Path) -> Iterator[Any]:
    """A program that prints a line of JSON when its window is there, and ends with its input; it must end well and say nothing else."""
    process = start(display, *argv)
    assert process.stdin and process.stdout and process.stderr
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield json.loads(line)
        process.stdin.close()
        assert process.wait(WAIT) == 0, process.stderr.read()
        assert process.stderr.read() == ""
    finally:
        process.terminate()
        process.wait()


def told(display: Screen, *argv: str | Path, **env: str) -> Any:
    """The JSON that a program prints."""
    process = start(display, *argv, **env)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out)


def four(path: Path) -> Path:
    """A PNG image of 64 by 64 pixels, a colour in each quarter."""
    rows = b"".join(bytes((*reversed(COLOURS[(y >= 32) * 2 + (x >= 32)]), 0)) for y in range(64) for x in range(64))
    Picture(64, 64, rows).png(path)
    return path


@pytest.mark.parametrize("place", PLACES)
def test_a_window_shows_widgets_text_and_an_image(display: Screen, pythons: dict[str, Path], tmp_path: Path, place: str) -> None:
    with shown(display, pythons[place], SCRIPTS / "window.py", four(tmp_path / "four.png")) as facts:
        time.sleep(0.3)
        picture = display.picture()
        picture.png(tmp_path / "window.png")
    print(f"\nscreenshot: {tmp_path / 'window.png'}")
    assert facts["patchlevel"] == "9.0.4"
    assert facts["tk_library"] == "//zipfs:/lib/tk/tk_library"
    left, top, width, height = facts["places"]["image"]
    assert (width, height) == (64, 64)
    quarters = [picture.pixel(left + x, top + y) for y in (16, 48) for x in (16, 48)]
    assert quarters == list(COLOURS)
    for name in ("latin", "greek", "cyrillic", "cjk"):
        colours = picture.colours(tuple(facts["places"][name]))
        greys = {colour for colour in colours if len(set(colour)) == 1}
        # black on white in steps: text is anti-aliased
        assert len(greys) > 30, f"{name}: {len(greys)} greys"
        assert {(0, 0, 0), (255, 255, 255)} <= greys
    assert len(picture.colours(tuple(facts["places"]["bar"]))) > 20


def test_cjk_text_comes_from_a_font_that_has_it(display: Screen, pythons: dict[str, Path]) -> None:
    code = (
        "import tkinter, json; r = tkinter.Tk();"
        "print(json.dumps([r.tk.eval(f'font actual TkDefaultFont -family -- {c}') for c in ('A', '\\u0416', '\\u65e5')]))"
    )
    latin, cyrillic, cjk = told(display, pythons["base"], "-c", code)
    assert latin == cyrillic
    assert cjk != latin, "no CJK font is installed (Debian: fonts-droid-fallback)"


@pytest.mark.parametrize("place", PLACES)
def test_idle_opens_and_runs_what_is_typed(display: Screen, pythons: dict[str, Path], tmp_path: Path, place: str) -> None:
    process = start(display, pythons[place], "-m", "idlelib", HOME=str(tmp_path))
    try:
        window = display.xdotool("search", "--sync", "--onlyvisible", "--name", "^IDLE Shell 3").splitlines()[0]
        assert display.xdotool("getwindowname", window).startswith(f"IDLE Shell {MINOR}")
        display.xdotool("windowfocus", "--sync", window)
        proof = tmp_path / "proof"
        end = time.monotonic() + WAIT
        while not proof.exists() and time.monotonic() < end:
            # the first tries may come before the shell has its prompt
            display.xdotool("type", "--delay", "5", f"open('{proof}', 'w').close()")
            display.xdotool("key", "Return")
            time.sleep(1)
        display.picture().png(tmp_path / "idle.png")
        print(f"\nscreenshot: {tmp_path / 'idle.png'}")
        assert proof.exists()
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize("place", PLACES)
def test_a_turtle_draws(display: Screen, pythons: dict[str, Path], tmp_path: Path, place: str) -> None:
    with shown(display, pythons[place], SCRIPTS / "drawn.py") as facts:
        time.sleep(0.3)
        picture = display.picture()
        picture.png(tmp_path / "turtle.png")
    print(f"\nscreenshot: {tmp_path / 'turtle.png'}")
    assert picture.pixel(*facts["middle"]) == (255, 0, 0)
    assert picture.pixel(*facts["corner"]) == (0, 0, 255)


LOCALES = "/usr/share/X11/locale"
FONTS = ("/usr/share/fonts", "/usr/local/share/fonts")
TYPED = "aB_(1)\u00e9\u03a9\u044f\u65e5\u20ac"


@pytest.mark.parametrize("locale_files", ["the machine's", "the distribution's"])
def test_letters_of_every_script_can_be_typed(display: Screen, pythons: dict[str, Path], locale_files: str) -> None:
    argv: tuple[str | Path, ...] = (pythons["base"], SCRIPTS / "typed.py")
    if locale_files == "the distribution's":
        argv = (*without(LOCALES), *argv)
    elif not Path(LOCALES, "locale.dir").exists():
        pytest.skip("this machine has no locale files of X")
    process = start(display, *argv)
    assert process.stdout
    assert process.stdout.readline() == '"ready"\n'
    time.sleep(0.5)
    # a letter that the layout lacks has a key for a fourth of the delay (a half with "key"), by whose end Tk must have looked it up
    display.xdotool("type", "--delay", "400", TYPED)
    # dead keys and the compose key
    display.xdotool("key", "--delay", "200", "dead_acute", "e", "dead_diaeresis", "u", "Multi_key", "o", "e", "Return")
    out, err = process.communicate(timeout=WAIT)
    assert out.strip() == ascii(TYPED + "\u00e9\u00fc\u0153"), err


def without(*folders: str) -> tuple[str, ...]:
    """The start of a command line that sees these folders of the machine empty."""
    hide = "; ".join(f"[ ! -d {folder} ] || mount -t tmpfs none {folder}" for folder in folders)
    return ("unshare", "--mount", "sh", "-ec", f'{hide}; exec "$@"', "sh")


def test_a_machine_without_fonts_shows_text(display: Screen, pythons: dict[str, Path], tmp_path: Path) -> None:
    code = (
        "import tkinter, tkinter.font, json; r = tkinter.Tk(); text = tkinter.Label(r, text='Hello'); text.pack(); r.update();"
        "print(json.dumps([sorted(set(tkinter.font.families())), text.winfo_width() > 10]))"
    )
    shown = told(display, *without(*FONTS), pythons["venv"], "-c", code, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))
    assert shown == [["DejaVu Sans", "DejaVu Sans Mono"], True]


def test_a_foreign_tcl_library_does_no_harm(display: Screen, pythons: dict[str, Path], tmp_path: Path) -> None:
    for name in ("init.tcl", "tk.tcl"):
        (tmp_path / name).write_text("package require -exact Tcl 8.6.13\n")
    code = "import tkinter, json; r = tkinter.Tk(); print(json.dumps(r.tk.eval('list [info library] $tk_library')))"
    found = told(display, pythons["base"], "-c", code, TCL_LIBRARY=str(tmp_path), TK_LIBRARY=str(tmp_path))
    assert found == "//zipfs:/lib/tcl/tcl_library //zipfs:/lib/tk/tk_library"


def test_two_interpreters_run_in_two_threads(display: Screen, pythons: dict[str, Path]) -> None:
    assert told(display, pythons["base"], SCRIPTS / "threads.py") == {"one": 100, "two": 100}


def test_tcl_runs_in_other_interpreters(display: Screen, pythons: dict[str, Path]) -> None:
    facts = told(display, pythons["venv"], SCRIPTS / "interpreters.py")
    assert facts["child"] == "//zipfs:/lib/tcl/tcl_library 1970"
    assert facts["safe"] == "2"
    assert facts["legacy"] == ""
    # CPython's own limit: the module has one state for the process
    assert "module _tkinter does not support loading in subinterpreters" in facts["isolated"]


def test_the_process_is_left_as_it_was(display: Screen, pythons: dict[str, Path]) -> None:
    facts = told(display, pythons["base"], SCRIPTS / "process.py")
    before, after = facts["signals"]
    assert before == after
    before, after = facts["environment"]
    assert before == after != ""
    assert facts["forked"] == 0
    assert facts["families"] > 3
    others = [name for name in facts["mapped"] if name.startswith(("libX", "libxcb", "libfont", "libfree", "libicu", "libtcl8", "libtk8"))]
    assert others == []
    assert {"libtcl9.0-fs.so", "libtcl9tk9.0-fs.so"} <= set(facts["mapped"])


def test_pillow_and_matplotlib_find_tcl_and_tk_through_the_module(display: Screen, pythons: dict[str, Path], tmp_path: Path) -> None:
    facts = told(display, pythons["base"], SCRIPTS / "process.py")
    wanted = {
        "Tcl_CreateCommand",
        "Tcl_AppendResult",
        "Tcl_GetInterpPath",
        "Tcl_SetVar2",
        "Tk_MainWindow",
        "Tk_FindPhoto",
        "Tk_PhotoPutBlock",
    }
    assert wanted <= set(facts["symbols"])
    site = tmp_path / "site"
    pip = [str(pythons["base"]), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", str(site), f"pillow=={PILLOW}"]
    patiently(lambda: said(*pip, env=environment(PIP_DISABLE_PIP_VERSION_CHECK="1")))
    assert told(display, pythons["base"], SCRIPTS / "photo.py", PYTHONPATH=str(site)) == ["10 200 30", "255 0 7", [255, 0, 7]]


def test_cpythons_own_gui_tests_pass(display: Screen, first: Checkout, tmp_path: Path) -> None:
    unpack_archive(archive(first, "full"), tmp_path / "full")
    python = prefix_of(tmp_path / "full") / "bin/python3"
    argv = [str(python), "-m", "test", "-u", "gui", "--timeout", "300", "test_tcl", "test_tkinter", "test_ttk", "test_idle", "test_turtle"]
    done = subprocess.run(argv, env=display.env(HOME=str(tmp_path)), cwd=tmp_path, capture_output=True, text=True, timeout=600)
    print("\n" + "\n".join(done.stdout.splitlines()[-6:]))
    assert done.returncode == 0, done.stdout[-5000:]
    assert "All 5 tests OK." in done.stdout
    assert "run=0" not in done.stdout
