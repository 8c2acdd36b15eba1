"""What the recipes of C libraries share: configure out of tree, make from the restored build tree, keep few files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from graph.node import File, Input, Node, Step
from graph.recipes import common
from graph.recipes.common import Context, More, compile_node

if TYPE_CHECKING:
    import typing_extensions

CFLAGS = "-O2 -fPIC -fvisibility=hidden -D_FORTIFY_SOURCE=2"
"""Static libraries end in one extension module or in libpython: position-independent, and none of their symbols exported."""

ARCHIVE = "archive.mk"

LINK = {
    "linux": "-Wl,-s -Wl,--disable-new-dtags -Wl,-rpath,'$$ORIGIN'",
    "macos": "-Wl,-S,-x -Wl,-rpath,@loader_path",
}
"""Per system, for a makefile: how a shared library is linked that has no symbols but exported ones, and finds others beside it."""

MACOS_ANSWERS = "toolchains/macos/configure.site"
"""What configure scripts cannot find out where no program of macOS runs."""

NO_LOGS = Step(("rm", "-f", "config.log", "configure.log", "a.out.bin"))
"""configure writes times, process numbers and the kernel's release into its log: the same tree twice only without it.

What it prints is in the node's own log. The last is left by the driver's emulation: configure knows to remove a.out only."""


def answers(ctx: Context) -> tuple[tuple[File, ...], dict[str, str]]:
    """Files and environment for an autoconf script that would run programs: on macOS, also on a Mac, whose answers may be its own."""
    if ctx.cell.target.os != "macos":
        return (), {}
    return (ctx.file(MACOS_ANSWERS, "config.site"),), {"CONFIG_SITE": "/build/config.site"}


def configure_node(
    ctx: Context,
    name: str,
    argv: tuple[str, ...],
    *,
    source: str = "",
    reads: tuple[str, ...] = (),
    inputs: tuple[Input, ...] = (),
    env: Mapping[str, str] | None = None,
    **more: typing_extensions.Unpack[More],
) -> Node:
    """configure:TRIPLE:NAME. Runs `argv` in /build/work with the source at /build/src, of which it sees `reads`; gives the build tree."""
    return common.configure_node(
        ctx,
        f"configure:{ctx.triple}:{name}",
        (Step(argv), NO_LOGS),
        inputs=(Input(f"source:{source or name}", "src", only=reads), *inputs),
        env={"CFLAGS": CFLAGS, **(env or {})},
        **more,
    )


def make_node(
    ctx: Context,
    name: str,
    steps: tuple[Step, ...],
    *,
    source: str = "",
    configured: bool = True,
    inputs: tuple[Input, ...] = (),
    env: Mapping[str, str] | None = None,
    **more: typing_extensions.Unpack[More],
) -> Node:
    """make:TRIPLE:NAME. The source at /build/src, and at /build/work the tree that the configure node left."""
    built = (Input(f"configure:{ctx.triple}:{name}", "work", writable=True),) if configured else ()
    return compile_node(
        ctx,
        f"make:{ctx.triple}:{name}",
        steps,
        inputs=(Input(f"source:{source or name}", "src"), *built, *inputs),
        env={"CFLAGS": CFLAGS, **(env or {})},
        **more,
    )


def archive_step(lib: str, folder: str, names: tuple[str, ...], *, cflags: str = CFLAGS) -> Step:
    """Compile `names` (C files in `folder`) and pack them as static library `lib`, with toolchains/make/archive.mk at /build/archive.mk."""
    settings = (f"LIB={lib}", f"SRC={folder}", f"NAMES={' '.join(names)}", f"CFLAGS={cflags}")
    return Step(("make", "-f", f"/build/{ARCHIVE}", *settings))


def every(source: str, folders: tuple[str, ...], *, without: tuple[str, ...] = ()) -> str:
    """For `archive_step`: all C files of folders below `source`, which make lists, less some."""
    patterns = " ".join(f"{source}/{folder}/*.c" if folder else f"{source}/*.c" for folder in folders)
    return f"$(filter-out {' '.join(without)},$(patsubst {source}/%,%,$(sort $(wildcard {patterns}))))"


def archive_file(ctx: Context) -> File:
    """The makefile that `archive_step` runs."""
    return ctx.file(f"toolchains/make/{ARCHIVE}", ARCHIVE)


def for_static(ctx: Context, *steps: Step) -> tuple[Step, ...]:
    """The steps, which archive a shared library's objects, where a target offers static programs."""
    return steps if any("static" in choice for choice in ctx.cell.target.options) else ()


def shared_file(ctx: Context, soname: str) -> str:
    """File name on the target of the shared library that Linux calls `soname`: libx.so.3 is libx.3.dylib on macOS."""
    name, _, version = soname.partition(".so")
    return {"linux": soname, "macos": f"{name}{version}.dylib"}[ctx.cell.target.os]


def link_name(ctx: Context, name: str) -> str:
    """File name under which a link step looks for -l`name`."""
    return shared_file(ctx, f"lib{name}.so")


def put(folder: str, *files: str) -> Step:
    """Copy files into /build/out/<folder>."""
    return Step(("install", "-D", "-m", "644", "-t", f"/build/out/{folder}", *files))


def licence(name: str, file: str) -> Step:
    """Copy the licence to licenses/LICENSE.<name>.txt of the output."""
    return Step(("install", "-D", "-m", "644", file, f"/build/out/licenses/LICENSE.{name}.txt"))
