"""From built parts to archives for Windows: python.org's layout, PYTHON.json, the three archives and the node that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.lock import VCRUNTIME
from graph.node import Input, Node, Run, Step
from graph.recipes.build_python import python_node, python_step
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.cpython_modules import TEST_PACKAGES
from graph.recipes.distribution import NOT_STDLIB, TEST_FOLDERS, Part, json_file, merged, packed
from graph.recipes.library import licence
from graph.recipes.windows import LAUNCHERS, extensions, windows_source
from graph.recipes.windows_libraries import openssl_dlls, with_symbols
from graph.recipes.windows_machines import machine_of
from graph.recipes.windows_tcl import DLLS as TCL
from graph.target import spelled, windows_names

HEADERS = ("**/*.h",)
VENV = "Lib/venv/scripts/nt"
"""Where venv looks for its launchers."""
LICENCES = {"bzip2": "LICENSE", "sqlite": "LICENSE.md", "zlib": "LICENSE", "cpython": "LICENSE"}
"""Source -> its licence, of what is compiled from sources as they are. Other libraries bring theirs."""
LIBRARIES = ("libffi", "openssl", "tcl", "tk", "xz")
USES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    **{name: {package: ()} for name, package in {"_bz2": "bzip2", "_ctypes": "libffi", "_lzma": "xz"}.items()},
    "_sqlite3": {"sqlite": ("sqlite3.dll",)},
    "_tkinter": {**{package: (file,) for package, file in TCL.items()}, "zlib": ()},
}
"""Extension module -> the libraries that it needs, and for each the files of it that are loaded: none where it is inside of the module."""


def abi_nodes(ctx: Context) -> tuple[Node, ...]:
    """stdlib, pip and licences."""
    brought = (fetch_node(ctx, VCRUNTIME), source_node(ctx, VCRUNTIME)) if _has_vcruntime(ctx) else ()
    return (fetch_node(ctx, "pip"), _stdlib(ctx), _pip(ctx), *brought, _licences(ctx))


def nodes(ctx: Context) -> tuple[Node, ...]:
    """files, assemble (full and stripped), metadata, archive (three) and dist."""
    trees = (merged(ctx, f"assemble:{ctx.cell}:{variant}", _install_parts(ctx, variant)) for variant in ("full", "stripped"))
    full: tuple[Part, ...] = (
        (Input(f"assemble:{ctx.cell}:full", "install"), "install"),
        (Input(windows_source(ctx), "tests", only=TEST_FOLDERS, subdir="Lib"), "install/Lib"),
        *((part, "install/DLLs") for part in _modules(ctx, "full", test=True)),
        (Input(f"licences:{ctx.cell.abi}", "licences", subdir="licenses"), "licenses"),
    )
    return (
        *(_files(ctx), *trees),
        *packed(ctx, full, _metadata(ctx, full)),
    )


def _has_vcruntime(ctx: Context) -> bool:
    """Did the user bring Microsoft's C and C++ run time for this target (docs/windows.md)."""
    return ctx.lock.vcruntime(ctx.cell.target) is not None


def _stdlib(ctx: Context) -> Node:
    """Lib/, less its tests, compiled."""
    return python_node(
        ctx,
        f"stdlib:{ctx.cell.version}:windows",
        (python_step(ctx, "compile_tree.py", "/build/out/Lib", "Lib"),),
        inputs=(Input(windows_source(ctx), "out/Lib", subdir="Lib", without=NOT_STDLIB, writable=True),),
        scripts=("compile_tree.py",),
    )


def _pip_name(ctx: Context) -> str:
    return f"pip:{ctx.triple}:{ctx.cell.version}"


def _pip(ctx: Context) -> Node:
    """Lib/site-packages, and Scripts/: programs of the machine that find Python beside their folder, wherever that is moved."""
    site = "Lib/site-packages"
    tree = ("pip_tree.py", f"/build/wheel/{ctx.source('pip').filename}", f"/build/out/{site}", ctx.cell.minor)
    return python_node(
        ctx,
        _pip_name(ctx),
        (
            python_step(ctx, *tree, machine_of(ctx.cell.target).launcher),
            python_step(ctx, "compile_tree.py", f"/build/out/{site}", site),
            python_step(ctx, *tree, "--record"),
        ),
        inputs=(Input("fetch:pip", "wheel"),),
        scripts=("pip_tree.py", "start.py", "compile_tree.py"),
    )


def _licences(ctx: Context) -> Node:
    """licenses/LICENSE.NAME.txt of every package that a distribution holds parts of."""
    sources = {name: windows_source(ctx) if name == "cpython" else f"source:{name}" for name in LICENCES}
    made = (f"libc:{ctx.triple}", *(f"make:{ctx.triple}:{name}" for name in LIBRARIES))
    steps = (
        *(licence(name, f"/build/{name}/{file}") for name, file in LICENCES.items()),
        *((licence(VCRUNTIME, f"/build/{VCRUNTIME}.txt"),) if _has_vcruntime(ctx) else ()),
        Step(("sh", "-c", "cp ../made/*/* ../out/licenses/")),
    )
    return Node(
        f"licences:{ctx.cell.abi}",
        Run(steps, (("PATH", "/usr/bin"),), tools=("posix",)),
        inputs=(
            *(Input(node, name, only=(LICENCES[name],)) for name, node in sources.items()),
            *(Input(node, f"made/{number}", subdir="licenses") for number, node in enumerate(made)),
        ),
        files=(ctx.file("toolchains/windows/vcruntime.txt", f"{VCRUNTIME}.txt"),) if _has_vcruntime(ctx) else (),
        platform=ctx.host.platform,
    )


def _modules(ctx: Context, variant: str, *, test: bool) -> tuple[Input, ...]:
    """Extension modules, and libraries beside them."""
    chosen = [name for name, needs in extensions(ctx).items() if needs.test == test and name not in LAUNCHERS]
    return tuple(Input(f"ext:{ctx.cell.abi}:{name}", f"part/{name}", subdir=variant) for name in chosen)


def _install_parts(ctx: Context, variant: str) -> tuple[Part, ...]:
    """The tree as installed, less tests; `variant` is full (a PDB beside each DLL and program) or stripped (none)."""
    cell = ctx.cell
    kept = with_symbols if variant == "full" else tuple
    return (
        (Input(f"core:{cell}", "part/core", subdir=variant), "."),
        (Input(f"core:{cell}", "part/libs", subdir="libs"), "libs"),
        (Input(f"core:{cell}", "part/config", subdir="include"), "include"),
        (Input(windows_source(ctx), "part/include", only=HEADERS, subdir="Include"), "include"),
        (Input(f"files:{cell}", "part/files"), "."),
        (Input(f"stdlib:{cell.version}:windows", "part/stdlib"), "."),
        (Input(_pip_name(ctx), "part/pip"), "."),
        *((part, "DLLs") for part in _modules(ctx, variant, test=False)),
        (Input(f"make:{ctx.triple}:openssl", "part/openssl", only=kept(openssl_dlls(cell.target)), subdir="bin"), "DLLs"),
        *((Input(f"make:{ctx.triple}:{name}", f"part/{name}", only=kept((file,)), subdir="bin"), "DLLs") for name, file in TCL.items()),
        *((Input(f"ext:{cell.abi}:{name}", f"part/{name}", subdir=variant), VENV) for name in LAUNCHERS),
        (Input(f"licences:{cell.abi}", "part/licences", subdir="licenses"), f"share/licenses/python{cell.minor}"),
        # where python.org has it: the loader looks beside python.exe for what a module needs
        *(((Input(f"source:{VCRUNTIME}", f"part/{VCRUNTIME}"), "."),) if _has_vcruntime(ctx) else ()),
    )


def _files(ctx: Context) -> Node:
    """LICENSE.txt, and __install__.json for the Python install manager (PEP 773)."""
    names = windows_names(ctx.cell)
    facts = {
        "version": ctx.cell.version,
        "arch": ctx.cell.target.arch,
        "abiflags": ctx.cell.abiflags,
        "programs": [f"{names.program}.exe", f"{names.windowed}.exe"],
    }
    return python_node(
        ctx,
        f"files:{ctx.cell}",
        (
            python_step(ctx, "install_json.py", "/build/facts.json", "/build/out/__install__.json"),
            Step(("cp", "/build/src/LICENSE", "/build/out/LICENSE.txt")),
        ),
        inputs=(Input(windows_source(ctx), "src", only=("LICENSE",)),),
        files=(json_file("facts.json", facts),),
        scripts=("install_json.py",),
        tools=("posix",),
    )


def _metadata(ctx: Context, parts: tuple[Part, ...]) -> Node:
    """out/PYTHON.json, which describes the full archive and is checked against it; out/build/run_tests.py, which it names."""
    pairs = tuple(f"/build/{given.at}={dest}" for given, dest in parts)
    more = (ctx.source(VCRUNTIME).licence,) if _has_vcruntime(ctx) else ()
    return python_node(
        ctx,
        f"metadata:{ctx.cell}",
        (
            python_step(ctx, "merge.py", "/build/work", "/build/more=.", *pairs),
            python_step(
                ctx, "python_json_windows.py", "/build/work", "/build/facts.json", "/build/src/PC/config.c", "/build/out/PYTHON.json"
            ),
            *((python_step(ctx, "add_licences.py", "/build/out/PYTHON.json", *more),) if more else ()),
            python_step(ctx, "merge.py", "/build/out", "/build/more=."),
        ),
        inputs=(*(given for given, _ in parts), Input(windows_source(ctx), "src", only=("PC/config.c",))),
        files=(json_file("facts.json", _facts(ctx)), ctx.file("graph/runtime/run_tests.py", "more/build/run_tests.py")),
        scripts=("merge.py", "python_json.py", "python_json_windows.py", *(("add_licences.py",) if more else ())),
    )


def _facts(ctx: Context) -> dict[str, Any]:
    modules = {name: needs.test for name, needs in extensions(ctx).items() if name not in (*LAUNCHERS, "sqlite3")}
    names = windows_names(ctx.cell)
    return {
        "minor": ctx.cell.minor,
        "version": ctx.cell.version,
        "abiflags": ctx.cell.abiflags,
        "dll": names.dll,
        "suffixes": list(names.suffixes),
        "module_suffix": names.module,
        "triple": ctx.triple,
        "options": spelled(ctx.cell.options),
        "platform_tag": ctx.cell.target.platform_tag,
        "modules": {name: _module_facts(ctx, name, test=test) for name, test in modules.items()},
        "test_packages": list(TEST_PACKAGES),
    }


def _uses(ctx: Context, name: str) -> Mapping[str, tuple[str, ...]]:
    crypto, ssl = openssl_dlls(ctx.cell.target)
    return {**USES, "_hashlib": {"openssl": (crypto,)}, "_ssl": {"openssl": (crypto, ssl)}}.get(name, {})


def _module_facts(ctx: Context, name: str, *, test: bool) -> dict[str, Any]:
    uses = _uses(ctx, name)
    return {
        "links": [{"name": file.removesuffix(".dll"), "path_dynamic": f"install/DLLs/{file}"} for files in uses.values() for file in files],
        "licenses": list(dict.fromkeys(ctx.source(package).licence for package in uses)),
        "license_paths": [f"licenses/LICENSE.{package}.txt" for package in uses],
        "test": test,
    }
