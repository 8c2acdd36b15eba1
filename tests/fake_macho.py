"""A tiny macOS distribution with real Mach-O files (tests/macho) that breaks no rule, and its policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from graph.policy import Policy, parse_policy
from graph.target import Cell
from tests.data import TARGET
from tests.fake_archive import Member, Tree

MACHO = Path(__file__).resolve().parent / "macho"
MAC = replace(
    TARGET,
    triple="x86_64-apple-darwin",
    os="macos",
    libc="none",
    libc_floor="",
    autoconf="x86_64-apple-darwin19.0.0",
    deployment_target="10.15",
    multiarch="darwin",
    platform_tag="macosx-10.15-x86_64",
    options=("lto",),
)
CELL = Cell(MAC, "3.13.15", ("lto",))
NAME = "cpython-3.13.15+20260801-x86_64-apple-darwin-install_only.tar.gz"
SYSTEM = "/usr/lib/libSystem.B.dylib"
STUBS = {SYSTEM: frozenset({"strlen", "__memcpy_chk", "__stack_chk_fail", "dyld_stub_binder", "preadv"})}
LIMITS = r"""
[[limits]]
os = "macos"
format = "Mach-O"
machine = "x86_64"
multiarch = "darwin"
signed = true
padding = 1024
extension_exports = ['PyInit_\w+']
core_exports = ['Py\w+', '_mh_execute_header']
interpreter_symbols = ["__stack_chk_fail", "__*_chk"]
dylibs = { "/usr/lib/libSystem.B.dylib" = "1.0.0" }

[[modules]]
os = "macos"
python = "3.13"
builtin = ["sys"]
shared = ["fix", "own"]
"""

PYTHON = "python/bin/python3.13"
LIBPYTHON = "python/lib/libpython3.13.dylib"
OWN = "python/lib/libown.1.dylib"
FIX = "python/lib/python3.13/lib-dynload/fix.cpython-313-darwin.so"
USER = FIX.replace("fix.", "own.")


def policy(text: str = LIMITS) -> Policy:
    """The limits, with what the sysroot's libraries offer."""
    return replace(parse_policy(text, CELL), stubs=STUBS)


def macho(name: str) -> Member:
    """A file of tests/macho."""
    return Member((MACHO / name).read_bytes(), 0o755)


def good() -> Tree:
    """All members of an install_only archive that breaks no rule."""
    return {
        PYTHON: macho("good-python"),
        LIBPYTHON: macho("good-libpython.dylib"),
        OWN: macho("good-private.dylib"),
        FIX: macho("good-module.so"),
        USER: macho("uses-private.so"),
    }
