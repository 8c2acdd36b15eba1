"""Targets with slices: one distribution whose files hold code for several processors, merged of theirs (docs/macos.md, Universal)."""

from __future__ import annotations

from dataclasses import replace

from graph.node import Input, Node, Step
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import DRIVERS, Context, needs_lld, of_cell
from graph.recipes.distribution import Part, build_files, full_parts, packed

ARCHITECTURES = {"aarch64": "arm64", "x86_64": "x86_64"}
"""Target.arch -> `cc -arch`."""
CONFIGURED = ("Makefile", "pyconfig.h", "Misc/python.pc", "Misc/python-embed.pc", "Modules/Setup*", "Modules/config.c")
"""What is read of a configured tree once all is compiled."""


def abi_nodes(ctx: Context) -> tuple[Node, ...]:
    """configure:ABI, what configure said of each slice as one."""
    target, slices = ctx.cell.target, of_cell(ctx)
    trees = {ARCHITECTURES[one.cell.target.arch]: f"slices/{one.triple}" for one in slices}
    settings = (target.deployment_target, target.platform_tag, *(f"{arch}=/build/{tree}" for arch, tree in trees.items()))
    return (
        python_node(
            ctx,
            f"configure:{ctx.cell.abi}",
            (python_step(ctx, "universal_config.py", "/build/out", *settings),),
            inputs=tuple(Input(f"configure:{one.cell.abi}", f"slices/{one.triple}", only=CONFIGURED) for one in slices),
            scripts=("universal_config.py",),
        ),
    )


def nodes(ctx: Context) -> tuple[Node, ...]:
    """files, assemble (full, stripped and build), metadata, archive (three) and dist of the cell."""
    whole = (Input(f"assemble:{ctx.cell}:full", "install"), "install"), (Input(f"assemble:{ctx.cell}:build", "rest"), ".")
    return (build_files(ctx), _assemble(ctx, "full"), _assemble(ctx, "stripped"), _assemble_rest(ctx), *packed(ctx, whole))


def _assemble(ctx: Context, variant: str) -> Node:
    """out: the tree as installed, with the whole's own build files for those of the slices."""
    files = Input(f"files:{ctx.cell}", "files", without=("licenses/",))
    slices = (Input(f"assemble:{one.cell}:{variant}", f"slices/{one.triple}") for one in of_cell(ctx))
    return merged(ctx, f"assemble:{ctx.cell}:{variant}", (files, *slices))


def _assemble_rest(ctx: Context) -> Node:
    """out: what the full archive has beside that tree: objects, static libraries, tests, licences."""
    parts = {one.triple: [_placed(part, one.triple) for part in full_parts(one)[1:]] for one in of_cell(ctx)}
    lay_out = tuple(
        python_step(ctx, "merge.py", f"/build/slices/{triple}", *(f"/build/{given.at}={dest}" for given, dest in some))
        for triple, some in parts.items()
    )
    return merged(ctx, f"assemble:{ctx.cell}:build", tuple(given for some in parts.values() for given, _ in some), *lay_out)


def _placed(part: Part, triple: str) -> Part:
    """The part where no other slice's is."""
    given, dest = part
    return replace(given, at=f"parts/{triple}/{given.at}"), dest


def merged(ctx: Context, name: str, inputs: tuple[Input, ...], *lay_out: Step) -> Node:
    """A node whose output is the trees slices/TRIPLE, which its inputs are or `lay_out` makes, as one; with what lies in files/."""
    trees = tuple(f"/build/slices/{one.triple}" for one in of_cell(ctx))
    # on a Mac the host's own
    lld = (Input("toolchain:lld", "lld"),) if needs_lld(ctx) else ()
    driver = (ctx.file(f"{DRIVERS['macos']}/lipo", "tc/bin/lipo"),) if lld else ()
    return python_node(
        ctx,
        name,
        (*lay_out, python_step(ctx, "universal.py", "/build/out", "/build/files", *trees)),
        inputs=(*lld, *inputs),
        files=driver,
        scripts=("universal.py", *(("merge.py",) if lay_out else ())),
        tools=("sh",) if lld else ("lipo",),
        env={"LIPO": "/build/tc/bin/lipo" if lld else "lipo"},
    )
