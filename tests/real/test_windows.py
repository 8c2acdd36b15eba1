"""CPython's core for Windows, made here: its imports, exports and headers. With --whole the distribution, and that it runs under wine."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import lief
import pytest

from graph.audit import audit_archives, members
from graph.lock import VCRUNTIME
from graph.machine import Wine
from graph.matrix import parse_cell
from graph.policy import parse_policy
from graph.recipes.windows_tcl import DLLS
from graph.rules import METADATA
from graph.session import Session
from graph.suite import narrow, render_suite, unexpected, wanted
from graph.testrun import expected_of, refuse_smoke, render_smoke, run_smoke, run_suite
from tests.fake_pe import PE
from tests.mini import Checkout
from tests.real import landed
from tests.real.conftest import HOUR
from tests.real.unwinding import Image, members_of
from tests.real.version import WINDOWS, WINDOWS_32, WINDOWS_ARM

VERSION = WINDOWS.rpartition(":")[2]
SYSTEM = {"ADVAPI32", "KERNEL32", "VERSION", "WS2_32", "bcrypt", "api-ms-win-core-path-l1-1-0"}
"""Libraries of Windows that the official build's core imports, too; beside them UCRT's sets. No vcruntime140, no library of MinGW."""
OF_MODULES = {
    "_ctypes": {"ole32", "OLEAUT32"},
    "_hashlib": {"libcrypto-3"},
    "_multiprocessing": {"WS2_32"},
    "_overlapped": {"WS2_32"},
    "_socket": {"WS2_32", "IPHLPAPI", "RPCRT4"},
    "_sqlite3": {"sqlite3"},
    "_ssl": {"CRYPT32", "WS2_32", "libcrypto-3", "libssl-3"},
    "_tkinter": {"tcl90", "tcl9tk90"},
    "_uuid": {"RPCRT4"},
    "_wmi": {"ole32", "OLEAUT32", "PROPSYS"},
    "select": {"WS2_32"},
    "winsound": {"USER32", "WINMM"},
}
"""What extension modules import beside KERNEL32 and the core."""
OPENSSL = {"aarch64": ("libcrypto-3-arm64", "libssl-3-arm64")}
"""Names of PCbuild/openssl.props where they are other than of x86_64."""
LOOKED_UP = {
    "tcl": {"Tcl_AppendResult", "Tcl_CreateCommand"},
    "tk": {"Tk_FindPhoto", "Tk_MainWindow", "Tk_PhotoBlank", "Tk_PhotoGetImage", "Tk_PhotoPutBlock", "Tk_PhotoSetSize"},
}
"""What Pillow and matplotlib look for in all DLLs of the process."""
DRAWN = {"CURSOR", "DIALOG", "GROUP_CURSOR", "GROUP_ICON", "ICON", "MANIFEST", "VERSION"}
"""Kinds of resources that Tk finds in its own DLL."""
UCRT_MATH = {"exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "fmod", "pow", "sqrt", "floor", "ceil", "atan2", "hypot", "erf"}
"""zig has most of them, too, and other results."""
INSTRUCTIONS = {"aarch64": {"floor", "ceil"}}
"""Of these, what the compiler calls no function for."""
OF_32_BITS = {"PyOS_CheckStack"}
ABSENT = {*OF_32_BITS, "_Py_NegativeRefcount", "_Py_RefTotal"}
"""Of the stable ABI: what is of 32-bit Windows, and of debug builds. python3.dll names them all the same, as upstream's does."""
AREAS = re.compile(
    r"test_(int|float|math|ctypes|mmap|socket|select|ssl|sqlite3|subprocess|threading|zipfile|venv|ensurepip|importlib|os|pathlib|io|json"
    r"|decimal|hashlib|tkinter|tcl|msvcrt|uuid|winapi)|test\.test_(asyncio|multiprocessing_\w+)\..*"
)
"""Test files of what nothing of ours may be broken in, and of what depends on the system."""
PROGRAM = """
import math, mmap, os, sys, sysconfig, zlib
assert " MSC v.1900 " in sys.version and "  " not in sys.version, sys.version
assert sys.platform == "win32" and sysconfig.get_platform() == "win-amd64", sysconfig.get_platform()
assert sysconfig.get_config_var("EXT_SUFFIX") == ".cp313-win_amd64.pyd"
assert zlib.decompress(zlib.compress(b"x" * 999)) == b"x" * 999
assert math.log2(2.0 ** 29) == 29.0 and math.exp(1) == math.e
assert {"spawnv", "fsync", "pipe", "getppid", "execv"} <= set(dir(os))
with mmap.mmap(-1, 4096) as memory:
    memory[:5] = b"hello"
    assert memory.find(b"llo") == 2 and memory[0:5:2] == b"hlo"
import _overlapped, select, unicodedata, winreg, winsound
import socket, tkinter, uuid, xml.etree.ElementTree
assert tkinter.Tcl().eval("info library") == "//zipfs:/lib/tcl/tcl_library"
one, other = socket.socketpair()
one.sendall(b"through")
assert select.select([other], [], [], 10)[0] == [other] and other.recv(99) == b"through"
assert xml.etree.ElementTree.fromstring("<a><b/></a>").find("b") is not None and uuid.uuid1().version == 1
assert unicodedata.name("\N{SNOWMAN}") == "SNOWMAN" and socket.IPPROTO_ICMPV6 == 58
print("ran", sys.version)
"""
WITHOUT_MICROSOFTS = "vcruntime140=d;vcruntime140_1=d;msvcp140=d"
"""For WINEDLLOVERRIDES: wine has DLLs of its own by these names, a Windows without Microsoft's redistributable package has none."""
NAMED = "(not found: vcruntime140.dll, vcruntime140_1.dll, msvcp140.dll; a module made by Visual C++ may need them"
IMPORT = "import sys; sys.path.insert(0, sys.argv[1]); import needy; print('imported', needy)"


def trees(first: Checkout, *nodes: str) -> list[Path]:
    """Trees of nodes in the store, built if they are not there."""
    done = first.doit(*nodes, timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    session = Session(first.root, {**os.environ, **first.settings})
    landed.realise(session, nodes)
    return [session.store.checkout(session.build.result(node).tree) for node in nodes]


EACH = (WINDOWS, *(pytest.param(one, marks=pytest.mark.whole) for one in (WINDOWS_32, WINDOWS_ARM)))
"""TARGET:VERSION."""


@pytest.fixture(scope="module", params=EACH)
def built(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def wide(built: str) -> str:
    """One whose handlers of exceptions are in tables: i686 has frames in the chain at fs:0, which test_windows_32.py tries."""
    if built == WINDOWS_32:
        pytest.skip("its handlers are in no table")
    return built


@pytest.fixture(scope="module")
def core(first: Checkout, built: str) -> Path:
    """full/, stripped/, libs/, include/."""
    return trees(first, f"core:{built}:noopt")[0]


def assembled(first: Checkout, built: str) -> Path:
    """What the install_only_stripped archive has in python/."""
    return trees(first, f"assemble:{built}:noopt:stripped")[0]


@pytest.fixture(scope="module")
def installed(first: Checkout, built: str) -> Path:
    return assembled(first, built)


@pytest.fixture(scope="module")
def runnable(first: Checkout) -> Path:
    """The same of the one that wine runs."""
    return assembled(first, WINDOWS)


@pytest.fixture(scope="module")
def source(first: Checkout) -> Path:
    return trees(first, f"source:cpython-{VERSION}:windows")[0]


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
    """Library -> names, of those that are loaded when first called, too (_wmi's ole32)."""
    libraries = (*binary.imports, *binary.delay_imports)
    return {re.sub(r"\.dll$", "", str(library.name), flags=re.I): {str(entry.name) for entry in library.entries} for library in libraries}


def exports(binary: lief.PE.Binary) -> dict[str, str]:
    """Name -> what it is forwarded to, or nothing."""
    table = binary.get_export()
    assert table is not None
    return {str(entry.name): str(entry.forward_information) if entry.is_forwarded else "" for entry in table.entries}


def test_what_is_imported_is_of_windows(core: Path, built: str) -> None:
    found = imports(parsed(core / "stripped/python313.dll"))
    ucrt = {name for name in found if name.startswith("api-ms-win-crt-")}
    assert set(found) - ucrt <= SYSTEM
    assert found["api-ms-win-crt-math-l1-1-0"] >= UCRT_MATH - INSTRUCTIONS.get(built.partition("-")[0], set())
    programs = imports(parsed(core / "stripped/python.exe"))
    assert {name for name in programs if not name.startswith("api-ms-win-crt-")} == {"KERNEL32", "python313"}


def test_the_stable_abi_is_exported_and_forwarded(core: Path, stable: set[str], built: str) -> None:
    assert len(stable) > 900
    absent = ABSENT - (OF_32_BITS if built == WINDOWS_32 else set())
    assert stable - exports(parsed(core / "stripped/python313.dll")).keys() == absent
    assert exports(parsed(core / "stripped/python3.dll")) == {name: f"python313.{name}" for name in stable}


@pytest.mark.parametrize("variant", ["full", "stripped"])
@pytest.mark.parametrize("name", ["python313.dll", "python3.dll", "python.exe", "pythonw.exe"])
def test_headers(core: Path, built: str, name: str, variant: str) -> None:
    path = core / variant / name
    binary = parsed(path)
    flags = {flag.name for flag in binary.optional_header.dll_characteristics_lists}
    assert flags >= {"DYNAMIC_BASE", "NX_COMPAT"} and ("HIGH_ENTROPY_VA" in flags) == (built != WINDOWS_32)
    assert binary.header.time_date_stamps == 0
    assert b"/build/" not in path.read_bytes()
    assert isinstance(binary.resources_manager, lief.PE.ResourcesManager)
    kinds = {kind.name for kind in binary.resources_manager.types}
    assert kinds >= ({"ICON", "GROUP_ICON", "MANIFEST", "VERSION"} if name.endswith(".exe") else {"VERSION"})
    subsystem = {"python.exe": "WINDOWS_CUI", "pythonw.exe": "WINDOWS_GUI"}.get(name)
    assert subsystem in (None, binary.optional_header.subsystem.name)


def guards(path: Path) -> int:
    """Functions of a DLL to whose handler the system leads exceptions. All have that of the C runtime."""
    image, binary = Image(path.read_bytes()), parsed(path)
    [slot] = [entry.iat_address for library in binary.imports for entry in library.entries if entry.name == "__C_specific_handler"]
    found = [guard for guard in image.functions.values() if guard]
    assert {image.slot(guard.handler) for guard in found} == {slot} and all(guard.scopes for guard in found)
    return len(found)


@pytest.mark.usefixtures("wide")
def test_every_access_of_mmap_is_guarded(core: Path, source: Path) -> None:
    """clang drops a handler where it sees no call that could fault; each that it keeps has a filter of its own."""
    text = (source / "Modules/mmapmodule.c").read_text()
    guarded = re.findall(r"^(\w+)\([^{};]*\{\s*HANDLE_INVALID_MEM", text, re.M)
    symbols = (core / "full/python313.pdb").read_bytes()
    assert len(guarded) == text.count("HANDLE_INVALID_MEM") - text.count("#define HANDLE_INVALID_MEM")
    assert [name for name in guarded if f"__filt_{name}\0".encode() not in symbols] == []
    assert guards(core / "full/python313.dll") == len(guarded)


@pytest.mark.whole
@pytest.mark.usefixtures("wide")
def test_faults_in_functions_that_ctypes_calls_are_caught(installed: Path) -> None:
    assert guards(installed / "DLLs/_ctypes.pyd") == 1


@pytest.mark.whole
def test_on_arm_exceptions_find_their_way_through_calls_of_libffi(first: Checkout) -> None:
    """patches/libffi/windows/0003: a call, and two entries of callbacks."""
    data = (trees(first, f"make:{WINDOWS_ARM.partition(':')[0]}:libffi")[0] / "lib/libffi-8.a").read_bytes()
    objects = [lief.COFF.parse(list(member)) for member in members_of(data)]
    [assembly] = [
        one for one in objects if one and "ffi_closure_SYSV_V" in {symbol.name for symbol in one.symbols if symbol.section_idx > 0}
    ]
    assert {section.name: section.sizeof_raw_data for section in assembly.sections}[".pdata"] == 3 * 8


@pytest.mark.whole
def test_modules_import_what_is_of_windows(installed: Path, built: str) -> None:
    found = {path.stem: parsed(path) for path in (installed / "DLLs").glob("*.pyd")}
    assert len(found) > 20
    dlls = dict(zip(("libcrypto-3", "libssl-3"), OPENSSL.get(built.partition("-")[0], ("libcrypto-3", "libssl-3")), strict=True))
    for name, binary in found.items():
        named = {library for library in imports(binary) if not library.startswith("api-ms-win-crt-")}
        assert named - {"KERNEL32"} == {"python313", *(dlls.get(one, one) for one in OF_MODULES.get(name, ()))}, name
        assert exports(binary).keys() == {f"PyInit_{name}", *(("DllGetClassObject", "DllCanUnloadNow") if name == "_ctypes" else ())}


@pytest.mark.whole
def test_tcl_and_tk_offer_what_others_look_up(installed: Path) -> None:
    found = {name: parsed(installed / "DLLs" / file) for name, file in DLLS.items()}
    assert {name: LOOKED_UP[name] - exports(binary).keys() for name, binary in found.items()} == {"tcl": set(), "tk": set()}
    # (Tk takes Tcl's functions from a table of Tcl's)
    assert not {"tcl90", "msvcrt"} & {name.lower() for binary in found.values() for name in imports(binary)}
    assert isinstance(found["tk"].resources_manager, lief.PE.ResourcesManager)
    assert {kind.name for kind in found["tk"].resources_manager.types} >= DRAWN


@pytest.mark.whole
@pytest.mark.parametrize("cell", [WINDOWS, WINDOWS_32, WINDOWS_ARM])
def test_the_archives_pass_the_audit(first: Checkout, cell: str) -> None:
    done = first.doit(f"check:{cell}:noopt", timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "audit of 3 archives: nothing found" in done.stdout


@pytest.fixture
def brought(first: Checkout, tmp_path: Path) -> Iterator[Session]:
    """With a DLL of our own (tests/pe) in `tmp_path`, named as Microsoft's. What was delivered with it goes away again, no more: with
    --built, dist/ may also have archives with a copy that somebody has a licence for."""
    (tmp_path / "VCRUNTIME140.dll").write_bytes((PE / "vcruntime.dll").read_bytes())
    session = Session(first.root, {**os.environ, **first.settings, "FREESTANDING_VCRUNTIME": str(tmp_path)})
    yield session
    for path in (first.root / "dist").glob(f"*.{VCRUNTIME}.{session.lock.sources[VCRUNTIME].sha256[:8]}-*"):
        path.unlink()


@pytest.mark.whole
def test_a_run_time_that_is_brought_lies_beside_the_interpreter(first: Checkout, brought: Session, tmp_path: Path) -> None:
    """The audit takes it with the option alone."""
    session, data = brought, (tmp_path / "VCRUNTIME140.dll").read_bytes()
    done = first.doit("run", "--vcruntime", str(tmp_path), f"check:{WINDOWS}:noopt", timeout=HOUR)
    assert done.returncode == 0 and "audit of 3 archives: nothing found" in done.stdout, done.stdout[-5000:] + done.stderr[-5000:]
    cell = parse_cell(f"{WINDOWS}:noopt", session.matrix)
    assert session.look_up([f"dist:{cell}"]) == ()
    for path in session.archives(f"dist:{cell}"):
        root = "python/install" if "-full." in path.name else "python"
        with members(path) as found:
            kept = {member.name: file for member, file in found if member.name in (f"{root}/vcruntime140.dll", METADATA)}
        assert kept.pop(f"{root}/vcruntime140.dll") == data and f".vcruntime.{session.lock.sources[VCRUNTIME].sha256[:8]}-" in path.name
        assert [json.loads(text)["licenses"][-1] for text in kept.values()] == [session.lock.sources[VCRUNTIME].licence] * (
            "-full." in path.name
        )
    [stripped] = (path for path in session.archives(f"dist:{cell}") if "_stripped." in path.name)
    refused = {one.rule for one in audit_archives([stripped], parse_policy(session.read("toolchains/policy.toml"), cell))}
    assert {"archive-name", "licensed", "timestamp"} <= refused


def archive_of(first: Checkout, flavour: str, built: str = WINDOWS) -> Path:
    """The archive of this flavour, built if it is not there."""
    done = first.doit(f"dist:{built}:noopt", timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    session = Session(first.root, {**os.environ, **first.settings})
    cell = parse_cell(f"{built}:noopt", session.matrix)
    assert session.look_up([f"dist:{cell}"]) == ()
    [found] = (path for path in session.archives(f"dist:{cell}") if path.name.endswith(f"{flavour}.tar.gz"))
    return found


@pytest.mark.whole
def test_it_works_after_two_moves(first: Checkout, wine: Wine, tmp_path: Path) -> None:
    archive = archive_of(first, "install_only_stripped")
    session = Session(first.root, {})
    cell = parse_cell(f"{WINDOWS}:noopt", session.matrix)
    script = first.root / "toolchains/smoke.py"
    checks = run_smoke(archive, tmp_path, script, expected_of(cell, session.read), wine)
    print("\n" + render_smoke(checks))
    refuse_smoke(checks, archive.name)


@pytest.mark.whole
def test_of_cpythons_own_tests_those_of_windows_are_as_good_as_msvcs(first: Checkout, wine: Wine, tmp_path: Path) -> None:
    """docs/windows-suite.md has all."""
    session = Session(first.root, {**os.environ, **first.settings})
    done = first.doit(f"dist:{WINDOWS}:noopt", timeout=HOUR)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    cell = parse_cell(f"{WINDOWS}:noopt", session.matrix)
    assert session.look_up([f"dist:{cell}"]) == ()
    [full] = [path for path in session.archives(f"dist:{cell}") if "-full." in path.name]
    tried = wanted(session.read, cell)
    files = tuple(name for name in tried.baseline.files if AREAS.fullmatch(name))
    result = run_suite(full, tmp_path, tried.suite, cell.version, machine=wine, only=files)
    baseline = narrow(tried.baseline, files)
    print("\n" + render_suite(result, tried.suite, baseline))
    assert unexpected(result, tried.suite, baseline) == (), (tmp_path / "all.log").read_text()[-5000:]
    assert result.files.keys() == set(files) and result.cases > 10_000


@pytest.mark.whole
def test_what_is_of_windows_works(runnable: Path, wine: Wine) -> None:
    done = subprocess.run(wine.argv(str(runnable / "python.exe"), "-c", PROGRAM), capture_output=True, text=True, timeout=600)
    assert f"ran {VERSION} " in done.stdout, done.stdout + done.stderr


@pytest.mark.whole
@pytest.mark.parametrize("there", [True, False])
def test_an_import_that_fails_for_want_of_microsofts_run_time_names_it(runnable: Path, wine: Wine, there: bool) -> None:
    """tests/pe/needy.pyd takes a function of vcruntime140.dll, as modules made by MSVC do."""
    argv = wine.argv(str(runnable / "python.exe"), "-c", IMPORT, wine.name(PE))
    words = [word if there or not word.startswith("WINEDLLOVERRIDES=") else f"{word};{WITHOUT_MICROSOFTS}" for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    said = done.stdout + done.stderr
    assert ("imported <module 'needy' from " in said) == there, said
    assert ("DLL load failed while importing needy: " in said, NAMED in said) == (not there, not there), said
