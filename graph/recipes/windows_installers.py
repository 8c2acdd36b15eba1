"""A distribution for Windows in the forms that installers take: the ZIP of the Python install manager, and an MSI."""

from __future__ import annotations

from graph.node import Input, Node
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context
from graph.recipes.distribution import archive_name


def nodes(ctx: Context) -> tuple[Node, ...]:
    """zip and msi, each with the tree of the install_only_stripped archive: python.org's have no symbols, either."""
    return (_zip(ctx), _msi(ctx))


def _tree(ctx: Context) -> Input:
    return Input(f"assemble:{ctx.cell}:stripped", "tree")


def _zip(ctx: Context) -> Node:
    """out/…-install_only_stripped.zip: what is in python/ of the archive lies at its top."""
    return python_node(
        ctx,
        f"zip:{ctx.cell}",
        (python_step(ctx, "pack_zip.py", "/build/tree", f"/build/out/{archive_name(ctx, 'zip')}"),),
        inputs=(_tree(ctx),),
        scripts=("pack_zip.py", "members.py"),
    )


def _msi(ctx: Context) -> Node:
    """out/….msi, for one user."""
    return python_node(
        ctx,
        f"msi:{ctx.cell}",
        (python_step(ctx, "msi.py", "/build/tree", ctx.triple, f"/build/out/{archive_name(ctx, 'msi')}"),),
        inputs=(_tree(ctx),),
        scripts=("msi.py", "compound_file.py", "members.py", "pe_version.py"),
        tools=("wixl",),
        env={"WIXL": "wixl", "MSIBUILD": "msibuild"},
    )
