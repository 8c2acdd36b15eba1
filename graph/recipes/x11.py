"""The X libraries that Tk draws with: static, compiled without configure.

What configure would find out is the same on every Linux target (sockets, poll, getaddrinfo, no BSD extras), so it stands here.
"""

from __future__ import annotations

from dataclasses import replace

from graph.node import Input, Node, Step
from graph.recipes.build_python import build_python_path, package_context, python_node
from graph.recipes.common import Context, compile_node, fetch_node, source_node
from graph.recipes.library import CFLAGS, archive_file, archive_step, every, licence, make_node, put

X_FLAGS = f"{CFLAGS} -D_GNU_SOURCE -I/build/src/include -I/build/deps/xorgproto/include"
CONNECTIONS = "-DUNIXCONN -DTCPCONN -DIPv6 -DHAVE_SOCKLEN_T -DHAVE_STRUCT_SOCKADDR_STORAGE -DHAVE_INET_NTOP -DHAVE_GETADDRINFO"
# what libX11 calls; extensions (XKB, RENDER) speak Xlib
PROTOCOLS = ("xproto", "bigreq", "xc_misc")
# XKB, threads (XInitThreads by itself, so that two interpreters may draw at once), color management; no libXcursor loaded from the
# machine, which would bring the machine's libX11 with it
X11_DEFINES = (
    *("XKB", "XCMS", "XLOCALE", "XTHREADS", "XUSE_MTSAFE_API", "USE_THREAD_SAFETY_CONSTRUCTOR", "USE_POLL", "HAS_SHM", "HASGETRESUID"),
    *("HAVE_SYS_IOCTL_H", "HAVE_UNISTD_H", "HAVE_STRTOL", "HAVE_STRCASECMP", "HAVE_SETEUID", "HAVE___BUILTIN_POPCOUNTL"),
    *("TRANS_CLIENT", "_BSD_SOURCE", "_DEFAULT_SOURCE", "MALLOC_0_RETURNS_NULL"),
)
X11_PLACES = {
    "X11_DATADIR": "/usr/share/X11",
    "X11_LIBDIR": "/usr/lib/X11",
    "XERRORDB": "/usr/share/X11/XErrorDB",
    "XKEYSYMDB": "/usr/share/X11/XKeysymDB",
    "XCMSDIR": "/usr/share/X11",
    "XLOCALEDIR": "/usr/share/X11/locale",
    "XLOCALEDATADIR": "/usr/share/X11/locale",
    "XLOCALELIBDIR": "/usr/lib/X11/locale",
    "LOCALEDIR_FROM_LIBRARY": "../share/X11/locale",
}
# by whose connections they use (X11_t, XIM_t of xtrans): the display's, or an input method's
X11_FOLDERS = {
    "X11": ("src", "src/xcms", "src/xkb"),
    "XIM": ("src/xlibi18n", "modules/im/ximcp", "modules/lc/def", "modules/lc/gen", "modules/lc/Utf8", "modules/om/generic"),
}
GENERATED = "generate:libx11"
KEYSYMS = ("keysymdef", "XF86keysym", "Sunkeysym", "DECkeysym", "HPkeysym")


def nodes(ctx: Context) -> tuple[Node, ...]:
    # its own one has the name of glibc's
    arc4random = " -DHAVE_ARC4RANDOM_BUF" if ctx.cell.target.has_glibc(2, 36) else ""
    xdmcp = f"-DHASXDMAUTH -DHAVE_LRAND48 -DHAVE_SRAND48{arc4random}"
    return (
        *_sources(ctx),
        _library(ctx, "libxau", every("/build/src", ("",), without=("Autest.c",)), headers="X11"),
        _library(ctx, "libxdmcp", every("/build/src", ("",)), headers="X11", flags=xdmcp),
        _protocol(ctx),
        _xcb(ctx),
        _generate(replace(ctx, cell=replace(ctx.cell, target=ctx.host.target))),
        _x11(ctx),
        _library(
            ctx,
            "libxrender",
            every("/build/src", ("src",)),
            headers="X11/extensions",
            flags="-I/build/src/include/X11/extensions",
            uses=("libxcb", "libx11"),
        ),
    )


def _sources(ctx: Context) -> tuple[Node, ...]:
    upstream = ("libxau", "libxdmcp", "libxcb", "libx11", "libxrender", "xtrans")
    # Debian packages: their files lie below usr/
    packaged = {
        "xorgproto": ("include/", "share/doc/x11proto-dev/copyright"),
        "xcb-proto": ("share/xcb/", "share/doc/xcb-proto/copyright"),
        "xcbgen": ("lib/python3/dist-packages/xcbgen/",),
    }
    return (
        *(fetch_node(ctx, name) for name in (*upstream, *packaged)),
        *(source_node(ctx, name) for name in upstream),
        *(source_node(ctx, name, only=only) for name, only in packaged.items()),
    )


def x_inputs(ctx: Context, *packages: str) -> tuple[Input, ...]:
    """Headers of the X protocol and of packages that are built, each at /build/deps/NAME/include."""
    return (
        Input("source:xorgproto", "deps/xorgproto", only=("include/",)),
        *(Input(f"make:{ctx.triple}:{name}", f"deps/{name}", only=("include/",)) for name in packages),
    )


def x_flags(*packages: str) -> str:
    """The include options that go with `x_inputs`."""
    return " ".join((X_FLAGS, *(f"-I/build/deps/{name}/include" for name in packages)))


def _library(ctx: Context, name: str, sources: str, *, headers: str, flags: str = "", uses: tuple[str, ...] = ()) -> Node:
    """make:TRIPLE:NAME of a library that is all its C files and whose public headers lie in include/."""
    return make_node(
        ctx,
        name,
        (
            archive_step(f"{name}.a", "/build/src", (sources,), cflags=f"{x_flags(*uses)} {flags}".strip()),
            put("lib", f"{name}.a"),
            _headers(headers),
            licence(name, "/build/src/COPYING"),
        ),
        configured=False,
        inputs=x_inputs(ctx, *uses),
        files=(archive_file(ctx),),
    )


def _headers(folder: str) -> Step:
    """Copy the public headers of include/<folder>."""
    return Step(("sh", "-c", f"install -D -m 644 -t /build/out/include/{folder} /build/src/include/{folder}/*.h"))


def _protocol(ctx: Context) -> Node:
    """protocol:libxcb: xproto.c and the like, which libxcb's c_client.py writes from the protocol's XML."""
    package = package_context(ctx)
    script = (build_python_path(package), "/build/src/c_client.py")
    footers = ("-c", f"libxcb {ctx.source('libxcb').version}", "-l", "X Version 11", "-s", "3", "-p", "/build/xcbgen")
    write = tuple(Step((*script, *footers, f"/build/xml/{name}.xml"), cwd="out") for name in PROTOCOLS)
    return python_node(
        package,
        "protocol:libxcb",
        write,
        inputs=(
            Input("source:libxcb", "src", only=("c_client.py",), subdir="src"),
            Input("source:xcbgen", "xcbgen", subdir="lib/python3/dist-packages"),
            Input("source:xcb-proto", "xml", subdir="share/xcb"),
        ),
        scripts=(),
    )


def _xcb(ctx: Context) -> Node:
    defines = "-DHAVE_SENDMSG -DUSE_POLL -DHAVE_GETADDRINFO -DHAVE_ABSTRACT_SOCKETS -DHASXDMAUTH -DXCB_QUEUE_BUFFER_SIZE=16384"
    version = ctx.source("libxcb").version.split(".")
    named = " ".join(f"-DPACKAGE_VERSION_{part}={value}" for part, value in zip(("MAJOR", "MINOR", "PATCHLEVEL"), version, strict=True))
    flags = f"{x_flags('libxau', 'libxdmcp')} {defines} {named} -I/build/src/src -I."
    return make_node(
        ctx,
        "libxcb",
        (
            Step(("sh", "-c", "cp /build/protocol/* .")),
            archive_step(
                "libxcb.a", "/build/src/src", (every("/build/src/src", ("",)), *(f"{name}.c" for name in PROTOCOLS)), cflags=flags
            ),
            put("lib", "libxcb.a"),
            put("include/xcb", "/build/src/src/xcb.h", "/build/src/src/xcbext.h", *(f"{name}.h" for name in PROTOCOLS)),
            licence("xcb-proto", "/build/xml/xcb-proto/copyright"),
            licence("libxcb", "/build/src/COPYING"),
        ),
        configured=False,
        inputs=(
            *x_inputs(ctx, "libxau", "libxdmcp"),
            Input("protocol:libxcb", "protocol", only=("*.c", "*.h")),
            Input("source:xcb-proto", "xml", subdir="share/doc"),
        ),
        files=(archive_file(ctx),),
    )


def _generate(ctx: Context) -> Node:
    """generate:libx11: ks_tables.h, the names of key symbols, which a program of libX11's writes on the build host."""
    keysyms = " ".join(f"/build/deps/xorgproto/include/X11/{name}.h" for name in KEYSYMS)
    return compile_node(
        ctx,
        GENERATED,
        (
            Step(
                (
                    "build-cc",
                    "-O1",
                    "-I/build/src/include",
                    "-I/build/deps/xorgproto/include",
                    "-o",
                    "makekeys",
                    "/build/src/src/util/makekeys.c",
                )
            ),
            Step(("sh", "-c", f"./makekeys {keysyms} >/build/out/ks_tables.h")),
        ),
        inputs=(Input("source:libx11", "src", only=("src/util/", "include/")), *x_inputs(ctx)),
        tools=("posix",),
        build_cc=True,
    )


def _x11(ctx: Context) -> Node:
    """libx11.a; share/X11/locale: what text input in UTF-8 needs, for machines that have none (docs/tkinter.md)."""
    search = " ".join(f"-I/build/src/{folder}" for folder in ("include/X11", *X11_FOLDERS["X11"], *X11_FOLDERS["XIM"]))
    defines = " ".join((*(f"-D{name}" for name in X11_DEFINES), *(f"-D{name}='\"{place}\"'" for name, place in X11_PLACES.items())))
    flags = f"{x_flags('libxcb')} -I/build/generated -Iinclude -I/build/deps/xtrans/include {search} {defines} {CONNECTIONS}"
    return make_node(
        ctx,
        "libx11",
        (
            Step(("mkdir", "-p", "include/X11")),
            Step(("sh", "-c", "sed 's/#undef \\(X[A-Z_]*\\)/#define \\1 1/' /build/src/include/X11/XlibConf.h.in >include/X11/XlibConf.h")),
            *(_x11_part(folders, f"{flags} -D{side}_t") for side, folders in X11_FOLDERS.items()),
            put("lib", "libx11.a"),
            *(_headers(folder) for folder in ("X11", "X11/extensions")),
            put("include/X11", "include/X11/XlibConf.h"),
            Step(("sh", "/build/locale.sh", "/build/src/nls", "/build/out/share/X11/locale")),
            # compiled in, and what the table of key symbols is made from
            licence("xtrans", "/build/deps/xtrans/include/X11/Xtrans/COPYING"),
            licence("xorgproto", "/build/notices/x11proto-dev/copyright"),
            licence("libx11", "/build/src/COPYING"),
        ),
        configured=False,
        inputs=(
            *x_inputs(ctx, "libxcb"),
            Input(GENERATED, "generated"),
            Input("source:xtrans", "deps/xtrans/include/X11/Xtrans"),
            Input("source:xorgproto", "notices", subdir="share/doc"),
        ),
        files=(archive_file(ctx), ctx.file("toolchains/x11/locale.sh", "locale.sh")),
    )


def _x11_part(folders: tuple[str, ...], flags: str) -> Step:
    """One of the two sets of objects that libx11.a is made of."""
    sources = every("/build/src", folders, without=("src/os2Stubs.c", "src/x11_xcb.c"))
    return archive_step("libx11.a", "/build/src", (sources,), cflags=flags)
