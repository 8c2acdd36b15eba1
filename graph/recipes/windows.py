"""Windows: CPython's core and some extension modules, from upstream's own project files (docs/windows.md). There is no distribution yet."""

from __future__ import annotations

from dataclasses import replace

from graph.node import File, Input, Node, Step, Unpack
from graph.recipes import lld, toolchain
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context, compile_node, fetch_node, patches_for, source_node
from graph.recipes.names import source_name
from graph.target import Cell

PATCHES = ("cpython", "cpython/windows")
"""Folders of patches/, in their order. Those of Windows are in no other target's source, nor in its keys."""
PROJECTS = ("pythoncore", "python3dll", "python", "pythonw")
MODULES = (
    *("_asyncio", "_elementtree", "_multiprocessing", "_overlapped", "_queue", "_socket", "_uuid", "_zoneinfo"),
    *("pyexpat", "select", "unicodedata", "winsound"),
)
"""Projects of extension modules that need no other library."""
MAKEFILES = "toolchains/windows"
PROPERTIES = ("Configuration=Release", "Platform=x64", "IncludeExternals=true", "zlibDir=/build/zlib/")
"""MSBuild's global properties."""
READ_OF_SOURCE = ("Include/", "Modules/", "Objects/", "PC/", "Parser/", "Programs/", "Python/")


def nodes(ctx: Context) -> tuple[Node, ...]:
    """The sysroot, the source, projects:ABI, resources:ABI, core:CELL, and ext:ABI:MODULE of some modules."""
    package = replace(ctx, cell=Cell(ctx.cell.target, "", ()), steps_version=ctx.cell.version)
    return (
        *toolchain.nodes(package),
        *lld.nodes(package),
        fetch_node(ctx, "zlib"),
        source_node(ctx, "zlib"),
        *_source(ctx),
        _projects(ctx),
        _resources(ctx),
        _core(ctx),
        *(_module(ctx, name) for name in MODULES),
    )


def _source(ctx: Context) -> tuple[Node, ...]:
    name = source_name(ctx.cell)
    version = ctx.source(name).version
    patches = tuple(file for folder in PATCHES for file in patches_for(ctx, folder, version))
    return (fetch_node(ctx, name), Node(_source_node(ctx), Unpack(1), inputs=(Input(f"fetch:{name}", "archive"),), files=patches))


def _source_node(ctx: Context) -> str:
    return f"source:{source_name(ctx.cell)}:windows"


def _projects(ctx: Context) -> Node:
    """out/PROJECT.mk: what each project compiles and links."""
    return python_node(
        ctx,
        f"projects:{ctx.cell.abi}",
        (python_step(ctx, "vcxproj.py", "/build/src", "/build/out", *PROPERTIES, "--", *PROJECTS, *MODULES),),
        inputs=(
            Input(_source_node(ctx), "src", only=("PCbuild/*.vcxproj", "PCbuild/*.props", "PCbuild/*.targets", "Include/patchlevel.h")),
        ),
        scripts=("vcxproj.py", "msbuild.py"),
    )


def _resources(ctx: Context) -> Node:
    """out/PROJECT.res: version, icons and manifest."""
    settings = ("SRC=../src", "LISTS=../lists", "OUT=../out", f"PROJECTS={' '.join((*PROJECTS, *MODULES))}")
    node = compile_node(
        ctx,
        f"resources:{ctx.cell.abi}",
        (Step(("make", "-f", "/build/resources.mk", *settings)),),
        inputs=(Input(_source_node(ctx), "src", only=("PC/", "Include/")), Input(f"projects:{ctx.cell.abi}", "lists")),
        files=(ctx.file(f"{MAKEFILES}/resources.mk", "resources.mk"),),
        env={"ZIG_GLOBAL_CACHE_DIR": "/build/tmp/global", "ZIG_LOCAL_CACHE_DIR": "/build/tmp/local"},
    )
    # zig compiles its resource compiler when it is first called
    return replace(node, inputs=tuple(replace(given, only=()) if given.node == "toolchain:zig" else given for given in node.inputs))


def _core(ctx: Context) -> Node:
    """out/full and out/stripped: DLLs and programs; out/libs: import libraries; out/include: pyconfig.h."""
    settings = ("SRC=../src", "LISTS=../lists", "FROZEN=../frozen", "RES=../res", "OUT=../out")
    return compile_node(
        ctx,
        f"core:{ctx.cell}",
        (Step(("make", "-f", "/build/core.mk", *settings, "core")),),
        inputs=(
            Input(_source_node(ctx), "src", only=READ_OF_SOURCE),
            Input("source:zlib", "zlib"),
            Input(f"projects:{ctx.cell.abi}", "lists", only=tuple(f"{name}.mk" for name in PROJECTS)),
            Input(f"resources:{ctx.cell.abi}", "res", only=tuple(f"{name}.res" for name in PROJECTS)),
            Input(f"python:{ctx.cell.version}", "frozen/Python", subdir="Python"),
        ),
        files=_makefiles(ctx, "core.mk"),
    )


def _module(ctx: Context, name: str) -> Node:
    """out/full and out/stripped: the module."""
    settings = ("SRC=../src", "LISTS=../lists", "CORE=../core", "RES=../res", "OUT=../out", f"NAME={name}")
    return compile_node(
        ctx,
        f"ext:{ctx.cell.abi}:{name}",
        (Step(("make", "-f", "/build/module.mk", *settings, "module")),),
        inputs=(
            Input(_source_node(ctx), "src", only=("Include/", "Modules/", "PC/")),
            Input(f"projects:{ctx.cell.abi}", "lists", only=(f"{name}.mk",)),
            Input(f"resources:{ctx.cell.abi}", "res", only=(f"{name}.res",)),
            Input(f"core:{ctx.cell}", "core", only=("include/", "libs/")),
        ),
        files=_makefiles(ctx, "module.mk"),
    )


def _makefiles(ctx: Context, name: str) -> tuple[File, ...]:
    return tuple(ctx.file(f"{MAKEFILES}/{one}", one) for one in (name, "common.mk"))
