"""Tcl and Tk for Windows: a DLL each, its script library inside, of what upstream's Makefile for MinGW lists (docs/windows.md)."""

from __future__ import annotations

from dataclasses import replace

from graph.node import Input, Node, Step
from graph.recipes import windows_libraries
from graph.recipes.common import Context, configure_triples, fetch_node, patches_for
from graph.recipes.library import configure_node, licence, make_node, put
from graph.recipes.tcl import TCL_PREFIX, TCL_WITHOUT, TK_PREFIX, TK_WITHOUT, script_nodes, system_source
from graph.recipes.windows_libraries import RC
from graph.recipes.windows_machines import machine_of

OWN = "toolchains/windows/tcl"
DLLS = {"tcl": "tcl90.dll", "tk": "tcl9tk90.dll"}
"""As upstream's Makefile names them."""
IMPORT_LIBRARIES = {name: f"lib/lib{file}.a" for name, file in DLLS.items()}
CFLAGS = {"tcl": f"{windows_libraries.CFLAGS} -DZIPFS_IN_RODATA", "tk": f"{windows_libraries.CFLAGS} -DZIPFS_IN_RODATA -DTK_NO_ICU"}
KEPT = ("win/", "xlib/")
"""Folders that Linux leaves out."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """make:TRIPLE:tcl and make:TRIPLE:tk: bin/ (the DLL and its PDB), lib/ (import library), include/, licenses/."""
    return (
        fetch_node(ctx, "tcl"),
        _source(ctx, "tcl", TCL_WITHOUT),
        # with --enable-shared it would want the DLLs of zlib and libtommath that upstream ships
        _configure(ctx, "tcl", TCL_PREFIX, ("--disable-shared",)),
        _tcl(ctx),
        fetch_node(ctx, "tk"),
        _source(ctx, "tk", TK_WITHOUT),
        _configure(ctx, "tk", TK_PREFIX, ("--enable-shared", "--with-tcl=/build/tcl"), (_tcl_config(ctx),)),
        _tk(ctx),
        *script_nodes(ctx),
    )


def _source(ctx: Context, name: str, without: tuple[str, ...]) -> Node:
    """source:NAME-windows: with the patches of all, then those of patches/NAME/windows."""
    source = system_source(ctx, name, "windows", without, KEPT)
    return replace(source, files=(*source.files, *patches_for(ctx, f"{name}/windows", ctx.source(name).version)))


def _tcl_config(ctx: Context) -> Input:
    return Input(f"configure:{ctx.triple}:tcl", "tcl", only=("tclConfig.sh", "Makefile"))


def _configure(ctx: Context, name: str, prefix: str, options: tuple[str, ...], inputs: tuple[Input, ...] = ()) -> Node:
    argv = ("/build/src/win/configure", *configure_triples(ctx), f"--prefix={prefix}", "--disable-zipfs", *options)
    # what configure would run a program for: elsewhere every __try guards a call, and faults in those are caught (docs/windows.md)
    seh = "yes" if machine_of(ctx.cell.target).has_try else "no"
    return configure_node(ctx, name, argv, inputs=inputs, source=f"{name}-windows", env={"CFLAGS": CFLAGS[name], "tcl_cv_seh": seh})


def _make(ctx: Context, name: str, settings: tuple[str, ...], steps: tuple[Step, ...], *inputs: Input) -> Node:
    """The DLL of objects that upstream's Makefile lists, then `steps`."""
    own = (f"NAME={name}", "SRC=/build/src", "OUT=/build/out", "SCRIPTS=/build/scripts")
    make = Step(("make", "-f", "/build/own/dll.mk", *own, *settings))
    given = (RC, Input(f"scripts:{name}", "scripts"), *inputs)
    steps = (make, *steps, licence(name, "/build/src/license.terms"))
    return make_node(ctx, name, steps, source=f"{name}-windows", inputs=given, files=ctx.folder(OWN, "own"), env={"CFLAGS": CFLAGS[name]})


def _tcl(ctx: Context) -> Node:
    """include/ has private headers, too, which Tk includes; lib/ has the static library of stubs."""
    settings = (
        *("PARTS=$(TCL_OBJS)", "DLL=$(TCL_DLL_FILE)", "SCRIPT=/build/src/win/tcl.rc", "ZLIB_DIR=/build/zlib"),
        *(f"TCL_LIBRARY={TCL_PREFIX}/tcl_library", "dll", "libtclstub.a"),
    )
    headers = "install -D -m 644 -t /build/out/include /build/src/generic/*.h /build/src/win/*.h"
    steps = (put("lib", "libtclstub.a"), Step(("sh", "-c", headers)))
    return _make(ctx, "tcl", settings, steps, Input("source:zlib", "zlib"))


def _tk(ctx: Context) -> Node:
    """include/: Tk's public headers, and those of its Xlib that they include."""
    settings = (
        *("PARTS=$(TK_OBJS) floats.o", "DLL=$(TK_DLL_FILE)", "SCRIPT=/build/src/win/rc/tk.rc", f"TK_LIBRARY={TK_PREFIX}/tk_library"),
        *(f"TCL_{which}_NATIVE=/build/tcl/include" for which in ("GENERIC", "PLATFORM")),
        "TCL_STUB_LIB_FILE=/build/tcl/lib/libtclstub.a",
    )
    steps = (
        put("include", *(f"/build/src/generic/{name}.h" for name in ("tk", "tkDecls", "tkPlatDecls", "tkIntXlibDecls"))),
        Step(("cp", "-R", "/build/src/xlib/X11", "/build/out/include/")),
    )
    return _make(ctx, "tk", settings, steps, Input(f"make:{ctx.triple}:tcl", "tcl", only=("include/", "lib/libtclstub.a")))
