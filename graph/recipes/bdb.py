"""Berkeley DB: static, no more of it than the ndbm interface of _dbm needs."""

from __future__ import annotations

from graph.node import Node, Step
from graph.recipes.common import Context, configure_triples, fetch_node, source_node
from graph.recipes.library import CFLAGS, configure_node, licence, make_node, put

OFF = ("shared", "cxx", "cryptography", "queue", "heap", "partition", "compression", "replication", "statistics", "verify")
# its configure is of 2013: `main() {}` and undeclared functions are errors in newer C
ENV = {"CFLAGS": f"-std=gnu89 {CFLAGS}"}
ONLY = ("dist/", "src/", "lang/", "util/", "test/tcl/include.tcl", "LICENSE")


def nodes(ctx: Context) -> tuple[Node, ...]:
    off = tuple(f"--disable-{feature}" for feature in OFF)
    # and its config.sub, which knows neither musl nor the newer architectures: so it is not asked
    build, host = (argument.partition("=")[2] for argument in configure_triples(ctx))
    env = {**ENV, "ac_cv_build": build, "ac_cv_host": host}
    argv = ("/build/src/dist/configure", *configure_triples(ctx), "--prefix=/usr", "--enable-static", "--enable-dbm", *off)
    return (
        fetch_node(ctx, "db5.3"),
        source_node(ctx, "db5.3", only=ONLY),
        configure_node(ctx, "bdb", argv, source="db5.3", env=env),
        make_node(
            ctx,
            "bdb",
            (
                Step(("make", "libdb-5.3.a")),
                Step(("install", "-D", "-m", "644", "libdb-5.3.a", "/build/out/lib/libdb.a")),
                put("include", "db.h"),
                licence("bdb", "/build/src/LICENSE"),
            ),
            source="db5.3",
            env=ENV,
        ),
    )
