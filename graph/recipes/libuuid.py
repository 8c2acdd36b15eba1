"""libuuid of util-linux: a dozen C files, compiled without configure."""

from __future__ import annotations

from graph.node import Node
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import CFLAGS, archive_file, archive_step, licence, make_node, put

ONLY = ("libuuid/src/", "lib/", "include/", "Documentation/licenses/")
PARTS = ("clear", "compare", "copy", "gen_uuid", "isnull", "pack", "parse", "predefined", "unpack", "unparse", "uuid_time")
SOURCES = (*(f"libuuid/src/{part}.c" for part in PARTS), "lib/randutils.c", "lib/md5.c", "lib/sha1.c")


def nodes(ctx: Context) -> tuple[Node, ...]:
    flags = f"{CFLAGS} -D_GNU_SOURCE -include /build/config.h -I/build/src/include -I/build/src/libuuid/src"
    return (
        fetch_node(ctx, "util-linux"),
        source_node(ctx, "util-linux", only=ONLY),
        make_node(
            ctx,
            "libuuid",
            (
                archive_step("libuuid.a", "/build/src", SOURCES, cflags=flags),
                put("lib", "libuuid.a"),
                put("include/uuid", "/build/src/libuuid/src/uuid.h"),
                licence("libuuid", "/build/src/Documentation/licenses/COPYING.BSD-3-Clause"),
            ),
            source="util-linux",
            configured=False,
            files=(archive_file(ctx), ctx.file("toolchains/libuuid/config.h", "config.h")),
        ),
    )
