"""Tcl and Tk for macOS: Tk draws with Cocoa, whose headers are in Apple's SDK only, so there are none without it (docs/macos.md)."""

from __future__ import annotations

from collections.abc import Mapping

from graph.node import Input, Node, Step
from graph.recipes.common import Context, compile_node, fetch_node
from graph.recipes.cpython_modules import SHARED_LIBS
from graph.recipes.library import answers, archive_file, archive_step, every, licence, make_node, put, shared_file
from graph.recipes.tcl import (
    CFLAGS,
    MODULE_SCOPE,
    TCL_WITHOUT,
    TK_UUID,
    TK_WITHOUT,
    configure_tcl,
    script_nodes,
    system_source,
    tcl_objects_steps,
    tk_paths,
    zlib,
)

OWN = "toolchains/macos/tcl"
KEPT = ("macosx/", "xlib/")
"""Folders that Linux leaves out."""
UNAME_FIRST = "/build/own:/build/tc/bin:/usr/bin:/bin"
"""PATH with our uname in front."""
# Tk's Makefile.in: AQUA_OBJS beside those that every system has
TK_UNUSED = (*(f"generic/tk{name}.c" for name in ("Icu", "ImgUtil", "OldTest", "Square", "StubLib", "Test")), "generic/ttk/ttkStubLib.c")
TK_OF_UNIX = ("unix/tkUnix3d.c", "unix/tkUnixScale.c")
# what its configure finds on a Mac
TK_DEFINES = (
    *("NDEBUG", "BUILD_tk", "USE_TCL_STUBS", "TCL_CFG_OPTIMIZED", "MAC_OSX_TCL", "MAC_OSX_TK"),
    *(f"HAVE_{fact}" for fact in ("COREFOUNDATION", "AVAILABILITYMACROS_H", "PW_GECOS", "SYS_TIME_H", "SYS_TYPES_H", "SYS_PARAM_H")),
    *(MODULE_SCOPE, "TCL_CFGVAL_ENCODING='\"utf-8\"'"),
)
FRAMEWORKS = ("Cocoa", "Carbon", "IOKit", "QuartzCore", "Security", "CoreGraphics")
"""What Tk's configure links with on a Mac."""
NEWER_FRAMEWORKS: Mapping[str, int] = {"UniformTypeIdentifiers": 11}
"""Those that macOS 10.15 has not -> the first SDK with it. Tk asks @available before it uses them, and does without where the SDK does."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    if not ctx.cell.target.sdk:
        return ()
    return (
        fetch_node(ctx, "tcl"),
        system_source(ctx, "tcl", "macos", TCL_WITHOUT, KEPT),
        _configure(ctx),
        _tcl_objects(ctx),
        _tcl(ctx),
        fetch_node(ctx, "tk"),
        system_source(ctx, "tk", "macos", TK_WITHOUT, KEPT),
        _tk_objects(ctx),
        _tk(ctx),
        *script_nodes(ctx),
    )


def _configure(ctx: Context) -> Node:
    options = ("--enable-framework=no", "--enable-corefoundation", "--disable-zipfs")
    files, env = answers(ctx)
    return configure_tcl(ctx, "tcl-macos", options, (ctx.file(f"{OWN}/uname", "own/uname"), *files), PATH=UNAME_FIRST, **env)


def _tcl_objects(ctx: Context) -> Node:
    """As on Linux: lib/libtcl.a and libtclstub.a, and headers."""
    # without Core Foundation, Tcl would wait for other events than Tk's
    steps = (Step(("grep", "HAVE_COREFOUNDATION=1", "Makefile")), *tcl_objects_steps())
    inputs = (Input(f"configure:{ctx.triple}:tcl", "work", writable=True), zlib(ctx, "include/"))
    return make_node(ctx, "tcl-objects", steps, source="tcl-macos", configured=False, inputs=inputs, env={"CFLAGS": CFLAGS})


def _tcl(ctx: Context) -> Node:
    objects = Input(f"make:{ctx.triple}:tcl-objects", "objects")
    link = ("-Wl,-force_load,objects/lib/libtcl.a", "-Ldeps/zlib/lib", "-lz", "-framework", "CoreFoundation")
    return _shared(ctx, "tcl", "tcl", link, (objects, zlib(ctx, "lib/")))


def _tk_objects(ctx: Context) -> Node:
    """lib/libtk.a; include/: Tk's public headers, and those of its Xlib that they include."""
    [library] = SHARED_LIBS["tk-aqua"]
    defines = (*TK_DEFINES, *tk_paths(shared_file(ctx, library)))
    folders = (*(f"/build/src/{name}" for name in ("macosx", "xlib", "unix", "generic", "bitmaps")), "/build/deps/tcl/include")
    include = " ".join(("-I.", *(f"-I{folder}" for folder in folders)))
    common = every("/build/src", ("generic", "generic/ttk", "xlib", "macosx"), without=(*TK_UNUSED, "macosx/tkMacOSXTest.c"))
    cflags = f"-x objective-c {CFLAGS} {include} {' '.join(f'-D{define}' for define in defines)}"
    steps = (
        TK_UUID,
        archive_step("libtk.a", "/build/src", (common, *TK_OF_UNIX), cflags=cflags),
        put("lib", "libtk.a"),
        put("include", *(f"/build/src/generic/{name}.h" for name in ("tk", "tkDecls", "tkIntXlibDecls"))),
        Step(("cp", "-R", "/build/src/xlib/X11", "/build/out/include/")),
        licence("tk-aqua", "/build/src/license.terms"),
    )
    inputs = (Input(f"make:{ctx.triple}:tcl-objects", "deps/tcl", only=("include/",)),)
    return make_node(ctx, "tk-objects", steps, source="tk-macos", configured=False, inputs=inputs, files=(archive_file(ctx),))


def _tk(ctx: Context) -> Node:
    objects = Input(f"make:{ctx.triple}:tk-objects", "objects")
    stubs = Input(f"make:{ctx.triple}:tcl-objects", "deps/tcl", only=("lib/libtclstub.a",))
    major = int(ctx.cell.target.sdk.partition(".")[0])
    newer = [name for name, since in NEWER_FRAMEWORKS.items() if major >= since]
    frameworks = (
        *(word for name in FRAMEWORKS for word in ("-framework", name)),
        *(word for name in newer for word in ("-weak_framework", name)),
    )
    link = ("-Wl,-force_load,objects/lib/libtk.a", "deps/tcl/lib/libtclstub.a", *frameworks)
    return _shared(ctx, "tk", "tk-aqua", link, (objects, stubs))


def _shared(ctx: Context, name: str, package: str, link: tuple[str, ...], inputs: tuple[Input, ...]) -> Node:
    """make:TRIPLE:PACKAGE: lib/<library> with a link for the linker, include/ and licenses/ of its objects."""
    library, plain = (shared_file(ctx, file) for file in (SHARED_LIBS[package][0], SHARED_LIBS[package][0].replace("-fs", "")))
    names = ("-install_name", f"@rpath/{library}", "-compatibility_version", "9.0", "-current_version", "9.0")
    linker = ("-Wl,-S,-x", f"-Wl,-exported_symbols_list,own/lib{name}.exports")
    steps = (
        Step(("cc", "-c", f"-DNAME={name}_scripts", "-Iscripts", "own/zip.S", "-o", "zip.o"), cwd=""),
        Step(("mkdir", "-p", "out/lib"), cwd=""),
        Step(("cc", "-dynamiclib", *names, *linker, "-o", f"out/lib/{library}", "zip.o", *link), cwd=""),
        Step(("ln", "-s", library, f"out/lib/{plain}"), cwd=""),
        Step(("cp", "-R", "objects/include", "objects/licenses", "out/"), cwd=""),
    )
    files = tuple(ctx.file(f"{OWN}/{file}", f"own/{file}") for file in ("zip.S", f"lib{name}.exports"))
    given = (Input(f"scripts:{name}", "scripts"), *inputs)
    return compile_node(ctx, f"make:{ctx.triple}:{package}", steps, inputs=given, files=files)
