"""A tiny Windows distribution with real PE files (tests/pe) that breaks no rule, and its policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

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
foreign = ["python/Scripts/*.exe"]
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


def good(flavour: str = "install_only") -> Tree:
    """All members of an archive that breaks no rule."""
    full = flavour == "full"
    root = "python/install" if full else "python"
    tree = {f"{root}/{name}": pe(name) for name in ("python.exe", "pythonw.exe", "python3.dll", "python313.dll")}
    tree |= {
        f"{root}/DLLs/fix.pyd": pe("debug.pyd" if full else "fix.pyd"),
        f"{root}/DLLs/own.dll": pe("own.dll"),
        f"{root}/Lib/os.py": Member(),
        f"{root}/include/pyconfig.h": Member(PYCONFIG.encode()),
    }
    return {**tree, **_of_full()} if full else tree


def _of_full() -> Tree:
    extension = {"in_core": True, "init_fn": "x", "links": [], "objs": [], "required": False, "variant": "default"}
    files = {name: f"install/DLLs/{name}.pyd" for name in ("fix", "_testfix")}
    text = {
        **document(),
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
        "python/install/DLLs/_testfix.pyd": pe("test.pyd"),
    }
