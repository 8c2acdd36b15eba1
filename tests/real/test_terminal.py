"""Terminals: curses and line editing on the archive as shipped, moved, in a root file system without terminfo."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from graph.recipes.ncurses import FALLBACKS, TERMINALS, TERMINFO_DIRS
from tests.real.conftest import DEEP
from tests.real.roots import Root
from tests.real.terminals import BACKSPACE, CTRL_D, CTRL_R, DOWN, ENTER, LEFT, RIGHT, TAB, UP, Terminal

PREFIX = f"/opt/{DEEP}/python"
PYTHON = f"{PREFIX}/bin/python3"
LOCALE = Path("/usr/lib/locale/C.utf8")
REPLS: dict[str, dict[str, str]] = {"pyrepl": {}, "basic": {"PYTHON_BASIC_REPL": "1"}}
BUNDLED = "xterm-kitty"
PROMPT = ">>>"


def furnished(place: Path, moved: Path) -> Root:
    """A root with the distribution and a UTF-8 locale, and no terminfo."""
    root = Root(place)
    root.tree(moved, PREFIX)
    assert LOCALE.exists(), "this machine has no C.UTF-8 locale"
    root.tree(LOCALE, str(LOCALE))
    assert not [path for path in root.place.rglob("terminfo") if not path.is_relative_to(root.place / PREFIX[1:])]
    return root


@pytest.fixture(scope="module")
def shared(moved: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    return furnished(tmp_path_factory.mktemp("terminal") / "root", moved)


@pytest.fixture
def bare(shared: Root) -> Root:
    """The root as at first: no history, no terminfo."""
    shutil.rmtree(shared.place / "root")
    (shared.place / "root").mkdir()
    return shared


@pytest.fixture
def own(moved: Path, tmp_path: Path) -> Root:
    """A root that the test may change as it likes."""
    return furnished(tmp_path / "root", moved)


def entry(number: int) -> bytes:
    """A compiled terminal description of one capability, `it` (width between initial tabs): term(5), legacy storage format."""
    name = b"made|by hand\0"
    return struct.pack("<6h", 0o432, len(name), 0, 2, 0, 0) + name + b"\0" * (len(name) % 2) + struct.pack("<2h", -1, number)


def initial_tabs(root: Root, term: str, before: str = "pass", **env: str) -> int:
    script = f"{before}; import curses; curses.setupterm(); print(curses.tigetnum('it'))"
    return int(root.output("env", *(f"{name}={value}" for name, value in env.items()), PYTHON, "-c", script, TERM=term))


@pytest.mark.parametrize("term", ["xterm-256color", "screen-256color", "tmux-256color", "linux", BUNDLED])
def test_a_machine_without_terminfo_knows_the_terminal(bare: Root, term: str) -> None:
    told = bare.output(
        PYTHON, "-c", "import curses; curses.setupterm(); print(curses.tigetstr('cup'), curses.tigetnum('colors'))", TERM=term
    )
    assert told == repr(b"\x1b[%i%p1%d;%p2%dH") + (" 8" if term == "linux" else " 256")


def test_every_terminal_of_the_database_can_be_set_up(bare: Root) -> None:
    script = (
        "import curses, os, sys\n"
        "for term in sys.argv[1:]:\n"
        "    if not os.fork():\n"
        "        curses.setupterm(term)\n"
        "        os._exit(0)\n"
        "    print(term, os.wait()[1])\n"
    )
    shipped = sorted(path.name for path in (bare.place / PREFIX[1:] / "share/terminfo").glob("?/*"))
    assert tuple(shipped) == TERMINALS
    assert bare.output(PYTHON, "-c", script, *TERMINALS).splitlines() == [f"{term} 0" for term in TERMINALS]


def test_a_terminal_that_is_nowhere_is_the_usual_error(bare: Root) -> None:
    done = bare.run(PYTHON, "-c", "import curses; curses.setupterm()", TERM="no-such-terminal")
    assert done.returncode == 1
    assert done.stdout.endswith("_curses.error: setupterm: could not find terminal\n")


def test_the_order_of_the_search(own: Root) -> None:
    """With an entry in every place, the first wins; taken away, the next."""
    assert BUNDLED not in FALLBACKS
    variables = {"TERMINFO": "/var/mine", "TERMINFO_DIRS": "/var/more:/var/most"}
    system = TERMINFO_DIRS.split(":")
    places = ["/var/mine", "/root/.terminfo", "/var/more", "/var/most", *system]
    files = [own.write(f"{place}/{BUNDLED[0]}/{BUNDLED}", entry(100 + number)) for number, place in enumerate(places)]
    seen = []
    for file in files:
        seen.append(initial_tabs(own, BUNDLED, **variables))
        file.unlink()
    assert seen == [100 + number for number in range(len(places))]
    assert initial_tabs(own, BUNDLED, **variables) == 8


def test_a_process_with_raised_privileges_does_not_heed_the_environment(own: Root) -> None:
    own.write(f"var/mine/{BUNDLED[0]}/{BUNDLED}", entry(100))
    assert initial_tabs(own, BUNDLED, TERMINFO="/var/mine") == 100
    assert initial_tabs(own, BUNDLED, "import os; os.setreuid(65534, 0)", TERMINFO="/var/mine") == 8


def test_without_the_bundled_database_the_library_still_knows_the_usual_terminals(own: Root) -> None:
    shutil.rmtree(own.place / PREFIX[1:] / "share/terminfo")
    for term in FALLBACKS:
        initial_tabs(own, term)
    backspace = "import curses; curses.setupterm(); print(curses.tigetstr('kbs'))"
    assert own.output(PYTHON, "-c", backspace, TERM="xterm") == repr(BACKSPACE.encode())
    done = own.run(PYTHON, "-c", "import curses; curses.setupterm()", TERM=BUNDLED)
    assert done.stdout.endswith("_curses.error: setupterm: could not find terminfo database\n")


@pytest.mark.parametrize("name", ["with:colon", "new\nline", "tab\there"])
def test_any_prefix_will_do(own: Root, name: str) -> None:
    """ncurses splits its search list at colons and takes tabs and newlines out of it."""
    (own.place / "opt").rename(own.place / name)
    assert own.run(f"/{name}/{DEEP}/python/bin/python3", "-c", "import curses; curses.setupterm()", TERM=BUNDLED).stdout == ""


def test_python_loads_the_terminal_library_only_when_asked(bare: Root) -> None:
    loaded = "print('libncursesw-fs' in open('/proc/self/maps').read())"
    assert bare.output(PYTHON, "-c", loaded) == "False"
    assert bare.output(PYTHON, "-c", f"import curses; {loaded}") == "True"


@pytest.mark.parametrize("repl", REPLS)
def test_lines_are_edited_and_remembered(bare: Root, repl: str) -> None:
    """Backspace, arrows, history up and down, Ctrl-R, letters beyond ASCII; nothing is warned of."""
    with Terminal(bare.argv(PYTHON, "-q", TERM="xterm-256color", **REPLS[repl])) as terminal:
        terminal.expect(PROMPT)
        terminal.send(*"1 + 23", BACKSPACE, ENTER)
        terminal.expect(f"{PROMPT} 1 + 2", "3", PROMPT)
        terminal.send(*'print("ad")', LEFT, LEFT, LEFT, LEFT, RIGHT, *"bc", ENTER)
        terminal.expect(f'{PROMPT} print("abcd")', "abcd", PROMPT)
        terminal.send(UP, UP, DOWN, ENTER)
        terminal.expect(*(f'{PROMPT} print("abcd")', "abcd") * 2, PROMPT)
        terminal.send(*'print("ä世x界")', LEFT, LEFT, LEFT, BACKSPACE, ENTER)
        terminal.expect(f'{PROMPT} print("ä世界")', "ä世界", PROMPT)
        terminal.send(CTRL_R, *"1 +")
        terminal.wait(lambda: any(line.endswith("1 + 2") for line in terminal.lines()[-2:]), "the line that is searched for")
        if repl == "pyrepl":
            # takes it for the end of the search only, and drops what was typed and not read by then (isearch_end, forgetinput)
            terminal.send(ENTER)
            terminal.expect(f"{PROMPT} 1 + 2")
        terminal.send(ENTER)
        terminal.expect(f"{PROMPT} 1 + 2", "3", PROMPT)
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    for complaint in ("warning", "termcap", "terminal type", "can't"):
        assert complaint not in terminal.text


@pytest.mark.parametrize("repl", REPLS)
def test_history_is_there_again_the_next_time(bare: Root, repl: str) -> None:
    for typed in ([*"6 * 7", ENTER], [UP, ENTER]):
        with Terminal(bare.argv(PYTHON, "-q", TERM="tmux-256color", **REPLS[repl])) as terminal:
            terminal.expect(PROMPT)
            terminal.send(*typed)
            terminal.expect(f"{PROMPT} 6 * 7", "42", PROMPT)
            terminal.send(*"exit()", ENTER)
            assert terminal.ended() == 0
        # what the second UP finds is the line before exit()
        history = bare.place / "root/.python_history"
        history.write_text("".join(line for line in history.read_text().splitlines(keepends=True) if line != "exit()\n"))


@pytest.mark.parametrize("repl", REPLS)
def test_tab_completes(bare: Root, repl: str) -> None:
    with Terminal(bare.argv(PYTHON, "-q", TERM="linux", **REPLS[repl])) as terminal:
        terminal.expect(PROMPT)
        terminal.send(*"import os, readline", ENTER)
        terminal.expect(f"{PROMPT} import os, readline", PROMPT)
        terminal.send(*"os.getlog", TAB)
        terminal.expect(f"{PROMPT} os.getlogin()")
        terminal.send(*" if 0 else readline.backend", ENTER)
        terminal.expect("'editline'", PROMPT)


@pytest.mark.parametrize("repl", REPLS)
def test_a_child_gets_no_variable_more_than_was_given(bare: Root, repl: str) -> None:
    given = {"TERM": "screen-256color", "A": "b", **REPLS[repl]}
    script = "import curses, json, os, readline, subprocess; curses.setupterm(); subprocess.run('env > /tmp/variables', shell=True)"
    bare.programs("sh")
    with Terminal(bare.argv(PYTHON, "-q", **given)) as terminal:
        terminal.expect(PROMPT)
        terminal.send(*f"{script}; os.environ.copy() == dict(os.environ)", ENTER)
        terminal.wait(lambda: terminal.lines()[-2:] == ["True", PROMPT], "the prompt after the command")
    variables = dict(line.split("=", 1) for line in (bare.place / "tmp/variables").read_text().splitlines())
    # PWD and _ are the shell's
    assert {"HOME", "LANG", "PATH", *given} == variables.keys() - {"PWD", "OLDPWD", "SHLVL", "_"}
    assert {name: variables[name] for name in given} == given


DRAWING = """
import curses

def draw(window):
    curses.start_color()
    curses.init_pair(1, curses.COLOR_YELLOW, curses.COLOR_BLUE)
    window.bkgd(" ", curses.color_pair(1))
    window.box()
    window.addstr(2, 4, "grüße, 世界", curses.color_pair(1) | curses.A_BOLD)
    window.refresh()
    for line in (4, 6):
        window.addstr(line, 4, window.getkey())
        window.refresh()
    window.getkey()

curses.wrapper(draw)
print("over")
"""


@pytest.mark.parametrize("term", ["xterm-256color", "tmux-256color", BUNDLED])
def test_a_full_screen_program_draws_a_box_in_colours(bare: Root, term: str) -> None:
    bare.write("tmp/draw.py", DRAWING)
    with Terminal(bare.argv(PYTHON, "/tmp/draw.py", TERM=term)) as terminal:
        terminal.wait(lambda: terminal.lines()[-1].endswith("┘"), "the lower right corner")
        screen = terminal.screen
        assert screen.display[0] == "┌" + "─" * 78 + "┐"
        assert screen.display[23] == "└" + "─" * 78 + "┘"
        assert [screen.buffer[row][column].data for row in range(1, 23) for column in (0, 79)] == ["│"] * 44
        assert "".join(screen.buffer[2][column].data for column in range(4, 15)) == "grüße, 世界"
        letter = screen.buffer[2][4]
        assert (letter.fg, letter.bg, letter.bold) == ("brown", "blue", True)
        terminal.send(LEFT)
        terminal.wait(lambda: "KEY_LEFT" in screen.display[4], "the name of the key")
        terminal.send(BACKSPACE)
        terminal.wait(lambda: "KEY_BACKSPACE" in screen.display[6], "the name of the second key")
        terminal.send("q")
        assert terminal.ended() == 0
        assert "over" in terminal.text
