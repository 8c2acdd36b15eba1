"""The limits of a shipped archive: toolchains/policy.toml, read for one cell. graph/rules judges facts by them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from graph import toml
from graph.errors import LockError
from graph.facts import Format
from graph.target import Cell, Target

KEYS = ("os", "libc", "arch", "triple", "python", "option")
"""What tables are chosen by."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits for one cell: every matching table of policy.toml, the later ones over the earlier."""

    cell: Cell
    format: Format
    machine: str
    """As the object format names it."""
    bits: int = 64
    byteorder: str = "little"
    abi: tuple[int, int] = (0, 0)
    """Of ELF's e_flags: which bits matter, and their value."""
    loader: str = ""
    """Path of the dynamic linker (ELF); empty: nothing is loaded by one."""
    needed: frozenset[str] = frozenset()
    """System libraries that a binary may need, beside the dynamic linker itself; of PE files globs of lower-case names."""
    banned_libraries: tuple[str, ...] = ()
    """PE: globs of lower-case names that none may need, were they shipped."""
    dylibs: Mapping[str, str] = field(default_factory=dict)
    """Mach-O: install name of a system library -> newest compatibility version that a file may ask for."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Symbol version family -> newest allowed, e.g. GLIBC -> 2.17."""
    banned_symbols: frozenset[str] = frozenset()
    weak_symbols: frozenset[str] = frozenset()
    """Mach-O: imports that may be weak, because the code asks whether they are there."""
    interpreter_symbols: tuple[str, ...] = ()
    """Globs; each must match a symbol that the interpreter or its libpython imports."""
    core_imports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """PE: DLL, in lower case -> what pythonXY.dll must take from it."""
    extension_exports: tuple[str, ...] = ()
    core_exports: tuple[str, ...] = ()
    """Regular expressions of what an extension module, and libpython or the executable, may export."""
    module_exports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same of one module, beside those of all."""
    absent_exports: frozenset[str] = frozenset()
    """PE: what python3.dll forwards though pythonXY.dll lacks it."""
    stack: int = 0
    """PE: bytes that the interpreter must reserve for its stack."""
    padding: int = 0
    """Mach-O: bytes that must be free behind the load commands."""
    signed: bool = False
    """Mach-O: a file without a signature is not run."""
    foreign: tuple[str, ...] = ()
    """Globs of files that may be binaries of another platform."""
    launchers: tuple[str, ...] = ()
    """Globs of programs that others made: for this platform, and nothing about how they were made."""
    licensed: tuple[str, ...] = ()
    """PE: globs of lower-case names of files that only who has a licence may give on."""
    bundled: frozenset[str] = frozenset()
    """Of these, files beside python.exe that the user brought (--vcruntime); no key of policy.toml."""
    leaks: tuple[str, ...] = ()
    """Regular expressions of build paths; no file may hold a match."""
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Flavour -> globs that must match a member; `install` and `system`: of all three archives, below the install prefix."""
    forbidden: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same of globs that must match none."""
    multiarch: str = ""
    """CPython's platform triplet; empty where this version of CPython knows none."""
    builtin: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    test: frozenset[str] = frozenset()
    """Extension modules: in the core, in lib-dynload, and in lib-dynload of the full archive only."""
    optional: frozenset[str] = frozenset()
    """Of these, those that may be missing: what they need is not always there."""
    stubs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What each system library offers, by install name, from the sysroot; no key of policy.toml."""
    slices: tuple[Policy, ...] = ()
    """Of a target with slices, the limits of each: those that code is judged by. No key of policy.toml either."""

    @property
    def target(self) -> Target:
        """The cell's."""
        return self.cell.target

    @property
    def machines(self) -> frozenset[str]:
        """What a file's code is for: one machine, or each slice's."""
        return frozenset(one.machine for one in self.slices or (self,))

    @property
    def libraries(self) -> frozenset[str]:
        """Every system library that a binary may need."""
        return self.needed | self.dylibs.keys() | ({posixpath.basename(self.loader)} - {""})


def parse_policy(text: str, cell: Cell) -> Policy:
    """The limits of toolchains/policy.toml (its text) for one cell. Raises LockError."""
    tables = _tables(text)
    target = cell.target
    values = ((target.os,), (target.libc,), (target.arch,), (target.triple,), (cell.minor,), cell.options)
    where: dict[str, tuple[str, ...]] = dict(zip(KEYS, values, strict=True))
    merged: dict[str, Any] = {}
    for table in [*tables.get("limits", ()), *tables.get("modules", ())]:
        if _applies(table, where):
            for key, value in table.items():
                if key not in KEYS:
                    merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    if "shared" not in merged:
        raise LockError(f"no [[modules]] table for Python {cell.minor} on {target.os}", place="policy.toml")
    slices = tuple(parse_policy(text, replace(cell, target=one)) for one in target.slices)
    return replace(_policy(merged, cell), slices=slices)


@cache
def _tables(text: str) -> Mapping[str, Any]:
    """The text, parsed once in a process however many cells ask."""
    try:
        return toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise LockError(str(error), place="policy.toml") from None


def _applies(table: Mapping[str, Any], where: Mapping[str, tuple[str, ...]]) -> bool:
    return all(any(fnmatchcase(value, glob) for value in where[key] for glob in _several(table[key])) for key in KEYS if key in table)


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _globs(table: Mapping[str, list[str]]) -> Mapping[str, tuple[str, ...]]:
    return {name: tuple(globs) for name, globs in table.items()}


def _pair(value: list[int]) -> tuple[int, int]:
    mask, wanted = value
    return int(mask), int(wanted)


READERS: Mapping[str, Callable[[Any], Any]] = {
    "format": Format,
    "abi": _pair,
    "required": _globs,
    "forbidden": _globs,
    "module_exports": _globs,
    "core_imports": _globs,
    "dylibs": dict,
    "versions": dict,
    **dict.fromkeys(("machine", "byteorder", "loader", "multiarch"), str),
    **dict.fromkeys(("bits", "padding", "stack"), int),
    "signed": bool,
    **dict.fromkeys(
        ("interpreter_symbols", "extension_exports", "core_exports", "banned_libraries", "foreign", "launchers", "licensed", "leaks"),
        tuple,
    ),
    **dict.fromkeys(("needed", "banned_symbols", "weak_symbols", "absent_exports", "builtin", "shared", "test", "optional"), frozenset),
}
"""Every key of a table, and what its value becomes. `"floor"` in versions: the target's libc floor."""


def _policy(merged: dict[str, Any], cell: Cell) -> Policy:
    unknown = sorted(merged.keys() - READERS.keys())
    if unknown:
        raise LockError(f"unknown key {unknown[0]!r}", place="policy.toml", hint=f"known: {', '.join(sorted(READERS))}")
    try:
        values = {key: READERS[key](value) for key, value in merged.items()}
        versions = values.get("versions", {})
        values["versions"] = {family: cell.target.libc_floor if limit == "floor" else limit for family, limit in versions.items()}
        # what an SDK of Apple's is needed for is due where one was given
        return Policy(cell, **{**values, **({"optional": frozenset()} if cell.target.sdk else {})})
    except (TypeError, ValueError, AttributeError) as error:
        raise LockError(f"bad value: {error}", place="policy.toml") from None
