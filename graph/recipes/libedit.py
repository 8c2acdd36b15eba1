"""libedit: static, for the readline module; terminals come from our ncurses."""

from __future__ import annotations

from graph.node import Input, Node, Step
from graph.recipes.common import Context, configure_triples, fetch_node, source_node
from graph.recipes.library import CFLAGS, answers, configure_node, licence, make_node, put

CPPFLAGS = {"musl": "-include stdc-predef.h "}
"""By libc. It says that wchar_t is Unicode; musl leaves it to compilers to include this first, as gcc does and clang does not."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    argv = ("/build/src/configure", *configure_triples(ctx), "--prefix=/usr", "--enable-static", "--disable-shared", "--disable-examples")
    ncurses = (Input(f"make:{ctx.triple}:ncurses", "deps/ncurses"),)
    more = CPPFLAGS.get(ctx.cell.target.libc, "")
    env = {"CFLAGS": CFLAGS, "CPPFLAGS": f"{more}-I/build/deps/ncurses/include", "LDFLAGS": "-L/build/deps/ncurses/lib"}
    files, site = answers(ctx)
    return (
        fetch_node(ctx, "libedit"),
        source_node(ctx, "libedit"),
        configure_node(ctx, "libedit", argv, inputs=ncurses, files=files, env={**env, **site}),
        make_node(
            ctx,
            "libedit",
            (
                Step(("make", "-C", "src")),
                put("lib", "src/.libs/libedit.a"),
                put("include", "/build/src/src/histedit.h"),
                put("include/editline", "/build/src/src/editline/readline.h"),
                licence("libedit", "/build/src/COPYING"),
            ),
            inputs=ncurses,
            env=env,
        ),
    )
