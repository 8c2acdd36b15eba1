"""libc++, libc++abi and libunwind, of which zig has the sources: one static library for C++ that the toolchain add-on compiles."""

from __future__ import annotations

from graph.node import Input, Node, Step
from graph.recipes.common import Context, compile_node

SOURCES = ("lib/libcxx/", "lib/libcxxabi/", "lib/libunwind/")
SETTINGS = ("SRC=/build/src/lib", "SITE=/build/config_site.h", "MORE=/build/fmaxf128.c", "OUT=/build/out")
FILES = ("build.mk", "config_site.h", "fmaxf128.c")


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (
        compile_node(
            ctx,
            f"make:{ctx.triple}:libcxx",
            (Step(("make", "-f", "/build/build.mk", *SETTINGS)),),
            inputs=(Input("toolchain:zig", "src", only=SOURCES),),
            files=tuple(ctx.file(f"toolchains/libcxx/{name}", name) for name in FILES),
        ),
    )
