"""xz: liblzma only, static."""

from __future__ import annotations

from graph.node import Node, Step
from graph.recipes.common import Context, configure_triples, fetch_node, source_node
from graph.recipes.library import configure_node, licence, make_node, put

OFF = ("shared", "xz", "xzdec", "lzmadec", "lzmainfo", "lzma-links", "scripts", "doc", "nls", "symbol-versions", "dependency-tracking")
READS = ("configure", "build-aux/", "**/*.in", "config.h.in", "src/liblzma/common/common.h")


def nodes(ctx: Context) -> tuple[Node, ...]:
    off = tuple(f"--disable-{feature}" for feature in OFF)
    argv = ("/build/src/configure", *configure_triples(ctx), "--prefix=/usr", "--enable-static", "--with-pic", *off)
    return (
        fetch_node(ctx, "xz"),
        source_node(ctx, "xz"),
        configure_node(ctx, "xz", argv, reads=READS),
        make_node(
            ctx,
            "xz",
            (
                Step(("make", "-C", "src/liblzma")),
                put("lib", "src/liblzma/.libs/liblzma.a"),
                Step(("mkdir", "-p", "/build/out/include")),
                Step(("cp", "-R", "/build/src/src/liblzma/api/lzma", "/build/src/src/liblzma/api/lzma.h", "/build/out/include/")),
                licence("xz", "/build/src/COPYING.0BSD"),
            ),
        ),
    )
