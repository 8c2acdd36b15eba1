"""core:CELL: of static cells (musl) one program with every extension module in it, out of the objects of the dynamic core and modules."""

from __future__ import annotations

from dataclasses import replace

from graph.node import File, Input, Node, Step
from graph.recipes import cpython
from graph.recipes.common import Context, compile_node, package_name
from graph.recipes.cpython import INTERPRETER_FLAGS, LINK_FLAGS, source_input
from graph.recipes.cpython_modules import Extension, extensions, packages
from graph.recipes.names import python_name

SOURCES = ("main.c", "dl.c")
FLAGS = ("-std=c11", "-O2", "-g", "-Wall", *INTERPRETER_FLAGS["linux"], "-I../config", "-I../src/Include", "-I../static")


def nodes(ctx: Context) -> tuple[Node, ...]:
    """core:CELL; of a static cell also the core that it is made from."""
    if not ctx.cell.static:
        return cpython.nodes(ctx)
    return (*cpython.nodes(shared_context(ctx)), _program(ctx))


def shared_context(ctx: Context) -> Context:
    """The context of the same cell as a dynamic build."""
    return replace(ctx, cell=replace(ctx.cell, options=tuple(name for name in ctx.cell.options if name != "static")))


def _program(ctx: Context) -> Node:
    """out/full and out/stripped: bin/; out/static and out/objects: those of the dynamic core."""
    modules = extensions(ctx.cell)
    core = f"core:{shared_context(ctx).cell}"
    table = "".join(f"MODULE({ext.name})\n" for ext in modules)
    link = _link(ctx, modules)
    return compile_node(
        ctx,
        f"core:{ctx.cell}",
        (
            Step(("mkdir", "-p", "../out/full/bin", "../out/stripped/bin")),
            Step(("cc", "-c", *FLAGS, *(f"../static/{name}" for name in SOURCES))),
            Step((*link, "-o", f"../out/full/bin/{python_name(ctx.cell)}")),
            Step((*link, "-Wl,-s", "-o", f"../out/stripped/bin/{python_name(ctx.cell)}")),
        ),
        inputs=(
            Input(core, "out/static", subdir="static", writable=True),
            Input(core, "out/objects", subdir="objects", writable=True),
            source_input(ctx, only=("Include/",)),
            Input(f"configure:{ctx.cell.abi}", "config", only=("pyconfig.h",)),
            *(Input(f"ext:{ctx.cell.abi}:{ext.name}", f"modules/{ext.name}", subdir="objects/Modules") for ext in modules),
            *(Input(package_name(ctx, package), f"deps/{package}", only=("lib/*.a",)) for package in packages(ctx.cell)),
        ),
        files=(
            File("static/modules.h", table.encode()),
            *(ctx.file(f"toolchains/cpython/static/{name}", f"static/{name}") for name in SOURCES),
        ),
        tools=("posix",),
    )


def _link(ctx: Context, modules: tuple[Extension, ...]) -> tuple[str, ...]:
    """Everything of CPython and what is used of the rest. Exported, for ctypes and dladdr: the C API and what is linked of libc."""
    libpython = f"../out/static/libpython{ctx.cell.ldversion}.a"
    libraries = tuple(dict.fromkeys(library for ext in modules for library in ext.libs))
    objects = (f"../modules/{ext.name}/{name}" for ext in modules for name in ext.object_names)
    return (
        *("cc", "-static-pie", *LINK_FLAGS["musl"], "-Wl,--export-dynamic,--hash-style=both"),
        *(name.replace(".c", ".o") for name in SOURCES),
        *("-Wl,--whole-archive", libpython, "-Wl,--no-whole-archive", *objects),
        *(f"-L../deps/{package}/lib" for package in packages(ctx.cell)),
        # some name another one of them, which may stand before
        *("-Wl,--start-group", *libraries, "-lm", "-Wl,--end-group"),
        "-Wl,--exclude-libs," + ":".join(f"lib{name.removeprefix('-l')}.a" for name in libraries if name.startswith("-l")),
    )
