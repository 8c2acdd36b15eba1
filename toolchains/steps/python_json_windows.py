"""PYTHON.json, version 8, of a full archive for Windows: python_json_windows.py ROOT FACTS CONFIG_C OUT.

ROOT is the archive's python/ folder laid out (install/, build/, licenses/); FACTS is facts.json of the recipe (see `Facts`), CONFIG_C the
source of the table of built-in modules. There is no object file: who links an interpreter anew has the DLL and its import library.
"""

import importlib.util
import json
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any, TypedDict

from python_json import VERSION, entry, named_paths


class Module(TypedDict):
    """An extension module, which is a file of its own."""

    links: list[dict[str, Any]]
    licenses: list[str]
    license_paths: list[str]
    test: bool


class Facts(TypedDict):
    """What the recipe tells and no file holds."""

    minor: str
    version: str
    abiflags: str
    dll: str
    """Less .dll, e.g. python313t_d."""
    suffixes: list[str]
    """Of extension modules that it loads."""
    module_suffix: str
    """Of those that come with it."""
    triple: str
    options: str
    platform_tag: str
    modules: dict[str, Module]
    test_packages: list[str]


def inittab(text: str) -> dict[str, str | None]:
    """Built-in modules and their init functions, from PC/config.c."""
    table = text.split("_PyImport_Inittab[]", 1)[1]
    return {name: None if init == "NULL" else init for name, init in re.findall(r'\{"(\w+)",\s*(\w+)\}', table)}


def extensions(text: str, facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """The table of extension modules: built-in ones, and those of DLLs/."""
    found = {name: entry(in_core=True, init_fn=init, required=True) for name, init in inittab(text).items()}
    for name, module in facts["modules"].items():
        values: dict[str, Any] = {"links": module["links"], "shared_lib": f"install/DLLs/{name}{facts['module_suffix']}"}
        if module["licenses"]:
            values |= {"licenses": module["licenses"], "license_paths": module["license_paths"]}
        found[name] = entry(init_fn=f"PyInit_{name}", **values)
    return dict(sorted(found.items()))


def config_vars(facts: Facts) -> dict[str, str]:
    """sysconfig.get_config_vars() of Windows, with /install as the prefix."""
    tag, thread = facts["minor"].replace(".", ""), facts["abiflags"].replace("d", "")
    places = dict.fromkeys(("prefix", "exec_prefix", "installed_base", "base", "installed_platbase", "platbase", "projectbase"), "/install")
    return {
        **places,
        "BINDIR": "/install",
        "BINLIBDEST": "/install/Lib",
        "EXE": ".exe",
        "EXT_SUFFIX": facts["suffixes"][0],
        "INCLUDEPY": "/install/Include",
        "LDLIBRARY": f"{facts['dll']}.dll",
        "LIBDEST": "/install/Lib",
        "LIBDIR": "/install/libs",
        "LIBRARY": f"{facts['dll']}.dll",
        "Py_GIL_DISABLED": "1" if thread else "0",
        "SOABI": facts["suffixes"][0].split(".")[1],
        "TZPATH": "",
        "VERSION": tag,
        # (sys has none before 3.14)
        "abiflags": "",
        "abi_thread": thread,
        "platlibdir": "DLLs",
        "py_version": facts["version"],
        "py_version_nodot": tag,
        "py_version_short": facts["minor"],
    }


def paths() -> dict[str, str]:
    """sysconfig's paths, relative to the archive's python/ folder."""
    places = dict.fromkeys(("base", "platbase", "installed_base", "installed_platbase"), "install")
    return {name: path.format(**places).replace("install/Include", "install/include") for name, path in _abstract().items()}


def _abstract() -> dict[str, str]:
    return dict(sysconfig.get_paths("nt", expand=False))


def describe(config_c: str, facts: Facts) -> dict[str, Any]:
    """The whole of PYTHON.json."""
    tag = facts["minor"].replace(".", "")
    major, small, micro = map(int, facts["version"].split("."))
    return {
        "version": VERSION,
        "target_triple": facts["triple"],
        "build_options": facts["options"],
        "build_info": {
            "core": {"links": [], "objs": [], "shared_lib": f"install/{facts['dll']}.dll", "static_lib": None},
            "extensions": extensions(config_c, facts),
            "object_file_format": "coff",
        },
        "crt_features": ["ucrt"],
        "libpython_link_mode": "shared",
        "license_path": "licenses/LICENSE.cpython.txt",
        "licenses": ["Python-2.0", "CNRI-Python"],
        "run_tests": "build/run_tests.py",
        "python_abi_tag": facts["abiflags"],
        "python_bytecode_magic_number": importlib.util.MAGIC_NUMBER.hex(),
        "python_config_vars": config_vars(facts),
        "python_exe": "install/python.exe",
        "python_extension_module_loading": ["builtin", "shared-library"],
        "python_implementation_cache_tag": f"cpython-{tag}",
        "python_implementation_hex_version": major << 24 | small << 16 | micro << 8 | 0xF0,
        "python_implementation_name": "cpython",
        "python_implementation_version": [*facts["version"].split("."), "final", "0"],
        "python_major_minor_version": facts["minor"],
        "python_paths": paths(),
        "python_paths_abstract": _abstract(),
        "python_platform_tag": facts["platform_tag"],
        "python_stdlib_test_packages": facts["test_packages"],
        "python_suffixes": {
            "bytecode": [".pyc"],
            "debug_bytecode": [".pyc"],
            "extension": facts["suffixes"],
            "optimized_bytecode": [".pyc"],
            "source": [".py", ".pyw"],
        },
        "python_symbol_visibility": "dllexport",
        "python_tag": f"cp{tag}",
        "python_version": facts["version"],
    }


def main(argv: list[str]) -> None:
    root, facts, config_c, out = Path(argv[0]), json.loads(Path(argv[1]).read_text()), Path(argv[2]).read_text(), Path(argv[3])
    described = describe(config_c, facts)
    # folders for third parties are places where something may come
    absent = [name for name in named_paths(described) if not (root / name).exists() and name not in described["python_paths"].values()]
    if absent:
        raise FileNotFoundError(f"PYTHON.json names what the archive lacks: {absent}")
    out.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
