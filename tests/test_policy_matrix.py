"""toolchains/policy.toml, read for every cell of the matrix, and what CPython itself computes of each platform."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import tomli

from graph.facts import Flavour, Format
from graph.matrix import Matrix, parse_matrix
from graph.policy import KEYS, READERS, Policy, parse_policy
from graph.recipes.cpython_modules import extensions
from graph.rules.hardening import isa_level
from graph.rules.platform import values
from graph.rules.table import limits_table
from graph.target import Cell
from tests import fake_pe
from tests.data import TARGET
from tests.fake_archive import CELL, POLICY

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "toolchains/policy.toml").read_text()


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return parse_matrix((ROOT / "toolchains/targets.toml").read_text())


def test_the_committed_policy_covers_the_whole_matrix(matrix: Matrix) -> None:
    known = {"install", "system", *(flavour.value for flavour in Flavour)}
    for cell in matrix.cells():
        found = parse_policy(TEXT, cell)
        assert found.machine and found.leaks and found.builtin
        assert not found.shared & found.builtin and not found.test & (found.shared | found.builtin)
        of_all = known - {"system"} - ({"toolchain"} if cell.target.os == "windows" else set())
        assert of_all <= {*found.required, *found.forbidden} <= known
        assert found.format is {"linux": Format.ELF, "macos": Format.MACHO, "windows": Format.PE}[cell.target.os]
        if cell.static:
            assert not found.loader and not found.libraries
        elif cell.target.libc == "musl":
            assert found.loader.startswith("/lib/ld-musl-") and found.libraries == {"libc.so", found.loader.removeprefix("/lib/")}
        if cell.target.libc == "gnu":
            assert found.loader.startswith("/lib") and found.libraries > {"libc.so.6"}
            assert found.versions == {"GLIBC": cell.target.libc_floor}
        if cell.target.os == "macos":
            assert found.padding and found.signed and "/usr/lib/libSystem.B.dylib" in found.libraries


def test_the_committed_policy_covers_windows() -> None:
    found = parse_policy(TEXT, fake_pe.CELL)
    assert (found.format, found.machine, found.multiarch) == (Format.PE, "x86_64", fake_pe.WINDOWS.multiarch)
    assert set(found.required) == {"install", "system", "full", "install_only", "install_only_stripped"}
    assert not any(path.startswith("bin/") or "_sysconfigdata" in path for path in found.required["install"])
    assert {*found.needed, *found.banned_libraries, *found.core_imports} == {
        name.lower() for name in (*found.needed, *found.banned_libraries, *found.core_imports)
    }
    assert found.stack and found.core_imports and found.optional < found.shared
    assert not found.shared & found.builtin and not found.test & (found.shared | found.builtin)
    assert "| PE x86_64 | 64 little |  |  | Windows 10 | 4096 | `win_amd64` | `win-amd64` |" in limits_table([found])


def test_the_stable_abi_lacks_what_is_of_other_machines_and_builds(matrix: Matrix) -> None:
    """Each list replaces the one before: that of a machine must not take a build's back."""
    for cell in (cell for cell in matrix.cells() if cell.target.os == "windows"):
        of_machine = set() if cell.target.arch == "i686" else {"PyOS_CheckStack"}
        of_build = set() if "debug" in cell.options else {"_Py_NegativeRefcount", "_Py_RefTotal"}
        assert parse_policy(TEXT, cell).absent_exports == of_machine | of_build, cell


def test_every_key_of_the_policy_is_used_and_known() -> None:
    tables = tomli.loads(TEXT)
    used = {key for table in tables["limits"] + tables["modules"] for key in table} - set(KEYS)
    assert used == set(READERS)
    assert set(READERS) | {"cell", "stubs", "slices", "bundled"} == {field.name for field in fields(Policy)}


def test_the_list_of_modules_is_what_the_recipes_build(matrix: Matrix) -> None:
    # (those of Windows are projects of upstream's)
    for cell in (cell for cell in matrix.cells() if cell.target.os != "windows"):
        found = parse_policy(TEXT, cell)
        rows = extensions(cell)
        built = {row.name for row in rows if not row.test}
        if cell.static:
            assert built <= found.builtin and found.shared == found.test == frozenset(), cell
            continue
        assert found.shared - found.optional <= built <= found.shared, cell
        assert found.test == {row.name for row in rows if row.test}, cell


TRIPLETS = {
    "aarch64-apple-darwin": ("darwin", "darwin"),
    "aarch64-unknown-linux-gnu": ("aarch64-linux-gnu", "aarch64-linux-gnu"),
    "aarch64-unknown-linux-musl": ("aarch64-linux-musl", "aarch64-linux-musl"),
    "armv7-unknown-linux-gnueabi": ("arm-linux-gnueabi", "arm-linux-gnueabi"),
    "armv7-unknown-linux-gnueabihf": ("arm-linux-gnueabihf", "arm-linux-gnueabihf"),
    "i686-unknown-linux-gnu": ("i386-linux-gnu", "i386-linux-gnu"),
    "loongarch64-unknown-linux-gnu": ("loongarch64-linux-gnu",) * 2,
    "ppc64le-unknown-linux-gnu": ("powerpc64le-linux-gnu", "powerpc64le-linux-gnu"),
    "riscv64-unknown-linux-gnu": ("riscv64-linux-gnu", "riscv64-linux-gnu"),
    "s390x-unknown-linux-gnu": ("s390x-linux-gnu", "s390x-linux-gnu"),
    "universal2-apple-darwin": ("darwin", "darwin"),
    "x86_64-apple-darwin": ("darwin", "darwin"),
    **{f"x86_64{level}-unknown-linux-gnu": ("x86_64-linux-gnu",) * 2 for level in ("", "_v2", "_v3", "_v4")},
    **{f"x86_64{level}-unknown-linux-musl": ("x86_64-linux-musl",) * 2 for level in ("", "_v2", "_v3", "_v4")},
}
"""What CPython's Misc/platform_triplet.c (3.13; tests/real/test_triplets.py asks it) and the patched configure.ac (3.11) make of it."""


def test_platform_triplets_are_cpythons(matrix: Matrix) -> None:
    assert set(TRIPLETS) == {triple for triple, target in matrix.targets.items() if target.os != "windows"}
    for triple, (new, old) in TRIPLETS.items():
        target = matrix.targets[triple]
        assert target.multiarch == parse_policy(TEXT, Cell(target, "3.13.15", ("lto",))).multiarch == new
        assert parse_policy(TEXT, Cell(target, "3.11.2", ("lto",))).multiarch == old


@pytest.mark.parametrize(
    ("version", "options", "triplet", "suffix", "ldversion"),
    [
        ("3.13.15", ("lto",), "x86_64-linux-gnu", ".cpython-313-x86_64-linux-gnu.so", "3.13"),
        ("3.13.15", ("freethreaded", "lto"), "darwin", ".cpython-313t-darwin.so", "3.13t"),
        ("3.13.15", ("debug", "freethreaded"), "arm-linux-gnueabihf", ".cpython-313td-arm-linux-gnueabihf.so", "3.13td"),
        ("3.11.2", ("noopt",), "", ".cpython-311.so", "3.11"),
    ],
)
def test_names_of_the_abi(version: str, options: tuple[str, ...], triplet: str, suffix: str, ldversion: str) -> None:
    policy = replace(parse_policy(POLICY, CELL), cell=Cell(TARGET, version, options), multiarch=triplet, bits=32)
    found = values(policy)
    assert (found["EXT_SUFFIX"], found["SOABI"], found["LDVERSION"]) == (suffix, suffix[1:-3], ldversion)
    assert (found["MULTIARCH"], found["SIZEOF_VOID_P"]) == (triplet, "4")


def test_levels_of_x86_64(matrix: Matrix) -> None:
    levels = {triple: isa_level(target) for triple, target in matrix.targets.items() if triple.startswith("x86_64")}
    assert {triple: level for triple, level in levels.items() if f"_v{level}" not in triple} == {
        triple: 1 for triple in levels if "_v" not in triple
    }
    # an older processor than a level's would not be told: its libraries carry no higher level than they need
    lower = {triple: isa_level(target.baseline) for triple, target in matrix.targets.items() if target.baseline}
    assert lower == {triple: 1 for triple in levels if "_v" in triple}


def test_tables_are_chosen_by_option_and_triple() -> None:
    text = POLICY + '[[limits]]\noption = ["static", "debug"]\nneeded = []\n[[limits]]\ntriple = "aarch64-*"\nloader = "/x"\n'
    assert parse_policy(text, CELL).needed == {"libc.so.6"}
    found = parse_policy(text, replace(CELL, options=("lto", "static")))
    assert found.needed == frozenset() and found.loader != "/x"
    assert parse_policy(text, replace(CELL, target=replace(TARGET, triple="aarch64-unknown-linux-gnu"))).loader == "/x"


def test_tables_within_tables_are_merged() -> None:
    found = parse_policy(POLICY + '[[limits]]\nrequired = { system = ["lib/x"] }\n', CELL)
    assert found.required == {"install": ("bin/python{minor}",), "full": ("python/PYTHON.json",), "system": ("lib/x",)}


def test_the_manual_has_the_table_of_limits(matrix: Matrix, request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs/audit.md"
    before, start, rest = path.read_text().partition("<!-- limits -->\n")
    shown, end, after = rest.partition("<!-- end of limits -->\n")
    table = limits_table(parse_policy(TEXT, matrix.default(target)) for target in matrix.targets.values())
    if request.config.getoption("--golden"):
        path.write_text(before + start + table + end + after)
    else:
        assert shown == table, "docs/audit.md does not show the limits as they are: pytest --golden"
