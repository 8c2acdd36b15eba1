"""qemu:ARCH, the emulator, and runtime:TRIPLE, a target's libc as it is on its systems: what runs the target's programs on the build host.

docs/toolchain.md, Emulation, tells why qemu-user and not binfmt_misc, and why i686 runs so too.
"""

from __future__ import annotations

from graph.node import Input, Node, Run, Step, Unpack
from graph.recipes.common import Context, emulator, environment, fetch_node, source_node

QEMU = "qemu-user"
PACKAGES = ("libc6-{}-cross", "libgcc-s1-{}-cross", "libstdc++6-{}-cross")
"""Debian's packages of libc, and of what wheels of the package index need beside it."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    if not emulator(ctx):
        return ()
    target = ctx.cell.target
    # musl's runtime comes with its sysroot (musl.py)
    return (*(_qemu(ctx) if target.run == "qemu" else ()), *(_glibc(ctx) if target.libc == "gnu" else ()))


def _qemu(ctx: Context) -> tuple[Node, ...]:
    """qemu-ARCH, one static program."""
    name = ctx.cell.target.qemu
    return (fetch_node(ctx, QEMU), Node(f"qemu:{name}", Unpack(2, (f"qemu-{name}",)), inputs=(Input(f"fetch:{QEMU}", "archive"),)))


def _glibc(ctx: Context) -> tuple[Node, ...]:
    """lib/ (and lib64/) as programs of the target name them: ld.so, libc, libm, libgcc_s, libstdc++."""
    target = ctx.cell.target
    packages = tuple(package.format(target.debian) for package in PACKAGES)
    # folders of inputs are read-only, and so are their copies
    writable = Step(("chmod", "-R", "u+w", "/build/out"))
    copies = tuple(step for name in packages for step in (Step(("cp", "-R", f"/build/{name}/.", "/build/out")), writable))
    runtime = Node(
        f"runtime:{ctx.triple}",
        Run(copies, environment(ctx), tools=("posix",)),
        inputs=tuple(Input(f"source:{name}", name) for name in packages),
        platform=ctx.host.platform,
    )
    # Debian packages: the files lie below usr/ARCH-linux-gnu/
    sources = (source_node(ctx, name, strip=2, only=("lib*/",)) for name in packages)
    return (*(fetch_node(ctx, name) for name in packages), *sources, runtime)
