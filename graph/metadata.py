"""PYTHON.json, version "8": what its readers (PyOxidizer, uv, rules_python, ...) need to find in it, and that what it names is there.

Source of the format: docs/distributions.rst of python-build-standalone.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Iterator
from typing import Any

VERSION = "8"

TEXTS = (
    "license_path",
    "libpython_link_mode",
    "optimizations",
    "python_abi_tag",
    "python_exe",
    "python_implementation_cache_tag",
    "python_implementation_name",
    "python_major_minor_version",
    "python_platform_tag",
    "python_stdlib_platform_config",
    "python_symbol_visibility",
    "python_tag",
    "python_version",
    "target_triple",
)
OTHERS = (
    "build_info",
    "build_options",
    "crt_features",
    "licenses",
    "python_bytecode_magic_number",
    "python_config_vars",
    "python_extension_module_loading",
    "python_implementation_hex_version",
    "python_implementation_version",
    "python_paths",
    "python_paths_abstract",
    "python_stdlib_test_packages",
    "python_suffixes",
    "run_tests",
    "version",
)
KEYS = tuple(sorted({*TEXTS, *OTHERS} - {"optimizations"}))
"""Keys that must be there; `optimizations` was replaced by build_options and may be."""
OF_APPLE = ("apple_sdk_canonical_name", "apple_sdk_deployment_target", "apple_sdk_platform", "apple_sdk_version")
"""Keys of macOS alone."""
OF_SYSCONFIG = "python_stdlib_platform_config"
"""Names _sysconfigdata, which Windows has not."""
EXTENSION_KEYS = ("in_core", "init_fn", "links", "objs", "required", "variant")

Problem = tuple[str, str]
"""Where in the document (a.b.c), and what is wrong there."""


def problems(text: str, present: Collection[str], more: Collection[str] = ()) -> Iterator[Problem]:
    """What is wrong with the document; `present` holds the paths of all members of its archive, python/ included, `more` further keys."""
    try:
        document = json.loads(text)
    except ValueError as error:
        yield "PYTHON.json", f"is no JSON: {error}"
        return
    if not isinstance(document, dict):
        yield "PYTHON.json", "is no JSON object"
        return
    if document.get("version") != VERSION:
        yield "version", f"is {document.get('version')!r}, not {VERSION!r}"
    for key in (*KEYS, *more):
        if key not in document and (key != OF_SYSCONFIG or any("/_sysconfigdata_" in path for path in present)):
            yield key, "is missing"
    for key in TEXTS:
        if not isinstance(document.get(key, ""), str):
            yield key, "is no text"
    yield from _extension_problems(_table(document, "build_info", "extensions"))
    for where, path in paths(document):
        if posixpath.normpath(f"python/{path}") not in present:
            yield where, f"names {path}, which is not there"


def differences(text: str, expected: dict[str, str], builtin: Collection[str], shared: Collection[str]) -> Iterator[Problem]:
    """Where the document says another value, or other extension modules, than expected. Says nothing when it is no JSON object."""
    try:
        document = json.loads(text)
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    for key, value in expected.items():
        if document.get(key) != value:
            yield key, f"is {document.get(key)!r}, not {value!r}"
    said = _table(document, "build_info", "extensions")
    # in_core means "cannot be left out when relinking": most built-in modules can, so having no file of its own is what tells
    core = {name for name, variants in said.items() if not any(v.get("shared_lib") for v in _dicts(variants))}
    for label, wanted, got in (("in the core", set(builtin), core), ("shared", set(shared), said.keys() - core)):
        for name in sorted(wanted ^ got):
            yield f"build_info.extensions.{name}", f"is {'missing' if name in wanted else 'not expected'} as a module {label}"


def paths(document: dict[str, Any]) -> Iterator[Problem]:
    """(where, path) of every path that the document names, relative to the archive's python/."""
    for key in ("python_exe", "license_path", "run_tests", OF_SYSCONFIG):
        yield from _path(key, document.get(key))
    for key in ("python_paths", "tcl_library_paths"):
        values = document.get(key)
        root = document.get("tcl_library_path") if key == "tcl_library_paths" else None
        for value in values.values() if isinstance(values, dict) else values if isinstance(values, list) else ():
            yield from _path(key, posixpath.join(root, value) if root and isinstance(value, str) else value)
    info = _table(document, "build_info")
    for key in ("inittab_object", "inittab_source"):
        yield from _path(f"build_info.{key}", info.get(key))
    yield from _linked("build_info.core", _table(info, "core"))
    for name, variants in _table(info, "extensions").items():
        for variant in _dicts(variants):
            yield from _linked(f"build_info.extensions.{name}", variant)


def _linked(where: str, item: dict[str, Any]) -> Iterator[Problem]:
    for key in ("shared_lib", "static_lib"):
        yield from _path(f"{where}.{key}", item.get(key))
    for key in ("objs", "license_paths"):
        for value in item.get(key) or ():
            yield from _path(f"{where}.{key}", value)
    for link in _dicts(item.get("links")):
        for key in ("path_static", "path_dynamic"):
            yield from _path(f"{where}.links", link.get(key))


def _path(where: str, value: object) -> Iterator[Problem]:
    if isinstance(value, str) and value:
        yield where, value


def _extension_problems(extensions: dict[str, Any]) -> Iterator[Problem]:
    for name, variants in extensions.items():
        for variant in _dicts(variants):
            for key in EXTENSION_KEYS:
                if key not in variant:
                    yield f"build_info.extensions.{name}.{key}", "is missing"
        if not _dicts(variants):
            yield f"build_info.extensions.{name}", "has no variant"


def _table(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _dicts(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
