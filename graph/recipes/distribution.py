"""From built parts to archives: stdlib, pip, build files, assembled trees, PYTHON.json, the three archives and the node that holds them."""

from __future__ import annotations

import json
from typing import Any

from graph.node import File, Input, Node, Run, Step
from graph.recipes import ncurses
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context
from graph.recipes.cpython import ext_suffix, python_name, soname, source_input
from graph.recipes.cpython_modules import PARTS, SHARED_FILES, SHARED_LIBS, TEST_PACKAGES, Extension, extensions

FLAVOURS = {"full": "full.tar.zst", "install_only": "install_only.tar.gz", "install_only_stripped": "install_only_stripped.tar.gz"}
TEST_FOLDERS = tuple(f"{package.replace('.', '/')}/" for package in TEST_PACKAGES)
"""Folders of Lib/ that only the full archive has."""
NOT_STDLIB = (*TEST_FOLDERS, "**/*.pyc", "site-packages/", "**/.gitignore")
BUILD_FILES_READ = (
    *("Include/", "LICENSE", "install-sh", "Misc/python.man", "Misc/python-config.in"),
    *("Modules/Setup", "Modules/config.c.in", "Modules/makesetup"),
)

RUNTIME = ("_relocatable_sysconfig.py", "python-config.sh")
"""Files of graph/runtime/ that build_files.py puts into a distribution."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """stdlib, files, assemble (full and stripped), metadata, archive (three) and dist of the cell."""
    return (
        _stdlib(ctx),
        _build_files(ctx),
        _assemble(ctx, "full"),
        _assemble(ctx, "stripped"),
        _metadata(ctx),
        _full_archive(ctx),
        _install_archive(ctx, "install_only", "full"),
        _install_archive(ctx, "install_only_stripped", "stripped"),
        _dist(ctx),
    )


def archive_name(ctx: Context, flavour: str) -> str:
    """File name as python-build-standalone has it; the option set stands in the full archive's name only."""
    stem = f"cpython-{ctx.cell.version}+{ctx.lock.release}-{ctx.triple}"
    if flavour == "full":
        stem += f"-{'+'.join(ctx.cell.options)}"
    return f"{stem}-{FLAVOURS[flavour]}"


def _lib(ctx: Context) -> str:
    return f"lib/{python_name(ctx)}"


def _config_folder(ctx: Context) -> str:
    return f"{_lib(ctx)}/config-{ctx.cell.minor}-{ctx.cell.target.multiarch}"


def _stdlib(ctx: Context) -> Node:
    """out/lib/pythonX.Y: Lib/ less its tests, compiled."""
    lib = _lib(ctx)
    return python_node(
        ctx,
        f"stdlib:{ctx.cell}",
        (python_step(ctx, "compile_tree.py", f"/build/out/{lib}", lib),),
        inputs=(Input(f"source:cpython-{ctx.cell.version}", f"out/{lib}", subdir="Lib", without=NOT_STDLIB, writable=True),),
        scripts=("compile_tree.py",),
    )


def _build_files(ctx: Context) -> Node:
    """Headers, config folder, _sysconfigdata, pkg-config files, commands and links of an installation."""
    target = ctx.cell.target
    facts = {
        "minor": ctx.cell.minor,
        "version": ctx.cell.version,
        "multiarch": target.multiarch,
        "platform_tag": target.platform_tag,
        "ext_suffix": ext_suffix(ctx),
        "soname": soname(ctx),
        "modules": [ext.name for ext in extensions(ctx.cell.minor)],
    }
    lib = _lib(ctx)
    return python_node(
        ctx,
        f"files:{ctx.cell}",
        (
            python_step(ctx, "build_files.py", "/build/src", "/build/configured", "/build/runtime", "/build/out", "/build/facts.json"),
            python_step(ctx, "compile_tree.py", f"/build/out/{lib}", lib, "config-*/*"),
        ),
        inputs=(source_input(ctx, only=BUILD_FILES_READ), Input(f"configure:{ctx.cell}", "configured")),
        files=(_json("facts.json", facts), *(ctx.file(f"graph/runtime/{name}", f"runtime/{name}") for name in RUNTIME)),
        scripts=("build_files.py", "compile_tree.py"),
    )


def _json(path: str, value: object) -> File:
    return File(path, json.dumps(value, indent=1, sort_keys=True).encode())


Part = tuple[Input, str]
"""A tree and the folder it goes to."""


def _assemble(ctx: Context, variant: str) -> Node:
    """out: the tree as installed, less tests and static libraries; `variant` is full (with debug information) or stripped."""
    return _merged(ctx, f"assemble:{ctx.cell}:{variant}", _install_parts(ctx, variant))


def _install_parts(ctx: Context, variant: str) -> tuple[Part, ...]:
    cell, lib = ctx.cell, _lib(ctx)
    modules = [ext for ext in extensions(cell.minor) if not ext.test]
    return (
        (Input(f"core:{cell}", "part/core", subdir=variant), "."),
        (Input(f"files:{cell}", "part/files", without=("licenses/",)), "."),
        (Input(f"stdlib:{cell}", "part/stdlib"), "."),
        (Input(f"pip:{cell}", "part/pip"), "."),
        (Input("certificates:certifi", "part/certificates", only=("share/",)), "."),
        *((Input(f"ext:{cell}:{ext.name}", f"part/{ext.name}", subdir=variant), f"{lib}/lib-dynload") for ext in modules),
        *(
            (Input(f"make:{ctx.triple}:{package}", f"part/{package}", only=tuple(f"lib/{name}" for name in names)), ".")
            for package, names in SHARED_LIBS.items()
        ),
        (Input(ncurses.DATABASE, "part/terminfo"), "."),
        *((Input(f"make:{ctx.triple}:{package}", f"part/{package}", only=globs), ".") for package, globs in SHARED_FILES.items()),
        *((part, f"share/licenses/{python_name(ctx)}") for part, _ in _licence_parts(ctx)),
    )


def _licence_parts(ctx: Context) -> tuple[Part, ...]:
    """The licence of every package that a distribution holds parts of."""
    packages = [f"make:{ctx.triple}:{name}" for name in sorted({*_packages(ctx), *SHARED_FILES})]
    nodes = [f"libc:{ctx.triple}", "certificates:certifi", *packages]
    return (
        *((Input(name, f"licences/{name.rpartition(':')[2]}", subdir="licenses"), "licenses") for name in nodes),
        (Input(f"files:{ctx.cell}", "licences/cpython", subdir="licenses"), "licenses"),
    )


def _packages(ctx: Context) -> tuple[str, ...]:
    return tuple(sorted({package for ext in extensions(ctx.cell.minor) for package in _linked(ext)}))


def _linked(ext: Extension) -> tuple[str, ...]:
    """The packages whose code an extension uses: its own, and what these have inside."""
    return tuple(dict.fromkeys(part for package in ext.uses for part in (package, *PARTS.get(package, ()))))


def _merged(ctx: Context, name: str, parts: tuple[Part, ...]) -> Node:
    """A node whose output is the parts, each at its place."""
    pairs = tuple(f"/build/{given.at}={dest}" for given, dest in parts)
    step = python_step(ctx, "merge.py", "/build/out", *pairs)
    return python_node(ctx, name, (step,), inputs=tuple(given for given, _ in parts), scripts=("merge.py",))


def _full_parts(ctx: Context) -> tuple[Part, ...]:
    """All of the full archive's python/ folder but PYTHON.json."""
    cell, lib = ctx.cell, f"install/{_lib(ctx)}"
    every = extensions(cell.minor)
    shipped = sorted({package for ext in every for package in ext.uses if package not in SHARED_LIBS})
    return (
        (Input(f"assemble:{cell}:full", "install"), "install"),
        (source_input(ctx, "tests", only=TEST_FOLDERS, subdir="Lib"), lib),
        *((Input(f"ext:{cell}:{ext.name}", f"test/{ext.name}", subdir="full"), f"{lib}/lib-dynload") for ext in every if ext.test),
        (Input(f"core:{cell}", "static", subdir="static"), f"install/{_config_folder(ctx)}"),
        (Input(f"core:{cell}", "objects", subdir="objects"), "build"),
        (Input(f"configure:{cell}", "configured", only=("Modules/config.c",)), "build"),
        *((Input(f"ext:{cell}:{ext.name}", f"object/{ext.name}", subdir="objects"), "build") for ext in every if not ext.test),
        *((Input(f"make:{ctx.triple}:{package}", f"library/{package}", only=("lib/*.a",)), "build") for package in shipped),
        *_licence_parts(ctx),
    )


def _metadata(ctx: Context) -> Node:
    """out/PYTHON.json, which describes the full archive and is checked against it; out/build/run_tests.py, which it names."""
    parts = _full_parts(ctx)
    pairs = tuple(f"/build/{given.at}={dest}" for given, dest in parts)
    return python_node(
        ctx,
        f"metadata:{ctx.cell}",
        (
            python_step(ctx, "merge.py", "/build/work", "/build/more=.", *pairs),
            python_step(ctx, "python_json.py", "/build/work", "/build/facts.json", "/build/out/PYTHON.json"),
            python_step(ctx, "merge.py", "/build/out", "/build/more=."),
        ),
        inputs=tuple(given for given, _ in parts),
        files=(_json("facts.json", _archive_facts(ctx)), ctx.file("graph/runtime/run_tests.py", "more/build/run_tests.py")),
        scripts=("merge.py", "python_json.py"),
    )


def _archive_facts(ctx: Context) -> dict[str, Any]:
    target = ctx.cell.target
    return {
        "minor": ctx.cell.minor,
        "version": ctx.cell.version,
        "triple": ctx.triple,
        "options": "+".join(ctx.cell.options),
        "multiarch": target.multiarch,
        "platform_tag": target.platform_tag,
        "ext_suffix": ext_suffix(ctx),
        "soname": soname(ctx),
        "libc": target.libc,
        "modules": {ext.name: _module_facts(ctx, ext) for ext in extensions(ctx.cell.minor)},
        "test_packages": list(TEST_PACKAGES),
    }


def _module_facts(ctx: Context, ext: Extension) -> dict[str, Any]:
    objects = [] if ext.test else [f"build/Modules/{name.rpartition('/')[2].removesuffix('.c')}.o" for name in ext.sources]
    return {
        "links": [_link(ext, flag.removeprefix("-l")) for flag in ext.libs if flag.startswith("-l")],
        "objs": objects,
        "licenses": sorted({ctx.source(ext_source(package)).licence for package in _linked(ext)}),
        "license_paths": [f"licenses/LICENSE.{package}.txt" for package in _linked(ext)],
        "test": ext.test,
    }


SOURCES = {"bdb": "db5.3", "libuuid": "util-linux"}
"""Packages whose entry in sources.lock has another name."""
SYSTEM_LIBS = frozenset({"m", "dl", "pthread", "rt", "util"})


def ext_source(package: str) -> str:
    """The lock's entry of a package that an extension uses."""
    return SOURCES.get(package, package)


def _link(ext: Extension, name: str) -> dict[str, Any]:
    """A `links` entry of PYTHON.json."""
    if name in SYSTEM_LIBS:
        return {"name": name, "system": True}
    for package in ext.uses:
        for file in SHARED_LIBS.get(package, ()):
            if file.startswith(f"lib{name}-"):
                return {"name": name, "path_dynamic": f"install/lib/{file}"}
    return {"name": name, "path_static": f"build/lib/lib{name}.a"}


def _full_archive(ctx: Context) -> Node:
    metadata = (Input(f"metadata:{ctx.cell}", "metadata"), ".")
    return _archive(ctx, "full", (*_full_parts(ctx), metadata))


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
