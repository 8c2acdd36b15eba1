"""pip, unpacked from its pinned wheel as an installer would do it."""

from __future__ import annotations

from graph.node import Input, Node
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context, fetch_node
from graph.recipes.cpython import python_name


def nodes(ctx: Context) -> tuple[Node, ...]:
    """fetch:pip and pip:CELL: lib/pythonX.Y/site-packages and the commands in bin/."""
    site = f"lib/{python_name(ctx)}/site-packages"
    wheel = f"/build/wheel/{ctx.source('pip').filename}"
    return (
        fetch_node(ctx, "pip"),
        python_node(
            ctx,
            f"pip:{ctx.cell}",
            (
                python_step(ctx, "pip_tree.py", wheel, "/build/out", ctx.cell.minor),
                python_step(ctx, "compile_tree.py", f"/build/out/{site}", site),
                python_step(ctx, "pip_tree.py", wheel, "/build/out", ctx.cell.minor, "--record"),
            ),
            inputs=(Input("fetch:pip", "wheel"),),
            scripts=("pip_tree.py", "compile_tree.py"),
        ),
    )
