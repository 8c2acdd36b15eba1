"""Names of a cell's files, and of what its programs need, that several recipes of CPython go by."""

from __future__ import annotations

from dataclasses import replace

from graph.target import Cell, Target

LIBRARY = {"linux": ".so.1.0", "macos": ".dylib"}
"""Per system: ending of the shared libpython's file name, as CPython's configure has it."""


def source_name(cell: Cell) -> str:
    """The lock's entry of the cell's Python."""
    return f"cpython-{cell.version}"


def python_name(cell: Cell) -> str:
    """File name of the interpreter, e.g. python3.13, python3.13t."""
    return f"python{cell.ldversion}"


def soname(cell: Cell) -> str:
    """File name of the shared libpython, e.g. libpython3.13.so.1.0, libpython3.13.dylib."""
    return f"libpython{cell.ldversion}{LIBRARY[cell.target.os]}"


def ext_suffix(cell: Cell) -> str:
    """Ending of extension modules, e.g. .cpython-313-x86_64-linux-gnu.so."""
    return f".cpython-{cell.ldversion.replace('.', '')}-{cell.target.multiarch}.so"


def ext_suffixes(cell: Cell) -> tuple[str, ...]:
    """importlib's list (Python/dynload_shlib.c): a debug build also takes release builds' modules."""
    release = replace(cell, options=tuple(name for name in cell.options if name != "debug"))
    return (*dict.fromkeys((ext_suffix(cell), ext_suffix(release))), f".abi{cell.minor.partition('.')[0]}.so", ".so")


def run_tools(target: Target) -> tuple[str, ...]:
    """Host tool sets that a program of the target needs to run on the build host."""
    return {("native", "gnu"): ("glibc",)}.get((target.run, target.libc), ())
