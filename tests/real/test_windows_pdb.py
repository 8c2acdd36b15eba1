"""PDB files of the distribution for Windows, read by LLVM's own tools: a debugger finds function, file and line with them."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from graph.archive import unpack
from graph.facts import Pdb
from graph.pdb import read_pdb
from graph.pe import read_pe
from tests.mini import Checkout
from tests.real.test_windows import VERSION, exports, parsed, trees
from tests.real.version import WINDOWS

pytestmark = pytest.mark.whole
TOOLS = ("llvm-symbolizer", "llvm-pdbutil")
FUNCTIONS = {
    "python313.dll": (
        "cpython",
        {"PyList_Append": "Objects/listobject.c", "PyImport_ImportModule": "Python/import.c", "Py_Main": "Modules/main.c"},
    ),
    "DLLs/_ssl.pyd": ("cpython", {"PyInit__ssl": "Modules/_ssl.c"}),
    "DLLs/_ctypes.pyd": ("cpython", {"PyInit__ctypes": "Modules/_ctypes/_ctypes.c"}),
    "DLLs/_wmi.pyd": ("cpython", {"PyInit__wmi": "PC/_wmimodule.cpp"}),
    "DLLs/libcrypto-3.dll": ("openssl", {"EVP_DigestUpdate": "crypto/evp/digest.c"}),
    "DLLs/libssl-3.dll": ("openssl", {"SSL_do_handshake": "ssl/ssl_lib.c"}),
    "DLLs/tcl90.dll": ("tcl-windows", {"Tcl_CreateInterp": "generic/tclBasic.c"}),
    "DLLs/tcl9tk90.dll": ("tk-windows", {"Tk_MainWindow": "generic/tkWindow.c"}),
}
"""File -> whose source, and in which file of it an exported function is defined."""
PROGRAMS = {"python.exe", "pythonw.exe", "Lib/venv/scripts/nt/venvlauncher.exe", "Lib/venv/scripts/nt/venvwlauncher.exe"}


@pytest.fixture(scope="module")
def installed(first: Checkout) -> Path:
    """What the install_only archive has in python/."""
    return trees(first, f"assemble:{WINDOWS}:noopt:full")[0]


@pytest.fixture(scope="module")
def llvm(first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a tool of the pinned LLVM package, with the libraries of toolchain:lld."""
    package, lld = trees(first, "fetch:lld-linux-x86_64-llvm", "toolchain:lld")
    place = tmp_path_factory.mktemp("llvm") / "package"
    [archive] = package.iterdir()
    unpack(archive, place, only=tuple(f"usr/lib/llvm-*/bin/{tool}" for tool in TOOLS))
    [loader] = (lld / "lib").glob("ld-linux-*")

    def run(tool: str, *argv: str | Path) -> str:
        [program] = place.glob(f"usr/lib/llvm-*/bin/{tool}")
        words = [loader, "--library-path", lld / "lib", program, *argv]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    return run


def hashes(place: Path) -> dict[str, str]:
    paths = (path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_stripped_tree_is_the_same_without_them(first: Checkout, installed: Path) -> None:
    [stripped] = trees(first, f"assemble:{WINDOWS}:noopt:stripped")
    whole = hashes(installed)
    assert {path: value for path, value in whole.items() if not path.endswith(".pdb")} == hashes(stripped)
    binaries = {path for path in whole if path.startswith("DLLs/") or "/" not in path} & {
        path for path in whole if path.endswith((".dll", ".pyd", ".exe"))
    }
    assert {path for path in whole if path.endswith(".pdb")} == {f"{path.rpartition('.')[0]}.pdb" for path in binaries | PROGRAMS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_debugger_finds_functions_files_and_lines(first: Checkout, installed: Path, llvm: Callable[..., str], name: str) -> None:
    package, functions = FUNCTIONS[name]
    [source] = trees(first, f"source:cpython-{VERSION}:windows" if package == "cpython" else f"source:{package}")
    binary = parsed(installed / name)
    table = binary.get_export()
    assert table is not None and functions.keys() <= exports(binary).keys()
    for function, file in functions.items():
        [address] = (binary.optional_header.imagebase + entry.address for entry in table.entries if entry.name == function)
        found, place = llvm("llvm-symbolizer", "--no-inlines", f"--obj={installed / name}", hex(address)).split()
        path, line, _ = place.rsplit(":", 2)
        assert (found, path) == (function, "C:\\freestanding\\src\\" + file.replace("/", "\\"))
        # the line of its name, or of its brace: some have a line for each parameter
        # (not splitlines: Tcl's files have form feeds)
        text = (source / file).read_text(errors="replace").split("\n")[max(0, int(line) - 9) : int(line)]
        assert any(re.search(rf"\b{function}\b|^MODINIT|PyMODINIT_FUNC", one) for one in text), (place, text)


@pytest.mark.parametrize("name", ["python313.dll", "python3.dll", "DLLs/_ctypes.pyd", "DLLs/libcrypto-3.dll"])
def test_they_say_whose_they_are_and_nothing_of_the_build(installed: Path, llvm: Callable[..., str], name: str) -> None:
    path = (installed / name).with_suffix(".pdb")
    said = llvm("llvm-pdbutil", "dump", "-summary", "-modules", path)
    [guid] = re.findall(r"GUID: \{(.*)\}", said)
    own = read_pdb(path.read_bytes())
    [binary] = read_pe(name, (installed / name).read_bytes())
    assert own == Pdb("", guid.lower(), int(re.findall(r"Age: (\d+)", said)[0]))
    assert binary.pe is not None and binary.pe.pdb == Pdb(path.name, own.guid, own.age)
    places = set(re.findall(r"`([^`]*[/\\][^`]*)`", said))
    assert {place for place in places if not place.startswith(("C:\\freestanding\\", "C:/freestanding/"))} == set()


def test_the_command_of_the_linker_names_no_place(installed: Path, llvm: Callable[..., str]) -> None:
    said = llvm("llvm-pdbutil", "dump", "-symbols", installed / "DLLs/select.pdb")
    [block] = re.findall(r"S_ENVBLOCK.*\n((?: +- .*\n)+)", said)
    words = [line.strip().removeprefix("- ") for line in block.splitlines()]
    told = dict(zip(words[::2], words[1::2], strict=True))
    assert told["cwd"] == "C:\\freestanding\\work" and told["pdb"] == "C:\\freestanding\\out\\full\\select.pdb"
    assert " -libpath:../libc/lib" in told["cmd"] and not re.search(r"[: ]/", told["cmd"])
