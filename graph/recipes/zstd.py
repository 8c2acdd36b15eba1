"""zstd: the static library (compression.zstd of 3.14 and later), and a command for the build host that packs archives."""

from __future__ import annotations

from graph.node import Node, Step
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import CFLAGS, archive_file, archive_step, licence, make_node, put

COMMON = ("debug", "entropy_common", "error_private", "fse_decompress", "pool", "threading", "xxhash", "zstd_common")
COMPRESS = (
    "fse_compress",
    "hist",
    "huf_compress",
    "zstd_compress",
    "zstd_compress_literals",
    "zstd_compress_sequences",
    "zstd_compress_superblock",
    "zstd_double_fast",
    "zstd_fast",
    "zstd_lazy",
    "zstd_ldm",
    "zstd_opt",
    "zstd_preSplit",
    "zstdmt_compress",
)
DECOMPRESS = ("huf_decompress", "zstd_ddict", "zstd_decompress", "zstd_decompress_block")
DICTIONARY = ("cover", "divsufsort", "fastcover", "zdict")
SOURCES = tuple(
    f"lib/{folder}/{name}.c"
    for folder, names in (("common", COMMON), ("compress", COMPRESS), ("decompress", DECOMPRESS), ("dictBuilder", DICTIONARY))
    for name in names
)
COMMAND = ("benchfn", "benchzstd", "datagen", "dibio", "fileio", "fileio_asyncio", "lorem", "timefn", "util", "zstdcli", "zstdcli_trace")
PROGRAM = tuple(f"programs/{name}.c" for name in COMMAND)
# huf_decompress_amd64.S is left out: one list of sources for all targets
DEFINES = "-DZSTD_MULTITHREAD -DZSTD_DISABLE_ASM -DZSTD_LEGACY_SUPPORT=0 -DDEBUGLEVEL=0 -DXXH_NAMESPACE=ZSTD_"


WHOLE = {
    "linux": ("-Wl,--whole-archive", "zstd.a", "-Wl,--no-whole-archive", "-lpthread", "-lrt"),
    "macos": ("-Wl,-force_load,zstd.a",),
}
"""Per system: links all of the command's objects."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    library = archive_step("libzstd.a", "/build/src", SOURCES, cflags=f"{CFLAGS} {DEFINES}")
    return (
        fetch_node(ctx, "zstd"),
        source_node(ctx, "zstd", only=("lib/", "programs/", "LICENSE")),
        make_node(
            ctx,
            "zstd",
            (
                library,
                put("lib", "libzstd.a"),
                put("include", "/build/src/lib/zstd.h", "/build/src/lib/zdict.h", "/build/src/lib/zstd_errors.h"),
                licence("zstd", "/build/src/LICENSE"),
            ),
            configured=False,
            files=(archive_file(ctx),),
        ),
        *(_command(ctx) if ctx.triple == ctx.host.triple else ()),
    )


def _command(ctx: Context) -> tuple[Node, ...]:
    """make:HOST:zstd-cli, bin/zstd: in the plan of the host's own target."""
    program = archive_step("zstd.a", "/build/src", PROGRAM, cflags=f"-O2 {DEFINES} -DZSTD_NODICT=0 -I/build/src/lib")
    link = Step(("cc", "-o", "zstd", *WHOLE[ctx.cell.target.os], "libzstd.a"))
    return (
        make_node(
            ctx,
            "zstd-cli",
            (
                archive_step("libzstd.a", "/build/src", SOURCES, cflags=f"{CFLAGS} {DEFINES}"),
                program,
                link,
                Step(("install", "-D", "-m", "755", "zstd", "/build/out/bin/zstd")),
                licence("zstd", "/build/src/LICENSE"),
            ),
            source="zstd",
            configured=False,
            files=(archive_file(ctx),),
        ),
    )
