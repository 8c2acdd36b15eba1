"""Which files of CPython's source configure and the core read, so that a change to any other leaves them alone.

A row that differs between versions carries `minors`. A glob that matches nothing stops the build, so a new version shows what it lacks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reads:
    """Globs of files that a step opens."""

    globs: tuple[str, ...]
    minors: tuple[str, ...] = ()
    """Python versions (major.minor) that have these files; empty for all."""


def _lib(*names: str) -> tuple[str, ...]:
    return tuple(f"Lib/{name}.py" for name in names)


CONFIGURE = (
    Reads(("configure", "config.guess", "config.sub", "install-sh", "Makefile.pre.in", "pyconfig.h.in", "Misc/*.in", "Include/object.h")),
    Reads(("Modules/Setup", "Modules/Setup.*.in", "Modules/makesetup", "Modules/config.c.in", "Modules/ld_so_aix.in")),
    Reads(("Misc/platform_triplet.c", "Include/pyatomic.h", "Include/cpython/pyatomic*.h"), ("3.13", "3.14", "3.15")),
)
"""All that configure opens (seen with strace)."""

_FROZEN = _lib(
    *("__hello__", "_collections_abc", "_sitebuiltins", "abc", "codecs", "genericpath", "io", "ntpath", "os", "posixpath", "runpy", "site"),
    *("stat", "zipimport", "importlib/_bootstrap", "importlib/_bootstrap_external", "importlib/util", "importlib/machinery"),
    *("encodings/__init__", "encodings/aliases", "encodings/ascii", "encodings/utf_8", "encodings/latin_1"),
)
"""Modules of Lib/ that are frozen into the core, or that the program which freezes them imports."""

_DEEPFREEZE = (
    *(f"Tools/scripts/{name}.py" for name in ("deepfreeze", "generate_global_objects", "umarshal")),
    *("Lib/collections/", "Lib/re/"),
    *_lib("argparse", "ast", "contextlib", "copyreg", "enum", "functools", "gettext", "keyword", "operator", "reprlib", "types", "typing"),
    *_lib("fnmatch", "locale", "shutil", "warnings"),
)
"""The script that writes the frozen modules of 3.11 as C objects, and what it imports."""

CORE = (
    *CONFIGURE,
    Reads(("Include/", "Modules/", "Objects/", "Parser/", "Programs/", "Python/")),
    Reads((*_FROZEN, "Lib/__phello__/", "Tools/freeze/flag.py")),
    Reads(_DEEPFREEZE, ("3.11",)),
)
"""All that the core's make opens, less what belongs to extension modules that are built apart."""


def globs(rows: tuple[Reads, ...], minor: str) -> tuple[str, ...]:
    """The globs of a Python version (major.minor)."""
    return tuple(glob for row in rows if not row.minors or minor in row.minors for glob in row.globs)
