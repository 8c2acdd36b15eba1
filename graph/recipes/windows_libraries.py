"""Libraries of extension modules for Windows: liblzma and libffi inside of them, OpenSSL beside them as in the official build."""

from __future__ import annotations

from dataclasses import replace

from graph.node import Input, Node, Run, Step
from graph.recipes import openssl
from graph.recipes.common import Context, configure_triples, environment, fetch_node, patches_for, source_node
from graph.recipes.libffi import OFF as FFI_OFF
from graph.recipes.library import configure_node, licence, make_node, put
from graph.recipes.windows_machines import machine_of
from graph.recipes.xz import OFF as XZ_OFF
from graph.recipes.xz import READS as XZ_READS
from graph.target import Cell, Target

CFLAGS = "-O2 -gcodeview"
"""All code on Windows is independent of its place."""
RC = Input("toolchain:rc", "rc")
OPENSSLDIR = "C:/Program Files/Common Files/SSL"
"""Only administrators can write there. (Configure takes no path of Windows for an absolute one.)"""


def openssl_dlls(target: Target) -> tuple[str, str]:
    """libcrypto's and libssl's."""
    suffix = machine_of(target).dll_suffix
    return (f"libcrypto-3{suffix}.dll", f"libssl-3{suffix}.dll")


def with_symbols(files: tuple[str, ...]) -> tuple[str, ...]:
    """DLLs (or programs), and the PDB that lld writes beside each."""
    return (*files, *(f"{file.rpartition('.')[0]}.pdb" for file in files))


def nodes(ctx: Context) -> tuple[Node, ...]:
    """toolchain:rc, and what `make:TRIPLE:NAME` of these gives: lib/, include/, licenses/; of OpenSSL bin/ (DLLs and PDBs), too."""
    return (*_xz(ctx), *_libffi(ctx), *_openssl(ctx), _resource_compiler(ctx))


def _resource_compiler(ctx: Context) -> Node:
    """bin/rc. A program of the build host, and one for all targets."""
    host = replace(ctx, cell=Cell(ctx.host.target, "", ()))
    return Node(
        "toolchain:rc",
        Run((Step(("sh", "/build/rc.sh", ctx.host.target.zig, "/build/out")),), environment(host), tools=("posix",)),
        inputs=(Input("toolchain:zig", "zig"),),
        files=(ctx.file("toolchains/windows/rc.sh", "rc.sh"),),
        platform=ctx.host.platform,
    )


def _xz(ctx: Context) -> tuple[Node, ...]:
    options = ("--prefix=/usr", "--enable-static", "--enable-threads=vista", *(f"--disable-{name}" for name in XZ_OFF))
    steps = (
        Step(("make", "-C", "src/liblzma")),
        put("lib", "src/liblzma/.libs/liblzma.a"),
        Step(("mkdir", "-p", "/build/out/include")),
        Step(("cp", "-R", "/build/src/src/liblzma/api/lzma", "/build/src/src/liblzma/api/lzma.h", "/build/out/include/")),
        licence("xz", "/build/src/COPYING.0BSD"),
    )
    argv = ("/build/src/configure", *configure_triples(ctx), *options)
    return (
        fetch_node(ctx, "xz"),
        source_node(ctx, "xz"),
        configure_node(ctx, "xz", argv, reads=XZ_READS, env={"CFLAGS": CFLAGS}),
        make_node(ctx, "xz", steps, env={"CFLAGS": CFLAGS}, inputs=(RC,)),
    )


def _libffi(ctx: Context) -> tuple[Node, ...]:
    options = ("--prefix=/usr", "--enable-static", *(f"--disable-{name}" for name in FFI_OFF))
    steps = (
        Step(("make", "libffi.la")),
        # (as CPython's project has it)
        Step(("install", "-D", "-m", "644", ".libs/libffi.a", "/build/out/lib/libffi-8.a")),
        put("include", "include/ffi.h", "include/ffitarget.h"),
        licence("libffi", "/build/src/LICENSE"),
    )
    argv = ("/build/src/configure", *configure_triples(ctx), *options)
    source = source_node(ctx, "libffi")
    patches = patches_for(ctx, "libffi/windows", ctx.source("libffi").version)
    return (
        fetch_node(ctx, "libffi"),
        replace(source, name="source:libffi-windows", files=(*source.files, *patches)),
        configure_node(ctx, "libffi", argv, source="libffi-windows", env={"CFLAGS": CFLAGS}),
        make_node(ctx, "libffi", steps, source="libffi-windows", env={"CFLAGS": CFLAGS}),
    )


def _openssl(ctx: Context) -> tuple[Node, ...]:
    places = ("--prefix=/usr", "--libdir=lib", "--openssldir=/ssl")
    argv = (
        "perl",
        "/build/src/Configure",
        "--config=/build/freestanding.conf",
        f"{ctx.cell.target.openssl}-fs",
        *places,
        *openssl.FEATURES,
        # of mingw alone: a way to the program's own FILE, where it has another C runtime, which ends a program that offers none
        *(("no-uplink",) if ctx.cell.target.arch == "i686" else ()),
    )
    conf = (ctx.file("toolchains/windows/openssl.conf", "freestanding.conf"), *ctx.folder("toolchains/windows/openssl", "perl"))
    dlls = openssl_dlls(ctx.cell.target)
    env = {"CFLAGS": "-O3 -gcodeview", "LDFLAGS": "-Wl,-s,--pdb=", "WINDRES": "windres", "PERL5LIB": "/build/perl"}
    # (as the makefile derives the others from the prefix)
    folders = (f"OPENSSLDIR={OPENSSLDIR}", f"ENGINESDIR={OPENSSLDIR}/engines", f"MODULESDIR={OPENSSLDIR}/modules")
    steps = (
        Step(("make", *folders, "build_generated")),
        Step(("make", *folders, *dlls)),
        put("bin", *with_symbols(dlls)),
        put("lib", "libcrypto.dll.a", "libssl.dll.a"),
        Step(("mkdir", "-p", "/build/out/include/openssl")),
        Step(("sh", "-c", "cp /build/src/include/openssl/*.h include/openssl/*.h /build/out/include/openssl/")),
        licence("openssl", "/build/src/LICENSE.txt"),
    )
    return (
        fetch_node(ctx, "openssl"),
        source_node(ctx, "openssl", without=openssl.WITHOUT),
        configure_node(ctx, "openssl", argv, files=conf, tools=openssl.TOOLS, env=env),
        make_node(ctx, "openssl", steps, files=conf, tools=openssl.TOOLS, env=env, inputs=(RC,)),
    )
