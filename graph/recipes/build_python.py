"""The python that runs steps: never the host's, whose zlib and standard library would be in no key, but one that the graph built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graph.errors import PlanError
from graph.matrix import options
from graph.node import File, Input, Node, Run, Step
from graph.recipes.common import Context
from graph.recipes.cpython import interpreter_nodes, python_name, run_tools

SCRIPTS = "toolchains/steps"
WITHOUT = ("test/", "idlelib/", "tkinter/", "turtledemo/", "ensurepip/", "pydoc_data/")
"""Parts of Lib/ that no script imports."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """The interpreter that runs steps of packages, also in a plan without a cell of its version."""
    return interpreter_nodes(package_context(ctx))


def build_python(ctx: Context) -> tuple[Input, ...]:
    """An interpreter of the cell's version that runs here: bin/, lib/pythonX.Y and zlib.

    A native cell uses its own core. Raises PlanError for a cross target, which needs a core of the build host in its plan.
    """
    if ctx.triple != ctx.host.triple:
        raise PlanError(f"no Python of {ctx.host.triple} is in the plan of {ctx.cell}", place="graph/recipes/build_python.py")
    return (
        Input(f"core:{ctx.cell}", "py/bin", subdir="stripped/bin"),
        Input(f"source:cpython-{ctx.cell.version}", f"py/lib/{python_name(ctx)}", subdir="Lib", without=WITHOUT),
        Input(f"ext:{ctx.cell}:zlib", "py/modules", subdir="stripped"),
    )


def package_context(ctx: Context) -> Context:
    """The context whose Python runs steps of packages: one version and option set, so a package is one node for all cells of a plan."""
    target = ctx.cell.target
    return replace(ctx, cell=replace(ctx.cell, version=ctx.steps_version or ctx.cell.version, options=options(target.options[0])))


def python_step(ctx: Context, script: str, *args: str) -> Step:
    """Run toolchains/steps/<script>, which the node must list among its scripts."""
    return Step((f"/build/py/bin/{python_name(ctx)}", f"/build/steps/{script}", *args))


def python_node(
    ctx: Context,
    name: str,
    steps: tuple[Step, ...],
    *,
    inputs: tuple[Input, ...] = (),
    files: tuple[File, ...] = (),
    scripts: tuple[str, ...],
    env: Mapping[str, str] | None = None,
) -> Node:
    """A node whose steps are scripts of toolchains/steps, run by `build_python`."""
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
        Run(steps, tuple(sorted(environment.items())), tools=run_tools(ctx)),
        inputs=(*build_python(ctx), *inputs),
        files=(*(ctx.file(f"{SCRIPTS}/{script}", f"steps/{script}") for script in scripts), *files),
        platform=ctx.host.platform,
    )
