"""zlib: static, into every extension that needs it (core's zlib module, binascii)."""

from __future__ import annotations

from graph.node import Node, Step
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import CFLAGS, configure_node, licence, make_node, put

READS = ("configure", "*.in", "*.h", "*.c")
ENV = {"CFLAGS": CFLAGS.replace("-O2", "-O3")}


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (
        fetch_node(ctx, "zlib"),
        source_node(ctx, "zlib"),
        configure_node(ctx, "zlib", ("/build/src/configure", "--static", "--uname=Linux"), reads=READS, env=ENV),
        make_node(
            ctx,
            "zlib",
            (
                Step(("make", "libz.a")),
                put("lib", "libz.a"),
                put("include", "/build/src/zlib.h", "zconf.h"),
                licence("zlib", "/build/src/LICENSE"),
            ),
            env=ENV,
        ),
    )
