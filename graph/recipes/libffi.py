"""libffi: static, for _ctypes."""

from __future__ import annotations

from graph.node import Node, Step
from graph.recipes.common import Context, configure_triples, fetch_node, source_node
from graph.recipes.library import configure_node, licence, make_node, put

OFF = ("shared", "docs", "multi-os-directory", "dependency-tracking")


def nodes(ctx: Context) -> tuple[Node, ...]:
    off = tuple(f"--disable-{feature}" for feature in OFF)
    argv = ("/build/src/configure", *configure_triples(ctx), "--prefix=/usr", "--enable-static", "--with-pic", *off)
    return (
        fetch_node(ctx, "libffi"),
        source_node(ctx, "libffi"),
        configure_node(ctx, "libffi", argv),
        make_node(
            ctx,
            "libffi",
            (
                Step(("make", "libffi.la")),
                put("lib", ".libs/libffi.a"),
                put("include", "include/ffi.h", "include/ffitarget.h"),
                licence("libffi", "/build/src/LICENSE"),
            ),
        ),
    )
