"""The oldest libc: every symbol that a shipped file asks of the system is in a libc that has only the floor's symbols.

No userland with glibc 2.17 can be had from a package archive any more. The sysroot's stub libraries are that libc as a linker sees it: each
function with the version it had, up to the floor. A loader asks the same two questions: is the version there, is the function in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lief
import pytest

from graph.session import Session
from tests.mini import Checkout
from tests.real.version import TARGET

Versioned = tuple[str, str]


def symbols(path: Path) -> Iterator[tuple[bool, Versioned]]:
    """Whether it is imported, and name and version, of each dynamic symbol that has a version."""
    binary = lief.ELF.parse(path)
    assert binary is not None
    for symbol in binary.dynamic_symbols:
        version = symbol.symbol_version
        if version is not None and version.has_auxiliary_version:
            auxiliary = version.symbol_version_auxiliary
            assert auxiliary is not None
            yield symbol.imported, (str(symbol.name), str(auxiliary.name))


def shipped(prefix: Path) -> list[Path]:
    """ELF files of a distribution."""
    files = [path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.open("rb").read(4) == b"\x7fELF"]


@pytest.fixture(scope="module")
def oldest(first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> set[Versioned]:
    """What a libc of the floor's version has."""
    session = Session(first.root, first.environment())
    assert session.look_up([f"libc:{TARGET}"]) == ()
    tree = tmp_path_factory.mktemp("libc") / "out"
    session.store.copy_tree(session.build.result(f"libc:{TARGET}").tree, tree)
    stubs = [path for path in (tree / "usr/lib").glob("*.so.*") if not path.is_symlink()]
    assert len(stubs) > 5
    return {symbol for path in stubs for imported, symbol in symbols(path) if not imported}


def test_the_stub_libc_is_as_old_as_the_floor(oldest: set[Versioned]) -> None:
    versions = {tuple(map(int, version.removeprefix("GLIBC_").split("."))) for _, version in oldest if version.startswith("GLIBC_2")}
    assert max(versions) == (2, 17)
    assert ("memcpy", "GLIBC_2.14") in oldest and ("clock_gettime", "GLIBC_2.17") in oldest
    assert not {name for name, _ in oldest} & {"getrandom", "memfd_create", "statx", "copy_file_range"}


def test_every_symbol_of_the_system_is_in_it(moved: Path, oldest: set[Versioned]) -> None:
    files = shipped(moved)
    assert len(files) > 15
    asked = {symbol for path in files for imported, symbol in symbols(path) if imported and symbol[1].startswith("GLIBC_")}
    assert len(asked) > 400
    assert asked - oldest == set()
