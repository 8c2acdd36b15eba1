"""CPython: configure, core (interpreter and libpython), and a node for each extension module that is a file of its own."""

from __future__ import annotations

from pathlib import PurePosixPath

from graph.node import File, Input, Node, Step
from graph.recipes.common import Context, compile_node, fetch_node, source_node
from graph.recipes.cpython_modules import SHARED_LIBS, Extension, extensions, modules_built_apart
from graph.recipes.cpython_reads import CONFIGURE, CORE, globs

SHARED_HEADERS = frozenset({"socketmodule.h", "hashlib.h"})
"""Headers below Modules/ that both the core and extension modules include."""

HARDENING = ("-D_FORTIFY_SOURCE=2",)  # the cc driver adds the stack protector, RELRO and BIND_NOW
INTERPRETER_FLAGS = ("-fPIC", "-fno-semantic-interposition", "-fno-plt", *HARDENING)
"""Of core and extension modules. The core's objects serve the program, the shared and the static libpython alike."""

EXTENSION_FLAGS = (
    *("-fno-strict-overflow", "-DNDEBUG", "-g", "-O3", "-Wall", "-Wno-unreachable-code-fallthrough", "-std=c11"),
    *("-Werror=implicit-function-declaration", "-fvisibility=hidden", *INTERPRETER_FLAGS),
    *("-I../config", "-I../src/Include", "-I../src/Include/internal", "-I../src/Include/internal/mimalloc"),
)
"""What CPython's Makefile gives to a stdlib module (PY_STDMODULE_CFLAGS), less the Makefile."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """source:cpython-VERSION, and of the cell configure:CELL, core:CELL, ext:CELL:MODULE."""
    return (
        *_source(ctx),
        _configure(ctx),
        _core(ctx),
        *(_extension(ctx, ext) for ext in extensions(ctx.cell.minor)),
    )


def interpreter_nodes(ctx: Context) -> tuple[Node, ...]:
    """Of `nodes`, those that make an interpreter that runs: see build_python.py."""
    zlib = next(ext for ext in extensions(ctx.cell.minor) if ext.name == "zlib")
    return (*_source(ctx), _configure(ctx), _core(ctx), _extension(ctx, zlib))


def _source(ctx: Context) -> tuple[Node, ...]:
    source = source_name(ctx)
    return (fetch_node(ctx, source), source_node(ctx, source, package="cpython"))


def source_name(ctx: Context) -> str:
    """The lock's entry of the cell's Python."""
    return f"cpython-{ctx.cell.version}"


def source_input(ctx: Context, at: str = "src", *, only: tuple[str, ...], without: tuple[str, ...] = (), subdir: str = "") -> Input:
    """What a node reads of the patched source."""
    return Input(f"source:{source_name(ctx)}", at, only=only, without=without, subdir=subdir)


def python_name(ctx: Context) -> str:
    """File name of the interpreter, e.g. python3.13."""
    return f"python{ctx.cell.minor}"


def soname(ctx: Context) -> str:
    """File name of the shared libpython, e.g. libpython3.13.so.1.0."""
    return f"libpython{ctx.cell.minor}.so.1.0"


def ext_suffix(ctx: Context) -> str:
    """Ending of extension modules, e.g. .cpython-313-x86_64-linux-gnu.so."""
    return f".cpython-{ctx.cell.minor.replace('.', '')}-{ctx.cell.target.multiarch}.so"


def run_tools(ctx: Context) -> tuple[str, ...]:
    """Host tool sets that a program of the target needs to run on the build host."""
    return {"gnu": ("glibc",)}.get(ctx.cell.target.libc, ())


def _source_map(ctx: Context) -> str:
    """Debug information names the source by its release, not by its place in the sandbox."""
    return f"-ffile-prefix-map=../src=cpython-{ctx.cell.version}"


def _configure(ctx: Context) -> Node:
    # modules that are nodes of their own are "not available" to it: so it looks for no library, and none can change it
    apart = "".join(f"py_cv_module_{name}=n/a\n" for name in modules_built_apart(ctx.cell.minor))
    site = ctx.file("toolchains/cpython/linux.site", "config.site")
    argv = (
        "sh",
        "../src/configure",
        f"--build={ctx.host.triple}",
        f"--host={ctx.triple}",
        "--prefix=/install",
        "--enable-shared",
        "--without-ensurepip",
        "--with-dbmliborder=bdb",
    )
    return compile_node(
        ctx,
        f"configure:{ctx.cell}",
        (Step(argv), Step(("rm", "config.log"))),
        inputs=(source_input(ctx, only=globs(CONFIGURE, ctx.cell.minor)),),
        files=(File("config.site", site.data + apart.encode()),),
        tools=("posix", "make", *run_tools(ctx)),
        output="work",
        env={
            "CONFIG_SITE": "/build/config.site",
            "MODULE_BUILDTYPE": "static",
            "CFLAGS_NODIST": " ".join((*INTERPRETER_FLAGS, _source_map(ctx), "-Wno-date-time", "-Wno-unreachable-code-fallthrough")),
        },
    )


def _core(ctx: Context) -> Node:
    """out/full and out/stripped: bin/ and lib/; out/static: libpython3.X.a; out/objects: every object file by its path in the build."""
    settings = (f"PYTHON={python_name(ctx)}", f"SONAME={soname(ctx)}", "OUT=../out")
    return compile_node(
        ctx,
        f"core:{ctx.cell}",
        (Step(("make", "-f", "Makefile", "-f", "/build/core.mk", *settings, "core")),),
        inputs=(
            source_input(ctx, only=globs(CORE, ctx.cell.minor), without=_files_of_extensions(ctx.cell.minor)),
            Input(f"configure:{ctx.cell}", "work", writable=True),
        ),
        files=(ctx.file("toolchains/cpython/core.mk", "core.mk"),),
        tools=("posix", "make", *run_tools(ctx)),
    )


def _files_of_extensions(minor: str) -> tuple[str, ...]:
    """Globs of what only extension modules read, so that a change there leaves the core alone."""
    found: set[str] = set()
    for ext in extensions(minor):
        for name in (*ext.sources, *ext.reads):
            folder = PurePosixPath(name).parts[0]
            # a folder of sources belongs to its module as a whole; clinic/ is everyone's
            whole = "/" in name and folder != "clinic"
            if name not in SHARED_HEADERS:
                found.add(f"Modules/{folder}/" if whole else f"Modules/{name}")
    return tuple(sorted(found))


def _extension(ctx: Context, ext: Extension) -> Node:
    """out/full and out/stripped: the module; out/objects/Modules: its object files."""
    objects = tuple(f"{PurePosixPath(name).stem}.o" for name in ext.sources)
    module = ext.name + ext_suffix(ctx)
    shared = any(package in SHARED_LIBS for package in ext.uses)
    # lib/python3.X/lib-dynload -> lib, in DT_RPATH, which goes before LD_LIBRARY_PATH; symbols of static libraries stay inside
    run_path = ("-Wl,--disable-new-dtags,-rpath,$ORIGIN/../..",) if shared else ()
    link = ("cc", "-shared", *objects, *(f"-L../deps/{name}/lib" for name in ext.uses), *ext.libs, "-Wl,--exclude-libs,ALL", *run_path)
    include = tuple(f"-I../deps/{name}/include" for name in ext.uses)
    return compile_node(
        ctx,
        f"ext:{ctx.cell}:{ext.name}",
        (
            Step(("mkdir", "-p", "../out/full", "../out/stripped", "../out/objects/Modules")),
            Step(
                ("cc", "-c", *EXTENSION_FLAGS, _source_map(ctx), *ext.flags, *include, *(f"../src/Modules/{name}" for name in ext.sources))
            ),
            Step((*link, "-o", f"../out/full/{module}")),
            Step((*link, "-Wl,-s", "-o", f"../out/stripped/{module}")),
            Step(("mv", *objects, "../out/objects/Modules/")),
        ),
        inputs=(
            source_input(ctx, only=("Include/", *(f"Modules/{name}" for name in (*ext.sources, *ext.reads)))),
            Input(f"configure:{ctx.cell}", "config", only=("pyconfig.h",)),
            *(Input(f"make:{ctx.triple}:{name}", f"deps/{name}", only=("include/", "lib/")) for name in ext.uses),
        ),
        tools=("posix",),
    )
