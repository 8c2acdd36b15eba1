"""dist:TRIPLE:toolchain, the add-on: a compiler that runs on the target, to be unpacked over a distribution (docs/toolchain-addon.md)."""

from __future__ import annotations

from graph.matrix import TOOLCHAIN, addon_names
from graph.node import File, Input, Node, Run, Step, Unpack
from graph.recipes.build_python import package_context, python_node, python_step
from graph.recipes.common import Context, fetch_node, package_name

PREFIX = "python/toolchain"
PROGRAMS = ("cc", "c++", "clang", "clang++", "gcc", "g++", "ar", "ranlib", "llvm-ar", "llvm-ranlib", "ld", "ld.lld")
"""Names of toolchains/addon/driver.sh. gcc and g++ are for those who ask for no other compiler, as on macOS; llvm-ar for CMake's LTO."""
MUSL = "lib/libc/musl/COPYRIGHT"
"""zig's program is static: its libc's licence."""
LIBRARIES = ("zlib", "bzip2", "xz", "libffi")
"""Libraries that sdists often look for on the machine and that the build has anyway."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """fetch: and zig:TRIPLE of the target's own zig, archive: and dist:TRIPLE:toolchain, of a target that offers it."""
    if TOOLCHAIN not in addon_names(ctx.cell.target):
        return ()
    wheel = ctx.cell.target.zig_wheel
    zig = Node(f"zig:{ctx.triple}", Unpack(1, ("zig", MUSL)), inputs=(Input(f"fetch:{wheel}", "archive"),))
    return (fetch_node(ctx, wheel), zig, _archive(package_context(ctx)), _dist(ctx))


def archive_name(ctx: Context) -> str:
    """Not called cpython-...: it serves every version, and tools that list distributions must not take it for one."""
    return f"toolchain+{ctx.lock.release}-{ctx.triple}.tar.gz"


def _archive(ctx: Context) -> Node:
    parts = _parts(ctx)
    programs = tuple(f"/build/addon/driver.sh={PREFIX}/bin/{name}" for name in PROGRAMS)
    pairs = tuple(f"/build/{given.at}={PREFIX}/{dest}".rstrip("/") for given, dest in parts)
    return python_node(
        ctx,
        f"archive:{ctx.triple}:{TOOLCHAIN}",
        (
            python_step(
                ctx,
                "pack.py",
                f"/build/out/{archive_name(ctx)}",
                *programs,
                f"/build/addon/clang.cfg={PREFIX}/clang.cfg",
                f"/build/zig/zig={PREFIX}/libexec/zig",
                f"/build/addon/libc.so={PREFIX}/sysroot/usr/lib/libc.so",
                f"/build/addon/LICENSE.linux.txt={PREFIX}/licenses/LICENSE.linux.txt",
                f"/build/zig/{MUSL}={PREFIX}/licenses/LICENSE.musl.txt",
                *pairs,
            ),
        ),
        inputs=(Input(f"zig:{ctx.triple}", "zig"), *(given for given, _ in parts)),
        files=(
            *(ctx.file(f"toolchains/addon/{name}", f"addon/{name}") for name in ("driver.sh", "libc.so", "LICENSE.linux.txt")),
            _settings(ctx),
        ),
        scripts=("pack.py",),
    )


def _parts(ctx: Context) -> tuple[tuple[Input, str], ...]:
    """Trees, and the folder of the add-on that each goes to."""
    libc, usr = f"libc:{ctx.triple}", "sysroot/usr"
    libraries = [("libcxx", f"make:{ctx.triple}:libcxx"), *((name, package_name(ctx, name)) for name in LIBRARIES)]
    return (
        (Input(libc, "libc", subdir="usr", without=("lib/libc.so",)), usr),
        (Input(libc, "clang", subdir="clang"), "clang"),
        (Input(libc, "licences/libc", subdir="licenses"), "licenses"),
        *((Input(node, f"libraries/{name}", only=("include/", "lib/")), usr) for name, node in libraries),
        *((Input(node, f"licences/{name}", subdir="licenses"), "licenses") for name, node in libraries),
    )


def _settings(ctx: Context) -> File:
    """clang.cfg with the target's own settings before those of all targets."""
    own = "".join(f"{word}\n" for word in (f"--target={ctx.cell.target.clang}", *ctx.cell.target.cpu_flags))
    return File("addon/clang.cfg", own.encode() + ctx.file("toolchains/addon/clang.cfg", "clang.cfg").data)


def _dist(ctx: Context) -> Node:
    """dist:TRIPLE:toolchain, the one archive."""
    step = Step(("cp", f"/build/archive/{archive_name(ctx)}", "/build/out/"))
    archive = Input(f"archive:{ctx.triple}:{TOOLCHAIN}", "archive")
    return Node(
        f"dist:{ctx.triple}:{TOOLCHAIN}",
        Run((step,), (("PATH", "/usr/bin"),), tools=("posix",)),
        inputs=(archive,),
        platform=ctx.host.platform,
    )
