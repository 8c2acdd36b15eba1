"""Windows: CPython's core, extension modules and launchers, from upstream's own project files (docs/windows.md)."""

from __future__ import annotations

from dataclasses import dataclass

from graph.node import File, Input, Node, Step, Unpack
from graph.recipes import lld, sqlite, toolchain, windows_libraries, windows_tcl
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context, compile_node, fetch_node, patches_for, source_node
from graph.recipes.names import source_name
from graph.recipes.windows_machines import machine_of
from graph.target import windows_names

PATCHES = ("cpython", "cpython/windows")
"""Folders of patches/, in their order. Those of Windows are in no other target's source, nor in its keys."""
PROJECTS = ("pythoncore", "python3dll", "python", "pythonw")
PLAIN = (
    *("_asyncio", "_elementtree", "_multiprocessing", "_overlapped", "_queue", "_socket", "_uuid", "_zoneinfo"),
    *("pyexpat", "select", "unicodedata", "winsound"),
)
"""Projects of extension modules that need no other library."""
TESTS = ("_ctypes_test", *(f"_test{name}" for name in ("buffer", "capi", "clinic", "clinic_limited", "console", "importmultiple")))
TESTS += (*(f"_test{name}" for name in ("internalcapi", "limitedcapi", "multiphase", "singlephase")), "xxlimited", "xxlimited_35")
"""Those of CPython's own tests."""
LIMITED = ("_testclinic_limited", "_testlimitedcapi")
"""Of these, those that link the stable ABI's DLL, where threads share the interpreter's lock; the next two do so, too."""
WITHOUT_RESOURCES = ("xxlimited", "xxlimited_35")
LAUNCHERS = ("venvlauncher", "venvwlauncher")
"""Programs that venv puts into a virtual environment."""
MPDECIMAL = "$(SRC)/Modules/_decimal/libmpdec"
MAKEFILES = "toolchains/windows"
DECLARING = ("Include", "Modules", "Objects", "PC", "Parser", "Python")
"""Folders whose files declare what the core exports."""
SYSTEM = ("kernel32", "user32", "gdi32", "winspool", "comdlg32", "advapi32", "shell32", "ole32", "oleaut32")
"""What MSBuild links everything with."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A project of an extension module, or of a library beside it, and what it needs besides CPython's own tree."""

    inputs: tuple[Input, ...] = ()
    flags: str = ""
    """Of the compiler."""
    link: str = ""
    """Of the linker."""
    libs: str = ""
    """In the place of the project's: xxlimited names wsock32, and takes nothing of it."""
    target: str = ""
    """File name, where the project's is not that of the official build."""
    files: tuple[File, ...] = ()
    test: bool = False


def extensions(ctx: Context) -> dict[str, Extension]:
    """By the name of the project, in their order."""
    openssl = Input(f"make:{ctx.triple}:openssl", "openssl", only=("include/", "lib/"))
    ssl = Extension((openssl,))
    xz = (
        Input(f"make:{ctx.triple}:xz", "xz/src/liblzma/api", only=("lzma.h", "lzma/"), subdir="include"),
        Input(f"make:{ctx.triple}:xz", "xz/lib", only=("liblzma.a",), subdir="lib"),
    )
    stable = f"$(API)/{windows_names(ctx.cell).stable}.lib"
    found = {
        **{name: Extension() for name in PLAIN},
        "_bz2": Extension((Input("source:bzip2", "bzip2"),)),
        "_ctypes": Extension((Input(f"make:{ctx.triple}:libffi", "libffi", only=("include/", "lib/")),)),
        # the system has an io.h, too; and windows/mpdecimal.h is for MSVC
        "_decimal": Extension((), f"{machine_of(ctx.cell.target).arithmetic} -idirafter {MPDECIMAL} -include {MPDECIMAL}/mpdecimal.h"),
        "_hashlib": ssl,
        "_lzma": Extension(xz, link="/build/xz/lib/liblzma.a"),
        "_sqlite3": Extension(
            (_amalgamation(ctx), Input(f"ext:{ctx.cell.abi}:sqlite3", "dll", only=("libs/",))), link="/build/dll/libs/sqlite3.lib"
        ),
        "_ssl": ssl,
        "_tkinter": Extension(
            tuple(Input(f"make:{ctx.triple}:{name}", name, only=("include/", "lib/")) for name in windows_tcl.DLLS), "-I/build/tk/include"
        ),
        "_wmi": Extension(
            flags="-I/build/cxx -D__STRICT_ANSI__",
            link="comsupp.o",
            files=(*ctx.folder(f"{MAKEFILES}/cxx", "cxx"), ctx.file(f"{MAKEFILES}/comsupp.cpp", "comsupp.cpp")),
        ),
        **{name: Extension() for name in LAUNCHERS},
        "sqlite3": Extension(
            (_amalgamation(ctx),),
            " ".join(f"-D{name}" for name in sqlite.OPTIONS),
            "-Wl,--out-implib,$(OUT)/libs/sqlite3.lib",
            target="sqlite3.dll",
        ),
        **{name: Extension(test=True) for name in TESTS},
        # functions of the stdcall convention get plain names: lld would export name@4, and ctypes looks for MSVC's _name@4
        **({"_ctypes_test": Extension(link="-Wl,--kill-at", test=True)} if ctx.cell.target.arch == "i686" else {}),
        **{name: Extension(link=stable, test=True) for name in LIMITED},
        **{name: Extension(link=stable, libs="-lkernel32", test=True) for name in WITHOUT_RESOURCES},
    }
    return dict(sorted(found.items()))


def _sqlite(ctx: Context) -> str:
    """The folder, by whose name the project knows the version."""
    return f"sqlite-{ctx.source('sqlite').version}.0"


def _amalgamation(ctx: Context) -> Input:
    return Input(sqlite.GENERATED, _sqlite(ctx))


def _properties(ctx: Context) -> tuple[str, ...]:
    """MSBuild's global properties."""
    folders = {
        "bz2Dir": "bzip2/",
        "libffiIncludeDir": "libffi/include/",
        "libffiOutDir": "libffi/lib/",
        "lzmaDir": "xz/",
        "mpdecimalDir": "src/Modules/_decimal/",
        "opensslIncludeDir": "openssl/include/",
        "opensslOutDir": "openssl/lib/",
        "sqlite3Dir": f"{_sqlite(ctx)}/",
        "tcltkDir": "tcl/",
        "zlibDir": "zlib/",
    }
    system = ";".join(f"{name}.lib" for name in SYSTEM)
    named = (f"{name}=/build/{folder}" for name, folder in folders.items())
    tcl = ";".join(f"/build/{name}/{file}" for name, file in windows_tcl.IMPORT_LIBRARIES.items())
    # (for a release, Tcl's scripts are not looked for in a folder of the build)
    configuration = "Debug" if "debug" in ctx.cell.options else "Release"
    fixed = (
        f"Configuration={configuration}",
        f"Platform={machine_of(ctx.cell.target).platform}",
        "IncludeExternals=true",
        "BuildForRelease=true",
    )
    free = ("DisableGil=true",) if "freethreaded" in ctx.cell.options else ()
    return (*fixed, *free, f"CoreLibraryDependencies={system}", f"tcltkLib={tcl}", *named)


READ_OF_SOURCE = ("Include/", "Modules/", "Objects/", "PC/", "Parser/", "Programs/", "Python/")


def package_nodes(ctx: Context) -> tuple[Node, ...]:
    """Of a target: the sysroot, the linker, and libraries."""
    return (
        *toolchain.nodes(ctx),
        *lld.nodes(ctx),
        *windows_libraries.nodes(ctx),
        *windows_tcl.nodes(ctx),
        *(node for name in ("zlib", "bzip2") for node in (fetch_node(ctx, name), source_node(ctx, name))),
        *sqlite.generate_nodes(ctx),
    )


def nodes(ctx: Context) -> tuple[Node, ...]:
    """core:CELL"""
    return (_core(ctx),)


def abi_nodes(ctx: Context) -> tuple[Node, ...]:
    """The source, projects:ABI, resources:ABI, api:ABI, and ext:ABI:MODULE."""
    return (
        *_source(ctx),
        _projects(ctx),
        _resources(ctx),
        _api(ctx),
        *(_module(ctx, name, needs) for name, needs in extensions(ctx).items()),
    )


def _source(ctx: Context) -> tuple[Node, ...]:
    name = source_name(ctx.cell)
    version = ctx.source(name).version
    patches = tuple(file for folder in PATCHES for file in patches_for(ctx, folder, version))
    return (fetch_node(ctx, name), Node(windows_source(ctx), Unpack(1), inputs=(Input(f"fetch:{name}", "archive"),), files=patches))


def windows_source(ctx: Context) -> str:
    """The node."""
    return f"source:{source_name(ctx.cell)}:windows"


def _projects(ctx: Context) -> Node:
    """out/PROJECT.mk: what each project compiles and links."""
    return python_node(
        ctx,
        f"projects:{ctx.cell.abi}",
        (python_step(ctx, "vcxproj.py", "/build/src", "/build/out", *_properties(ctx), "--", *PROJECTS, *extensions(ctx)),),
        inputs=(
            Input(windows_source(ctx), "src", only=("PCbuild/*.vcxproj", "PCbuild/*.props", "PCbuild/*.targets", "Include/patchlevel.h")),
        ),
        scripts=("vcxproj.py", "msbuild.py"),
    )


def _resources(ctx: Context) -> Node:
    """out/PROJECT.res: version, icons and manifest."""
    settings = ("SRC=../src", "LISTS=../lists", "OUT=../out", f"PROJECTS={' '.join((*PROJECTS, *extensions(ctx)))}")
    return compile_node(
        ctx,
        f"resources:{ctx.cell.abi}",
        (Step(("make", "-f", "/build/resources.mk", *settings)),),
        inputs=(
            Input(windows_source(ctx), "src", only=("PC/", "Include/")),
            Input(f"projects:{ctx.cell.abi}", "lists"),
            Input("toolchain:rc", "rc"),
        ),
        files=(ctx.file(f"{MAKEFILES}/resources.mk", "resources.mk"),),
    )


def _api(ctx: Context) -> Node:
    """out/: pyconfig.h, and import libraries of what the sources declare.

    A module that takes what the core has not does not pass the audit; so modules need not wait for the core, and are those of all cells.
    """
    names, machine = windows_names(ctx.cell), machine_of(ctx.cell.target).dlltool
    free = ("FREE",) if "freethreaded" in ctx.cell.options else ()
    return python_node(
        ctx,
        f"api:{ctx.cell.abi}",
        (
            python_step(ctx, "api.py", "/build/src", "/build/out", names.dll, names.stable, *free),
            *(
                Step(("/build/zig/zig", "dlltool", "-m", machine, "-d", f"{name}.def", "-l", f"{name}.lib"), "out")
                for name in (names.dll, names.stable)
            ),
        ),
        inputs=(
            Input(windows_source(ctx), "src", only=tuple(f"{folder}/" for folder in DECLARING)),
            Input("toolchain:zig", "zig", only=("zig",)),
        ),
        scripts=("api.py",),
    )


def _optimisation(ctx: Context) -> tuple[str, ...]:
    """As CPython's configure has it for a debug build."""
    return ("OPT=-Og",) if "debug" in ctx.cell.options else ()


def _core(ctx: Context) -> Node:
    """out/full (with PDBs) and out/stripped: DLLs and programs; out/libs: import libraries; out/include: pyconfig.h."""
    optimised = ("LTO=1",) if "lto" in ctx.cell.options else ()
    settings = (
        "SRC=../src",
        "LISTS=../lists",
        "FROZEN=../frozen",
        "RES=../res",
        "API=../api",
        "OUT=../out",
        *_optimisation(ctx),
        *optimised,
    )
    return compile_node(
        ctx,
        f"core:{ctx.cell}",
        (Step(("make", "-f", "/build/core.mk", *settings, "core")),),
        inputs=(
            Input(windows_source(ctx), "src", only=READ_OF_SOURCE),
            Input("source:zlib", "zlib"),
            Input(f"projects:{ctx.cell.abi}", "lists", only=tuple(f"{name}.mk" for name in PROJECTS)),
            Input(f"resources:{ctx.cell.abi}", "res", only=tuple(f"{name}.res" for name in PROJECTS)),
            Input(f"python:{ctx.cell.version}", "frozen/Python", subdir="Python"),
            Input(f"api:{ctx.cell.abi}", "api", only=("pyconfig.h",)),
        ),
        files=_makefiles(ctx, "core.mk"),
    )


def _module(ctx: Context, name: str, needs: Extension) -> Node:
    """out/full (with its PDB) and out/stripped: the module."""
    dll = windows_names(ctx.cell).dll
    settings = ("SRC=../src", "LISTS=../lists", "API=../api", "RES=../res", "OUT=../out", f"NAME={name}", f"DLL={dll}", *_optimisation(ctx))
    given = {"FLAGS": needs.flags, "LINK": needs.link, f"{name}.TARGET": needs.target, f"{name}.LIBS": needs.libs}
    more = tuple(f"{setting}={value}" for setting, value in given.items() if value)
    return compile_node(
        ctx,
        f"ext:{ctx.cell.abi}:{name}",
        (Step(("make", "-f", "/build/module.mk", *settings, *more, "module")),),
        inputs=(
            Input(windows_source(ctx), "src", only=("Include/", "Modules/", "PC/")),
            Input(f"projects:{ctx.cell.abi}", "lists", only=(f"{name}.mk",)),
            *((Input(f"resources:{ctx.cell.abi}", "res", only=(f"{name}.res",)),) if name not in WITHOUT_RESOURCES else ()),
            Input(f"api:{ctx.cell.abi}", "api"),
            *needs.inputs,
        ),
        files=(*_makefiles(ctx, "module.mk"), *needs.files),
    )


def _makefiles(ctx: Context, name: str) -> tuple[File, ...]:
    return tuple(ctx.file(f"{MAKEFILES}/{one}", one) for one in (name, "common.mk"))
