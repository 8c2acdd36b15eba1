"""Tcl and Tk: a shared library each, with sonames and symbol versions of their own, their script libraries inside (docs/tkinter.md)."""

from __future__ import annotations

from dataclasses import replace

from graph.node import File, Input, Node, Step
from graph.recipes.build_python import package_context, python_node, python_step
from graph.recipes.common import Context, compile_node, configure_triples, fetch_node, source_node
from graph.recipes.cpython_modules import PARTS, SHARED_LIBS
from graph.recipes.library import archive_file, archive_step, configure_node, every, licence, make_node, put
from graph.recipes.x11 import x_inputs

[TCL], [TK] = SHARED_LIBS["tcl"], SHARED_LIBS["tk"]

# no -fvisibility=hidden: version scripts decide what these shared libraries export
CFLAGS = "-O2 -fPIC -D_FORTIFY_SOURCE=2 -DZIPFS_IN_RODATA"
# where Tcl finds files that are part of a library
TCL_PREFIX, TK_PREFIX = "//zipfs:/lib/tcl", "//zipfs:/lib/tk"
# tzdata stays, for machines that have none; cookiejar needs a package sqlite3
TCL_SCRIPTS_WITHOUT = ("dde/", "registry/", "cookiejar/", "install.tcl")
TCL_WITHOUT = ("doc/", "tests/", "tests-perf/", "win/", "macosx/", "pkgs/", "compat/zlib/*.c", "compat/zlib/zlib.h", "compat/zlib/zconf.h")
# xlib/: headers of X for Windows and macOS, with other types (a KeyCode of 32 bits)
TK_WITHOUT = ("xlib/", "doc/", "tests/", "win/tests/", "macosx/", "library/demos/")
TK_UNUSED = (
    *(f"generic/tk{name}.c" for name in ("FileFilter", "ImgUtil", "MacWinMenu", "OldTest", "Pointer", "Square", "StubLib", "Test")),
    *("generic/ttk/ttkStubLib.c", "unix/tkAppInit.c", "unix/tkUnixFont.c"),
)
XLIB_NEEDS = ("X", "Xfuncproto", "Xosdefs")
MODULE_SCOPE = "MODULE_SCOPE='extern __attribute__((__visibility__(\"hidden\")))'"
TK_DEFINES = (
    *("NDEBUG", "BUILD_tk", "USE_TCL_STUBS", "TCL_CFG_OPTIMIZED", "TK_NO_ICU"),
    *(f"HAVE_{fact}" for fact in ("XFT", "PW_GECOS", "SYS_SELECT_H", "SYS_TIME_H", "SYS_TYPES_H", "SYS_PARAM_H")),
    *(MODULE_SCOPE, "TCL_CFGVAL_ENCODING='\"utf-8\"'"),
    "FONTS_FROM_LIBRARY='\"../share/fonts/tk\"'",
)


TK_UUID = Step(("sh", "-c", "(printf '#define TK_VERSION_UUID '; cat /build/src/manifest.uuid) >tkUuid.h"))


def nodes(ctx: Context) -> tuple[Node, ...]:
    """For Linux; of macOS in aqua.py."""
    if ctx.cell.target.os != "linux":
        return ()
    return (
        fetch_node(ctx, "tcl"),
        configure_tcl(ctx, "tcl", ("--disable-zipfs",)),
        _tcl_objects(ctx),
        _tcl(ctx),
        fetch_node(ctx, "tk"),
        _tk_objects(ctx),
        _tk(ctx),
        *script_nodes(ctx),
    )


def script_nodes(ctx: Context) -> tuple[Node, ...]:
    """source:tcl and source:tk, and of these scripts:tcl and scripts:tk, the same for every target."""
    return (
        source_node(ctx, "tcl", without=TCL_WITHOUT),
        _scripts(ctx, "tcl", TCL_SCRIPTS_WITHOUT, "tcl_library/manifest.txt=tcl_library/pkgIndex.tcl"),
        source_node(ctx, "tk", without=TK_WITHOUT),
        _scripts(ctx, "tk", ("demos/",)),
    )


def system_source(ctx: Context, name: str, system: str, without: tuple[str, ...], kept: tuple[str, ...]) -> Node:
    """source:NAME-SYSTEM: with folders that Linux leaves out."""
    source = source_node(ctx, name, without=tuple(glob for glob in without if glob not in kept))
    return replace(source, name=f"source:{name}-{system}")


def zlib(ctx: Context, *parts: str) -> Input:
    """Parts of the zlib that the target's modules are linked with, too, at /build/deps/zlib; a level's have another (common.HOT)."""
    return Input(f"make:{ctx.triple}:zlib", "deps/zlib", only=parts)


def configure_tcl(ctx: Context, source: str, options: tuple[str, ...], files: tuple[File, ...] = (), **more: str) -> Node:
    """configure:TRIPLE:tcl, of source:`source` with these options; `more` is environment."""
    argv = ("/build/src/unix/configure", *configure_triples(ctx), f"--prefix={TCL_PREFIX}", "--enable-shared", "--disable-rpath")
    env = {
        "CFLAGS": CFLAGS,
        "CPPFLAGS": "-I/build/deps/zlib/include",
        "LDFLAGS": "-L/build/deps/zlib/lib",
        "TCL_LIBRARY": f"{TCL_PREFIX}/tcl_library",
        **more,
    }
    return configure_node(ctx, "tcl", (*argv, *options), inputs=(zlib(ctx, "include/", "lib/"),), files=files, source=source, env=env)


def _tcl_objects(ctx: Context) -> Node:
    """lib/libtcl.a and libtclstub.a, and headers: private ones too, which Tk includes."""
    built = Input(f"configure:{ctx.triple}:tcl", "work", writable=True)
    inputs = (built, zlib(ctx, "include/"))
    # headers that musl lacks
    musl = ctx.cell.target.libc == "musl"
    files, env = (ctx.folder("toolchains/musl", "musl"), {"CPATH": "/build/musl"}) if musl else ((), {})
    return make_node(
        ctx, "tcl-objects", tcl_objects_steps(), source="tcl", configured=False, inputs=inputs, files=files, env={"CFLAGS": CFLAGS, **env}
    )


def tcl_objects_steps() -> tuple[Step, ...]:
    """In the configured tree at /build/work."""
    headers = (
        "install -D -m 644 -t /build/out/include /build/src/generic/*.h /build/src/unix/*.h && cp -R /build/src/libtommath /build/out/"
    )
    return (
        # no folder of the machine is searched for packages unasked: TCLLIBPATH, auto_path and lib/ of the distribution are
        Step(("make", "TCL_PACKAGE_PATH=", "objs")),
        Step(("sh", "-c", "ar rcsD libtcl.a *.o")),
        Step(("make", "libtclstub.a")),
        put("lib", "libtcl.a", "libtclstub.a"),
        Step(("sh", "-c", headers)),
        licence("tcl", "/build/src/license.terms"),
    )


def _scripts(ctx: Context, name: str, without: tuple[str, ...], *renamed: str) -> Node:
    """scripts:NAME: scripts.zip, the library/ folder of the source as NAME_library."""
    package = package_context(ctx)
    return python_node(
        package,
        f"scripts:{name}",
        (python_step(package, "script_zip.py", "/build/library", "/build/out/scripts.zip", *renamed),),
        inputs=(Input(f"source:{name}", f"library/{name}_library", subdir="library", without=without),),
        scripts=("script_zip.py", "members.py"),
    )


def _tcl(ctx: Context) -> Node:
    objects = Input(f"make:{ctx.triple}:tcl-objects", "objects")
    link = ("objects/lib/libtcl.a", "-Wl,--no-whole-archive", "-Ldeps/zlib/lib", "-lz", "-lm", "-ldl", "-lpthread")
    return _shared(ctx, "tcl", TCL, link, (objects, zlib(ctx, "lib/")))


def _tk_objects(ctx: Context) -> Node:
    """lib/libtk.a; include/: Tk's public headers, and those of Xlib that they include."""
    defines = (*TK_DEFINES, *tk_paths(TK))
    search = ("tcl/include", "xorgproto/include", *(f"{name}/include" for name in PARTS["tk"]))
    include = " ".join((*(f"-I/build/src/{name}" for name in ("generic", "unix", "bitmaps")), *(f"-I/build/deps/{at}" for at in search)))
    sources = every("/build/src", ("generic", "generic/ttk", "unix"), without=TK_UNUSED)
    steps = (
        TK_UUID,
        archive_step(
            "libtk.a", "/build/src", (sources,), cflags=f"{CFLAGS} -D_GNU_SOURCE -I. {include} {' '.join(f'-D{d}' for d in defines)}"
        ),
        put("lib", "libtk.a"),
        put("include", *(f"/build/src/generic/{name}.h" for name in ("tk", "tkDecls"))),
        put(
            "include/X11", "/build/deps/libx11/include/X11/Xlib.h", *(f"/build/deps/xorgproto/include/X11/{name}.h" for name in XLIB_NEEDS)
        ),
        licence("tk", "/build/src/license.terms"),
    )
    inputs = (*x_inputs(ctx, *PARTS["tk"]), Input(f"make:{ctx.triple}:tcl-objects", "deps/tcl", only=("include/",)))
    return make_node(ctx, "tk-objects", steps, source="tk", configured=False, inputs=inputs, files=(archive_file(ctx),))


def tk_paths(library: str) -> tuple[str, ...]:
    """Defines of the places that Tk tells in `tk::pkgconfig`: all inside the library, but its own file."""
    places = {"LIBDIR": TK_PREFIX, "BINDIR": TK_PREFIX, "SCRDIR": f"{TK_PREFIX}/tk_library", "INCDIR": TK_PREFIX, "DOCDIR": TK_PREFIX}
    paths = {f"CFG_{when}_{name}": place for when in ("INSTALL", "RUNTIME") for name, place in {**places, "DEMODIR": TK_PREFIX}.items()}
    return tuple(f"{name}='\"{place}\"'" for name, place in {**paths, "CFG_RUNTIME_DLLFILE": library}.items())


def _tk(ctx: Context) -> Node:
    objects = Input(f"make:{ctx.triple}:tk-objects", "objects")
    stubs = Input(f"make:{ctx.triple}:tcl-objects", "deps/tcl", only=("lib/libtclstub.a",))
    libs = tuple(Input(f"make:{ctx.triple}:{name}", f"deps/{name}", only=("lib/",)) for name in PARTS["tk"])
    static = tuple(f"deps/{name}/lib/{name if name.startswith('lib') else f'lib{name}'}.a" for name in PARTS["tk"])
    link = ("objects/lib/libtk.a", "-Wl,--no-whole-archive", "deps/tcl/lib/libtclstub.a", *static, "-lm", "-ldl", "-lpthread")
    return _shared(ctx, "tk", TK, link, (objects, stubs, *libs))


def _shared(ctx: Context, name: str, library: str, link: tuple[str, ...], inputs: tuple[Input, ...]) -> Node:
    """make:TRIPLE:NAME: lib/<library> with a link for the linker, include/ and licenses/ of its objects."""
    linker = f"-Wl,-s,-z,defs,-soname,{library},-Bsymbolic-functions,--version-script=/build/own/lib{name}.map"
    steps = (
        Step(("cc", "-c", f"-DNAME={name}_scripts", "-Iscripts", "own/zip.S", "-o", "zip.o"), cwd=""),
        Step(("mkdir", "-p", "out/lib"), cwd=""),
        Step(("cc", "-shared", linker, "-o", f"out/lib/{library}", "zip.o", "-Wl,--whole-archive", *link), cwd=""),
        Step(("ln", "-s", library, f"out/lib/{library.replace('-fs', '')}"), cwd=""),
        Step(("cp", "-R", "objects/include", "objects/licenses", "out/"), cwd=""),
    )
    scripts = Input(f"scripts:{name}", "scripts")
    return compile_node(ctx, f"make:{ctx.triple}:{name}", steps, inputs=(scripts, *inputs), files=ctx.folder("toolchains/tcl", "own"))
