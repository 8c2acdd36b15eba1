"""The oldest libc: every symbol that a shipped file asks of the system is in a libc that has only the floor's symbols.

No userland with glibc 2.17 can be had from a package archive any more. The sysroot's stub libraries are that libc as a linker sees it: each
function with the version it had, up to the floor. A loader asks the same two questions: is the version there, is the function in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import lief
import pytest

from graph.session import Session
from tests.mini import ROOT, Checkout
from tests.real.conftest import Folder
from tests.real.version import TARGET

ELF = ROOT / "tests/elf"
UNDEFINED = 0
"""SHN_UNDEF: another file defines it. (lief's `imported` wants a type too, which a name that no library gave to the linker has not.)"""
Versioned = tuple[str, str]


class Symbol(NamedTuple):
    """A dynamic symbol."""

    name: str
    version: str
    """Empty where it has none."""
    imported: bool
    weak: bool
    """Nobody need have it."""


def symbols(path: Path) -> Iterator[Symbol]:
    """The dynamic symbols of an ELF file."""
    binary = lief.ELF.parse(path)
    assert binary is not None
    for symbol in binary.dynamic_symbols:
        version = symbol.symbol_version
        auxiliary = version.symbol_version_auxiliary if version is not None and version.has_auxiliary_version else None
        if symbol.name:
            named = str(auxiliary.name) if auxiliary is not None else ""
            yield Symbol(str(symbol.name), named, symbol.shndx == UNDEFINED, symbol.binding == lief.ELF.Symbol.BINDING.WEAK)


def unanswered(files: Iterable[Path], system: set[Versioned]) -> set[str]:
    """Imports without a version that nothing gives: neither one of the files, nor a libc that has `system`."""
    found = [symbol for path in files for symbol in symbols(path)]
    given = {name for name, _ in system} | {symbol.name for symbol in found if not symbol.imported}
    return {symbol.name for symbol in found if symbol.imported and not symbol.version and not symbol.weak} - given


def shipped(prefix: Path) -> list[Path]:
    """ELF files of a distribution."""
    files = [path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.open("rb").read(4) == b"\x7fELF"]


@pytest.fixture(scope="module")
def oldest(first: Checkout, folder: Folder) -> set[Versioned]:
    """What a libc of the floor's version has."""
    session = Session(first.root, first.environment())
    assert session.look_up([f"libc:{TARGET}"]) == ()
    tree = folder("libc") / "out"
    session.store.copy_tree(session.build.result(f"libc:{TARGET}").tree, tree)
    stubs = [path for path in (tree / "usr/lib").glob("*.so.*") if not path.is_symlink()]
    assert len(stubs) > 5
    return {(symbol.name, symbol.version) for path in stubs for symbol in symbols(path) if symbol.version and not symbol.imported}


def test_the_stub_libc_is_as_old_as_the_floor(oldest: set[Versioned]) -> None:
    versions = {tuple(map(int, version.removeprefix("GLIBC_").split("."))) for _, version in oldest if version.startswith("GLIBC_2")}
    assert max(versions) == (2, 17)
    assert ("memcpy", "GLIBC_2.14") in oldest and ("clock_gettime", "GLIBC_2.17") in oldest
    assert not {name for name, _ in oldest} & {"getrandom", "memfd_create", "statx", "copy_file_range"}


def test_every_symbol_of_the_system_is_in_it(moved: Path, oldest: set[Versioned]) -> None:
    files = shipped(moved)
    assert len(files) > 15
    imported = [symbol for path in files for symbol in symbols(path) if symbol.imported]
    asked = {(symbol.name, symbol.version) for symbol in imported if symbol.version.startswith("GLIBC_")}
    assert len(asked) > 400
    assert asked - oldest == set()
    # of extension modules, whose C API the program that loads them gives
    assert len({symbol.name for symbol in imported if not symbol.version}) > 100
    assert unanswered(files, oldest) == set()


def test_a_symbol_without_a_version_that_nothing_gives_is_seen(oldest: set[Versioned]) -> None:
    """A shared library may be linked with names that no library has."""
    assert unanswered([ELF / "lone.so"], oldest) == {"of_nobody"}
    assert unanswered([ELF / "good-python"], oldest) == {"Py_Answer"}
    assert unanswered([ELF / "good-python", ELF / "good-libpython.so"], oldest) == set()
