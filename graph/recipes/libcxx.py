"""libc++, libc++abi and libunwind, of which zig has the sources: one static library for C++ that the toolchain add-on compiles."""

from __future__ import annotations

from graph.node import Input, Node, Step
from graph.recipes.common import Context, compile_node

SOURCES = ("lib/libcxx/", "lib/libcxxabi/", "lib/libunwind/")
SETTINGS = ("SRC=/build/src/lib", "SITE=/build/config_site.h", "OUT=/build/out")


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (
        compile_node(
            ctx,
            f"make:{ctx.triple}:libcxx",
            (Step(("make", "-f", "/build/build.mk", *SETTINGS)),),
            inputs=(Input("toolchain:zig", "src", only=SOURCES),),
            files=(ctx.file("toolchains/libcxx/build.mk", "build.mk"), ctx.file("toolchains/libcxx/config_site.h", "config_site.h")),
        ),
    )
