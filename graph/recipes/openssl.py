"""OpenSSL: one shared copy of libssl and libcrypto for _ssl and _hashlib, with sonames and symbol versions of its own."""

from __future__ import annotations

from graph.node import File, Node, Step
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import LINK, configure_node, for_static, licence, link_name, make_node, put, shared_file

# a third of the archive is other projects' test suites
WITHOUT = ("test/", "demos/", "fuzz/corpora/", "cloudflare-quiche/", "oqs-provider/", "python-ecdsa/", "tls*/", "wycheproof/")
FEATURES = (
    "shared",
    "no-module",  # the legacy provider is part of libcrypto: no file to find at run time
    "no-engine",
    "no-apps",
    "no-docs",
    "no-tests",
    "no-demos",
    "no-makedepend",
    "no-zlib",
)
NAMES = ("crypto", "ssl")
# OpenSSL's install names on macOS begin with its libdir
LIBDIR = {"linux": (), "macos": ("libdir=@rpath",)}
TOOLS = ("posix", "make", "perl")
# OpenSSL exports by version script and has its own -fPIC; the rpath is quoted for make and for the shell that make starts.
# stripped: built without debug information, it has no symbol table worth shipping either
CFLAGS = "-O3 -D_FORTIFY_SOURCE=2"


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (fetch_node(ctx, "openssl"), source_node(ctx, "openssl", without=WITHOUT), _configure(ctx), _make(ctx))


def _configure(ctx: Context) -> Node:
    places = ("--prefix=/usr", "--libdir=lib", "--openssldir=/etc/ssl")
    target = ctx.cell.target
    options = (*places, *FEATURES, *target.openssl_options)
    argv = ("perl", "/build/src/Configure", "--config=/build/freestanding.conf", f"fs-{target.openssl}", *options)
    return configure_node(ctx, "openssl", argv, files=_conf(ctx), tools=TOOLS, env=_env(ctx))


def _make(ctx: Context) -> Node:
    shared = {name: shared_file(ctx, f"lib{name}-fs.so.3") for name in NAMES}
    steps = (
        Step(("make", "build_generated")),
        Step(("make", *LIBDIR[ctx.cell.target.os], *shared.values())),
        put("lib", *shared.values()),
        *for_static(ctx, _archive("libcrypto", "!"), _archive("libssl")),
        *(Step(("ln", "-s", file, f"/build/out/lib/{link_name(ctx, name)}")) for name, file in shared.items()),
        Step(("mkdir", "-p", "/build/out/include/openssl")),
        Step(("sh", "-c", "cp /build/src/include/openssl/*.h include/openssl/*.h /build/out/include/openssl/")),
        licence("openssl", "/build/src/LICENSE.txt"),
    )
    return make_node(ctx, "openssl", steps, files=_conf(ctx), tools=TOOLS, env=_env(ctx))


def _env(ctx: Context) -> dict[str, str]:
    return {"CFLAGS": CFLAGS, "LDFLAGS": LINK[ctx.cell.target.os]}


def _archive(name: str, *other: str) -> Step:
    """The objects of the shared library as a static one: those whose names say libssl, or all others. (Several have the same name.)"""
    find = f"find . -name '*.o' {' '.join(other)} -name 'libssl-*.o' | LC_ALL=C sort | xargs ar qcsD /build/out/lib/{name}.a"
    return Step(("sh", "-c", find))


def _conf(ctx: Context) -> tuple[File, ...]:
    return (ctx.file("toolchains/openssl/freestanding.conf", "freestanding.conf"),)
