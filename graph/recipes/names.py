"""Names of a cell's files, and of what its programs need, that several recipes of CPython go by."""

from __future__ import annotations

from dataclasses import replace

from graph.recipes.common import Context

LIBRARY = {"linux": ".so.1.0", "macos": ".dylib"}
"""Per system: ending of the shared libpython's file name, as CPython's configure has it."""


def source_name(ctx: Context) -> str:
    """The lock's entry of the cell's Python."""
    return f"cpython-{ctx.cell.version}"


def python_name(ctx: Context) -> str:
    """File name of the interpreter, e.g. python3.13, python3.13t."""
    return f"python{ctx.cell.ldversion}"


def soname(ctx: Context) -> str:
    """File name of the shared libpython, e.g. libpython3.13.so.1.0, libpython3.13.dylib."""
    return f"libpython{ctx.cell.ldversion}{LIBRARY[ctx.cell.target.os]}"


def ext_suffix(ctx: Context) -> str:
    """Ending of extension modules, e.g. .cpython-313-x86_64-linux-gnu.so."""
    return f".cpython-{ctx.cell.ldversion.replace('.', '')}-{ctx.cell.target.multiarch}.so"


def ext_suffixes(ctx: Context) -> tuple[str, ...]:
    """importlib's list (Python/dynload_shlib.c): a debug build also takes release builds' modules."""
    release = replace(ctx, cell=replace(ctx.cell, options=tuple(name for name in ctx.cell.options if name != "debug")))
    return (*dict.fromkeys((ext_suffix(ctx), ext_suffix(release))), f".abi{ctx.cell.minor.partition('.')[0]}.so", ".so")


def run_tools(ctx: Context) -> tuple[str, ...]:
    """Host tool sets that a program of the target needs to run on the build host."""
    target = ctx.cell.target
    return {("native", "gnu"): ("glibc",)}.get((target.run, target.libc), ())
