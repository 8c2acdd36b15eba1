"""The recipes that make up a plan, each a function of the context."""

from __future__ import annotations

from collections.abc import Callable

from graph.node import Node
from graph.recipes import (
    bdb,
    build_python,
    bzip2,
    certificates,
    cpython,
    distribution,
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
    x11,
    xz,
    zlib,
    zstd,
)
from graph.recipes.common import Context

RECIPES: tuple[Callable[[Context], tuple[Node, ...]], ...] = (
    toolchain.nodes,
    toolchain_addon.nodes,
    bdb.nodes,
    build_python.nodes,
    bzip2.nodes,
    certificates.nodes,
    cpython.nodes,
    distribution.nodes,
    libcxx.nodes,
    fonts.nodes,
    libedit.nodes,
    libffi.nodes,
    libuuid.nodes,
    lld.nodes,
    ncurses.nodes,
    openssl.nodes,
    pip.nodes,
    sqlite.nodes,
    tcl.nodes,
    x11.nodes,
    xz.nodes,
    zlib.nodes,
    zstd.nodes,
)
