"""From built parts to archives: stdlib, pip, build files, assembled trees, PYTHON.json, the three archives and the node that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from graph.lock import VCRUNTIME
from graph.matrix import options
from graph.node import File, Input, Node, Run, Step
from graph.recipes import ncurses
from graph.recipes.build_python import python_module_step, python_node, python_step
from graph.recipes.common import Context, package_name
from graph.recipes.cpython import source_input
from graph.recipes.cpython_modules import PARTS, SHARED_FILES, SHARED_LIBS, TEST_PACKAGES, Extension, extensions, packages
from graph.recipes.library import shared_file
from graph.recipes.names import ext_suffixes, soname
from graph.recipes.pip import pip_name
from graph.recipes.toolchain import LLVM
from graph.target import named, spelled

FLAVOURS = {"full": "full.tar.zst", "install_only": "install_only.tar.gz", "install_only_stripped": "install_only_stripped.tar.gz"}
INSTALLERS = {"zip": "install_only_stripped.zip", "msi": "installer.msi"}
"""The same of what is made for installers, where there is such."""
TEST_FOLDERS = tuple(f"{package.replace('.', '/')}/" for package in TEST_PACKAGES)
"""Folders of Lib/ that only the full archive has."""
NOT_STDLIB = (*TEST_FOLDERS, "**/*.pyc", "site-packages/", "**/.gitignore")
BUILD_FILES_READ = (
    *("Include/", "LICENSE", "install-sh", "Misc/python.man", "Misc/python-config.in"),
    *("Modules/Setup", "Modules/config.c.in", "Modules/makesetup"),
)

GRAMMARS = {"3.11": ("lib2to3/Grammar.txt", "lib2to3/PatternGrammar.txt")}
"""Files of Lib/ that are read as a pickle beside them, which their first user would write."""

SYSTEMS = {"linux": "linux", "macos": "darwin"}
"""zig's name of an OS -> sys.platform."""

OBJECTS = {"linux": "elf", "macos": "mach-o"}
"""Per system: object_file_format of PYTHON.json."""

RUNTIME = ("_relocatable_sysconfig.py", "python-config.sh")
"""Files of graph/runtime/ that build_files.py puts into a distribution."""


Part = tuple[Input, str]
"""A tree and the folder it goes to."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """files, assemble (full and stripped), metadata, archive (three) and dist of the cell."""
    licences = _licence_parts(ctx)
    trees = (merged(ctx, f"assemble:{ctx.cell}:{variant}", _install_parts(ctx, variant, licences)) for variant in ("full", "stripped"))
    return (build_files(ctx), *trees, *packed(ctx, full_parts(ctx, licences)))


def packed(ctx: Context, full: tuple[Part, ...], metadata: Node | None = None) -> tuple[Node, ...]:
    """metadata (or the one given), archive (three) and dist; `full` is all of the full archive's python/ folder but PYTHON.json."""
    return (
        metadata or _metadata(ctx, full),
        _archive(ctx, "full", (*full, (Input(f"metadata:{ctx.cell}", "metadata"), "."))),
        _install_archive(ctx, "install_only", "full"),
        _install_archive(ctx, "install_only_stripped", "stripped"),
        _dist(ctx),
    )


def archive_name(ctx: Context, flavour: str) -> str:
    """File name as python-build-standalone has it: the others than the full archive name the options only where they are not the best."""
    brought = ctx.lock.vcruntime(ctx.cell.target)
    release = f"{ctx.lock.release}.{VCRUNTIME}.{brought.sha256[:8]}" if brought else ctx.lock.release
    stem = f"cpython-{ctx.cell.version}+{release}-{ctx.triple}"
    best = options(ctx.cell.target.options[0])
    told = named(ctx.cell.options, best, full=flavour == "full")
    return "-".join((stem, *((spelled(told),) if told else ()), {**FLAVOURS, **INSTALLERS}[flavour]))


def _config_folder(ctx: Context) -> str:
    return f"{ctx.cell.lib}/config-{ctx.cell.ldversion}-{ctx.cell.target.multiarch}"


def stdlib_name(ctx: Context) -> str:
    """stdlib:VERSION, with a t for the free-threaded one, whose folder is another."""
    return f"stdlib:{ctx.cell.version}{ctx.cell.abiflags.replace('d', '')}"


def stdlib_nodes(ctx: Context) -> tuple[Node, ...]:
    """`stdlib_name`: lib/pythonX.Y, which is Lib/ less its tests, compiled."""
    lib = ctx.cell.lib
    tables = tuple(f"/build/out/{lib}/{path}" for path in GRAMMARS.get(ctx.cell.minor, ()))
    return (
        python_node(
            ctx,
            stdlib_name(ctx),
            (
                *((python_module_step(ctx, "lib2to3.pgen2.driver", *tables),) if tables else ()),
                python_step(ctx, "compile_tree.py", f"/build/out/{lib}", lib),
            ),
            inputs=(source_input(ctx, f"out/{lib}", only=(), subdir="Lib", without=NOT_STDLIB, writable=True),),
            scripts=("compile_tree.py",),
        ),
    )


def _names(ctx: Context) -> dict[str, Any]:
    """What both facts.json tell: names in the cell's tree."""
    cell, target = ctx.cell, ctx.cell.target
    return {
        "minor": cell.minor,
        "version": cell.version,
        "abiflags": cell.abiflags,
        "lib": cell.lib,
        "config": _config_folder(ctx),
        "system": SYSTEMS[target.os],
        "multiarch": target.multiarch,
        "platform_tag": target.platform_tag,
        "ext_suffixes": list(ext_suffixes(cell)),
        "soname": soname(cell),
        "static": cell.static,
    }


def build_files(ctx: Context) -> Node:
    """files:CELL, headers, config folder, _sysconfigdata, pkg-config files, commands and links of an installation."""
    facts = {**_names(ctx), "modules": [ext.name for ext in extensions(ctx.cell)]}
    lib = ctx.cell.lib
    return python_node(
        ctx,
        f"files:{ctx.cell}",
        (
            python_step(ctx, "build_files.py", "/build/src", "/build/configured", "/build/runtime", "/build/out", "/build/facts.json"),
            python_step(ctx, "compile_tree.py", f"/build/out/{lib}", lib, "config-*/*"),
        ),
        inputs=(source_input(ctx, only=BUILD_FILES_READ), Input(f"configure:{ctx.cell.abi}", "configured")),
        files=(json_file("facts.json", facts), *(ctx.file(f"graph/runtime/{name}", f"runtime/{name}") for name in RUNTIME)),
        scripts=("build_files.py", "start.py", "compile_tree.py"),
    )


def json_file(path: str, value: object) -> File:
    """The value as a file of a node."""
    return File(path, json.dumps(value, sort_keys=True).encode())


def _install_parts(ctx: Context, variant: str, licences: tuple[Part, ...]) -> tuple[Part, ...]:
    """The tree as installed, less tests and static libraries; `variant` is full (with debug information) or stripped."""
    cell, lib, abi = ctx.cell, ctx.cell.lib, ctx.cell.abi
    files = [] if cell.static else [ext for ext in extensions(cell) if not ext.test]
    return (
        (Input(f"core:{cell}", "part/core", subdir=variant), "."),
        (Input(f"files:{cell}", "part/files", without=("licenses/",)), "."),
        (Input(stdlib_name(ctx), "part/stdlib"), "."),
        (Input(pip_name(ctx), "part/pip"), "."),
        (Input("certificates:certifi", "part/certificates", only=("share/",)), "."),
        *((Input(f"ext:{abi}:{ext.name}", f"part/{ext.name}", subdir=variant), f"{lib}/lib-dynload") for ext in files),
        *((Input(package_name(ctx, package), f"part/{package}", only=globs), ".") for package, globs in _run_time_files(ctx)),
        (Input(ncurses.database(ctx), "part/terminfo"), "."),
        *((part, f"share/licenses/python{cell.minor}") for part, _ in licences),
    )


def _run_time_files(ctx: Context) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Packages that a distribution holds files of, and which: shared libraries, and what these read."""
    for package in packages(ctx.cell):
        if package in SHARED_LIBS and not ctx.cell.static:
            yield package, tuple(f"lib/{shared_file(ctx, name)}" for name in SHARED_LIBS[package])
        yield from SHARED_FILES.get(package, {}).items()


def _licence_parts(ctx: Context) -> tuple[Part, ...]:
    """The licence of every package that a distribution holds parts of."""
    names = sorted({*_linked(packages(ctx.cell)), *dict(_run_time_files(ctx))})
    nodes = [f"libc:{ctx.triple}", "certificates:certifi", *(package_name(ctx, name) for name in names)]
    return (
        *((Input(name, f"licences/{name.rpartition(':')[2]}", subdir="licenses"), "licenses") for name in nodes),
        (Input(f"files:{ctx.cell}", "licences/cpython", subdir="licenses"), "licenses"),
    )


@cache
def _linked(uses: tuple[str, ...]) -> tuple[str, ...]:
    """The packages whose code is in what uses these: they, and what they have inside."""
    return tuple(dict.fromkeys(part for package in uses for part in (package, *PARTS.get(package, ()))))


def merged(ctx: Context, name: str, parts: tuple[Part, ...]) -> Node:
    """A node whose output is the parts, each at its place."""
    pairs = tuple(f"/build/{given.at}={dest}" for given, dest in parts)
    step = python_step(ctx, "merge.py", "/build/out", *pairs)
    return python_node(ctx, name, (step,), inputs=tuple(given for given, _ in parts), scripts=("merge.py",))


def full_parts(ctx: Context, licences: tuple[Part, ...] = ()) -> tuple[Part, ...]:
    """All of the full archive's python/ folder but PYTHON.json; `licences` where they are made already."""
    cell, lib, abi = ctx.cell, f"install/{ctx.cell.lib}", ctx.cell.abi
    every = extensions(cell)
    shipped = sorted(package for package in packages(cell) if cell.static or package not in SHARED_LIBS)
    tests = () if cell.static else ((Input(f"ext:{abi}:tests", "test", subdir="full"), f"{lib}/lib-dynload"),)
    return (
        (Input(f"assemble:{cell}:full", "install"), "install"),
        (source_input(ctx, "tests", only=TEST_FOLDERS, subdir="Lib"), lib),
        *tests,
        (Input(f"core:{cell}", "static", subdir="static"), f"install/{_config_folder(ctx)}"),
        (Input(f"core:{cell}", "objects", subdir="objects"), "build"),
        (Input(f"configure:{abi}", "configured", only=("Modules/config.c",)), "build"),
        *((Input(f"ext:{abi}:{ext.name}", f"object/{ext.name}", subdir="objects"), "build") for ext in every if not ext.test),
        *((Input(package_name(ctx, package), f"library/{package}", only=("lib/*.a",)), "build") for package in shipped),
        *(licences or _licence_parts(ctx)),
    )


def _metadata(ctx: Context, parts: tuple[Part, ...]) -> Node:
    """out/PYTHON.json, which describes the full archive and is checked against it; out/build/run_tests.py, which it names."""
    target = ctx.cell.target
    pairs = tuple(f"/build/{given.at}={dest}" for given, dest in parts)
    sdk = (Input(f"libc:{target.compiled[0]}", "sdk", only=("SDKSettings.json",)),) if target.os == "macos" else ()
    return python_node(
        ctx,
        f"metadata:{ctx.cell}",
        (
            python_step(ctx, "merge.py", "/build/work", "/build/more=.", *pairs),
            python_step(ctx, "python_json.py", "/build/work", "/build/facts.json", "/build/out/PYTHON.json"),
            python_step(ctx, "merge.py", "/build/out", "/build/more=."),
        ),
        inputs=(*(given for given, _ in parts), *sdk),
        files=(json_file("facts.json", _archive_facts(ctx)), ctx.file("graph/runtime/run_tests.py", "more/build/run_tests.py")),
        scripts=("merge.py", "python_json.py"),
    )


def _archive_facts(ctx: Context) -> dict[str, Any]:
    return {
        **_names(ctx),
        "triple": ctx.triple,
        "options": spelled(ctx.cell.options),
        "object_file_format": f"llvm-bitcode:{LLVM}" if "lto" in ctx.cell.options else OBJECTS[ctx.cell.target.os],
        "libc": ctx.cell.target.libc,
        "deployment_target": ctx.cell.target.deployment_target,
        "modules": {ext.name: _module_facts(ctx, ext) for ext in extensions(ctx.cell)},
        "test_packages": list(TEST_PACKAGES),
    }


def _module_facts(ctx: Context, ext: Extension) -> dict[str, Any]:
    objects = [] if ext.test else [f"build/Modules/{name}" for name in ext.object_names]
    return {
        "links": [
            *(_link(ctx, ext, flag.removeprefix("-l")) for flag in ext.libs if flag.startswith("-l")),
            *({"name": name, "framework": True} for flag, name in pairwise(ext.libs) if flag == "-framework"),
        ],
        "objs": objects,
        "licenses": sorted({ctx.source(ext_source(package)).licence for package in _linked(ext.uses)}),
        "license_paths": [f"licenses/LICENSE.{package}.txt" for package in _linked(ext.uses)],
        "test": ext.test,
    }


SOURCES = {"bdb": "db5.3", "libuuid": "util-linux", "tk-aqua": "tk"}
"""Packages whose entry in sources.lock has another name."""
SYSTEM_LIBS = frozenset({"m", "dl", "pthread", "rt", "util"})


def ext_source(package: str) -> str:
    """The lock's entry of a package that an extension uses."""
    return SOURCES.get(package, package)


def _link(ctx: Context, ext: Extension, name: str) -> dict[str, Any]:
    """A `links` entry of PYTHON.json."""
    if name in SYSTEM_LIBS:
        return {"name": name, "system": True}
    for package in () if ctx.cell.static else ext.uses:
        for file in SHARED_LIBS.get(package, ()):
            if file.startswith(f"lib{name}-"):
                return {"name": name, "path_dynamic": f"install/lib/{shared_file(ctx, file)}"}
    return {"name": name, "path_static": f"build/lib/lib{name}.a"}


def _install_archive(ctx: Context, flavour: str, variant: str) -> Node:
    return _archive(ctx, flavour, ((Input(f"assemble:{ctx.cell}:{variant}", "install"), "."),))


def _archive(ctx: Context, flavour: str, parts: tuple[Part, ...]) -> Node:
    """archive:CELL:FLAVOUR, the one file."""
    pairs = tuple(f"/build/{given.at}={'python' if dest == '.' else f'python/{dest}'}" for given, dest in parts)
    return python_node(
        ctx,
        f"archive:{ctx.cell}:{flavour}",
        (python_step(ctx, "pack.py", f"/build/out/{archive_name(ctx, flavour)}", *pairs),),
        inputs=(Input(f"make:{ctx.host.triple}:zstd-cli", "zstd", only=("bin/zstd",)), *(given for given, _ in parts)),
        scripts=("pack.py",),
        env={"ZSTD": "/build/zstd/bin/zstd"},
    )


def _dist(ctx: Context) -> Node:
    """dist:CELL, the three archives."""
    names = [(Input(f"archive:{ctx.cell}:{flavour}", flavour), archive_name(ctx, flavour)) for flavour in FLAVOURS]
    step = Step(("cp", *(f"/build/{given.at}/{name}" for given, name in names), "/build/out/"))
    env = (("PATH", "/usr/bin"),)
    return Node(
        f"dist:{ctx.cell}", Run((step,), env, tools=("posix",)), inputs=tuple(given for given, _ in names), platform=ctx.host.platform
    )
