"""The recipes that make up a plan, each a function of the context."""

from __future__ import annotations

from types import ModuleType

from graph.recipes import (
    aqua,
    bdb,
    bzip2,
    certificates,
    cpython,
    cpython_static,
    distribution,
    emulation,
    fonts,
    libcxx,
    libedit,
    libffi,
    libuuid,
    lld,
    ncurses,
    openssl,
    pip,
    sqlite,
    tcl,
    toolchain,
    toolchain_addon,
    universal,
    windows,
    windows_distribution,
    windows_installers,
    x11,
    xz,
    zlib,
    zstd,
)
from graph.recipes.common import (
    HOT,
    Recipe,
    Scope,
    Scoped,
    of_abi,
    of_baseline,
    of_cell,
    of_merged,
    of_merged_abi,
    of_target,
    of_version,
    of_windows,
    of_windows_abi,
    of_windows_target,
)

TOOLS = (toolchain, toolchain_addon, lld, emulation, certificates, libcxx)
LIBRARIES = (bdb, bzip2, fonts, libedit, libffi, libuuid, ncurses, openssl, sqlite, tcl, aqua, x11, xz, zlib, zstd)
"""What is linked with; a target with a baseline takes those from there that HOT has not."""


def _scope(library: ModuleType) -> Scope:
    return of_target if library.__name__.rpartition(".")[2] in HOT else of_baseline


RECIPES: tuple[Recipe | Scoped, ...] = (
    *(Scoped(of_target, package.nodes) for package in TOOLS),
    *(Scoped(_scope(library), library.nodes) for library in LIBRARIES),
    Scoped(of_target, cpython.package_python_nodes),
    *(Scoped(of_version, recipe) for recipe in (cpython.python_nodes, pip.nodes, distribution.stdlib_nodes)),
    Scoped(of_abi, cpython.abi_nodes),
    *(Scoped(of_cell, recipe) for recipe in (cpython_static.nodes, distribution.nodes)),
    Scoped(of_merged_abi, universal.abi_nodes),
    Scoped(of_merged, universal.nodes),
    Scoped(of_windows_target, windows.package_nodes),
    *(Scoped(of_windows_abi, recipe) for recipe in (windows.abi_nodes, windows_distribution.abi_nodes)),
    *(Scoped(of_windows, recipe) for recipe in (windows.nodes, windows_distribution.nodes, windows_installers.nodes)),
)
