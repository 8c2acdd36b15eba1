"""SQLite: static, from the amalgamation that its own build makes."""

from __future__ import annotations

from dataclasses import replace

from graph.node import Input, Node, Step
from graph.recipes.common import Context, compile_node, fetch_node, source_node
from graph.recipes.library import CFLAGS, archive_file, archive_step, licence, make_node, put

# what Debian's and python-build-standalone's users have, and what SQLite itself recommends to have
OPTIONS = (
    "SQLITE_THREADSAFE=1",
    "SQLITE_ENABLE_COLUMN_METADATA",
    "SQLITE_ENABLE_DBSTAT_VTAB",
    "SQLITE_ENABLE_DESERIALIZE",
    "SQLITE_ENABLE_FTS3",
    "SQLITE_ENABLE_FTS3_PARENTHESIS",
    "SQLITE_ENABLE_FTS3_TOKENIZER",
    "SQLITE_ENABLE_FTS4",
    "SQLITE_ENABLE_FTS5",
    "SQLITE_ENABLE_GEOPOLY",
    "SQLITE_ENABLE_LOAD_EXTENSION",
    "SQLITE_ENABLE_MATH_FUNCTIONS",
    "SQLITE_ENABLE_PREUPDATE_HOOK",
    "SQLITE_ENABLE_RTREE",
    "SQLITE_ENABLE_SESSION",
    "SQLITE_ENABLE_STMTVTAB",
    "SQLITE_ENABLE_UNLOCK_NOTIFY",
    "SQLITE_ENABLE_UPDATE_DELETE_LIMIT",
    "SQLITE_MAX_VARIABLE_NUMBER=250000",
    "SQLITE_SECURE_DELETE",
    "SQLITE_USE_URI",
)
EVERYWHERE = ("HAVE_GMTIME_R", "HAVE_ISNAN", "HAVE_LOCALTIME_R", "HAVE_USLEEP")
PLATFORM = {
    "linux": ("_FILE_OFFSET_BITS=64", "HAVE_FDATASYNC", *EVERYWHERE, "HAVE_STRCHRNUL"),
    # no header declares fdatasync; strchrnul came with 15.4
    "macos": EVERYWHERE,
}
"""What autosetup would find on every target of a system: of Linux, each is in glibc 2.17 and musl."""
GENERATED = "generate:sqlite"
WITHOUT = ("test/", "art/", "contrib/", "ext/wasm/", "ext/jni/", "doc/")


def nodes(ctx: Context) -> tuple[Node, ...]:
    defines = " ".join(f"-D{name}" for name in (*OPTIONS, *PLATFORM[ctx.cell.target.os]))
    return (
        *generate_nodes(ctx),
        make_node(
            ctx,
            "sqlite",
            (
                archive_step("libsqlite3.a", "/build/generated", ("sqlite3.c",), cflags=f"{CFLAGS} {defines}"),
                put("lib", "libsqlite3.a"),
                put("include", "/build/generated/sqlite3.h", "/build/generated/sqlite3ext.h"),
                licence("sqlite", "/build/src/LICENSE.md"),
            ),
            configured=False,
            inputs=(Input(GENERATED, "generated"),),
            files=(archive_file(ctx),),
        ),
    )


def generate_nodes(ctx: Context) -> tuple[Node, ...]:
    """The source, and generate:sqlite."""
    host = replace(ctx, cell=replace(ctx.cell, target=ctx.host.target))
    return (fetch_node(ctx, "sqlite"), source_node(ctx, "sqlite", without=WITHOUT), _generate(host))


def _generate(ctx: Context) -> Node:
    """generate:sqlite, the amalgamation and its headers, the same for every target. Its makers run on the build host."""
    argv = ("/build/src/configure", "--disable-tcl", "--disable-readline", "--disable-shared", "--update-limit", "--prefix=/usr")
    return compile_node(
        ctx,
        GENERATED,
        (
            Step(argv),
            # its headers come along; asked for by name, two rules write sqlite3ext.h at once
            Step(("make", "sqlite3.c")),
            Step(("install", "-D", "-m", "644", "-t", "/build/out", "sqlite3.c", "sqlite3.h", "sqlite3ext.h")),
        ),
        inputs=(Input("source:sqlite", "src"),),
        env={"CFLAGS": CFLAGS},
    )
