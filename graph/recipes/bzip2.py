"""bzip2: static. It has no configure; its C files are compiled as they are."""

from __future__ import annotations

from graph.node import Node
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import CFLAGS, archive_file, archive_step, licence, make_node, put

SOURCES = ("blocksort.c", "huffman.c", "crctable.c", "randtable.c", "compress.c", "decompress.c", "bzlib.c")


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (
        fetch_node(ctx, "bzip2"),
        source_node(ctx, "bzip2"),
        make_node(
            ctx,
            "bzip2",
            (
                archive_step("libbz2.a", "/build/src", SOURCES, cflags=f"{CFLAGS} -D_FILE_OFFSET_BITS=64"),
                put("lib", "libbz2.a"),
                put("include", "/build/src/bzlib.h"),
                licence("bzip2", "/build/src/LICENSE"),
            ),
            configured=False,
            files=(archive_file(ctx),),
        ),
    )
