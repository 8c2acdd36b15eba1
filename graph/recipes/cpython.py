"""CPython: configure, core (interpreter and libpython), and a node for each extension module that is a file of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from graph.node import File, Input, Node, Step
from graph.recipes.build_python import build_python, host_cell, package_context, python_step
from graph.recipes.common import Context, compile_node, configure_node, configure_triples, fetch_node, package_name, source_node
from graph.recipes.cpython_modules import SHARED_LIBS, Extension, extensions, modules_built_apart
from graph.recipes.cpython_reads import CONFIGURE, CORE, globs
from graph.recipes.library import MACOS_ANSWERS, NO_LOGS
from graph.recipes.names import ext_suffix, python_name, run_tools, soname, source_name

SHARED_HEADERS = frozenset({"socketmodule.h", "hashlib.h"})
"""Headers below Modules/ that both the core and extension modules include."""

HARDENING = ("-D_FORTIFY_SOURCE=2",)  # the cc driver adds the stack protector, RELRO and BIND_NOW
INTERPRETER_FLAGS = {
    "linux": ("-fPIC", "-fno-semantic-interposition", "-fno-plt", *HARDENING),
    "macos": HARDENING,
}
"""Per system, of core and extension modules. The core's objects serve the program, the shared and the static libpython alike."""

LINK_FLAGS = {"musl": ("-Wl,-z,stack-size=0x800000",)}
"""Of program and libpython, by libc. musl gives threads 128 KiB unless the program asks for more: 8 MiB, as with glibc (docs/musl.md)."""

RELEASE_FLAGS, DEBUG_FLAGS = ("-DNDEBUG", "-O3"), ("-Og",)
CONFIGURE_OPTIONS = {"debug": "--with-pydebug", "freethreaded": "--disable-gil"}

EXTENSION_FLAGS = (
    *("-fno-strict-overflow", "-g", "-Wall", "-Wno-unreachable-code-fallthrough", "-std=c11"),
    *("-Werror=implicit-function-declaration", "-fvisibility=hidden"),
    *("-I../config", "-I../src/Include", "-I../src/Include/internal", "-I../src/Include/internal/mimalloc"),
)
"""What CPython's Makefile gives to a stdlib module (PY_STDMODULE_CFLAGS), less the Makefile and OPT's optimisation."""


MODULE_LINK = {
    "linux": ("cc", "-shared"),
    "macos": ("cc", "-bundle", "-undefined", "dynamic_lookup", "-Wl,-S"),
}
"""Per system: links a module, whose functions of Python are looked up when it is loaded."""
HIDE = {"linux": ("-Wl,--exclude-libs,ALL",), "macos": ("-Wl,-exported_symbol,_PyInit_*",)}
"""Per system: symbols of static libraries stay inside."""
RUN_PATH = {"linux": ("-Wl,--disable-new-dtags,-rpath,$ORIGIN/../..",), "macos": ("-Wl,-rpath,@loader_path/../..",)}
"""Per system: lib/python3.X/lib-dynload -> lib; on Linux in DT_RPATH, which goes before LD_LIBRARY_PATH."""
STRIP = {"linux": ("-Wl,-s",), "macos": ("-Wl,-x",)}
"""Per system: without symbols that nothing is linked by."""
MAIN_STACK = "0x1000000"
"""16 MiB: configure's -stack_size for macOS."""
CORE_MAKEFILE = {"linux": "core.mk", "macos": "darwin.mk"}
SITE = {"linux": "toolchains/cpython/linux.site", "macos": MACOS_ANSWERS}
"""Per system: answers to what configure would ask of the machine that builds."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """core:CELL"""
    return (_core(ctx),)


def abi_nodes(ctx: Context) -> tuple[Node, ...]:
    """configure:ABI, ext:ABI:MODULE for each module with an outside library, ext:ABI:tests for all test modules."""
    apart = [ext for ext in extensions(ctx.cell) if not ext.test]
    return (*_source(ctx), _configure(ctx), *(_extension(ctx, ext) for ext in apart), _test_modules(ctx))


def python_nodes(ctx: Context) -> tuple[Node, ...]:
    """python:VERSION, and the zlib module that its scripts import."""
    plain = replace(ctx, cell=host_cell(ctx))
    zlib = next(ext for ext in extensions(plain.cell) if ext.name == "zlib")
    return (*_source(plain), _configure(plain), _python(plain), _extension(plain, zlib))


def package_python_nodes(ctx: Context) -> tuple[Node, ...]:
    """The same of the version that runs steps of packages, also in a plan without a cell of it."""
    return python_nodes(package_context(ctx))


def _source(ctx: Context) -> tuple[Node, ...]:
    source = source_name(ctx.cell)
    return (fetch_node(ctx, source), source_node(ctx, source, package="cpython"))


def source_input(
    ctx: Context, at: str = "src", *, only: tuple[str, ...], without: tuple[str, ...] = (), subdir: str = "", writable: bool = False
) -> Input:
    """What a node reads of the patched source."""
    return Input(f"source:{source_name(ctx.cell)}", at, only, without, subdir, writable)


def _source_map(ctx: Context) -> str:
    """Debug information names the source by its release, not by its place in the sandbox."""
    return f"-ffile-prefix-map=../src=cpython-{ctx.cell.version}"


def _configure(ctx: Context) -> Node:
    # modules that are nodes of their own are "not available" to it: so it looks for no library, and none can change it
    apart = "".join(f"py_cv_module_{name}=n/a\n" for name in modules_built_apart(ctx.cell))
    target = ctx.cell.target
    site = ctx.file(SITE[target.os], "config.site")
    cross = _cross_configure(ctx) if target.run == "none" else ((), {}, ())
    cross_argv, cross_env, cross_files = cross
    argv = (
        "sh",
        "../src/configure",
        *configure_triples(ctx),
        "--prefix=/install",
        "--enable-shared",
        "--without-ensurepip",
        "--with-dbmliborder=bdb",
        *cross_argv,
        *(flag for option, flag in CONFIGURE_OPTIONS.items() if option in ctx.cell.options),
    )
    link = LINK_FLAGS.get(ctx.cell.target.libc, ())
    return configure_node(
        ctx,
        f"configure:{ctx.cell.abi}",
        (Step(argv), NO_LOGS),
        inputs=(source_input(ctx, only=globs(CONFIGURE, ctx.cell.minor)),),
        files=(File("config.site", site.data + apart.encode()), *cross_files),
        tools=("posix", "make", *run_tools(ctx.cell.target)),
        env={
            "CONFIG_SITE": "/build/config.site",
            "MODULE_BUILDTYPE": "static",
            "CFLAGS_NODIST": " ".join(
                (*INTERPRETER_FLAGS[target.os], _source_map(ctx), "-Wno-date-time", "-Wno-unreachable-code-fallthrough")
            ),
            **({"LDFLAGS_NODIST": " ".join(link)} if link else {}),
            **cross_env,
        },
    )


def _cross_configure(ctx: Context) -> tuple[tuple[str, ...], dict[str, str], tuple[File, ...]]:
    """Arguments, environment and files for a target whose programs do not run here: configure asks a Python for its version."""
    env = {"PYTHON_VERSION": ctx.cell.minor, "MACOSX_DEPLOYMENT_TARGET": ctx.cell.target.deployment_target}
    return ("--with-build-python=build-python",), env, (ctx.file("toolchains/cpython/build-python", "tc/bin/build-python"),)


def _python(ctx: Context) -> Node:
    """out/bin: the Python that runs steps; out/Python: the frozen modules, which are the same in every core of the version.

    Hardly optimised: what it runs takes less time than optimising it would.
    """
    makefile = CORE_MAKEFILE[ctx.cell.target.os]
    settings = (f"PYTHON={python_name(ctx.cell)}", "OUT=../out", "OPT=-DNDEBUG -O1", "python")
    return compile_node(
        ctx,
        f"python:{ctx.cell.version}",
        (Step(("make", "-f", "Makefile", "-f", f"/build/{makefile}", *settings)),),
        inputs=(
            source_input(ctx, only=globs(CORE, ctx.cell.minor), without=_files_of(extensions(ctx.cell))),
            Input(f"configure:{ctx.cell.abi}", "work", writable=True),
        ),
        files=(ctx.file(f"toolchains/cpython/{makefile}", makefile),),
        tools=("posix", "make", *run_tools(ctx.cell.target)),
    )


def _core(ctx: Context) -> Node:
    """out/full and out/stripped: bin/ and lib/; out/static: libpython3.X.a; out/objects: every object file by its path in the build."""
    macos = ctx.cell.target.os == "macos"
    settings = (
        *(f"PYTHON={python_name(ctx.cell)}", f"SONAME={soname(ctx.cell)}", "OUT=../out"),
        # the stable ABI is that of release builds
        f"STABLE_ABI={'' if 'debug' in ctx.cell.options or macos else 'libpython3.so'}",
        f"LTO={' '.join(('-flto=thin', *ctx.cell.target.lto_flags)) if 'lto' in ctx.cell.options else ''}",
        # frozen modules are there already; on the command line, as rules are read before core.mk is
        *("FREEZE_MODULE_DEPS=", "FREEZE_MODULE_BOOTSTRAP_DEPS=", "DEEPFREEZE_DEPS="),
    )
    makefile = CORE_MAKEFILE[ctx.cell.target.os]
    # what lld cannot do for macOS
    after, stack = (_main_stack(ctx), ("main_stack.py",)) if macos else ((), ())
    script = ("references.py",) if macos and "lto" in ctx.cell.options else ()
    references = tuple(f"REFERENCES={' '.join(_scripted(ctx, name).argv)}" for name in script)
    return compile_node(
        ctx,
        f"core:{ctx.cell}",
        (
            Step(("cp", "-R", "/build/frozen/.", "Python/")),
            Step(("make", "-f", "Makefile", "-f", f"/build/{makefile}", *settings, *references, "core")),
            *after,
        ),
        inputs=(
            source_input(ctx, only=globs(CORE, ctx.cell.minor), without=_files_of(extensions(ctx.cell))),
            Input(f"configure:{ctx.cell.abi}", "work", writable=True),
            # 3.11's folder has an object as well, the build host's: whether make takes it would depend on the order of two copies
            Input(f"python:{ctx.cell.version}", "frozen", subdir="Python", without=("**/*.o",)),
            *(build_python(ctx) if macos else ()),
        ),
        files=(
            ctx.file(f"toolchains/cpython/{makefile}", makefile),
            *(ctx.file(f"toolchains/steps/{name}", f"steps/{name}") for name in (*stack, *script)),
        ),
        tools=("posix", "make", *(run_tools(ctx.host.target) if macos else ())),
    )


def _main_stack(ctx: Context) -> tuple[Step, ...]:
    """Give programs the main thread's stack which CPython asks Apple's linker for; lld cannot."""
    programs = tuple(f"/build/out/{variant}/bin/{python_name(ctx.cell)}" for variant in ("full", "stripped"))
    return (_scripted(ctx, "main_stack.py", MAIN_STACK, *programs),)


def _scripted(ctx: Context, script: str, *args: str) -> Step:
    """Run a script of toolchains/steps/ with what `build_python` gives."""
    env = ("env", "PYTHONHOME=/build/py", "PYTHONPATH=/build/py/modules", "PYTHONDONTWRITEBYTECODE=1")
    return Step((*env, *python_step(ctx, script, *args).argv))


@cache
def _files_of(modules: tuple[Extension, ...]) -> tuple[str, ...]:
    """Globs of what only these modules read, so that a change there leaves the core alone."""
    found: set[str] = set()
    for name in (name for ext in modules for name in (*ext.sources, *ext.reads)):
        folder, inside, _ = name.partition("/")
        # a folder of sources belongs to its module as a whole; clinic/ is everyone's
        whole = inside and folder != "clinic"
        if name not in SHARED_HEADERS:
            found.add(f"Modules/{folder}/" if whole else f"Modules/{name}")
    return tuple(sorted(found))


def _extension(ctx: Context, ext: Extension) -> Node:
    """out/full and out/stripped: the module; out/objects/Modules: its object files."""
    keep = Step(("mv", *ext.object_names, "../out/objects/Modules/"))
    return _modules_node(ctx, ext.name, (ext,), (*_module_steps(ctx, ext), keep))


def _test_modules(ctx: Context) -> Node:
    """out/full and out/stripped: every module that only CPython's own tests import."""
    tests = tuple(ext for ext in extensions(ctx.cell) if ext.test)
    return _modules_node(ctx, "tests", tests, tuple(step for ext in tests for step in _module_steps(ctx, ext)))


def _module_steps(ctx: Context, ext: Extension) -> tuple[Step, ...]:
    """Compile and link one module."""
    module, system = ext.name + ext_suffix(ctx.cell), ctx.cell.target.os
    shared = any(package in SHARED_LIBS for package in ext.uses)
    found = tuple(f"-L../deps/{name}/lib" for name in ext.uses)
    # (test modules have more than one entry, and functions for ctypes)
    hide = HIDE[system] if ext.uses else ()
    link = (*MODULE_LINK[system], *ext.object_names, *found, *ext.libs, *hide, *(RUN_PATH[system] if shared else ()))
    include = tuple(f"-I../deps/{name}/include" for name in ext.uses)
    optimisation = DEBUG_FLAGS if "debug" in ctx.cell.options else RELEASE_FLAGS
    flags = (*EXTENSION_FLAGS, *INTERPRETER_FLAGS[system], *optimisation, _source_map(ctx), *ext.flags)
    return (
        Step(("cc", "-c", *flags, *include, *(f"../src/Modules/{name}" for name in ext.sources))),
        Step((*link, "-o", f"../out/full/{module}")),
        Step((*link, *STRIP[system], "-o", f"../out/stripped/{module}")),
    )


def _modules_node(ctx: Context, name: str, modules: tuple[Extension, ...], steps: tuple[Step, ...]) -> Node:
    reads = tuple(dict.fromkeys(f"Modules/{path}" for ext in modules for path in (*ext.sources, *ext.reads)))
    packages = tuple(dict.fromkeys(package for ext in modules for package in ext.uses))
    return compile_node(
        ctx,
        f"ext:{ctx.cell.abi}:{name}",
        (Step(("mkdir", "-p", "../out/full", "../out/stripped", "../out/objects/Modules")), *steps),
        inputs=(
            source_input(ctx, only=("Include/", *reads)),
            Input(f"configure:{ctx.cell.abi}", "config", only=("pyconfig.h",)),
            *(Input(package_name(ctx, package), f"deps/{package}", only=("include/", "lib/")) for package in packages),
        ),
        tools=("posix",),
    )
