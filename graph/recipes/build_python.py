"""The python that runs steps: never the host's, whose zlib and standard library would be in no key, but one that the graph built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graph.node import File, Input, Node, Run, Step
from graph.recipes.common import Context
from graph.recipes.names import python_name, run_tools, source_name
from graph.target import Cell

SCRIPTS = "toolchains/steps"
WITHOUT = ("test/", "idlelib/", "tkinter/", "turtledemo/", "ensurepip/", "pydoc_data/")
"""Parts of Lib/ that no script imports."""


def host_cell(ctx: Context) -> Cell:
    """The build host's own ABI of the context's version: that of the Python that runs here."""
    return Cell(ctx.host.target, ctx.cell.version, ())


def package_context(ctx: Context) -> Context:
    """The context whose Python runs steps of packages, which are one node for all versions."""
    return replace(ctx, cell=replace(ctx.cell, version=ctx.steps_version or ctx.cell.version))


def build_python(ctx: Context) -> tuple[Input, ...]:
    """An interpreter of the cell's version that runs here: bin/, lib/pythonX.Y and zlib."""
    host = host_cell(ctx)
    return (
        Input(f"python:{host.version}", "py/bin", subdir="bin"),
        Input(f"source:{source_name(host)}", f"py/{host.lib}", subdir="Lib", without=WITHOUT),
        Input(f"ext:{host.abi}:zlib", "py/modules", subdir="stripped"),
    )


def python_step(ctx: Context, script: str, *args: str) -> Step:
    """Run toolchains/steps/<script>, which the node must list among its scripts."""
    return Step((build_python_path(ctx), f"/build/steps/{script}", *args))


def python_module_step(ctx: Context, module: str, *args: str) -> Step:
    """Run a module of the standard library."""
    return Step((build_python_path(ctx), "-m", module, *args))


def build_python_path(ctx: Context) -> str:
    """Where `build_python` places the program."""
    return f"/build/py/bin/{python_name(host_cell(ctx))}"


def python_node(
    ctx: Context,
    name: str,
    steps: tuple[Step, ...],
    *,
    inputs: tuple[Input, ...] = (),
    files: tuple[File, ...] = (),
    scripts: tuple[str, ...],
    tools: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> Node:
    """A node whose steps are scripts of toolchains/steps, run by `build_python`; `tools`: programs of the host that they run."""
    environment = {
        "PATH": "/usr/bin",
        "HOME": "/build/tmp",
        "TMPDIR": "/build/tmp",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(ctx.lock.epoch),
        "PYTHONHOME": "/build/py",
        "PYTHONPATH": "/build/py/modules",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(env or {}),
    }
    return Node(
        name,
        Run(steps, tuple(sorted(environment.items())), tools=(*run_tools(ctx.host.target), *tools)),
        inputs=(*build_python(ctx), *inputs),
        files=(*(ctx.file(f"{SCRIPTS}/{script}", f"steps/{script}") for script in scripts), *files),
        platform=ctx.host.platform,
    )
