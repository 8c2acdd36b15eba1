"""toolchain:zig and libc:TRIPLE: the compiler, and a plain sysroot of the target that it and lld use (docs/toolchain.md)."""

from __future__ import annotations

from graph.node import File, Input, Node, Run, Step, Unpack
from graph.recipes import musl
from graph.recipes.common import Context, environment, fetch_node, source_node
from graph.recipes.windows_machines import machine_of

LLVM = "22.1.8"
"""Version of LLVM in the pinned zig, 0.17.1: of bitcode, its readers must be as new."""

# systems that are no target: a third of the wheel's files
WITHOUT = (
    "lib/libc/include/*bsd*/",
    "lib/libc/include/wasm*/",
    "lib/libc/*bsd/",
    "lib/libc/wasi/",
    "lib/libtsan/",
    "lib/docs/",
    "lib/build-web/",
    "lib/init/",
    "lib/lldb/",
)


SDK = "macos-sdk"
"""The source that SDKROOT brings (graph/local.py)."""
OF_SDK = ("SDKSettings.json", "usr/include/", "usr/lib/", "System/Library/*Frameworks/")
NOT_OF_SDK = ("System/Library/PrivateFrameworks/",)


def nodes(ctx: Context) -> tuple[Node, ...]:
    """The zig wheel of the build host, its tree (zig, lib/), and the target's libc: usr/include, usr/lib, clang/ (resource folder)."""
    wheel = f"zig-{ctx.host.platform}"
    return (
        fetch_node(ctx, wheel),
        Node("toolchain:zig", Unpack(1, ("zig", "LICENSE", "lib/"), WITHOUT), inputs=(Input(f"fetch:{wheel}", "archive"),)),
        *LIBC[ctx.cell.target.libc](ctx),
    )


def _scripts(ctx: Context, *names: str) -> tuple[File, ...]:
    return tuple(ctx.file(f"toolchains/sysroot/{name}", name) for name in names)


def _of_zig(ctx: Context, script: str, *more: str, words: tuple[str, ...] = ()) -> tuple[Node, ...]:
    """libc:TRIPLE, made by a script of toolchains/sysroot out of zig's tree; `more`: files that lie beside it, `words`: for it."""
    target = ctx.cell.target
    step = Step(("sh", f"/build/{script}", target.zig, target.clang, "/build/out", *words))
    return (
        Node(
            f"libc:{ctx.triple}",
            Run((step,), environment(ctx), tools=("posix",)),
            inputs=(Input("toolchain:zig", "zig"),),
            files=_scripts(ctx, script, *more),
            platform=ctx.host.platform,
        ),
    )


def _stubs(ctx: Context) -> tuple[Node, ...]:
    """glibc: headers, and stub libraries of the system's own."""
    return _of_zig(ctx, "make.sh", "builtins.sh", "complex.c", "doubledouble.c", "lockfree.c")


def _windows(ctx: Context) -> tuple[Node, ...]:
    """mingw-w64, with the Universal C Runtime."""
    return _of_zig(ctx, "windows.sh", "builtins.sh", "complex.c", words=(machine_of(ctx.cell.target).dlltool,))


def _macos(ctx: Context) -> tuple[Node, ...]:
    """A sysroot laid out as an SDK: from zig's headers and ours, or Apple's own, which SDKROOT brings (docs/macos.md)."""
    of_sdk = (fetch_node(ctx, SDK), source_node(ctx, SDK, only=OF_SDK, without=NOT_OF_SDK)) if SDK in ctx.lock.sources else ()
    sdk = (Input(f"source:{SDK}", "sdk"),) if of_sdk else ()
    target = ctx.cell.target
    places = ("/build/ours", "/build/out", *(f"/build/{given.at}" for given in sdk))
    ours = (file for part in ("include", "frameworks") for file in ctx.folder(f"toolchains/macos/{part}", f"ours/{part}"))
    settings = ctx.file("toolchains/macos/SDKSettings.json", "ours/SDKSettings.json")
    return (
        *of_sdk,
        Node(
            f"libc:{ctx.triple}",
            Run((Step(("sh", "/build/macos.sh", target.zig, target.clang, *places)),), environment(ctx), tools=("posix",)),
            inputs=(Input("toolchain:zig", "zig"), *sdk),
            files=(*_scripts(ctx, "macos.sh", "builtins.sh", "complex.c"), settings, *ours),
            platform=ctx.host.platform,
        ),
    )


LIBC = {"gnu": _stubs, "none": _macos, "musl": musl.nodes, "ucrt": _windows}
"""The nodes of a target's C library, by its kind."""
