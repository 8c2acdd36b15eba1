from __future__ import annotations

from dataclasses import replace

import pytest

from graph.errors import LockError, UsageError
from graph.matrix import Matrix, parse_cell, parse_matrix, parse_selection
from graph.target import Addon, Cell
from tests.data import TARGET

ROW = """
[targets.x86_64-unknown-linux-gnu]
os = "linux"
arch = "x86_64"
libc = "gnu"
libc_floor = "2.17"
zig = "x86_64-linux-gnu.2.17"
cpu_flags = []
page_size = 4096
multiarch = "x86_64-linux-gnu"
platform_tag = "linux-x86_64"
openssl = "linux-x86_64"
zig_wheel = "zig-linux-x86_64"
run = "native"
options = ["noopt"]
"""
TEXT = f'[python]\nversions = ["3.13.15", "3.11.2"]\n[hosts]\nlinux-x86_64 = "x86_64-unknown-linux-gnu"\n{ROW}'
MATRIX = Matrix({TARGET.triple: TARGET}, ("3.13.15", "3.11.2"), {"linux-x86_64": TARGET.triple})
CELL = Cell(TARGET, "3.13.15", ("noopt",))


def test_the_table_is_read() -> None:
    assert parse_matrix(TEXT) == MATRIX
    assert MATRIX.default(TARGET) == CELL
    assert [str(cell) for cell in MATRIX.cells()] == [f"{TARGET}:3.13.15:noopt", f"{TARGET}:3.11.2:noopt"]


@pytest.mark.parametrize(
    "text",
    [
        "x86_64-unknown-linux-gnu",
        "x86_64-unknown-linux-gnu:3.13",
        "x86_64-unknown-linux-gnu::noopt",
        "x86_64-unknown-linux-gnu:3.13.15:noopt",
    ],
)
def test_a_cell_is_parsed_with_defaults_for_what_is_left_out(text: str) -> None:
    assert parse_cell(text, MATRIX) == CELL
    assert parse_cell(str(CELL), MATRIX) == CELL
    assert CELL.minor == "3.13"


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("x86_64-unknown-linux-gun", "unknown target", "did you mean x86_64-unknown-linux-gnu"),
        ("x86_64-unknown-linux-gnu:3.1", "unknown Python version", "3.11.2"),
        ("x86_64-unknown-linux-gnu:toolchian", "unknown Python version", "did you mean toolchain"),
        ("x86_64-unknown-linux-gnu:toolchain", "no Python to test", "check:x86_64-unknown-linux-gnu:toolchain"),
        ("x86_64-unknown-linux-gnu:3.13:toolchain", "one for all Python versions", "x86_64-unknown-linux-gnu:toolchain"),
        ("x86_64-unknown-linux-gnu:3.13:nopt", "does not offer the option", "did you mean noopt"),
        ("x86_64-unknown-linux-gnu:3.13:zzz", "does not offer the option", "known: noopt"),
    ],
)
def test_a_mistyped_cell_gets_a_suggestion(text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        parse_cell(text, MATRIX)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 10


def test_a_selection_is_a_cell_or_an_add_on() -> None:
    addon = Addon(TARGET, "toolchain")
    assert MATRIX.addons() == (addon,)
    assert parse_selection(str(addon), MATRIX) == addon
    assert parse_selection(str(CELL), MATRIX) == parse_selection(TARGET.triple, MATRIX) == CELL
    with pytest.raises(UsageError, match="unknown target"):
        parse_selection("x86-64:toolchain", MATRIX)


def test_a_target_on_which_no_zig_runs_has_no_add_on() -> None:
    bare = replace(TARGET, zig_wheel="")
    matrix = replace(MATRIX, targets={bare.triple: bare})
    assert matrix.addons() == ()
    with pytest.raises(UsageError, match="unknown Python version 'toolchain'"):
        parse_selection(f"{bare}:toolchain", matrix)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[targets", "not TOML"),
        ("", "needs"),
        (ROW, "needs"),
        (TEXT + "colour = 1\n", "unknown key 'colour'"),
        (TEXT.replace("page_size = 4096\n", ""), "missing key 'page_size'"),
        (TEXT.replace("= 4096", '= "4096"'), r"page_size: '4096' is wrong"),
        (TEXT.replace("= 4096", "= true"), "page_size: True is wrong"),
        (TEXT.replace('arch = "x86_64"', "arch = 64"), "arch: 64 is wrong"),
        (TEXT.replace('options = ["noopt"]', 'options = "noopt"'), "options: 'noopt' is wrong"),
        (TEXT.replace('options = ["noopt"]', "options = []"), "options: an empty list"),
        (TEXT.replace("cpu_flags = []", "cpu_flags = [1]"), r"cpu_flags: \[1\] is wrong"),
        (TEXT.replace('os = "linux"', 'os = "Linux"'), "os: 'Linux' is wrong"),
        (TEXT.replace('["3.13.15", "3.11.2"]', '"3.13.15"'), "versions: '3.13.15' is wrong"),
        (TEXT.replace('["3.13.15", "3.11.2"]', "[3.13]"), r"versions: \[3.13\] is wrong"),
        (TEXT.replace('linux-x86_64 = "x86_64-unknown-linux-gnu"', "linux-x86_64 = 1"), "linux-x86_64: 1 is wrong"),
        ("targets = 1\n", "targets: 1 is wrong"),
        ("[targets]\nx = 1\n", "1 is no table"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(text: str, what: str) -> None:
    with pytest.raises(LockError, match=what) as caught:
        parse_matrix(text)
    assert "toolchains/targets.toml" in caught.value.place
