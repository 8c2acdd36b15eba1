"""libc:TRIPLE and runtime:TRIPLE of musl targets: the C library, built from its source (docs/musl.md says why not zig's)."""

from __future__ import annotations

from graph.node import Input, Node, Run, Step
from graph.recipes.common import Context, environment, fetch_node, source_node

SCRIPTS = ("musl.sh", "musl-newer.txt", "builtins.sh")


def nodes(ctx: Context) -> tuple[Node, ...]:
    """The pinned source, the sysroot, and what the target's programs need to run: lib/ld-musl-ARCH.so.1."""
    return (fetch_node(ctx, "musl"), source_node(ctx, "musl"), _libc(ctx), _runtime(ctx))


def _libc(ctx: Context) -> Node:
    target = ctx.cell.target
    argv = ("sh", "/build/sysroot/musl.sh", target.zig, target.clang, "/build/src", "/build/sysroot/musl-newer.txt", "/build/out")
    return Node(
        f"libc:{ctx.triple}",
        # musl copies files and goes on writing the copies, so they may not be read-only
        # no CPU level: what is hot in musl is assembly, and so its builds for x86_64_v2 to _v4 are one
        Run((Step(argv),), environment(ctx, CLANG_TARGET_FLAGS=""), tools=("posix", "make")),
        inputs=(Input("toolchain:zig", "zig"), Input("source:musl", "src", writable=True)),
        files=(
            *ctx.folder("toolchains/driver", "tc/bin"),
            *(ctx.file(f"toolchains/sysroot/{name}", f"sysroot/{name}") for name in SCRIPTS),
        ),
        platform=ctx.host.platform,
    )


def _runtime(ctx: Context) -> Node:
    step = Step(("cp", "-R", "/build/libc/lib", "/build/out/"))
    return Node(
        f"runtime:{ctx.triple}",
        Run((step,), (("PATH", "/usr/bin:/bin"),), tools=("posix",)),
        inputs=(Input(f"libc:{ctx.triple}", "libc", only=("lib/",)),),
        platform=ctx.host.platform,
    )
