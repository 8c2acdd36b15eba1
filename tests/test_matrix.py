from __future__ import annotations

from dataclasses import replace

import pytest

from graph.errors import LockError, UsageError
from graph.matrix import NO_STATIC, Matrix, nearest, options, parse_cell, parse_matrix, parse_selection
from graph.target import Addon, Cell, windows_names
from tests.data import TARGET
from tests.mini import ROOT

ROW = """
[targets.x86_64-unknown-linux-gnu]
os = "linux"
arch = "x86_64"
libc = "gnu"
libc_floor = "2.17"
zig = "x86_64-linux-gnu.2.17"
clang = "x86_64-unknown-linux-gnu"
autoconf = "x86_64-unknown-linux-gnu"
cpu_flags = []
deployment_target = ""
page_size = 4096
multiarch = "x86_64-linux-gnu"
platform_tag = "linux-x86_64"
debian = "amd64"
openssl = "linux-x86_64"
openssl_options = []
lto_flags = []
zig_wheel = "zig-linux-x86_64"
python_floor = ""
run = "native"
qemu = ""
options = ["noopt"]
"""
TEXT = f'[python]\nversions = ["3.13.15", "3.11.2"]\n[hosts]\nlinux-x86_64 = "x86_64-unknown-linux-gnu"\n{ROW}'
MATRIX = Matrix({TARGET.triple: TARGET}, ("3.13.15", "3.11.2"), {"linux-x86_64": TARGET.triple})
CELL = Cell(TARGET, "3.13.15", ("noopt",))
V3 = f'[targets.v3]\nlike = "{TARGET}"\ncpu_flags = ["-march=x86-64-v3"]\n'


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
        ("", "no target is named", "e.g. dist:x86_64-unknown-linux-gnu"),
        ("x86_64-unknown-linux-gun", "unknown target", "did you mean x86_64-unknown-linux-gnu"),
        ("x86_64-unknown-linux-gnu:3.1", "unknown Python version", "3.11.2"),
        ("x86_64-unknown-linux-gnu:toolchian", "unknown Python version", "did you mean toolchain"),
        ("x86_64-unknown-linux-gnu:toolchain", "no Python to test", "doit check:x86_64-unknown-linux-gnu:toolchain"),
        ("x86_64-unknown-linux-gnu:noopt", "behind a Python version", "doit dist:x86_64-unknown-linux-gnu:3.13.15:noopt"),
        ("x86_64-unknown-linux-gnu:3.13:toolchain", "one for all Python versions", "x86_64-unknown-linux-gnu:toolchain"),
        ("x86_64-unknown-linux-gnu:3.13:nopt", "unknown option", "did you mean noopt"),
        ("x86_64-unknown-linux-gnu:3.13:zzz", "unknown option", "known: debug"),
        ("x86_64-unknown-linux-gnu:3.13:lto", "does not offer lto", "nearest cell is x86_64-unknown-linux-gnu:3.13.15:noopt"),
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
    with pytest.raises(UsageError) as refused:
        parse_selection(f"{bare}:toolchain", matrix)
    assert refused.value.what == f"there is no add-on toolchain for {bare}"
    assert refused.value.hint == "doit matrix shows what is built here"
    other = replace(bare, triple="other")
    with pytest.raises(UsageError, match=f"there is no add-on toolchain for other, only for {TARGET}") as refused:
        parse_selection("other:toolchain", replace(MATRIX, targets={**MATRIX.targets, "other": other}))
    assert refused.value.hint == f"doit dist:{TARGET}:toolchain"


def test_versions_that_a_target_has_not_are_not_proposed() -> None:
    matrix = parse_matrix(TEXT + f'[targets.new]\nlike = "{TARGET}"\npython_floor = "3.13"\nzig_wheel = ""\n')
    with pytest.raises(UsageError, match="unknown Python version 'x'") as refused:
        parse_cell("new:x", matrix)
    assert refused.value.hint == "known: 3.13.15"


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
        (TEXT.replace('run = "native"', 'run = "nativ"'), "run: 'nativ' is wrong"),
        (TEXT.replace('libc = "gnu"', 'libc = "glibc"'), "libc: 'glibc' is wrong"),
        (TEXT.replace('"3.11.2"', '"main"'), "versions: 'main' is wrong"),
        (TEXT.replace('linux-x86_64 = "x86_64-unknown-linux-gnu"', 'linux-x86_64 = "nope"'), "linux-x86_64: 'nope' is no target"),
        (TEXT.replace('["noopt"]', '["noopt", "lto+fast"]'), "options: 'fast' is unknown"),
        (TEXT + '[targets.v3]\nlike = "x86_64-unknown-linux-gun"\n', "like: no row 'x86_64-unknown-linux-gun'"),
        (TEXT + '[targets.a]\nlike = "b"\n[targets.b]\nlike = "a"\n', "is like this row itself"),
        (TEXT + V3 + "baseline = 3\n", "baseline: 3 is wrong"),
        (TEXT + V3 + 'baseline = "x86_64-unknown-linux-gun"\n', "baseline: no row 'x86_64-unknown-linux-gun'"),
        (TEXT + V3 + 'baseline = "v3"\n', "baseline: v3 has no libraries of its own"),
        (
            TEXT + V3 + f'baseline = "whole"\n[targets.whole]\nlike = "{TARGET}"\nslices = []\n',
            "baseline: whole has no libraries of its own",
        ),
        (TEXT + V3 + f'options = ["noopt", "lto"]\nbaseline = "{TARGET}"\n', "baseline: .* does not offer lto"),
        (
            TEXT.replace('"linux"', '"windows"') + V3 + f'baseline = "{TARGET}"\n',
            "baseline: libraries of Windows have recipes of their own",
        ),
        (TEXT + V3 + f'libc_floor = "2.28"\nbaseline = "{TARGET}"\n', "baseline: .* has libc_floor = '2.17', not '2.28'"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(text: str, what: str) -> None:
    with pytest.raises(LockError, match=what) as caught:
        parse_matrix(text)
    assert "toolchains/targets.toml" in caught.value.place


def test_a_target_may_need_a_newer_python() -> None:
    """What is refused names the nearest cell, of another version where this one has none."""
    matrix = parse_matrix(TEXT + f'[targets.new]\nlike = "{TARGET}"\npython_floor = "3.13"\n')
    assert {cell.version for cell in matrix.cells() if cell.target.triple == "new"} == {"3.13.15"}
    with pytest.raises(UsageError, match=r"new needs Python 3\.13 or later, not 3\.11\.2") as refused:
        parse_cell("new:3.11", matrix)
    assert refused.value.hint == "the nearest cell is new:3.13.15:noopt"
    none = replace(matrix.targets["new"], python_floor="4.0")
    with pytest.raises(LockError, match="no version is offered for new"):
        nearest(("noopt",), "3.11.2", none, matrix.versions)


def test_a_row_may_be_like_another() -> None:
    matrix = parse_matrix(TEXT + f'[targets.v3]\nlike = "{TARGET}"\ncpu_flags = ["-march=x86-64-v3"]\n[targets.v4]\nlike = "v3"\n')
    assert matrix.targets["v3"] == replace(TARGET, triple="v3", cpu_flags=("-march=x86-64-v3",))
    assert matrix.targets["v4"] == replace(matrix.targets["v3"], triple="v4")


def test_a_row_may_take_libraries_of_one_that_asks_less_of_its_processors() -> None:
    matrix = parse_matrix(TEXT + V3 + f'zig_wheel = ""\nbaseline = "{TARGET}"\n')
    assert matrix.targets["v3"].baseline == TARGET and matrix.targets[TARGET.triple].baseline is None


EVERY = ("lto", "noopt", "debug", "freethreaded+lto", "freethreaded+noopt")
GNU = replace(TARGET, options=EVERY)
MUSL = replace(TARGET, triple="x86_64-unknown-linux-musl", libc="musl", options=(*EVERY, "lto+static"))
OFFERS = Matrix({target.triple: target for target in (GNU, MUSL)}, MATRIX.versions, MATRIX.hosts)


@pytest.mark.parametrize(
    ("text", "reason", "nearest"),
    [
        (f"{GNU}:3.11:freethreaded", "freethreaded needs Python 3.13 or later, not 3.11.2", "3.11.2:lto"),
        (f"{GNU}:3.11:freethreaded+noopt", "freethreaded needs Python 3.13", "3.11.2:noopt"),
        (f"{GNU}:3.13:static", "does not offer static: glibc loads libraries of its own version", "3.13.15:lto"),
        (f"{GNU}:3.13:debug+static", "does not offer static", "3.13.15:debug"),
        (f"{MUSL}:3.13:static", "offers static together with another option only: lto\n", "3.13.15:lto+static"),
        (f"{MUSL}:3.13:debug+lto", "does not offer debug.lto together: debug goes only with itself\n", "3.13.15:lto"),
        (f"{MUSL}:3.13:freethreaded+static", "together: freethreaded goes only with lto, noopt\n", "3.13.15:freethreaded+lto"),
        (f"{GNU}:3.13:lto+noopt", "together: lto goes only with freethreaded\n", "3.13.15:lto"),
        (f"{GNU}:3.13:freethreaded", "offers freethreaded together with another option only: lto, noopt\n", "3.13.15:freethreaded+lto"),
    ],
)
def test_a_bad_cell_is_refused_with_the_reason_and_the_nearest(text: str, reason: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        parse_cell(text, OFFERS)
    cell = caught.value.hint.rpartition(" ")[2]
    assert cell.endswith(f":{nearest}")
    assert str(parse_cell(cell, OFFERS)) == cell


def test_who_offers_no_static_program_says_why() -> None:
    matrix = parse_matrix((ROOT / "toolchains/targets.toml").read_text())
    without = [target for target in matrix.targets.values() if not any("static" in options(choice) for choice in target.options)]
    assert {target.libc for target in without} == set(NO_STATIC)
    for target in without:
        with pytest.raises(UsageError, match=f"does not offer static: {NO_STATIC[target.libc]}\n"):
            parse_cell(f"{target}::static", matrix)


def test_an_unknown_cpu_level_is_an_unknown_target() -> None:
    with pytest.raises(UsageError, match="unknown target 'x86_64_v5-unknown-linux-gnu'") as caught:
        parse_cell("x86_64_v5-unknown-linux-gnu", OFFERS)
    assert str(GNU) in caught.value.hint


def test_abiflags_and_names_are_as_cpython_makes_them() -> None:
    both = Cell(GNU, "3.13.15", ("debug", "freethreaded"))
    assert (both.abiflags, both.ldversion, both.lib, both.abi) == ("td", "3.13td", "lib/python3.13t", f"{GNU}:3.13.15td")
    assert (CELL.abiflags, CELL.ldversion, CELL.lib) == ("", "3.13", "lib/python3.13")
    assert Cell(MUSL, "3.13.15", ("lto", "static")).static and not both.static
    assert not any("freethreaded" in cell.options for cell in OFFERS.cells() if cell.minor == "3.11")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("lto",), ("python313", "python3", "python", "pythonw", "venvlauncher", "venvwlauncher", ".pyd")),
        (("debug",), ("python313_d", "python3_d", "python_d", "pythonw_d", "venvlauncher_d", "venvwlauncher_d", "_d.pyd")),
        (
            ("debug", "freethreaded"),
            (
                *("python313t_d", "python3t_d", "python3.13t_d", "pythonw3.13t_d", "venvlaunchert_d", "venvwlaunchert_d"),
                "_d.cp313t-x86_64-linux-gnu.pyd",
            ),
        ),
    ],
)
def test_names_of_windows_are_those_of_its_projects(options: tuple[str, ...], names: tuple[str, ...]) -> None:
    """PCbuild/python.props, and of suffixes Python/dynload_win.c."""
    found = windows_names(Cell(GNU, "3.13.15", options))
    assert (found.dll, found.stable, found.program, found.windowed, found.launcher, found.windowed_launcher, found.module) == names
    assert all(suffix.startswith("_d") == ("debug" in options) for suffix in found.suffixes)


def test_what_a_version_of_glibc_brought() -> None:
    old, new, musl = (replace(TARGET, libc=libc, libc_floor=floor) for libc, floor in (("gnu", "2.17"), ("gnu", "2.36"), ("musl", "9.9")))
    assert [target.has_glibc(2, 36) for target in (old, new, musl)] == [False, True, False]
    assert old.has_glibc(2, 4) and new.has_glibc(2, 36) and not new.has_glibc(2, 100)
