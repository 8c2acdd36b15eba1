"""CPython's core for Windows, made here: what it imports and exports, what its headers say, and that it runs where wine is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import lief
import pytest

from graph.session import Session
from tests.mini import Checkout
from tests.real import landed
from tests.real.conftest import HOUR

TRIPLE = "x86_64-pc-windows-gnu"
SYSTEM = {"ADVAPI32", "KERNEL32", "VERSION", "WS2_32", "bcrypt", "api-ms-win-core-path-l1-1-0"}
"""Libraries of Windows that the official build's core imports, too; beside them UCRT's sets. No vcruntime140, no library of MinGW."""
UCRT_MATH = {"exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "fmod", "pow", "sqrt", "floor", "ceil", "atan2", "hypot", "erf"}
"""zig has most of them, too, and other results."""
ABSENT = {"PyOS_CheckStack", "_Py_NegativeRefcount", "_Py_RefTotal"}
"""Of the stable ABI: what is of 32-bit Windows, and of debug builds. python3.dll names them all the same, as upstream's does."""
PROGRAM = """
import math, mmap, os, sys, sysconfig, zlib
assert sys.platform == "win32" and sysconfig.get_platform() == "win-amd64", sysconfig.get_platform()
assert sysconfig.get_config_var("EXT_SUFFIX") == ".cp313-win_amd64.pyd"
assert zlib.decompress(zlib.compress(b"x" * 999)) == b"x" * 999
assert math.log2(2.0 ** 29) == 29.0 and math.exp(1) == math.e
assert {"spawnv", "fsync", "pipe", "getppid", "execv"} <= set(dir(os))
with mmap.mmap(-1, 4096) as memory:
    memory[:5] = b"hello"
    assert memory.find(b"llo") == 2 and memory[0:5:2] == b"hlo"
print("ran", sys.version)
"""


def tree(first: Checkout, node: str) -> Path:
    """A node's tree in the store, built if it is not there."""
    done = first.doit(node, timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    session = Session(first.root, {**os.environ, **first.settings})
    landed.realise(session, [node])
    return session.store.checkout(session.build.result(node).tree)


@pytest.fixture(scope="module")
def core(first: Checkout) -> Path:
    """full/, stripped/, libs/, include/."""
    return tree(first, f"core:{TRIPLE}:3.13.15:noopt")


@pytest.fixture(scope="module")
def source(first: Checkout) -> Path:
    return tree(first, "source:cpython-3.13.15:windows")


@pytest.fixture(scope="module")
def stable(source: Path) -> set[str]:
    """The stable ABI's names."""
    text = (source / "PC/python3dll.c").read_text()
    return set(re.findall(r"^EXPORT_(?:FUNC|DATA)\((\w+)\)$", text, re.M))


def parsed(path: Path) -> lief.PE.Binary:
    binary = lief.PE.parse(path)
    assert binary is not None, path
    return binary


def imports(binary: lief.PE.Binary) -> dict[str, set[str]]:
    return {str(library.name).removesuffix(".dll"): {str(entry.name) for entry in library.entries} for library in binary.imports}


def exports(binary: lief.PE.Binary) -> dict[str, str]:
    """Name -> what it is forwarded to, or nothing."""
    table = binary.get_export()
    assert table is not None
    return {str(entry.name): str(entry.forward_information) if entry.is_forwarded else "" for entry in table.entries}


def test_what_is_imported_is_of_windows(core: Path) -> None:
    found = imports(parsed(core / "stripped/python313.dll"))
    ucrt = {name for name in found if name.startswith("api-ms-win-crt-")}
    assert set(found) - ucrt <= SYSTEM
    assert found["api-ms-win-crt-math-l1-1-0"] >= UCRT_MATH
    programs = imports(parsed(core / "stripped/python.exe"))
    assert {name for name in programs if not name.startswith("api-ms-win-crt-")} == {"KERNEL32", "python313"}


def test_the_stable_abi_is_exported_and_forwarded(core: Path, stable: set[str]) -> None:
    assert len(stable) > 900
    assert stable - exports(parsed(core / "stripped/python313.dll")).keys() == ABSENT
    assert exports(parsed(core / "stripped/python3.dll")) == {name: f"python313.{name}" for name in stable}


@pytest.mark.parametrize("name", ["python313.dll", "python3.dll", "python.exe", "pythonw.exe"])
def test_headers(core: Path, name: str) -> None:
    path = core / "stripped" / name
    binary = parsed(path)
    flags = {flag.name for flag in binary.optional_header.dll_characteristics_lists}
    assert flags >= {"DYNAMIC_BASE", "NX_COMPAT", "HIGH_ENTROPY_VA"}
    assert binary.header.time_date_stamps == 0
    assert b"/build/" not in path.read_bytes()
    assert binary.resources is not None
    subsystem = {"python.exe": "WINDOWS_CUI", "pythonw.exe": "WINDOWS_GUI"}.get(name)
    assert subsystem in (None, binary.optional_header.subsystem.name)


def test_it_runs(core: Path, source: Path, tmp_path: Path) -> None:
    wine = shutil.which("wine")
    if wine is None:
        pytest.skip("there is no wine on this machine")
    place = tmp_path / "place"
    shutil.copytree(core / "stripped", place)
    shutil.copytree(source / "Lib", place / "Lib", ignore=shutil.ignore_patterns("test"))
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "WINEDEBUG": "-all", "WINEPREFIX": str(tmp_path / "prefix")}
    # its standard output has to be a pipe: of a file it knows no handle
    done = subprocess.run([wine, place / "python.exe", "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=600)
    assert done.stdout.startswith("ran 3.13.15 "), done.stdout + done.stderr
