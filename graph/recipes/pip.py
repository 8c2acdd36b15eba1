"""pip, unpacked from its pinned wheel as an installer would do it."""

from __future__ import annotations

from graph.node import Input, Node
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context, fetch_node


def pip_name(ctx: Context) -> str:
    """pip:VERSION, with a t for the free-threaded one, whose folder is another."""
    return f"pip:{ctx.cell.version}{ctx.cell.abiflags.replace('d', '')}"


def nodes(ctx: Context) -> tuple[Node, ...]:
    """fetch:pip and `pip_name`: lib/pythonX.Y/site-packages and the commands in bin/."""
    site = f"{ctx.cell.lib}/site-packages"
    wheel = f"/build/wheel/{ctx.source('pip').filename}"
    tree = ("pip_tree.py", wheel, f"/build/out/{site}", ctx.cell.minor)
    return (
        fetch_node(ctx, "pip"),
        python_node(
            ctx,
            pip_name(ctx),
            (
                python_step(ctx, *tree),
                python_step(ctx, "compile_tree.py", f"/build/out/{site}", site),
                python_step(ctx, *tree, "--record"),
            ),
            inputs=(Input("fetch:pip", "wheel"),),
            scripts=("pip_tree.py", "start.py", "compile_tree.py"),
        ),
    )
