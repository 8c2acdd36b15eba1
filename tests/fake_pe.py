"""A tiny Windows distribution with real PE files (tests/pe) that breaks no rule, and its policy."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from graph.binaries import read_binaries
from graph.metadata import OF_SYSCONFIG
from graph.pdb import MAGIC
from graph.policy import Policy, parse_policy
from graph.target import Cell
from tests.data import TARGET
from tests.fake_archive import Member, Tree, document

PE = Path(__file__).resolve().parent / "pe"
WINDOWS = replace(
    TARGET,
    triple="x86_64-pc-windows-gnu",
    os="windows",
    libc="ucrt",
    libc_floor="",
    autoconf="x86_64-w64-mingw32",
    multiarch="win_amd64",
    platform_tag="win-amd64",
)
CELL = Cell(WINDOWS, "3.13.15", ("noopt",))
STEM = "cpython-3.13.15+20260801-x86_64-pc-windows-gnu"
NAMES = {
    "full": f"{STEM}-noopt-full.tar.zst",
    "install_only": f"{STEM}-install_only.tar.gz",
    "install_only_stripped": f"{STEM}-install_only_stripped.tar.gz",
}
LIMITS = r"""
[[limits]]
os = "windows"
format = "PE"
machine = "x86_64"
multiarch = "win_amd64"
foreign = ["python/*/distlib/*.exe"]
launchers = ["python/Scripts/*.exe"]
extension_exports = ['PyInit_\w+']
core_exports = ['Py\w+']
needed = ["kernel32.dll", "api-ms-win-crt-*.dll"]
banned_libraries = ["vcruntime*.dll", "libgcc*.dll"]
licensed = ["vcruntime*.dll", "msvcp*.dll"]
module_exports = { fix = ["DllCanUnloadNow"] }
core_imports = { "api-ms-win-crt-math-l1-1-0.dll" = ["exp"] }
absent_exports = ["PyOS_CheckStack"]
stack = 2000000
required = { install = ["{windows.dll}.dll", "{lib}/os.py"] }

[[modules]]
os = "windows"
python = "3.13"
builtin = ["sys"]
shared = ["fix"]
test = ["_testfix"]
"""
PYCONFIG = """#define PYD_PLATFORM_TAG "win_amd64"
#define PYD_PLATFORM_TAG "win_arm64"
/* #define Py_GIL_DISABLED 1 */
#ifdef MS_WIN64
#       define SIZEOF_VOID_P 8
#elif defined(MS_WIN32)
#       define SIZEOF_VOID_P 4
#endif
"""

PYTHON, CORE, STABLE = "python/python.exe", "python/python313.dll", "python/python3.dll"
FIX, OWN = "python/DLLs/fix.pyd", "python/DLLs/own.dll"
HEADER = "python/include/pyconfig.h"


def policy(text: str = LIMITS) -> Policy:
    """The limits."""
    return parse_policy(text, CELL)


def pe(name: str) -> Member:
    """A file of tests/pe."""
    return Member((PE / name).read_bytes(), 0o755)


def pdb(guid: str, age: int = 1, size: int = 512, more: int = 0) -> bytes:
    """The least PDB file: block 3 lists the directory's blocks (from 4 on), stream 0 was deleted, 1 has GUID and age, `more` are empty."""
    stream = struct.pack("<III16s", 20000404, 0, age, UUID(guid).bytes_le)
    counts = (2 + more, 0xFFFFFFFF, len(stream), *(0 for _ in range(more)))
    blocks = -(-4 * (len(counts) + 1) // size)
    directory = struct.pack(f"<{len(counts) + 1}I", *counts, 4 + blocks)
    head = MAGIC + struct.pack("<6I", size, 1, 5 + blocks, len(directory), 0, 3)
    parts = (head, b"", b"", struct.pack(f"<{blocks}I", *range(4, 4 + blocks)), directory.ljust(blocks * size, b"\0"), stream)
    return b"".join(part.ljust(size, b"\0") for part in parts)


def pdb_of(name: str) -> Member:
    """The PDB that a file of tests/pe names."""
    [binary] = read_binaries(name, (PE / name).read_bytes())
    assert binary.pe is not None and binary.pe.pdb is not None
    return Member(pdb(binary.pe.pdb.guid, binary.pe.pdb.age))


def good(flavour: str = "install_only") -> Tree:
    """All members of an archive that breaks no rule."""
    full = flavour == "full"
    root = "python/install" if full else "python"
    files = {f"{root}/{name}": name for name in ("python.exe", "pythonw.exe", "python3.dll", "python313.dll")}
    files |= {f"{root}/DLLs/fix.pyd": "fix.pyd", f"{root}/DLLs/own.dll": "own.dll"}
    files |= {"python/install/DLLs/_testfix.pyd": "test.pyd"} if full else {}
    tree = {path: pe(name) for path, name in files.items()}
    if flavour != "install_only_stripped":
        tree |= {f"{path.rpartition('.')[0]}.pdb": pdb_of(name) for path, name in files.items()}
    tree |= {f"{root}/Lib/os.py": Member(), f"{root}/include/pyconfig.h": Member(PYCONFIG.encode())}
    return {**tree, **_of_full()} if full else tree


def _of_full() -> Tree:
    extension = {"in_core": True, "init_fn": "x", "links": [], "objs": [], "required": False, "variant": "default"}
    files = {name: f"install/DLLs/{name}.pyd" for name in ("fix", "_testfix")}
    text = {
        **{key: value for key, value in document().items() if key != OF_SYSCONFIG},
        "target_triple": WINDOWS.triple,
        "python_platform_tag": WINDOWS.platform_tag,
        "python_exe": "install/python.exe",
        "python_paths": {"stdlib": "install/Lib"},
        "build_info": {
            "core": {"objs": ["build/core.o"], "links": [], "shared_lib": "install/python313.dll"},
            "extensions": {
                "sys": [extension],
                **{name: [{**extension, "in_core": False, "shared_lib": path}] for name, path in files.items()},
            },
        },
    }
    return {
        "python/PYTHON.json": Member(json.dumps(text).encode()),
        "python/build/core.o": Member(b"d\x86"),
        "python/licenses/LICENSE.txt": Member(b"terms\n"),
    }
