"""The recipes that make up a plan, each a function of the context."""

from __future__ import annotations

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
    x11,
    xz,
    zlib,
    zstd,
)
from graph.recipes.common import Recipe, Scoped, of_abi, of_cell, of_merged, of_merged_abi, of_target, of_version, of_windows

PACKAGES = (
    toolchain,
    toolchain_addon,
    lld,
    emulation,
    bdb,
    bzip2,
    certificates,
    fonts,
    libcxx,
    libedit,
    libffi,
    libuuid,
    ncurses,
    openssl,
    sqlite,
    tcl,
    aqua,
    x11,
    xz,
    zlib,
    zstd,
)

RECIPES: tuple[Recipe | Scoped, ...] = (
    *(Scoped(of_target, package.nodes) for package in PACKAGES),
    Scoped(of_target, cpython.package_python_nodes),
    *(Scoped(of_version, recipe) for recipe in (cpython.python_nodes, pip.nodes, distribution.stdlib_nodes)),
    Scoped(of_abi, cpython.abi_nodes),
    *(Scoped(of_cell, recipe) for recipe in (cpython_static.nodes, distribution.nodes)),
    Scoped(of_merged_abi, universal.abi_nodes),
    Scoped(of_merged, universal.nodes),
    Scoped(of_windows, windows.nodes),
)
