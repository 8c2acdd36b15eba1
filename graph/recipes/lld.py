"""toolchain:lld: lld with the drivers that zig's has not (Mach-O, MinGW), LLVM's tools for Mach-O, and every library they load."""

from __future__ import annotations

from graph.node import Input, Node, Run, Step
from graph.recipes.common import Context, fetch_node, needs_lld, source_node

NAME = "toolchain:lld"
LIB = "**/*-linux-gnu*"
PARTS = {
    "lld": ("usr/lib/llvm-22/bin/lld",),
    "llvm": tuple(f"usr/lib/llvm-22/bin/llvm-{tool}" for tool in ("lipo", "objcopy", "objdump", "otool", "install-name-tool", "strip")),
    "libllvm": (f"{LIB}/libLLVM.so.*",),
    "libc": (
        f"{LIB}/ld-linux-*",
        f"{LIB}/libc.so.6",
        f"{LIB}/libm.so.6",
        f"{LIB}/libdl.so.2",
        f"{LIB}/libpthread.so.0",
        f"{LIB}/librt.so.1",
    ),
    "libgcc": (f"{LIB}/libgcc_s.so.1",),
    "libstdcxx": (f"{LIB}/libstdc++.so.*",),
    "libz": (f"{LIB}/libz.so.*",),
    "libzstd": (f"{LIB}/libzstd.so.*",),
    "libedit": (f"{LIB}/libedit.so.*",),
    "libffi": (f"{LIB}/libffi.so.*",),
    "libxml2": (f"{LIB}/libxml2.so.*",),
    "libz3": (f"{LIB}/libz3.so.*",),
    "libbsd": (f"{LIB}/libbsd.so.*",),
    "libtinfo": (f"{LIB}/libtinfo.so.*",),
    "libmd": (f"{LIB}/libmd.so.*",),
    "libicu": (f"{LIB}/libicuuc.so.*", f"{LIB}/libicudata.so.*"),
    "liblzma": (f"{LIB}/liblzma.so.*",),
}
"""Part of the lock's entries `lld-<os>-<arch>-<part>`, each a Debian binary package, -> the files that are taken from it."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """fetch and source of each part; toolchain:lld with bin/ and lib/, its loader among the latter."""
    if not needs_lld(ctx):
        return ()
    names = {part: f"lld-{ctx.host.platform}-{part}" for part in PARTS}
    return (
        *(fetch_node(ctx, name) for name in names.values()),
        *(source_node(ctx, name, strip=0, only=PARTS[part]) for part, name in names.items()),
        _tree(ctx, tuple(names.values())),
    )


def _tree(ctx: Context, names: tuple[str, ...]) -> Node:
    bins, libs = "/build/out/bin", "/build/out/lib"
    steps = (
        Step(("mkdir", "-p", bins, libs)),
        Step(("find", "/build/parts", "-path", "*/bin/*", "-exec", "cp", "-P", "-t", bins, "{}", "+")),
        Step(("find", "/build/parts", "-name", "*.so.*", "-exec", "cp", "-P", "-t", libs, "{}", "+")),
    )
    return Node(
        NAME,
        Run(steps, (("PATH", "/usr/bin:/bin"),), tools=("posix",)),
        inputs=tuple(Input(f"source:{name}", f"parts/{name}") for name in names),
        platform=ctx.host.platform,
    )
