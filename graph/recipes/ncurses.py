"""ncurses: one shared library with curses, panel and terminfo, for _curses, _curses_panel and readline, which share its state."""

from __future__ import annotations

from graph.node import Node, Step
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import configure_node, licence, make_node

# where Linux systems and users keep terminfo (facts/runtime.md, 2); searched after TERMINFO and ~/.terminfo
TERMINFO_DIRS = "/etc/terminfo:/lib/terminfo:/usr/lib/terminfo:/usr/share/terminfo:/usr/share/misc/terminfo:/usr/local/share/terminfo"
OFF = ("ada", "cxx", "cxx-binding", "debug", "manpages", "progs", "tack", "tests", "gpm", "dlsym", "shared")
LIBRARY = "libncursesw-fs.so.6"
LINK_NAMES = ("libncursesw.so", "libpanelw.so", "libtinfow.so", "libncurses.so", "libpanel.so", "libtinfo.so")
# no -fvisibility=hidden: the version script decides what this shared library exports
CFLAGS = "-O2 -fPIC -D_FORTIFY_SOURCE=2"


ENV = {"CFLAGS": CFLAGS}


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (fetch_node(ctx, "ncurses"), source_node(ctx, "ncurses"), _configure(ctx), _make(ctx))


def _configure(ctx: Context) -> Node:
    argv = (
        "/build/src/configure",
        f"--host={ctx.triple}",
        "--prefix=/usr",
        "--with-normal",
        *(f"--without-{feature}" for feature in OFF),
        "--enable-widec",
        "--enable-overwrite",
        "--disable-stripping",
        "--disable-db-install",
        f"--with-terminfo-dirs={TERMINFO_DIRS}",
        "--with-default-terminfo-dir=/usr/share/terminfo",
        "--with-build-cc=cc",
    )
    return configure_node(ctx, "ncurses", argv, env=ENV)


def _make(ctx: Context) -> Node:
    whole = f"-Wl,-soname,{LIBRARY},--version-script=/build/libncursesw.map,--whole-archive"
    steps = (
        *(Step(("make", "-C", part)) for part in ("include", "ncurses", "panel")),
        Step(("make", "-C", "include", "DESTDIR=/build/stage", "install")),
        Step(("make", "-C", "panel", "DESTDIR=/build/stage", "install.includes")),
        Step(("mkdir", "-p", "/build/out/lib")),
        Step(("cc", "-shared", "-Wl,-s", "-o", f"/build/out/lib/{LIBRARY}", whole, "lib/libncursesw.a", "lib/libpanelw.a")),
        *(Step(("ln", "-s", LIBRARY, f"/build/out/lib/{name}")) for name in LINK_NAMES),
        Step(("cp", "-R", "/build/stage/usr/include", "/build/out/include")),
        # a comment names the tables that it was made from, with their folder
        Step(("sed", "-i", "s|/build/src/||g", "/build/out/include/curses.h")),
        licence("ncurses", "/build/src/COPYING"),
    )
    return make_node(ctx, "ncurses", steps, files=(ctx.file("toolchains/ncurses/libncursesw.map", "libncursesw.map"),), env=ENV)
