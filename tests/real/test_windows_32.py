"""CPython for 32-bit Windows (docs/windows.md#32-bits): names, headers, and under wine what is of 32 bits alone."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import lief
import pytest

from graph.errors import SandboxError
from graph.machine import Wine
from graph.testrun import try_machine
from tests.mini import ROOT, Checkout
from tests.real.test_windows import exports, imports, parsed, trees
from tests.real.version import WINDOWS_32

SCRIPT = ROOT / "tests/real/windows_32.py"
pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def installed(first: Checkout) -> Path:
    """What the install_only_stripped archive has in python/."""
    return trees(first, f"assemble:{WINDOWS_32}:noopt:stripped")[0]


@pytest.fixture
def narrow(wine: Wine) -> Wine:
    """The same, which must run programs of 32 bits."""
    machine = replace(wine, narrow=True)
    try:
        try_machine(machine)
    except SandboxError as error:
        pytest.skip(f"this kernel runs no program of 32 bits (CONFIG_IA32_EMULATION): {error}")
    return machine


def test_names_have_no_decoration(installed: Path) -> None:
    """As the official build's, which takes and gives functions of the stdcall convention by their plain names."""
    files = [path for path in installed.rglob("*") if path.suffix in (".dll", ".pyd") and "site-packages" not in path.parts]
    assert len(files) > 25
    for path in files:
        binary = parsed(path)
        taken = {name for names in imports(binary).values() for name in names}
        # (a function of Tk's own that Windows calls)
        offered = exports(binary).keys() - {"TkWinChildProc@16"}
        assert not [name for name in (*taken, *offered) if "@" in name], path
    core = exports(parsed(installed / "python313.dll"))
    assert core.keys() >= {"Py_Initialize", "PyOS_CheckStack", "_Py_NoneStruct"} and "_Py_Initialize" not in core


def test_headers_let_handlers_of_exceptions_run(installed: Path) -> None:
    for path in (installed / "python.exe", installed / "python313.dll", installed / "DLLs/_ctypes.pyd"):
        binary = parsed(path)
        flags = {flag.name for flag in binary.optional_header.dll_characteristics_lists}
        assert flags >= {"DYNAMIC_BASE", "NX_COMPAT"} and "NO_SEH" not in flags
        # (a table of handlers would have to name those of seh_i386.h)
        assert not binary.has_configuration
        # upstream's projects do not ask for addresses above 2 GiB
        assert not binary.header.has_characteristic(lief.PE.Header.CHARACTERISTICS.LARGE_ADDRESS_AWARE)


def test_openssl_asks_the_program_for_nothing(installed: Path) -> None:
    """For MinGW on i386 its configuration has "uplink": without an OPENSSL_Applink in python.exe it ends the process (test_ssl)."""
    assert b"OPENSSL_Applink" not in (installed / "DLLs/libcrypto-3.dll").read_bytes()


def test_what_is_of_32_bits_works(installed: Path, narrow: Wine) -> None:
    done = subprocess.run(narrow.argv(str(installed / "python.exe"), narrow.name(SCRIPT)), capture_output=True, text=True, timeout=600)
    # (a new prefix says what it makes)
    assert done.stdout.splitlines()[-1:] == ["right"], done.stdout + done.stderr
