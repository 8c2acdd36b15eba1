"""Anti-aliased text for Tk: expat, FreeType, fontconfig and Xft, static and compiled without configure; and two fonts."""

from __future__ import annotations

from graph.node import File, Input, Node, Step
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import CFLAGS, archive_file, archive_step, every, licence, make_node, put
from graph.recipes.x11 import x_flags, x_inputs

SOURCES = {
    "expat": ("expat/lib/", "expat/COPYING"),
    "freetype": ("src/", "include/", "builds/unix/ftsystem.c", "docs/FTL.TXT"),
    "fontconfig": ("src/", "fontconfig/", "fc-case/fccase.h", "fc-lang/fclang.h", "COPYING"),
    "libxft": (),
    "dejavu": ("share/fonts/truetype/dejavu/DejaVuSans*.ttf", "share/doc/fonts-dejavu-core/copyright"),
}
# for machines that have no font at all (docs/tkinter.md)
OWN_FONTS = ("DejaVuSans.ttf", "DejaVuSansMono.ttf")
# getrandom by number: glibc has a function for it since 2.25 only
EXPAT = "-DXML_GE=1 -DXML_DTD -DXML_NS -DXML_CONTEXT_BYTES=1024 -DHAVE_SYSCALL_GETRANDOM -DXML_DEV_URANDOM -DXML_STATIC"
# on 32-bit targets, too, a file may have a long inode number
FILES = "-D_FILE_OFFSET_BITS=64"
# one file each, which includes its component (FreeType's docs/INSTALL.ANY); gzip and LZW are for bitmap fonts in .pcf.gz and .pcf.Z
FREETYPE_BASE = (
    *("base", "bbox", "bdf", "bitmap", "cid", "debug", "fstype", "gasp", "glyph", "gxval", "init", "mm", "otval", "patent", "pfr"),
    *("stroke", "synth", "type1", "winfnt"),
)
FREETYPE = (
    *(f"src/base/ft{name}.c" for name in FREETYPE_BASE),
    "builds/unix/ftsystem.c",
    *(f"src/{name}/{name}.c" for name in ("autofit", "bdf", "cff", "pcf", "pfr", "psaux", "pshinter", "psnames", "raster", "sdf", "sfnt")),
    *(f"src/{name}/{name}.c" for name in ("smooth", "svg", "truetype", "type1", "type42")),
    *("src/cid/type1cid.c", "src/gzip/ftgzip.c", "src/lzw/ftlzw.c", "src/winfonts/winfnt.c"),
)
# what makealias and gperf would write, see toolchains/fontconfig
ALIASES = ("fcalias.h", "fcaliastail.h", "fcftalias.h", "fcftaliastail.h")


def nodes(ctx: Context) -> tuple[Node, ...]:
    return (
        *(fetch_node(ctx, name) for name in SOURCES),
        *(source_node(ctx, name, only=only) for name, only in SOURCES.items()),
        _expat(ctx),
        _freetype(ctx),
        _fontconfig(ctx),
        _xft(ctx),
        _fonts(ctx),
    )


def _expat(ctx: Context) -> Node:
    lib = "/build/src/expat/lib"
    names = ("xmlparse.c", "xmlrole.c", "xmltok.c", "random_dev_urandom.c", "random_getrandom.c")
    steps = (
        archive_step("libexpat.a", lib, names, cflags=f"{CFLAGS} -D_GNU_SOURCE -I/build/own {EXPAT}"),
        put("lib", "libexpat.a"),
        put("include", f"{lib}/expat.h", f"{lib}/expat_external.h"),
        licence("expat", "/build/src/expat/COPYING"),
    )
    # what it would hold stands in EXPAT
    config = File("own/expat_config.h", b"")
    return make_node(ctx, "expat", steps, configured=False, files=(archive_file(ctx), config))


def _freetype(ctx: Context) -> Node:
    flags = f"{CFLAGS} {FILES} -DFT2_BUILD_LIBRARY -DHAVE_UNISTD_H -DHAVE_FCNTL_H -I/build/src/include"
    steps = (
        archive_step("libfreetype.a", "/build/src", FREETYPE, cflags=flags),
        put("lib", "libfreetype.a"),
        Step(("cp", "-R", "/build/src/include", "/build/out/include")),
        *(licence(f"freetype-{driver}", f"/build/src/src/{driver}/README") for driver in ("bdf", "pcf")),
        licence("freetype", "/build/src/docs/FTL.TXT"),
    )
    return make_node(ctx, "freetype", steps, configured=False, files=(archive_file(ctx),))


def _fontconfig(ctx: Context) -> Node:
    # fc-arch's program is a generator
    sources = every("/build/src/src", ("",), without=("fcarch.c",))
    includes = "-I/build/own -I/build/src -I/build/src/src -I/build/src/fc-case -I/build/src/fc-lang"
    deps = "-I/build/deps/expat/include -I/build/deps/freetype/include"
    steps = (
        archive_step(
            "libfontconfig.a", "/build/src/src", (sources,), cflags=f"{CFLAGS} {FILES} -D_GNU_SOURCE -DHAVE_CONFIG_H {includes} {deps}"
        ),
        put("lib", "libfontconfig.a"),
        put("include/fontconfig", *(f"/build/src/fontconfig/{name}.h" for name in ("fontconfig", "fcfreetype", "fcprivate"))),
        licence("fontconfig", "/build/src/COPYING"),
    )
    return make_node(
        ctx,
        "fontconfig",
        steps,
        configured=False,
        inputs=tuple(Input(f"make:{ctx.triple}:{name}", f"deps/{name}", only=("include/",)) for name in ("expat", "freetype")),
        files=(archive_file(ctx), *ctx.folder("toolchains/fontconfig", "own"), *(File(f"own/{name}", b"") for name in ALIASES)),
    )


def _xft(ctx: Context) -> Node:
    deps = ("libxcb", "libx11", "libxrender", "freetype", "fontconfig")
    steps = (
        archive_step("libxft.a", "/build/src", (every("/build/src", ("src",)),), cflags=f"{x_flags(*deps)} -I/build/src/include/X11/Xft"),
        put("lib", "libxft.a"),
        put("include/X11/Xft", "/build/src/include/X11/Xft/Xft.h", "/build/src/include/X11/Xft/XftCompat.h"),
        licence("libxft", "/build/src/COPYING"),
    )
    return make_node(ctx, "libxft", steps, configured=False, inputs=x_inputs(ctx, *deps), files=(archive_file(ctx),))


def _fonts(ctx: Context) -> Node:
    """share/fonts/tk: the fonts that come along."""
    folder, copyright = "/build/src/share/fonts/truetype/dejavu", "/build/src/share/doc/fonts-dejavu-core/copyright"
    steps = (put("share/fonts/tk", *(f"{folder}/{name}" for name in OWN_FONTS)), licence("dejavu", copyright))
    return make_node(ctx, "dejavu", steps, configured=False)
