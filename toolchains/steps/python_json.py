"""PYTHON.json, version 8, of a full archive: python_json.py ROOT FACTS OUT.

ROOT is the archive's python/ folder laid out (install/, build/, licenses/); FACTS is facts.json of the recipe (see `Facts`). What can
be read from the files is read from them: configuration, module tables, object lists, symbol versions. Every path named must exist.
"""

import importlib.util
import json
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

VERSION = "8"


class Module(TypedDict):
    """An extension module built apart."""

    links: list[dict[str, Any]]
    objs: list[str]
    licenses: list[str]
    license_paths: list[str]
    test: bool


class Facts(TypedDict):
    """What the recipe tells and no file holds."""

    minor: str
    version: str
    abiflags: str
    lib: str
    config: str
    system: str
    multiarch: str
    platform_tag: str
    ext_suffixes: list[str]
    soname: str
    static: bool
    """One program, all modules in it."""
    triple: str
    options: str
    object_file_format: str
    libc: str
    deployment_target: str
    """Oldest macOS; empty for other systems."""
    modules: dict[str, Module]
    test_packages: list[str]


GLIBC = rb"\0GLIBC_(\d+\.\d+(?:\.\d+)?)(?=\0)"
"""Symbol versions as they stand in an ELF file's string table."""
IN_CORE_LINKS = {"linux": ("dl", "m", "pthread", "rt", "util"), "darwin": ("dl",)}
IN_CORE_FRAMEWORKS = {"linux": (), "darwin": ("CoreFoundation",)}
"""By sys.platform."""


def config_vars(root: Path, facts: Facts) -> dict[str, Any]:
    """build_time_vars of the distribution's own _sysconfigdata, with /install as the prefix, which readers of PYTHON.json know."""
    [path] = root.glob(f"install/{facts['lib']}/_sysconfigdata_*.py")
    names: dict[str, Any] = {}
    exec(path.read_text(), names)
    values: dict[str, Any] = names["build_time_vars"]
    return {name: value.replace("{prefix}", "/install") if isinstance(value, str) else value for name, value in values.items()}


def inittab(root: Path) -> dict[str, str | None]:
    """Built-in modules and their init functions, from config.c."""
    table = (root / "build/Modules/config.c").read_text().split("_PyImport_Inittab[]", 1)[1]
    return {name: None if init == "NULL" else init for name, init in re.findall(r'\{"(\w+)",\s*(\w+)\}', table)}


def objects_of_modules(root: Path, facts: Facts) -> dict[str, list[str]]:
    """Object files of each built-in module that the Makefile has a rule for, and those of its private library."""
    config = root / "install" / facts["config"]
    makefile = (config / "Makefile").read_text()
    rules = re.findall(r"^Modules/(\w+)\$\(EXT_SUFFIX\):([^;\n]*);", makefile, re.M)
    found = {name: objects.split() for name, objects in rules}
    for module, folder in (("_decimal", "Modules/_decimal/libmpdec"), ("pyexpat", "Modules/expat")):
        found[module] += sorted(str(path.relative_to(root / "build")) for path in (root / "build" / folder).glob("*.o"))
    if "_sha2" in found and "Modules/_hacl/Hacl_Hash_SHA2.o" not in found["_sha2"]:
        found["_sha2"].append("Modules/_hacl/Hacl_Hash_SHA2.o")
    return found


def bootstrap_modules(root: Path, facts: Facts) -> set[str]:
    """Modules without which the interpreter does not start: Setup.bootstrap."""
    config = root / "install" / facts["config"]
    lines = (config / "Setup.bootstrap").read_text().splitlines()
    return {line.split()[0] for line in lines if line.strip() and line[0] not in "#*@"}


def system_links(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Link entries of libraries of the system."""
    return [{"name": name, "system": True} for name in names]


def entry(**values: Any) -> list[dict[str, Any]]:
    """One extension's list of variants: one, `default`."""
    base = {
        "in_core": False,
        "init_fn": None,
        "license_paths": ["licenses/LICENSE.cpython.txt"],
        "license_public_domain": False,
        "licenses": ["Python-2.0", "CNRI-Python"],
        "links": [],
        "objs": [],
        "required": False,
        "static_lib": None,
        "shared_lib": None,
        "variant": "default",
    }
    return [{**base, **values}]


def extensions(root: Path, facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """The table of extension modules: built-in ones, and those built apart."""
    bootstrap = bootstrap_modules(root, facts)
    objects = objects_of_modules(root, facts)
    found = {}
    for name, init in inittab(root).items():
        core = name in bootstrap or name not in objects
        objs = [] if core else [f"build/{path}" for path in objects[name]]
        found[name] = entry(in_core=core, init_fn=init, objs=objs, required=core)
    dynload = f"install/{facts['lib']}/lib-dynload"
    for name, module in facts["modules"].items():
        values: dict[str, Any] = {
            "links": module["links"],
            "objs": module["objs"],
            "shared_lib": None if facts["static"] else f"{dynload}/{name}{facts['ext_suffixes'][0]}",
        }
        if module["licenses"]:
            values |= {"licenses": module["licenses"], "license_paths": module["license_paths"]}
        found[name] = entry(init_fn=f"PyInit_{name}", **values)
    return dict(sorted(found.items()))


def core_objects(root: Path, table: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Objects of libpython that belong to no single module; config.o is the inittab's."""
    of_modules = {path for variants in table.values() for variant in variants for path in variant["objs"]}
    apart = {*of_modules, "build/Modules/config.o", "build/Programs/python.o"}
    every = sorted(str(path.relative_to(root)) for path in (root / "build").rglob("*.o"))
    return [path for path in every if path not in apart]


def build_info(root: Path, facts: Facts) -> dict[str, Any]:
    """How to link an interpreter anew from the archive's objects."""
    table = extensions(root, facts)
    static = f"install/{facts['config']}/libpython{facts['minor']}{facts['abiflags']}.a"
    return {
        "core": {
            "links": [
                *system_links(IN_CORE_LINKS[facts["system"]]),
                *({"name": name, "framework": True} for name in IN_CORE_FRAMEWORKS[facts["system"]]),
            ],
            "objs": core_objects(root, table),
            "shared_lib": None if facts["static"] else f"install/lib/{facts['soname']}",
            "static_lib": static,
        },
        "extensions": table,
        "inittab_cflags": ["-std=c11", "-DNDEBUG", "-DPy_BUILD_CORE"],
        "inittab_object": "build/Modules/config.o",
        "inittab_source": "build/Modules/config.c",
        "object_file_format": facts["object_file_format"],
    }


def crt_features(root: Path, facts: Facts) -> list[str]:
    """The C library, and the newest of its symbol versions that any program or library needs."""
    if facts["system"] == "darwin":
        return ["libSystem"]
    if facts["libc"] != "gnu":
        return ["static" if facts["static"] else f"{facts['libc']}-dynamic"]
    binaries = [
        root / f"install/bin/python{facts['minor']}{facts['abiflags']}",
        *root.glob("install/lib/*.so*"),
        *root.glob(f"install/{facts['lib']}/lib-dynload/*.so"),
    ]
    found = {tuple(map(int, version.split(b"."))) for path in binaries for version in re.findall(GLIBC, path.read_bytes())}
    return ["glibc-dynamic", "glibc-max-symbol-version:" + ".".join(map(str, max(found)))]


def paths(facts: Facts) -> dict[str, str]:
    """sysconfig's paths, relative to the archive's python/ folder."""
    names = {"py_version_short": facts["minor"], "platlibdir": "lib", "implementation_lower": "python"}
    names |= {"abiflags": facts["abiflags"], "abi_thread": facts["abiflags"].replace("d", "")}
    names |= dict.fromkeys(("base", "platbase", "installed_base", "installed_platbase"), "install")
    return {name: path.format(**names) for name, path in sysconfig.get_paths("posix_prefix", expand=False).items()}


def sysconfigdata(facts: Facts) -> str:
    """File name of the module that sysconfig reads."""
    return f"_sysconfigdata_{facts['abiflags']}_{facts['system']}_{facts['multiarch']}.py"


def apple_sdk(facts: Facts, settings: Path) -> dict[str, str]:
    """The apple_sdk_* keys, from the SDK's own SDKSettings.json; none for other systems."""
    if not facts["deployment_target"]:
        return {}
    told = json.loads(settings.read_text())
    return {
        "apple_sdk_canonical_name": told["CanonicalName"],
        "apple_sdk_deployment_target": facts["deployment_target"],
        "apple_sdk_platform": "macosx",
        "apple_sdk_version": told["Version"],
    }


def python_facts(facts: Facts, values: dict[str, Any]) -> dict[str, Any]:
    """The python_* keys."""
    minor, version = facts["minor"], facts["version"]
    tag = minor.replace(".", "")
    major, small, micro = map(int, version.split("."))
    return {
        "python_abi_tag": values["ABIFLAGS"],
        "python_bytecode_magic_number": importlib.util.MAGIC_NUMBER.hex(),
        "python_config_vars": {name: str(value) for name, value in sorted(values.items())},
        "python_exe": f"install/bin/python{minor}{facts['abiflags']}",
        "python_extension_module_loading": ["builtin"] if facts["static"] else ["builtin", "shared-library"],
        "python_implementation_cache_tag": f"cpython-{tag}",
        "python_implementation_hex_version": major << 24 | small << 16 | micro << 8 | 0xF0,
        "python_implementation_name": "cpython",
        "python_implementation_version": [*version.split("."), "final", "0"],
        "python_major_minor_version": minor,
        "python_paths": paths(facts),
        "python_paths_abstract": sysconfig.get_paths("posix_prefix", expand=False),
        "python_platform_tag": facts["platform_tag"],
        "python_stdlib_platform_config": f"install/{facts['lib']}/{sysconfigdata(facts)}",
        "python_stdlib_test_packages": facts["test_packages"],
        "python_suffixes": {
            "bytecode": [".pyc"],
            "debug_bytecode": [".pyc"],
            "extension": facts["ext_suffixes"],
            "optimized_bytecode": [".pyc"],
            "source": [".py"],
        },
        "python_symbol_visibility": "global-default",
        "python_tag": f"cp{tag}",
        "python_version": version,
    }


def describe(root: Path, facts: Facts) -> dict[str, Any]:
    """The whole of PYTHON.json."""
    return {
        "version": VERSION,
        "target_triple": facts["triple"],
        "build_options": facts["options"],
        "build_info": build_info(root, facts),
        "crt_features": crt_features(root, facts),
        "libpython_link_mode": "static" if facts["static"] else "shared",
        "license_path": "licenses/LICENSE.cpython.txt",
        "licenses": ["Python-2.0", "CNRI-Python"],
        "run_tests": "build/run_tests.py",
        **apple_sdk(facts, Path("/build/sdk/SDKSettings.json")),
        **python_facts(facts, config_vars(root, facts)),
    }


def named_paths(value: Any) -> Iterator[str]:
    """Every string in the description that is a path of the archive."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in ("python_config_vars", "python_paths_abstract"):
                yield from named_paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from named_paths(each)
    elif isinstance(value, str) and value.startswith(("install/", "build/", "licenses/")):
        yield value


def main(argv: list[str]) -> None:
    root, out = Path(argv[0]), Path(argv[2])
    described = describe(root, json.loads(Path(argv[1]).read_text()))
    # include/ of third parties and the like are places where something may come
    absent = [name for name in named_paths(described) if not (root / name).exists() and name not in described["python_paths"].values()]
    if absent:
        raise FileNotFoundError(f"PYTHON.json names what the archive lacks: {absent}")
    out.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
